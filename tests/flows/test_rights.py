"""What no right covers any more is taken back, whatever else a start does or cannot do."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from catalogs.errors import UserError
from tasks.before_render import prepare_render
from tasks.outcome import newest_outcome
from tasks.prepare import Prepared, prepare
from tests.flows.projects import Project, draw_photo, make, plan_rows

ENDED, TO_COME = date(2020, 1, 1), datetime.now(UTC).date() + timedelta(days=400)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Three looks, each with a photo of its own, all delivered while their licences held."""
    project = Project.of(tmp_path, products=3)
    for number, product in enumerate(project.products):
        draw_photo(tmp_path / f"photo{number}.png", (40 * number, 60, 90))
        product["reference_images"] = [{"uri": f"photo{number}.png", "role": "hero", "licence_end": TO_COME}]
    project.write()
    project.render()
    return project


def licence(project: Project, number: int, end: date | None, **other: Any) -> None:
    project.products[number]["reference_images"][0] |= {"licence_end": end, **other}
    project.write()


def start(project: Project, **options: Any) -> list[str]:
    """A render up to its first picture; what it said."""
    said: list[str] = []
    made: Prepared = prepare_render(project.path, options, said.append)
    make(made, retiring=bool(options.get("retire")))
    return said


def withdrawn(project: Project) -> set[str]:
    return {row["look"] for row in project.view().values() if row["status"] == "withdrawn"}


def test_a_licence_that_ended_withdraws_its_assets_and_those_built_on_them(project: Project) -> None:
    licence(project, 0, ENDED)
    start(project)
    rows = [row for row in project.view().values() if row["look"] == "p000"]
    assert {row["shot"] for row in rows} == {"hero", "scene"}
    assert {row["status"] for row in rows} == {"withdrawn"}
    assert withdrawn(project) == {"p000"}
    assert all(project.store.exists(row["asset_key"]) for row in rows)
    assert not prepare(project.path, {}).has_work  # once is enough


@pytest.mark.parametrize(
    "options", [{"only": ["p001"]}, {"limit": 1}, {"retire": True}], ids=["only", "limit", "retire"]
)
def test_nothing_that_narrows_a_start_keeps_an_ended_licence(project: Project, options: dict[str, Any]) -> None:
    licence(project, 2, ENDED)
    start(project, **options)
    assert withdrawn(project) == {"p002"}


def test_a_product_that_left_the_selection_is_withdrawn_and_not_retired(project: Project) -> None:
    licence(project, 2, ENDED)
    project.campaign["select"] = [["product_id", "in", ["p000", "p001"]]]
    project.write()
    start(project, retire=True)
    assert withdrawn(project) == {"p002"}


def test_a_rejected_row_keeps_no_ended_licence(project: Project) -> None:
    licence(project, 2, ENDED)
    project.products[2]["title"] = ""
    project.write()
    start(project)
    assert withdrawn(project) == {"p002"}


def test_of_a_product_that_is_deleted_the_recorded_licence_counts(project: Project) -> None:
    """What the catalog does not say any more, the record says."""
    del project.products[2]
    licence(project, 0, None)
    start(project)
    assert withdrawn(project) == set()
    made: Prepared = prepare(project.path, {"today": TO_COME + timedelta(days=1)})
    ended = plan_rows(made, lambda row: row["action"] == "withdraw" and row["look"] == "p002")
    assert {row["shot"] for row in ended} == {"hero", "scene"}


@pytest.mark.parametrize("end", [TO_COME + timedelta(days=800), None], ids=["later", "no end"])
def test_a_licence_that_was_prolonged_wins_over_the_record(project: Project, end: date | None) -> None:
    licence(project, 0, end)
    day = TO_COME + timedelta(days=1)
    rows = plan_rows(prepare(project.path, {"today": day}), lambda row: row["action"] == "withdraw")
    assert {row["look"] for row in rows} == {"p001", "p002"}


def test_a_photo_that_was_renamed_is_known_by_its_content(project: Project) -> None:
    (project.folder / "photo0.png").rename(project.folder / "moved.png")
    licence(project, 0, ENDED, uri="moved.png")
    start(project)
    assert withdrawn(project) == {"p000"}


def test_a_territory_that_is_no_longer_covered_withdraws(tmp_path: Path) -> None:
    channels = [{"name": "de", "width": 48, "height": 48, "format": "jpeg", "territory": "DE"}]
    channels.append({**channels[0], "name": "fr", "territory": "FR"})
    project = Project.of(tmp_path, products=1, channels=channels)
    project.render()
    licence(project, 0, None, territories=["FR"])
    start(project)
    status = {row["channel"]: row["status"] for row in project.view().values()}
    assert status == {"de": "withdrawn", "fr": "delivered"}


