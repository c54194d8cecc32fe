"""`packshot stats`: every number against stores whose truth is known, and on real plans and runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from catalogs.assets.commits import Step
from catalogs.plans.file import PlanFile
from flows.statistics import begin_of
from tasks.outcome import outcome_of
from tasks.run_summary import write_summary
from tests.catalogs.assets.test_commits import put, row
from tests.flows.commands import run as in_process
from tests.flows.journals import FIRST, journal
from tests.flows.projects import CHANNELS, SHOTS, Project, make

Stats = Callable[..., tuple[int, str, str]]


@pytest.fixture
def stats(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Stats:
    """`packshot stats ARGUMENTS`: its exit code and what it says on both outputs."""

    def run_it(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = in_process(monkeypatch, "stats", *arguments)
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return code, said.out, said.err

    return run_it


@pytest.fixture
def told(stats: Stats) -> Callable[..., dict[str, Any]]:
    """What it says to machines."""

    def run_it(*arguments: str, code: int = 0) -> dict[str, Any]:
        ended, out, _ = stats(*arguments, "--json")
        assert ended == code
        answer: dict[str, Any] = json.loads(out)
        return answer

    return run_it


Told = Callable[..., dict[str, Any]]


def asset(number: int, day: int, **other: Any) -> dict[str, Any]:
    """A delivered row of a render of its own."""
    print_of = f"{number:064x}"
    made = row(print_of, look=f"look{number}", run_id=run_of(day), attempt_id=f"t{day}")
    made |= {"created_at": moment(day), "ordered_at": moment(day), "step": Step.RENDER.value, "seconds": 2.0}
    made |= {"render_key": f"renders/{number}.png", "asset_key": f"assets/{number}.jpg", "cost": 99.0}
    return {**made, "engine": "diffusers", "model": "klein-4b", **other}


def moment(day: int) -> datetime:
    return datetime(2026, 10, 1, 12, tzinfo=UTC) + timedelta(days=day)


def run_of(day: int) -> str:
    return f"{moment(day):%Y%m%dT%H%M%S.%fZ}-abcdef"


def summary(day: int, **other: Any) -> bytes:
    """Of a run that made 10 pictures in 5 s."""
    plan = {"campaign": "spring", "kind": "render", "model": "klein-4b", "assets": 40, "actions": {"unchanged": 32}}
    work = {"adopted": 2, "rendered": 10}
    made = {"plan": {**plan, "failed_before": 2}, "work": work, "seconds": 5.0, "profile": {"device": "NVIDIA H200"}}
    return json.dumps({**made, **other}).encode()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Two days of two brands: 5 assets of 4 renders, one of them said again and one retired, and a failure."""
    project = Project.of(tmp_path / "shop", 1, model="klein-4b")
    first = asset(1, 0)
    put(project.store, first, {**first, "channel": "wide"}, asset(2, 0, brand_id="nord", shot="scene"))
    put(project.store, asset(3, 1), asset(9, 1, channel="master-64x64", master=True, seconds=4.0), asset(4, 1))
    failed = {"status": "failed", "reason": "non_finite", "asset_key": None, "render_key": None, "seconds": None}
    put(project.store, asset(5, 1, **failed))
    put(project.store, asset(5, 2, **{**failed, "reason": "engine_error"}))
    again = {"run_id": run_of(3), "ordered_at": moment(3), "created_at": moment(3)}
    put(project.store, {**first, **again, "covers": ["mug", "cup"]}, {**asset(4, 1), **again, "status": "retired"})
    for day in (0, 1):
        project.store.write(f"runs/{run_of(day)}/summary.json", summary(day))
    return project


def test_everything_counts_once(project: Project, told: Told) -> None:
    found = told(project.path)
    [total] = found["totals"]
    assert (total["kind"], total["delivered"], total["failed"], total["still_failed"]) == ("render", 5, 2, 1)
    assert total["reasons"] == {"non_finite": 1, "engine_error": 1}
    assert (total["rendered"], total["engine_seconds"]) == (5, 12.0), "the master's time counts, two channels' once"
    assert total["gpu_hours"] == round(12 / 3600, 6)
    assert (total["images_per_second"], total["images_per_engine_second"]) == (2.0, round(5 / 12, 4))
    assert (total["paid"], total["possibly_billed"]) == (0.0, 0.0), "never from the column cost"
    assert (total["planned"], total["unchanged"], total["unchanged_share"]) == (80, 60, 0.75)
    assert (total["adopted"], total["adopted_share"]) == (4, round(4 / 24, 4))
    assert found["now"] == {"render": {"delivered": 4, "failed": 1, "retired": 1}}
    by_day = {
        one["value"]: (one["delivered"], one["failed"], one["rendered"], one["planned"]) for one in found["groups"]
    }
    assert by_day == {"2026-10-01": (3, 0, 2, 40), "2026-10-02": (2, 1, 3, 40), "2026-10-03": (0, 1, 0, 0)}


