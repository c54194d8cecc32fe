"""`packshot prune`: what a campaign's retention lets go, and nothing else, whatever breaks."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from catalogs.errors import StorageError
from catalogs.storage.store import Store
from tasks.before_render import prepare_render
from tasks.gallery import make_gallery
from tests.flows.projects import Project, make, rendered
from tests.flows.pruned import (
    NOTHING,
    USUAL,
    Later,
    check_current,
    check_current_rows,
    copy_of,
    counts,
    files,
    prune,
    remade,
    replaced,
    rows_of,
    titled,
)
from tests.servers import S3Server


@pytest.fixture(params=["disk", "s3"])
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Project:
    """Two products, rendered, then the first one rendered anew with another title."""
    output = "output"
    if request.param == "s3":
        server: S3Server = request.getfixturevalue("moto_s3")
        output = f"s3://{server.bucket()}/prune"
    return remade(Project.of(tmp_path, products=2, output=output, retention=USUAL))


def test_it_lets_go_what_was_replaced_so_long_ago(project: Project, later: Later) -> None:
    old = replaced(project)
    assert len(old) == 4
    later(89.9)
    assert counts(project)["superseded"] == 0
    later(90.1)
    before = files(project, "assets", "renders")
    assert prune(project) == {**NOTHING, "superseded": 4, "plans": 1}
    assert before - files(project, "assets", "renders") == old
    assert counts(project) == NOTHING
    check_current(project)
    row = next(row for row in rows_of(project) if row["status"] == "pruned")
    assert row["asset_key"] in old
    assert row["detail"].startswith("superseded on 20")


def test_a_picture_that_is_wanted_again_is_finished_or_rendered_again(project: Project, later: Later) -> None:
    old = {key: project.store.read(key) for key in replaced(project)}
    later(400)
    assert prune(project, superseded="90d")["superseded"] == 4
    project.products[0]["title"] = "Mug 0"
    project.write()
    prepared = prepare_render(project.path, {}, lambda line: None)
    assert (prepared.summary["actions"], prepared.summary["renders"]) == ({"finish": 4, "unchanged": 4}, 0)
    assert rendered(make(prepared)) == 0
    assert {key: project.store.read(key) for key in old} == old
    check_current(project)
    # The other way round, and the masters are gone too.
    assert prune(project, superseded="90d", masters="90d") == {**NOTHING, "superseded": 4, "masters": 2}
    check_current(project)
    project.products[0]["title"] = "A newer mug"
    project.write()
    prepared = prepare_render(project.path, {}, lambda line: None)
    assert (prepared.summary["actions"], prepared.summary["renders"]) == ({"changed": 4, "unchanged": 4}, 2)
    assert rendered(make(prepared)) == 2
    check_current(project)


def test_masters_go_with_their_records_and_those_of_current_rows_stay(project: Project, later: Later) -> None:
    later(400)
    before = files(project, "renders")
    assert len(before) == 12  # two shots of two products, one of them twice, each with its record
    assert prune(project, masters="30d") == {**NOTHING, "masters": 2}
    gone = before - files(project, "renders")
    assert sorted(key.rpartition(".")[2] for key in gone) == ["json", "json", "png", "png"]
    check_current(project)
    assert {row["status"] for row in rows_of(project) if row["asset_key"] in gone} == {"delivered", "pruned"}
    titled(project, "Yet another mug")
    check_current(project)


def test_what_was_withdrawn_goes_with_its_small_picture(project: Project, later: Later) -> None:
    photo = project.products[1]["reference_images"][0]
    photo["licence_end"] = date(2020, 1, 1)
    project.write()
    make(prepare_render(project.path, {}, lambda line: None))
    make_gallery(project.store, "spring", prepare_render(project.path, {}, lambda line: None).run_id)
    mine = {key for key, row in project.view().items() if row["status"] == "withdrawn"}
    rows = [row for row in project.view().values() if row["status"] == "withdrawn"]
    assert len(mine) == 4
    thumbs = files(project, "thumbs")
    later(6.9)
    assert counts(project)["withdrawn"] == 0
    later(7.1)
    assert prune(project)["withdrawn"] == 4
    assert not {row["asset_key"] for row in rows} & files(project, "assets")
    assert len(thumbs - files(project, "thumbs")) == len({row["sha256"] for row in rows})
    assert {row["status"] for key, row in project.view().items() if key in mine} == {"withdrawn"}
    photo["licence_end"] = None
    project.write()
    prepared = prepare_render(project.path, {}, lambda line: None)
    assert prepared.summary["actions"] == {"finish": 4, "unchanged": 4}
    make(prepared)
    check_current(project)


@pytest.mark.parametrize("then", ["listed", "committed"])
def test_what_breaks_at_any_deletion_leaves_the_rest_to_a_later_call(
    tmp_path: Path, later: Later, monkeypatch: pytest.MonkeyPatch, then: str
) -> None:
    times = {"plans": "1d", "superseded": "1d", "masters": "1d"}
    whole = remade(Project.of(tmp_path / "whole", products=2))
    make_gallery(whole.store, "spring", sorted(whole.store.folders("runs"))[0])
    whole.plan(limit=1)
    later(400)
    first = set(whole.store.list())
    real, number = Store.delete, 0

    while True:
        number += 1
        left = number

        def break_off(self: Store, keys: Any) -> None:
            nonlocal left
            left -= 1
            if left == 0 and then == "committed":
                real(self, keys)  # it was deleted, and the answer was lost
            if left <= 0:
                raise StorageError("the store is away")
            real(self, keys)

        broken = copy_of(whole, tmp_path / f"broken{number}")
        monkeypatch.setattr(Store, "delete", break_off)
        try:
            prune(broken, **times)
        except StorageError:
            monkeypatch.setattr(Store, "delete", real)
        else:
            break
        check_current_rows(broken)
        rows = sum(row["status"] == "pruned" for row in rows_of(broken))
        prune(broken, **times)
        assert counts(broken, **times) == NOTHING
        if rows:  # nothing is said twice
            assert sum(row["status"] == "pruned" for row in rows_of(broken)) == rows
        told = set(broken.store.list())
    monkeypatch.setattr(Store, "delete", real)
    assert number > 10
    prune(whole, **times)
    mine = {key for key in whole.store.list() if not key.startswith("catalog/")}
    assert mine == {key for key in told if not key.startswith("catalog/")}
    assert len(first - mine) > 10
    check_current(whole)
