"""A commit that cannot be read stops what would write on its ground, nothing else, and can be moved out of the way."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalogs.assets import quarantine as shelf
from catalogs.assets.commits import UnreadCommit, commit_keys, read_commit, unread_commits
from catalogs.campaigns.campaign import load_campaign
from catalogs.errors import StorageError
from catalogs.journal.records import PaidTask
from catalogs.journal.spend import Journal
from catalogs.plans.file import PlanFile
from catalogs.storage.store import Store
from tasks.before_render import prepare_render, withdraw_ended_of
from tasks.outcome import newest_outcome
from tasks.unread import quarantine
from tests.flows.commands import Packshot
from tests.flows.projects import Project, make, rendered

BAD = "catalog/20200101T000000.000000Z-abcdef/bad.parquet"
ADVICE = "; move it aside with `packshot verify {path} --quarantine`"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project.of(tmp_path, products=2)
    project.render()
    return project


def parquet(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def changed(data: bytes, name: str, values: Any) -> bytes:
    """A commit with another column in the place of one."""
    table = pq.read_table(pa.BufferReader(data), use_threads=False)
    column = values(table.num_rows)
    return parquet(table.set_column(table.schema.get_field_index(name), name, column))


def newer(data: bytes) -> bytes:
    table = pq.read_table(pa.BufferReader(data), use_threads=False)
    return parquet(table.replace_schema_metadata({b"packshot.format": b"3"}))


DAMAGES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda data: b"", "is not a readable commit: "),
    "cut": (lambda data: data[: len(data) // 2], "is not a readable commit: "),
    "garbage": (lambda data: os.urandom(4000), "is not a readable commit: "),
    "a torn footer": (lambda data: data[:-8] + b"\xff\xff\x00\x00PAR1", "is not a readable commit: "),
    "foreign": (lambda data: parquet(pa.table({"a": [1, 2]})), "is not a readable commit: it has no column 'campaign'"),
    "numbers for names": (
        lambda data: changed(data, "campaign", lambda n: pa.array([1] * n)),
        "is not a readable commit: column 'campaign' is of type int64, not string",
    ),
    "no look": (
        lambda data: changed(data, "look", lambda n: pa.nulls(n, pa.string())),
        "is not a readable commit: a row has no look",
    ),
    "an unknown status": (
        lambda data: changed(data, "status", lambda n: pa.array(["lost"] * n)),
        "is not a readable commit: a row has an unknown status",
    ),
    "a fingerprint in words": (
        lambda data: changed(data, "fingerprint", lambda n: pa.array(["xy"] * n)),
        "is not a readable commit: a row has a fingerprint that is not hexadecimal",
    ),
    "newer": (newer, "was written by a newer packshot (commit format 3, this one reads up to 1); upgrade packshot"),
}


def damage(project: Project, kind: str) -> str:
    """Put a bad commit beside the good ones; what is said of it."""
    break_it, problem = DAMAGES[kind]
    project.store.write(BAD, break_it(project.store.read(commit_keys(project.store)[0])))
    advice = "" if kind == "newer" else ADVICE.format(path=project.path)
    return problem if kind == "newer" else problem + "|" + advice


def assert_named(text: str, project: Project, said: str) -> None:
    """One line names the commit, what is wrong and the way out."""
    line = next(line for line in text.splitlines() if BAD in line)
    start, _, advice = said.partition("|")
    assert f"{project.store.uri(BAD)}: {start}" in line
    assert line.endswith(advice)


@pytest.mark.parametrize("kind", DAMAGES)
def test_what_only_tells_goes_on_and_says_so(packshot: Packshot, project: Project, kind: str) -> None:
    packshot("plan", project.path)
    said = damage(project, kind)
    for command in ("plan", "check", "status", "report"):
        found = packshot(command, project.path, "--json")
        assert found.code == (1 if command == "status" else 0), (command, found)
        assert found.err.startswith("warning: a commit cannot be read, and its rows count for nothing here: ")
        assert found.err.count("\n") == 1
        assert_named(found.err, project, said)
        unread = found.answer["unread"]
        assert [entry["commit"] for entry in unread] == [project.store.uri(BAD)]
        if command == "report":
            assert "Commits that could not be read" in Path(found.answer["gallery"]).read_text()
    found = packshot("status", project.path, "--json")
    assert (found.answer["delivered"], found.answer["planned"]) == (8, 8)  # the good commits count
    assert found.answer["complete"] is False
    assert packshot("plan", project.path, "--json").answer["actions"] == {"unchanged": 8}


@pytest.mark.parametrize("kind", DAMAGES)
def test_what_would_write_on_its_ground_refuses(packshot: Packshot, project: Project, kind: str) -> None:
    plan = str(project.folder / "approved.parquet")
    assert packshot("plan", project.path, "-o", plan).code == 0
    said = damage(project, kind)
    before = project.store.list()
    for arguments in (
        ("render", project.path),
        ("render", project.path, "--retire"),
        ("render", project.path, "--plan", plan),
        ("verify", project.path),
        ("sweep", project.path, "--delete"),
    ):
        found = packshot(*arguments)
        assert (found.code, found.out) == (2, ""), arguments
        assert found.err.startswith("error: ")
        assert found.err.count("\n") == 1
        assert_named(found.err, project, said)
    with pytest.raises(UnreadCommit, match=r"bad\.parquet"):
        withdraw_ended_of(load_campaign(project.path))
    assert project.store.list() == before


@pytest.mark.parametrize("kind", [kind for kind in DAMAGES if kind != "newer"])
def test_it_is_moved_aside_and_the_rest_goes_on(packshot: Packshot, project: Project, kind: str) -> None:
    damage(project, kind)
    data = project.store.read(BAD)
    found = packshot("verify", project.path, "--quarantine", "--json")
    assert (found.code, found.err) == (0, "")
    place = BAD.replace("catalog/", "quarantine/")
    assert [(entry["commit"], entry["moved_to"]) for entry in found.answer["moved"]] == [
        (project.store.uri(BAD), project.store.uri(place))
    ]
    assert project.store.read(place) == data
    assert not project.store.exists(BAD)
    again = packshot("verify", project.path, "--quarantine")
    assert (again.code, again.out) == (0, "every commit can be read\n")
    packshot("plan", project.path)
    assert packshot("verify", project.path).code == 0
    assert newest_outcome(project.path)["complete"]
    assert packshot("render", project.path).code == 0


def test_a_newer_commit_is_left_alone_and_the_others_are_moved(packshot: Packshot, project: Project) -> None:
    damage(project, "newer")
    other = BAD.replace("bad", "cut")
    project.store.write(other, b"PAR1")
    found = packshot("verify", project.path, "--quarantine")
    assert found.code == 2
    assert found.err == (
        f"error: {project.store.uri(BAD)}: was written by a newer packshot (commit format 3, this one reads up to 1); "
        "upgrade packshot\n"
    )
    assert project.store.exists(BAD)
    assert not project.store.exists(other)
    assert "1 commits that cannot be read were moved aside" in found.out


def test_quarantine_looks_at_no_file(packshot: Packshot, project: Project) -> None:
    found = packshot("verify", project.path, "--quarantine", "--yes")
    assert (found.code, found.err) == (2, "error: --quarantine looks at no file: give it alone\n")


def bytes_of(store: Store) -> dict[str, bytes]:
    return {key: store.read(key) for folder in ("assets", "renders") for key in store.list(folder)}


def test_nothing_is_lost(packshot: Packshot, project: Project) -> None:
    """Every commit is cut; what they named is adopted, byte for byte, and nothing is rendered."""
    before, keys = bytes_of(project.store), commit_keys(project.store)
    for key in keys:
        project.store.write(key, project.store.read(key)[:-20])
    found = packshot("verify", project.path, "--quarantine", "--json")
    assert len(found.answer["moved"]) == len(keys)
    assert all("its run planned 10 rows of spring" in entry["held"] for entry in found.answer["moved"])
    reports = project.render()
    assert rendered(reports) == 0
    assert newest_outcome(project.path)["complete"]
    assert bytes_of(project.store) == before


def test_what_a_commit_held_is_said_as_far_as_it_is_known(packshot: Packshot, project: Project) -> None:
    project.store.write(BAD, b"PAR1")
    damaged = commit_keys(project.store)[-1]
    rows = read_commit(project.store, damaged).num_rows
    project.store.write(damaged, DAMAGES["an unknown status"][0](project.store.read(damaged)))
    moved = packshot("verify", project.path, "--quarantine", "--json").answer["moved"]
    held = {entry["commit"]: entry["held"] for entry in moved}
    assert held[project.store.uri(BAD)] == "unknown"
    assert held[project.store.uri(damaged)] == f"{rows} rows of spring; its run planned 10 rows of spring"


@pytest.mark.parametrize("stop", ["write", "delete"])
def test_a_kill_in_between_is_mended_by_a_second_call(
    packshot: Packshot, project: Project, monkeypatch: pytest.MonkeyPatch, stop: str
) -> None:
    damage(project, "cut")
    data = project.store.read(BAD)
    done = getattr(Store, stop)

    def killed(store: Store, key: Any, *arguments: Any) -> None:
        if stop == "delete" or str(key).endswith(".parquet"):
            raise KeyboardInterrupt
        done(store, key, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(Store, stop, killed)
        assert packshot("verify", project.path, "--quarantine").code == 130
    assert project.store.read(BAD) == data
    assert packshot("verify", project.path, "--quarantine").code == 0
    assert not unread_commits(project.store)
    assert project.store.read(BAD.replace("catalog/", "quarantine/")) == data


def test_a_second_bad_commit_of_one_name_lies_beside_the_first(packshot: Packshot, project: Project) -> None:
    for data in (b"one", b"two", b"two"):
        project.store.write(BAD, data)
        assert packshot("verify", project.path, "--quarantine").code == 0
    kept = [key for key in project.store.list("quarantine") if key.endswith(".parquet")]
    assert sorted(project.store.read(key) for key in kept) == [b"one", b"two"]


def age(project: Project, hours: float) -> None:
    moment = time.time() - hours * 3600
    for key in project.store.list():
        os.utime(project.store.path(key), (moment, moment))


def test_a_sweep_keeps_what_a_moved_commit_may_have_named(packshot: Packshot, project: Project) -> None:
    age(project, 100)
    keys = commit_keys(project.store)
    project.store.write(keys[-1], b"PAR1")
    project.store.write("assets/stray.jpg", b"x")
    assert packshot("verify", project.path, "--quarantine").code == 0
    age(project, 100)
    found = packshot("sweep", project.path, "--delete", "--json")
    assert (found.code, found.answer["deleted"]) == (0, 0)
    assert found.answer["held"] > 4  # assets, masters, their records, and the stray
    assert project.store.exists("assets/stray.jpg")
    said = packshot("sweep", project.path).out
    assert f"{found.answer['held']} more may be named by a commit in quarantine; --forget-quarantined gives" in said
    project.render()  # what it named is named again, and only the stray is left over
    found = packshot("sweep", project.path, "--forget-quarantined", "--delete", "--json")
    assert (found.answer["held"], found.answer["deleted"]) == (0, 1)
    assert not project.store.exists("assets/stray.jpg")
    assert newest_outcome(project.path)["complete"]
    assert packshot("verify", project.path).code == 0


def test_a_sweep_after_quarantine_takes_what_came_later(packshot: Packshot, project: Project) -> None:
    project.store.write(BAD, b"PAR1")
    packshot("verify", project.path, "--quarantine")
    age(project, 200)
    project.store.write("assets/later.jpg", b"x")
    moment = time.time() - 100 * 3600
    os.utime(project.store.path("assets/later.jpg"), (moment, moment))
    assert packshot("sweep", project.path, "--json").answer["leftovers"] == ["assets/later.jpg"]


def test_where_a_moved_commit_still_tells_what_it_named_only_that_is_kept(packshot: Packshot, project: Project) -> None:
    key = commit_keys(project.store)[-1]
    project.store.write(key, DAMAGES["an unknown status"][0](project.store.read(key)))
    project.store.write("assets/stray.jpg", b"x")
    packshot("verify", project.path, "--quarantine")
    age(project, 100)
    found = packshot("sweep", project.path, "--delete", "--json")
    assert (found.answer["deleted"], found.answer["leftovers"]) == (1, ["assets/stray.jpg"])
    assert found.answer["held"] > 4


def test_a_plan_beside_a_bad_commit_retires_and_withdraws_nothing(packshot: Packshot, project: Project) -> None:
    project.products[0]["reference_images"][0]["licence_end"] = date(2020, 1, 1)
    del project.products[1]
    project.products.append({**project.products[0], "product_id": "p9", "reference_images": [{"uri": "photo.png"}]})
    project.write()
    plan = str(project.folder / "approved.parquet")
    good = packshot("plan", project.path, "--json").answer
    assert set(good["actions"]) >= {"withdraw"}
    damage(project, "cut")
    bad = packshot("plan", project.path, "-o", plan, "--json").answer
    assert not {"withdraw", "retired"} & set(bad["actions"])
    header = PlanFile(Store.at(str(project.folder)), "approved.parquet")
    assert [entry["commit"] for entry in header.numbers["unread"]] == [project.store.uri(BAD)]
    assert packshot("render", project.path, "--plan", plan).code == 2
    packshot("verify", project.path, "--quarantine")
    taken = prepare_render(project.path, {}, lambda line: None, plan_file=plan)
    assert taken.summary["actions"]["withdraw"] == good["actions"]["withdraw"]  # judged on the day
    assert taken.summary["unread"] == []


def test_a_start_planned_by_others_is_refused_too(project: Project) -> None:
    prepared = project.plan()
    damage(project, "cut")
    with pytest.raises(UnreadCommit, match="--quarantine"):
        prepare_render(project.path, {}, lambda line: None, run_id=prepared.run_id)
    project.products[0]["title"] = "Another"
    project.write()
    prepared = project.plan()
    with pytest.raises(UnreadCommit):
        make(prepared)


def test_a_paid_picture_is_not_paid_again(project: Project) -> None:
    """The journal and the master under its key outlive the commit that named them."""
    from catalogs.journal.sums import read_spent, tasked_renders

    row = next(iter(project.view().values()))
    journal = Journal(project.store, "spring", "r")
    journal.begin(row["render_fingerprint"], 0, "bfl/pro", 1, 0.03)
    journal.submitted(row["render_fingerprint"], 0, PaidTask("id", "https://api.bfl.ai/poll", 30_000))
    for key in commit_keys(project.store):
        project.store.write(key, b"")
    quarantine(load_campaign(project.path), project.store)
    assert row["render_fingerprint"] in tasked_renders(project.store)
    assert read_spent(project.store, "spring").tasked == {row["render_fingerprint"]}
    reports = project.render()
    assert (rendered(reports), sum(report.adopted for report in reports)) == (0, 4)


def test_a_store_that_does_not_answer_is_no_bad_commit(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(store: Store, key: str) -> bytes:
        raise StorageError(f"{key}: cannot read: timed out")

    with monkeypatch.context() as patched:
        patched.setattr(Store, "read", silent)
        with pytest.raises(StorageError, match="timed out"):
            quarantine(load_campaign(project.path), project.store)
    assert not project.store.list(shelf.QUARANTINE)


def test_the_moment_of_a_hold_is_that_of_the_store(project: Project) -> None:
    project.store.write(BAD, b"")
    quarantine(load_campaign(project.path), project.store)
    hold = shelf.held_by_quarantine(project.store)
    assert hold.before is not None
    assert abs(hold.before - datetime.now(UTC)) < timedelta(minutes=1)
