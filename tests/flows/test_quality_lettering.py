"""The check of lettering, from the prompt to the record."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tasks.quality
from catalogs.errors import OptionError
from inference.quality import reader as module
from inference.quality.reader import Reader, ReaderError
from tests.flows.commands import Packshot
from tests.flows.projects import Project
from tests.flows.stored_pictures import store_pictures
from tests.lettered import lettered, own_reader

DRAWN = {"right": "GUTEN MORGEN", "wrong": "GUTN MORGEN", "bare": ""}
OTHERS = ("colours", "likeness", "cut_off", "contrast", "coherence", "banding")
LIMITS = {"review": dict.fromkeys(OTHERS, False)}


def project_of(tmp_path: Path, says: str = "GUTEN MORGEN", **campaign: Any) -> Project:
    """A mug that is to say something; the pictures are there as a start leaves them that dies before its commit."""
    project = Project.of(tmp_path, products=len(DRAWN), **({"model": "tiny", "quality": LIMITS} | campaign))
    for product, name in zip(project.products, DRAWN, strict=True):
        product["product_id"] = name
    del project.campaign["shots"]["scene"]
    text = {"text": [{"content": says}]} if says else {}
    project.campaign["shots"]["hero"] = {"size": "640x640", "prompt": {"scene": "{{ product.title }}", **text}}
    project.write()
    store_pictures(project, lambda row, _: lettered(*DRAWN[row["look"]].split()))
    return project


def rows_of(project: Project) -> dict[str, dict[str, Any]]:
    return {row["look"]: row for row in project.view().values() if row["channel"] == "square"}


@pytest.fixture
def reader(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reader]:
    makes = own_reader(tmp_path_factory.mktemp("r"))
    made = next(makes)
    monkeypatch.setattr(tasks.quality, "reader", lambda: made)
    yield made
    next(makes, None)


def test_letters_are_read_back_and_misspelt_ones_told(reader: Reader, tmp_path: Path) -> None:
    project = project_of(tmp_path)
    reports = project.render()
    rows = rows_of(project)
    assert {look: row["verdict"] for look, row in rows.items()} == {
        "right": "accepted",
        "wrong": "needs_review",
        "bare": "needs_review",
    }
    shares = {look: round(dict(row["quality"])["lettering"], 2) for look, row in rows.items()}
    assert shares == {"right": 1, "wrong": 0.91, "bare": 0}
    assert "lettering 0.909 (under" in rows["wrong"]["detail"]
    assert reports[0].remarks["to be looked at for lettering"] == 4, "two assets of two pictures"


def test_nothing_is_lost_when_what_reads_is_killed(
    reader: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def ask(picture: Any, before: Any = reader._ask) -> Any:
        asked.append(picture.size)
        if len(asked) in (2, 3):  # before a picture, and before its second try
            os.kill(reader.pid, signal.SIGKILL) if reader.pid else None
        return before(picture)

    monkeypatch.setattr(reader, "_ask", ask)
    project = project_of(tmp_path)
    project.render()
    rows = rows_of(project)
    assert {row["status"] for row in rows.values()} == {"delivered"}
    assert all("lettering" in dict(row["quality"]) for row in rows.values())
    assert len(asked) > 3, "one was asked for again"


def test_a_picture_that_cannot_be_read_is_to_be_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Dead:
        def read(self, picture: Any) -> Any:
            raise ReaderError("what reads letters ended 3 times: out of memory")

    monkeypatch.setattr(tasks.quality, "can_read", lambda: True)
    monkeypatch.setattr(tasks.quality, "reader", Dead)
    project = project_of(tmp_path)
    reports = project.render()
    for row in rows_of(project).values():
        assert (row["status"], row["verdict"]) == ("delivered", "needs_review")
        assert "out of memory" in row["detail"]
        assert "contrast" in dict(row["quality"]), "the other numbers stand"
    assert reports[0].remarks["to be looked at, since checks failed"] == 6


def uninstall(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)


def test_without_what_reads_the_run_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uninstall(monkeypatch)
    project = project_of(tmp_path)
    reports = project.render()
    assert reports[0].remarks == {
        "its letters were not looked at: pip install 'packshot[lettering]'": 6,
        "its subject is cut off by the crop to the centre (`crop: subject` keeps it whole)": 2,
    }
    for row in rows_of(project).values():
        assert "lettering" not in dict(row["quality"])
        assert row["verdict"] == "accepted"


@pytest.mark.parametrize(
    "quality", [{"review": {"lettering": 0.8}}, {"shots": {"hero": {"reject": {"lettering": 0.8}}}}]
)
def test_a_campaign_that_asks_for_it_by_name_is_refused_without(
    packshot: Packshot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quality: dict[str, Any]
) -> None:
    project = Project.of(tmp_path, model="tiny", quality=quality)
    prepared = project.plan() if module.can_read() else None
    uninstall(monkeypatch)
    for command in ("plan", "render"):
        told = packshot(command, project.path)
        assert told.code == 2
        assert told.err.strip().count("\n") == 0, told.err
        assert "pip install 'packshot[lettering]'" in told.err
    if prepared:  # on another machine
        with pytest.raises(OptionError, match="nothing here reads letters"):
            tasks.quality.check_quality(quality, project.path)


@pytest.mark.parametrize("quality", [True, {"review": {"lettering": False}}])
def test_others_are_planned_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quality: Any) -> None:
    uninstall(monkeypatch)
    assert Project.of(tmp_path, model="tiny", quality=quality).plan().has_work


@pytest.mark.parametrize("campaign", [{"says": ""}, {"quality": {"review": {"lettering": False}}}, {"quality": False}])
def test_where_no_letters_are_to_be_read_nothing_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, campaign: dict[str, Any]
) -> None:
    monkeypatch.setattr(tasks.quality, "can_read", lambda: pytest.fail("asked for"))
    monkeypatch.setattr(tasks.quality, "reader", lambda: pytest.fail("started"))
    project = project_of(tmp_path, **campaign)
    project.render()
    assert {"lettering"} & {name for row in rows_of(project).values() for name in dict(row["quality"])} == set()
    assert not any("problem" in (row["detail"] or "") for row in rows_of(project).values())


def test_letters_of_a_script_that_is_not_read_are_not_judged(reader: Reader, tmp_path: Path) -> None:
    project = project_of(tmp_path, says="Доброе утро")
    reports = project.render()
    assert {row["verdict"] for row in rows_of(project).values()} == {"accepted"}
    assert "of a script that is not read" in str(reports[0].remarks)
