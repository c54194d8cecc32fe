from __future__ import annotations

import io
import itertools
import random
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalogs.assets.commits import Step, UnreadCommit, commit, commit_keys, identity_of, named_keys, read_commit
from catalogs.assets.delivered import Delivered
from catalogs.assets.history import History, read_current
from catalogs.columns import ASSETS, Row
from catalogs.identity import Identity
from catalogs.storage.store import Store

START = datetime(2026, 1, 1, tzinfo=UTC)
ONE, TWO = "11" * 32, "22" * 32
IDENTITY = Identity("spring", "render", "acme", "mug", "hero", "shop", 0)


def row(fingerprint: str = ONE, status: str = "delivered", minute: int = 0, **other: Any) -> dict[str, Any]:
    failed = status == "failed"
    return {
        **dict.fromkeys(ASSETS.names),
        "campaign": IDENTITY.campaign,
        "kind": IDENTITY.kind,
        "brand_id": IDENTITY.brand_id,
        "look": IDENTITY.look,
        "shot": IDENTITY.shot,
        "channel": IDENTITY.channel,
        "variation": IDENTITY.variation,
        "covers": ["mug"],
        "status": status,
        "reason": "engine_error" if failed else None,
        "attempts": 1,
        "final": failed,
        "asset_key": None if failed else f"assets/{fingerprint[:2]}.jpg",
        "render_key": None if failed else f"renders/{fingerprint[:2]}.png",
        "render_fingerprint": fingerprint,
        "fingerprint": fingerprint,
        "sha256": "ab" * 32,
        "run_id": "r1",
        "attempt_id": "a",
        "created_at": START + timedelta(minutes=minute),
        **other,
    }


RUN = f"{START:%Y%m%dT%H%M%S.%fZ}-abcdef"


def asset(fingerprint: str = ONE, **other: Any) -> Row:
    made: Any = row(fingerprint, **other)
    return cast(Row, made)


def put(store: Store, *rows: dict[str, Any]) -> None:
    """A commit with these very rows, as another version or another machine may have written it."""
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows), schema=ASSETS), buffer)
    assert store.create(f"catalog/{rows[0]['run_id']}/{secrets.token_hex(8)}.parquet", buffer.getvalue())


def started(run: str, minute: int, **other: Any) -> dict[str, Any]:
    """The columns that a start of today gives its rows."""
    return {"run_id": run, "ordered_at": START + timedelta(minutes=minute), "step": Step.RENDER.value, **other}


@pytest.fixture
def output(tmp_path: Path) -> Store:
    return Store.at(str(tmp_path))


def current(store: Store) -> list[tuple[str, str]]:
    return [(r["fingerprint"], r["status"]) for r in read_current(store).to_pylist()]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([row()], (ONE, "delivered")),
        ([row(minute=0), row(TWO, minute=1)], (TWO, "delivered")),
        ([row(minute=0), row(TWO, minute=1), row(minute=2)], (ONE, "delivered")),
        ([row(minute=0), row(status="failed", minute=1)], (ONE, "delivered")),
        ([row(status="failed", minute=0), row(minute=1)], (ONE, "delivered")),
        ([row(minute=0), row(TWO, "failed", minute=1)], (TWO, "failed")),
        ([row(minute=0), row(status="retired", minute=1)], (ONE, "retired")),
        ([row(minute=0), row(status="retired", minute=1), row(minute=2)], (ONE, "delivered")),
        ([row(status="retired", minute=1), row(status="failed", minute=2)], (ONE, "retired")),
        ([row(), row(status="withdrawn", minute=1)], (ONE, "withdrawn")),
        ([row(), row(status="withdrawn", minute=1), row(minute=2)], (ONE, "delivered")),
        ([row(), row(status="missing", minute=1)], (ONE, "missing")),
        ([row(), row(status="pruned", minute=1)], (ONE, "pruned")),
        ([row(), row(status="missing", minute=1), row(minute=2)], (ONE, "delivered")),
        ([row(), row(status="missing", minute=1), row(status="failed", minute=2)], (ONE, "failed")),
        ([row(), row(status="failed", minute=1), row(status="missing", minute=2)], (ONE, "missing")),
        ([row(), row(TWO, minute=1), row(status="missing", minute=2)], (TWO, "delivered")),
        ([row(), row(TWO, minute=1), row(TWO, "missing", minute=2)], (TWO, "missing")),
        ([row(), row(status="missing", minute=1), row(status="retired", minute=2)], (ONE, "retired")),
        # A start counts by its beginning: what it commits late does not stand above what was asked for later.
        ([row(minute=9, **started("a", 1)), row(TWO, minute=3, **started("b", 2))], (TWO, "delivered")),
        # Rows of before stand where they were committed.
        ([row(TWO, minute=1), row(minute=0, **started("b", 2))], (ONE, "delivered")),
        # Inside a start its steps count, whatever the clock did meanwhile.
        (
            [row(minute=9, **started("a", 1, step=2)), row(TWO, minute=3, **started("a", 1, step=3))],
            (TWO, "delivered"),
        ),
    ],
)
def test_the_rule_gives_one_answer_whatever_the_order_of_commits(
    output: Store, rows: list[dict[str, Any]], expected: tuple[str, str]
) -> None:
    shuffled = [{**item, "run_id": f"run{number}"} for number, item in enumerate(rows)]
    random.Random(1).shuffle(shuffled)
    for item in shuffled:
        put(output, item)
    assert current(output) == [expected]
    history = History.read(output, "spring")
    found = history.current(IDENTITY.digest())
    assert found is not None
    assert (found[0].hex(), found[1].status) == expected


