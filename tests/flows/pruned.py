"""What the tests of `packshot prune` share."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from catalogs.assets.commits import read_commits
from catalogs.campaigns.campaign import load_campaign
from catalogs.campaigns.retention import Retention
from tasks import prune as pruning
from tasks.before_render import prepare_render
from tasks.prune import Found, Output, delete, find
from tasks.verify import verify
from tests.flows.projects import Project, make, rendered

USUAL = {"plans": "30d", "superseded": "90d", "withdrawn": "7d"}
NOTHING = {"plans": 0, "superseded": 0, "withdrawn": 0, "masters": 0}
Later = Callable[[float], None]


def remade(project: Project) -> Project:
    project.render()
    titled(project, "A newer mug")
    return project


def titled(project: Project, title: str) -> int:
    """Render with another title of the first product; how many pictures were made."""
    project.products[0]["title"] = title
    project.write()
    return rendered(make(prepare_render(project.path, {}, lambda line: None)))


def clock_of_prune(monkeypatch: pytest.MonkeyPatch) -> Later:
    """Puts the clock of prune alone forward by some days."""

    def put(days: float) -> None:
        class Clock(datetime):
            @classmethod
            def now(cls, tz: Any = None) -> Any:
                return datetime.now(tz) + timedelta(days=days)

        monkeypatch.setattr(pruning, "datetime", Clock)

    return put


def found(project: Project, **retention: str) -> tuple[Output, Found]:
    output = Output(project.store)
    return output, find(output, load_campaign(project.path), Retention(**(retention or USUAL)))


def counts(project: Project, **retention: str) -> dict[str, int]:
    return {kind: len(items) for kind, items in found(project, **retention)[1].items.items()}


def prune(project: Project, **retention: str) -> dict[str, int]:
    return delete(*found(project, **retention))


def files(project: Project, *folders: str) -> set[str]:
    return {key for folder in folders or ("assets", "renders", "thumbs", "runs") for key in project.store.list(folder)}


def replaced(project: Project) -> set[str]:
    """The files that are stored and no current row names."""
    return files(project, "assets") - {row["asset_key"] for row in project.view().values()}


def check_current(project: Project) -> None:
    """Every current file is there and whole."""
    assert {row["status"] for row in project.view(masters=True).values()} == {"delivered"}
    told = verify(load_campaign(project.path), project.store, deep=True)
    assert (told.missing, told.masters_gone, told.found) == (0, 0, 0)
    assert not prepare_render(project.path, {}, lambda line: None).has_work


def rows_of(project: Project) -> list[dict[str, Any]]:
    """Every row of the record."""
    return [row for table in read_commits(project.store) for row in table.to_pylist()]


def copy_of(project: Project, folder: Path) -> Project:
    """The same project with its output in another place."""
    shutil.copytree(project.folder, folder)
    return Project(folder, project.products, project.brands, project.campaign)


def check_current_rows(project: Project) -> None:
    stored = set(project.store.list())
    for row in project.view(masters=True).values():
        assert row["asset_key"] in stored
        assert row["render_key"] in stored
