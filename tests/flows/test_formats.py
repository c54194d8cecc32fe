"""Commits, plans, the journal and leases say of which format they are: older ones are read, newer ones are refused."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalogs.assets.commits import commit_keys, decode_commit
from catalogs.errors import CampaignError, OptionError, SpendError
from catalogs.journal.lease import Lease, hold, lease_key, live_leases
from catalogs.journal.records import PaidTask, Purpose
from catalogs.journal.spend import Journal
from catalogs.journal.sums import read_spent
from catalogs.plans.file import PLAN_FORMAT, PlanFile
from catalogs.storage.store import Store
from tests.flows.commands import Packshot
from tests.flows.projects import Project, make, rendered

FINGERPRINT = "ab" * 32
INTENT = f"spend/{FINGERPRINT}/0000.json"
HELD = lease_key("spring", "proof")

NEWER = f"plan format {PLAN_FORMAT + 1}, this one reads up to {PLAN_FORMAT}"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project.of(tmp_path, products=1)
    project.render()
    return project


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.at(str(tmp_path / "output"))


def rewritten(data: bytes, metadata: dict[bytes, bytes]) -> bytes:
    table = pq.read_table(pa.BufferReader(data), use_threads=False)
    buffer = io.BytesIO()
    pq.write_table(table.replace_schema_metadata(metadata), buffer)
    return buffer.getvalue()


def told(store: Store, key: str, **changes: Any) -> None:
    """Change what a JSON file says; None takes a key out."""
    content = {**json.loads(store.read(key)), **changes}
    store.write(key, json.dumps({name: value for name, value in content.items() if value is not None}).encode())


def hosted(folder: Path) -> Project:
    shot = {"hero": {"size": "64x64", "prompt": {"scene": "a mug"}}}
    return Project.of(folder, 1, model="bfl/klein-4b", shots=shot)


def test_a_commit_says_its_format_and_its_name_does_not(project: Project) -> None:
    for key in commit_keys(project.store):
        data = project.store.read(key)
        assert pq.read_schema(pa.BufferReader(data)).metadata == {b"packshot.format": b"1"}


def test_a_commit_without_a_format_is_read(project: Project) -> None:
    data = project.store.read(commit_keys(project.store)[0])
    assert decode_commit(rewritten(data, {})).equals(decode_commit(data))


@pytest.mark.parametrize("format", [b"x", b"", b"-1", b"9" * 40])
def test_a_commit_of_no_format_is_none(packshot: Packshot, project: Project, format: bytes) -> None:
    key = commit_keys(project.store)[0]
    project.store.write(key, rewritten(project.store.read(key), {b"packshot.format": format}))
    code, _, err = packshot("render", project.path)
    assert code == 2
    assert f"{project.store.uri(key)}: is not a readable commit: its format is " in err


def plan_of(project: Project, **changes: Any) -> str:
    """A plan whose header says something else."""
    path = project.folder / "plan.parquet"
    prepared = project.plan()
    data = project.store.read(prepared.plan_key)
    header = json.loads(pq.read_schema(pa.BufferReader(data)).metadata[b"packshot"])
    path.write_bytes(rewritten(data, {b"packshot": json.dumps({**header, **changes}).encode()}))
    return str(path)


def test_a_newer_plan_is_refused_by_name_and_number(packshot: Packshot, project: Project) -> None:
    plan = plan_of(project, format=PLAN_FORMAT + 1, whatever=1)
    said = f"error: {plan}: was written by a newer packshot ({NEWER}); upgrade packshot\n"
    assert packshot("render", project.path, "--plan", plan) == (2, "", said)


@pytest.mark.parametrize("command", ["status", "report"])
def test_what_asks_for_the_newest_plan_says_that_it_is_newer(
    packshot: Packshot, project: Project, command: str
) -> None:
    key = project.plan().plan_key
    project.store.write(key, Path(plan_of(project, format=PLAN_FORMAT + 1)).read_bytes())
    project.store.delete([k for k in project.store.list("runs") if k.endswith("plan.parquet") and k > key])
    code, out, err = packshot(command, project.path)
    assert (code, out) == (2, "")
    assert err == f"error: {project.store.uri(key)}: was written by a newer packshot ({NEWER}); upgrade packshot\n"


def test_a_plan_of_the_first_format_is_rendered_and_written_in_todays(project: Project) -> None:
    project.products[0]["title"] = "Another mug"
    project.write()
    from tasks.prepare import prepare

    prepared = prepare(project.path, {}, plan_file=plan_of(project, format=1))
    assert PlanFile(prepared.store, prepared.plan_key).header.format == PLAN_FORMAT
    assert rendered(make(prepared)) == 2


def test_the_journal_says_its_format_and_one_without_is_read(store: Store) -> None:
    journal = Journal(store, "spring", "r")
    journal.begin(FINGERPRINT, 0, "bfl/pro", 1, 45_000)
    journal.submitted(FINGERPRINT, 0, PaidTask("id", "https://api.bfl.ai/poll", 30_000))
    expected = journal.last(FINGERPRINT)
    assert expected is not None
    assert expected.task is not None
    for key in store.list("spend"):
        assert json.loads(store.read(key))["format"] == 2
        told(store, key, format=None)
    before = journal.last(FINGERPRINT)
    assert before is not None
    assert (before.intent, before.task) == (expected.intent, expected.task)
    for name in ("boot", "hold", "purpose"):
        told(store, INTENT, **{name: None})
    before = journal.last(FINGERPRINT)
    assert before is not None
    assert (before.intent.cost_high, before.intent.purpose, before.task) == (45_000, Purpose(), expected.task)
    assert read_spent(store, "spring").total == 30_000


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b'{"format": 3, "more": 1}', "was written by a newer packshot (journal format 3, this one reads up to 2)"),
        (b"", "is no journal record that can be read"),
        (b"\xff\xfe", "is no journal record that can be read"),
        (b"[1]", "is no journal record that can be read"),
        (b'{"format": "x"}', "is no journal record that can be read"),
        (b'{"campaign": "spring"}', "is no journal record that can be read"),
    ],
)
def test_what_was_spent_and_cannot_be_known_stops_a_hosted_model(
    packshot: Packshot, tmp_path: Path, content: bytes, problem: str
) -> None:
    project = hosted(tmp_path)
    project.store.write(INTENT, content)
    code, out, err = packshot("plan", project.path)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {project.store.uri(INTENT)}: {problem}: what was spent cannot be known; ")
    assert err.count("\n") == 1
    with pytest.raises(SpendError):
        Journal(project.store, "spring", "r").last(FINGERPRINT)
    project.campaign["model"] = "proof"  # which costs nothing
    project.write()
    assert packshot("plan", project.path)[0] == 0


def test_a_lease_says_its_format_and_one_without_is_held(store: Store) -> None:
    with hold(store, "spring", "proof", "r1") as lease:
        assert json.loads(store.read(HELD))["format"] == 1
        told(store, HELD, format=None)
        assert Lease.read(store, HELD) == lease
        assert live_leases(store) == [lease]


@pytest.mark.parametrize("until", [None, 5, "soon", "later"])
def test_a_newer_lease_is_somebodys(packshot: Packshot, project: Project, until: Any) -> None:
    moment = (datetime.now(UTC) + timedelta(minutes=1)).isoformat() if until == "later" else until
    content = {"format": 2, "run_id": "r9", "host": "far", "token": "t", "until": moment, "more": [1]}
    project.store.write(HELD, json.dumps(content).encode())
    project.products[0]["title"] = "Another mug"
    project.write()
    code, _, err = packshot("render", project.path)
    assert code == 2
    assert "run r9 on far (process 0), whose claim was written by a newer packshot (lease format 2, " in err
    assert err.endswith("wait for it, or go on beside it with --force\n")
    with pytest.raises(OptionError), hold(project.store, "spring", "proof", "r1"):
        pass
    assert json.loads(project.store.read(HELD)) == content


def test_a_newer_lease_that_is_over_is_taken_over(store: Store) -> None:
    moment = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
    store.write(HELD, json.dumps({"format": 2, "until": moment}).encode())
    with hold(store, "spring", "proof", "r1"):
        assert [lease.run_id for lease in live_leases(store)] == ["r1"]


def test_a_header_with_a_key_too_many_is_no_plan(project: Project) -> None:
    with pytest.raises(CampaignError, match="has a header of another version"):
        PlanFile(Store.at(str(project.folder)), plan_of(project, whatever=1).rpartition("/")[2])