def test_the_rule_is_the_same_for_every_permutation_of_equal_times(output: Store) -> None:
    rows = [row(ONE, run_id="a"), row(TWO, run_id="b"), row(TWO, "failed", run_id="c")]
    answers = set()
    for number, order in enumerate(itertools.permutations(rows)):
        store = Store.at(output.uri(f"p{number}"))
        for item in order:
            put(store, item)
        answers.add(tuple(current(store)))
    assert answers == {((TWO, "delivered"),)}


def test_a_commit_repeated_is_one_commit(output: Store) -> None:
    assert commit(output, RUN, Step.RENDER, [asset()]) == commit(output, RUN, Step.RENDER, [asset()])
    assert len(commit_keys(output)) == 1


def test_two_outcomes_are_two_commits_whatever_they_differ_in(output: Store) -> None:
    others = [asset(sha256="cd" * 32), asset(covers=["mug", "cup"]), asset(status="failed"), asset(versions={"a": "1"})]
    keys = {commit(output, RUN, Step.RENDER, [item]) for item in [asset(), *others]}
    keys.add(commit(output, RUN, Step.RESTATE, [asset()]))
    assert len(keys) == 6


def test_a_commit_says_which_start_and_step_it_is_of(output: Store) -> None:
    commit(output, RUN, Step.RESTATE, [asset()])
    found = read_current(output).to_pylist()[0]
    assert (found["run_id"], found["ordered_at"], found["step"]) == (RUN, START, 2)
    assert abs(found["created_at"] - datetime.now(UTC)) < timedelta(minutes=1)


def test_an_empty_output_has_an_empty_view(output: Store) -> None:
    assert read_current(output).num_rows == 0
    assert len(History.read(output, "spring")) == 0


def test_a_damaged_commit_is_said_and_not_skipped(output: Store) -> None:
    put(output, row())
    output.write("catalog/r/torn.parquet", b"PAR1 torn")
    with pytest.raises(UnreadCommit, match=r"torn\.parquet: is not a readable commit"):
        History.read(output)


def test_history_is_of_one_campaign(output: Store) -> None:
    put(output, row(), row(campaign="autumn", minute=7))
    assert len(History.read(output, "autumn")) == 1
    assert len(History.read(output)) == 2
    assert read_current(output, "autumn").num_rows == 1
    assert History.read(output, "spring").latest == START + timedelta(minutes=7)


def test_named_are_the_files_of_old_rows_too(output: Store) -> None:
    put(output, row(ONE))
    put(output, row(TWO, minute=1))
    assert {key for key in named_keys(output) if key.startswith("assets/")} == {"assets/11.jpg", "assets/22.jpg"}


def test_the_delivered_index_reads_only_what_is_new(output: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def counted(store: Store, key: str, columns: Any) -> pa.Table:
        read.append(key)
        return read_commit(store, key, columns)

    monkeypatch.setattr("catalogs.assets.delivered.read_commit", counted)
    put(output, row(ONE, run_id="a"))
    index = Delivered(output, "spring")
    index.refresh()
    assert index.has(IDENTITY.digest(), ONE)
    assert not index.has(IDENTITY.digest(), TWO)
    put(output, row(TWO, "failed", minute=1, run_id="b"))
    index.refresh()
    assert not index.has(IDENTITY.digest(), TWO)
    put(output, row(TWO, minute=2, run_id="c"))
    index.refresh()
    assert len(read) == len(set(read)) == 3
    assert index.has(IDENTITY.digest(), TWO)
    assert not index.has(IDENTITY.digest(), ONE)
    known = index.known(IDENTITY.digest(), bytes.fromhex(ONE))
    assert known is not None
    assert known.has_bytes
    assert index.master(TWO) == "renders/22.png"


def test_the_index_forgets_an_output_that_was_taken_away(output: Store) -> None:
    put(output, row(ONE))
    index = Delivered(output, "spring")
    index.refresh()
    assert index.has(IDENTITY.digest(), ONE)
    output.delete(commit_keys(output))
    put(output, row(TWO))
    index.refresh()
    assert not index.has(IDENTITY.digest(), ONE)
    assert index.has(IDENTITY.digest(), TWO)


def test_a_file_found_again_has_its_bytes_again(output: Store) -> None:
    put(output, row())
    put(output, row(status="missing", minute=1))
    known = History.read(output).known(IDENTITY.digest(), bytes.fromhex(ONE))
    assert known is not None
    assert (known.status, known.has_bytes) == ("missing", False)
    put(output, row(status="retired", minute=2))
    put(output, row(minute=3))
    found = History.read(output).current(IDENTITY.digest())
    assert found is not None
    assert (found[1].status, found[1].has_bytes) == ("delivered", True)


def test_masters_are_no_assets_in_the_current_view(output: Store) -> None:
    put(output, row(), row(channel="master-64x64"), row(channel="odd", master=True))
    assert read_current(output)["channel"].to_pylist() == ["shop"]
    assert read_current(output, masters=True).num_rows == 3


def test_identity_survives_a_row() -> None:
    assert identity_of(row()) == IDENTITY


def test_the_current_view_keeps_whole_rows(output: Store) -> None:
    put(output, row(ONE, prompt="p", versions=[("torch", "1")], quality=[("blur", 0.5)]))
    kept = read_current(output).to_pylist()[0]
    assert kept["prompt"] == "p"
    assert dict(kept["versions"]) == {"torch": "1"}


def test_a_file_that_is_no_commit_is_told_whatever_is_read_of_it(output: Store) -> None:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"campaign": ["spring"]}), buffer)
    output.write("catalog/r1/foreign.parquet", buffer.getvalue())
    with pytest.raises(UnreadCommit, match=r"foreign\.parquet: is not a readable commit"):
        read_commit(output, "catalog/r1/foreign.parquet", ["campaign", "status"])