def test_by_brand_and_since(project: Project, told: Told) -> None:
    found = told(project.path, "--by", "brand", "--since", "2026-10-01")
    assert [(one["value"], one["delivered"], one["rendered"]) for one in found["groups"]] == [
        ("acme", 4, 4),
        ("nord", 1, 1),
    ]
    assert {one["planned"] for one in found["groups"]} == {None}, "a run is of no brand"
    assert [one["value"] for one in told(project.path, "--by", "shot")["groups"]] == ["hero", "scene"]
    [total] = told(project.path, "--since", "2026-10-02")["totals"]
    assert (total["delivered"], total["rendered"], total["planned"]) == (2, 3, 40)
    [total] = told(project.path, "--since", "2026-10-03")["totals"]
    assert (total["delivered"], total["failed"]) == (0, 1), "what was said again was not delivered again"


def test_time_on_a_cpu_is_no_gpu_hour(project: Project, told: Told) -> None:
    project.store.write(f"runs/{run_of(1)}/summary.json", summary(1, profile={"device": "cpu"}))
    [total] = told(project.path)["totals"]
    assert (total["engine_seconds"], total["gpu_hours"]) == (12.0, round(4 / 3600, 6))
    [total] = told(project.path, "--since", "2026-10-02")["totals"]
    assert (total["engine_seconds"], total["gpu_hours"]) == (8.0, 0.0)


def test_money_is_the_journals(project: Project, told: Told) -> None:
    names = {f"{number:064x}": number for number in (1, 2)}
    asked = {**FIRST, "model": "bfl/klein-4b"}
    journal(project, **{name: (asked, f"task.spring.{14000 * number}") for name, number in names.items()})
    journal(project, lost=(asked,), void=(asked, "end.void"), other=({**asked, "campaign": "other"}, "task.other.5"))
    [total] = told(project.path)["totals"]
    assert (total["paid"], total["possibly_billed"]) == (0.042, 0.014)
    by_brand = {one["value"]: one["paid"] for one in told(project.path, "--by", "brand")["groups"]}
    assert by_brand == {"acme": 0.014, "nord": 0.028, "": 0.0}, "told by the render that it paid for"
    [total] = told(str(project.folder))["totals"]
    assert total["paid"] == 0.042005
    spent = {one["value"]: one["paid"] for one in told(str(project.folder), "--by", "campaign")["groups"]}
    assert spent == {"spring": 0.042, "other": 0.000005}


def test_a_real_run_and_the_next(tmp_path: Path, told: Told, stats: Stats) -> None:
    project = Project.of(tmp_path / "p", 3, shots=SHOTS, channels=CHANNELS)
    assert stats(project.path) == (0, "nothing was made or paid\n", "")
    prepared = project.plan()
    reports = make(prepared)
    plan = PlanFile(prepared.store, prepared.plan_key)
    outcome = outcome_of(prepared.store, plan)
    dicts = [report.as_dict() for report in reports]
    write_summary(prepared.store, prepared.run_id, prepared.summary, outcome, dicts, 4.0)
    again = project.plan()
    make(again)
    write_summary(again.store, again.run_id, again.summary, outcome)
    found = told(project.path)
    [total] = found["totals"]
    assert (total["kind"], total["delivered"], total["planned"], total["unchanged"]) == ("proof", 12, 24, 12)
    assert total["rendered"] == sum(report.rendered for report in reports)
    assert total["images_per_second"] == round(total["rendered"] / 4.0, 4)
    assert (total["gpu_hours"], found["now"]) == (0.0, {"proof": {"delivered": 12}})
    said = stats(project.path)[1]
    assert "layout proofs\ndelivered 12 assets\n" in said
    assert "unchanged 12 of 24 planned assets (50.0%)" in said


def test_proofs_and_renders_are_apart(project: Project, told: Told) -> None:
    put(project.store, asset(7, 0, kind="proof", engine="proof", model="proof"))
    assert [(one["kind"], one["delivered"]) for one in told(project.path)["totals"]] == [("proof", 1), ("render", 5)]