def test_where_every_licence_has_ended_all_is_withdrawn_and_the_start_refused(project: Project) -> None:
    for number in range(3):
        licence(project, number, ENDED)
    with pytest.raises(UserError, match="withdraws 12 delivered assets all the same"):
        prepare(project.path, {})
    said: list[str] = []
    with pytest.raises(UserError, match="none left"):
        prepare_render(project.path, {}, said.append)
    assert said == ["12 delivered assets withdrawn: a right to a photo has ended"]
    assert withdrawn(project) == {"p000", "p001", "p002"}


def test_a_plan_that_cannot_be_made_keeps_no_ended_licence(project: Project) -> None:
    licence(project, 0, ENDED)
    project.campaign["shots"]["hero"]["prompt"]["scene"] = "{{ product.nothing }}"
    project.write()
    with pytest.raises(UserError, match="nothing"):
        prepare_render(project.path, {}, lambda line: None)
    assert withdrawn(project) == {"p000"}


def test_a_licence_that_is_renewed_restates_what_is_stored(project: Project) -> None:
    licence(project, 0, ENDED)
    start(project)
    licence(project, 0, TO_COME)
    again = prepare(project.path, {})
    assert again.summary["work"] == {"none": 8, "commit": 4}
    make(again)
    assert withdrawn(project) == set()


def test_a_licence_that_is_renewed_makes_again_what_is_gone(project: Project) -> None:
    licence(project, 0, ENDED)
    start(project)
    gone = next(row["asset_key"] for row in project.view().values() if row["look"] == "p000")
    project.store.delete([gone])
    licence(project, 0, TO_COME)
    start(project)  # what is withdrawn is in no view, and so was not looked at
    start(project)
    assert project.store.exists(gone)


def test_an_approved_plan_is_judged_on_the_day_it_is_rendered(project: Project) -> None:
    project.products[0]["title"] = project.products[1]["title"] = "Another mug"
    project.write()
    approved = prepare(project.path, {})
    assert approved.summary["renders"] == 4
    licence(project, 0, ENDED)
    licence(project, 2, ENDED)
    taken = prepare(project.path, {}, plan_file=approved.store.uri(approved.plan_key))
    assert (taken.summary["renders"], taken.summary["assets"]) == (2, 4)
    make(taken)
    assert withdrawn(project) == {"p000", "p002"}
    assert {row["look"] for row in project.view().values() if row["status"] == "delivered"} == {"p001"}


def drop_columns(project: Project) -> None:
    """Make the record one of before: without the columns that tell the photos behind a shot."""
    for key in project.store.list("catalog"):
        path = project.folder / "output" / key
        table = pq.read_table(path)
        pq.write_table(table.drop_columns(["upstream_references", "territory", "master", "ordered_at", "step"]), path)


@pytest.mark.parametrize("change", [lambda project: None, drop_columns], ids=["today", "before"])
def test_what_builds_on_a_shot_goes_with_its_photo(project: Project, change: Callable[[Project], None]) -> None:
    change(project)
    licence(project, 1, ENDED)
    start(project)
    rows = [row for row in project.view().values() if row["status"] == "withdrawn"]
    assert {(row["look"], row["shot"]) for row in rows} == {("p001", "hero"), ("p001", "scene")}


def test_the_command_says_what_it_withdraws(project: Project, prefect_server: dict[str, str]) -> None:
    from tests.flows.drawn import start as command

    licence(project, 0, ENDED)
    run = command(prefect_server, "render", project.path)
    out, err = run.communicate(timeout=120)
    assert run.returncode == 0, err
    assert "  4 withdrawn: a right to a photo has ended" in out.splitlines()
    status, _ = command(prefect_server, "status", project.path, "--json").communicate(timeout=180)
    told = json.loads(status)
    assert (told["planned"], told["delivered"], told["withdrawn"], told["complete"]) == (8, 8, 4, True)


def test_a_renewed_licence_is_not_complete_before_it_is_said(project: Project) -> None:
    licence(project, 0, ENDED)
    start(project)
    licence(project, 0, TO_COME)
    planned = prepare(project.path, {})
    found = newest_outcome(project.path)
    assert (found["planned"], found["delivered"], found["complete"]) == (12, 8, False)
    make(planned)
    found = newest_outcome(project.path)
    assert (found["planned"], found["delivered"], found["complete"]) == (12, 12, True)
