"""What changes is made, what does not is not: a plan and a render for every kind of change."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from catalogs.errors import CampaignError
from tasks.prepare import prepare
from tests.flows.projects import Project, make, plan_rows, rendered

PER_LOOK = 4  # two shots on two channels; the master that the second shot builds on is no asset


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project.of(tmp_path)
    assert rendered(made.render()) == 8
    return made


def touched(project: Project, **options: Any) -> set[tuple[str, str, str]]:
    """(look, shot, work) of everything a plan would do."""
    rows = plan_rows(project.plan(**options), lambda row: row["work"] != "none")
    return {(row["look"], row["shot"], row["work"]) for row in rows}


def test_nothing_changed_is_nothing_to_do(project: Project) -> None:
    prepared = project.plan()
    assert prepared.summary["actions"] == {"unchanged": 4 * PER_LOOK}
    assert not prepared.has_work


def _title(project: Project) -> None:
    project.products[1]["title"] = "Another mug"


def _colour(project: Project) -> None:
    project.brands[0]["palette"] = [{"name": "blue", "hex": "#0000FF"}]


def _scene(project: Project) -> None:
    project.campaign["shots"]["scene"]["prompt"]["scene"] = "a garden with {{ image('shot.hero') }}"


def _seed(project: Project) -> None:
    project.campaign["seed"] = 9


BOTH = ("hero", "scene")
ALL = ("p000", "p001", "p002", "p003")


@pytest.mark.parametrize(
    ("change", "looks", "shots"),
    [
        (_title, ("p001",), BOTH),  # the second shot follows the first, which it builds on
        (_colour, ("p000", "p002"), BOTH),
        (_scene, ALL, ("scene",)),
        (_seed, ALL, BOTH),
    ],
)
def test_a_change_reaches_what_depends_on_it_and_going_back_renders_nothing(
    project: Project, change: Callable[[Project], None], looks: tuple[str, ...], shots: tuple[str, ...]
) -> None:
    before = project.view()
    old = {name: getattr(project, name) for name in ("products", "brands", "campaign")}
    changed = Project.of(project.folder)
    change(changed)
    changed.write()
    assert touched(changed) == {(look, shot, "render") for look in looks for shot in shots}
    assert rendered(changed.render()) == len(looks) * len(shots)
    for name, value in old.items():
        setattr(project, name, value)
    project.write()
    assert touched(project) == {(look, shot, "commit") for look in looks for shot in shots}
    assert rendered(project.render()) == 0
    after = project.view()
    assert {k: row["asset_key"] for k, row in after.items()} == {k: row["asset_key"] for k, row in before.items()}


def _channel(project: Project) -> None:
    project.campaign["channels"].append({"name": "tall", "width": 32, "height": 64})


def _quality(project: Project) -> None:
    project.campaign["channels"][0]["quality"] = 60


def _legal_line(project: Project) -> None:
    for brand in project.brands:
        brand["legal_line"] = "(c) 2027"


@pytest.mark.parametrize(("change", "channels"), [(_channel, 1), (_quality, 1), (_legal_line, 2)])
def test_a_change_of_finishing_renders_nothing(
    project: Project, change: Callable[[Project], None], channels: int
) -> None:
    change(project)
    project.write()
    rows = plan_rows(project.plan(), lambda row: row["work"] != "none")
    assert {(row["action"], row["work"]) for row in rows} == {("finish", "finish")}
    assert len(rows) == channels * 2 * 4
    reports = project.render()
    assert rendered(reports) == 0
    assert sum(report.delivered for report in reports) == len(rows)
    assert not project.plan().has_work


def test_a_larger_channel_renders_no_child_anew(tmp_path: Path) -> None:
    """Without a size of their own, shots take the ladder's: a bigger channel must not become everybody's parent."""
    project = Project.of(tmp_path, products=1)
    for shot in project.campaign["shots"].values():
        del shot["size"]
    project.write()
    project.render()
    project.campaign["channels"].append({"name": "huge", "width": 512, "height": 512})
    project.write()
    channels = {row["channel"] for row in plan_rows(project.plan(), lambda row: row["work"] != "none")}
    assert channels == {"huge", "master-512x512"}


def test_a_new_size_of_a_look_changes_covers_alone(tmp_path: Path) -> None:
    project = Project.of(tmp_path, look_by=["product_group", "colors"])
    project.render()
    before = project.view()
    project.products.append({**project.products[0], "product_id": "p000-xl"})
    project.write()
    rows = plan_rows(project.plan(), lambda row: row["work"] != "none")
    assert {(row["action"], row["work"]) for row in rows} == {("changed", "commit")}
    assert len(rows) == PER_LOOK + 1
    assert rendered(project.render()) == 0
    after = project.view()
    assert {k: (r["asset_key"], r["fingerprint"]) for k, r in before.items()} == {
        k: (r["asset_key"], r["fingerprint"]) for k, r in after.items()
    }
    assert sum(row["covers"] == ["p000", "p000-xl"] for row in after.values()) == PER_LOOK


def test_a_column_that_differs_inside_a_look_is_named(tmp_path: Path) -> None:
    project = Project.of(tmp_path, look_by=["product_group"])
    project.products.append({**project.products[0], "product_id": "p000-xl", "title": "Larger"})
    project.write()
    with pytest.raises(CampaignError, match=r"'p000' and 'p000-xl' are one look but differ in 'title'"):
        project.plan()


def test_fingerprints_do_not_depend_on_the_order_of_the_catalog(tmp_path: Path) -> None:
    here = Project.of(tmp_path / "a", look_by=["product_group", "colors"])
    here.products.append({**here.products[0], "product_id": "a-first"})
    here.write()
    there = Project.of(tmp_path / "b", look_by=["product_group", "colors"])
    there.products = here.products[::-1]
    there.write()
    one, two = (
        {(r["look"], r["shot"], r["channel"]): (r["fingerprint"], r["product_id"]) for r in plan_rows(p.plan())}
        for p in (here, there)
    )
    assert one == two


def test_only_and_limit_never_retire(project: Project) -> None:
    for options in ({"only": ["p002"]}, {"limit": 1}):
        prepared = project.plan(**options)
        assert prepared.summary["actions"] == {"unchanged": PER_LOOK}


def test_what_leaves_is_retired_on_request_and_comes_back_for_nothing(project: Project) -> None:
    project.campaign["select"] = [["product_id", "!=", "p003"]]
    project.write()
    assert project.plan().summary["actions"] == {"unchanged": 3 * PER_LOOK, "retired": PER_LOOK}
    project.render()
    assert {row["status"] for row in project.view().values()} == {"delivered"}
    project.render(retire=True)
    assert sum(row["status"] == "retired" for row in project.view().values()) == PER_LOOK
    assert "retired" not in project.plan().summary["actions"]
    del project.campaign["select"]
    project.write()
    assert rendered(project.render()) == 0
    assert {row["status"] for row in project.view().values()} == {"delivered"}


def test_a_bad_row_retires_nothing(project: Project) -> None:
    project.products[3]["title"] = " "
    project.write()
    summary = project.plan().summary
    assert summary["rejected"] == 1
    assert summary["actions"] == {"unchanged": 3 * PER_LOOK}


def test_final_failures_wait_for_retry_failed(tmp_path: Path) -> None:
    project = Project.of(tmp_path, products=1)
    project.campaign["channels"] = [{"name": "square", "width": 800, "height": 800, "format": "png", "max_bytes": 1000}]
    project.write()
    reports = project.render()
    assert [report.reasons for report in reports] == [{"over_byte_limit": 1}, {"over_byte_limit": 1}]
    again = project.plan()
    assert not again.has_work
    assert again.summary["failed_before"] == 2
    assert project.plan(retry_failed=True).summary["work"]["finish"] == 2


def test_an_approved_plan_is_made_exactly(project: Project) -> None:
    _title(project)
    project.write()
    approved = project.plan()
    project.products[2]["title"] = "Changed after the approval"
    project.write()
    taken = prepare(project.path, {}, plan_file=approved.store.uri(approved.plan_key))
    assert rendered(make(taken)) == 2
    view = project.view()
    wanted = {row["fingerprint"] for row in plan_rows(approved) if not row["master"]}
    assert {row["fingerprint"] for row in view.values()} == wanted
    assert rendered(make(prepare(project.path, {}, plan_file=approved.store.uri(approved.plan_key)))) == 0


def test_masters_are_dropped_only_where_nobody_builds_on_them(tmp_path: Path) -> None:
    project = Project.of(tmp_path, products=1, finishing={"masters": "drop"})
    project.render()
    kept = {row["shot"]: row["render_key"] for row in project.view().values()}
    assert kept["hero"]
    assert kept["scene"] is None
    assert len([key for key in project.store.list("renders") if key.endswith(".png")]) == 1


def test_every_key_holds_the_bytes_its_row_names(project: Project) -> None:
    for row in project.view().values():
        assert hashlib.sha256(project.store.read(row["asset_key"])).hexdigest() == row["sha256"]


def test_a_right_that_ends_withdraws_what_is_delivered(project: Project) -> None:
    from datetime import date

    project.products[0]["reference_images"][0]["licence_end"] = date(2020, 1, 1)
    project.write()
    rows = plan_rows(project.plan(), lambda row: row["action"] == "withdraw")
    assert {row["look"] for row in rows} == {"p000"}
    assert len(rows) == PER_LOOK + 1  # and the master, of which nothing is to be built any more


def test_a_second_run_of_eight_hundred_assets_is_quick_and_never_imports_prefect(tmp_path: Path) -> None:
    project = Project.of(tmp_path, products=200)
    project.render()
    script = (
        "import sys; sys.argv = ['packshot', 'render', sys.argv[1]]\n"
        "from flows.cli import main\n"
        "main()\n"
        "assert not {'prefect', 'torch'} & set(sys.modules), 'imported'\n"
    )
    times = []
    for _ in range(3):
        started = time.monotonic()
        done = subprocess.run([sys.executable, "-c", script, project.path], capture_output=True, text=True)
        times.append(time.monotonic() - started)
        assert done.returncode == 0, done.stderr
        assert "800 of 800 planned assets delivered; 0 rendered" in done.stdout
    assert min(times) < 10