def test_what_cannot_be_read_is_said_and_the_rest_shown(project: Project, tmp_path: Path, stats: Stats) -> None:
    other = Project.of(tmp_path / "shop" / "other", 1, name="other", output="out")
    put(other.store, asset(1, 0, campaign="other"))
    Path(other.store.root, "catalog", "torn").mkdir()
    Path(other.store.root, "catalog", "torn", "0.parquet").write_bytes(b"torn")
    project.store.write(f"runs/{run_of(1)}/summary.json", b'{"plan": 5}')
    project.store.write("spend/b/0000.json", b"{}")
    (tmp_path / "shop" / "broken.yaml").write_text("name: [")
    code, said, error = stats(str(tmp_path / "shop"), "--by", "campaign", "--json")
    found = json.loads(said)
    assert code == 1
    assert [(one["value"], one["delivered"]) for one in found["groups"]] == [("spring", 5), ("other", 1)]
    assert len(error.splitlines()) == len(found["problems"]) + 1 == 4
    for part in ("broken.yaml", "is no summary of a run", "what was spent there is in no number", "torn/0.parquet"):
        assert part in error
    code, said, error = stats(other.path)
    assert (code, len(error.splitlines())) == (1, 1)
    assert "delivered 1 assets" in said


@pytest.mark.parametrize(
    "damage", [b"", b"[]", b"\xff", b'{"plan": {}}', summary(0, seconds=float("nan")), b"[" * 9000]
)
def test_a_bad_summary_is_named(project: Project, stats: Stats, damage: bytes) -> None:
    project.store.write(f"runs/{run_of(0)}/summary.json", damage)
    code, said, error = stats(project.path)
    assert code == 1
    assert error.startswith(f"warning: {project.store.uri('runs')}/{run_of(0)}/summary.json: is no summary of a run")
    assert "delivered 5 assets" in said


def test_an_output_that_is_not_there_is_said(project: Project, tmp_path: Path, stats: Stats) -> None:
    Project.of(tmp_path / "shop" / "gone", 1, name="gone", output="s3://packshot-no-such/out")
    code, said, error = stats(str(tmp_path / "shop"))
    assert code == 1
    assert "s3://packshot-no-such/out" in error
    assert "delivered 5 assets" in said


NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("since", "begin"),
    [
        ("30d", date(2026, 10, 23)),
        ("0d", date(2026, 11, 22)),
        ("2026-11-22", date(2026, 11, 22)),
        (" 1d ", date(2026, 11, 21)),
    ],
)
def test_since_is_the_beginning_of_a_day(since: str, begin: date) -> None:
    assert begin_of(since, NOW) == datetime(begin.year, begin.month, begin.day, tzinfo=UTC)


@pytest.mark.parametrize(
    "since", ["", "yesterday", "30", "-1d", "2026-02-30", "2026-1-1", "999999d", "9999-01-01", "٣d"]
)
def test_a_bad_day_is_one_line(project: Project, stats: Stats, since: str) -> None:
    code, said, error = stats(project.path, "--since", since, "--page", str(project.folder / "p.html"))
    assert (code, said) == (2, "")
    assert error.startswith("error: --since: ")
    assert len(error.splitlines()) == 1
    assert not (project.folder / "p.html").exists()


def test_bad_targets_and_places_are_one_line(project: Project, tmp_path: Path, stats: Stats) -> None:
    (tmp_path / "empty").mkdir()
    for arguments in (
        ["nowhere"],
        [str(tmp_path / "empty")],
        [project.path, "--by", "week"],
        [project.path, "--page", " "],
    ):
        code, said, error = stats(*arguments)
        assert (code, said) == (2, "")
        assert len(error.splitlines()) == 1
    before = sorted(tmp_path.rglob("*"))
    assert stats(project.path, "--page", str(project.folder / "campaign.yaml" / "p.html"))[0] == 2
    assert sorted(tmp_path.rglob("*")) == before


def test_a_long_table_is_cut_at_its_old_end(tmp_path: Path, told: Told, stats: Stats) -> None:
    project = Project.of(tmp_path, 1, model="klein-4b")
    put(project.store, *(asset(number, number) for number in range(60)))
    said = stats(project.path)[1]
    assert "... and 20 more; --json says all" in said
    assert "2026-11-29" in said
    assert "2026-10-01 " not in said
    assert len(told(project.path)["groups"]) == 60


def test_it_writes_nothing(project: Project, stats: Stats) -> None:
    before = sorted(project.folder.rglob("*"))
    assert stats(project.path)[0] == 0
    assert sorted(project.folder.rglob("*")) == before
