from __future__ import annotations

import io
import itertools
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalogs.assets.commits import Clock, commit, commit_keys, identity_of, named_content, read_commit
from catalogs.assets.delivered import Delivered
from catalogs.assets.history import History, current_rows, read_current, read_history
from catalogs.columns import ASSETS
from catalogs.errors import StorageError
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
    ],
)
def test_the_rule_gives_one_answer_whatever_the_order_of_commits(
    output: Store, rows: list[dict[str, Any]], expected: tuple[str, str]
) -> None:
    shuffled = list(enumerate(rows))
    random.Random(1).shuffle(shuffled)
    for number, item in shuffled:
        commit(output, f"run{number}", [item])
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
            commit(store, str(item["run_id"]), [item])
        answers.add(tuple(current(store)))
    assert answers == {((TWO, "delivered"),)}


def test_a_commit_repeated_is_one_commit(output: Store) -> None:
    assert commit(output, "r", [row()]) == commit(output, "r", [row(sha256="cd" * 32)])
    assert len(commit_keys(output)) == 1
    assert read_current(output)["sha256"].to_pylist() == ["ab" * 32]


def test_another_outcome_is_another_commit(output: Store) -> None:
    keys = {commit(output, "r", [row(status="failed")]), commit(output, "r", [row()])}
    assert len(keys) == 2


def test_an_empty_output_has_an_empty_view(output: Store) -> None:
    assert read_current(output).num_rows == 0
    assert len(History.read(output, "spring")) == 0


def test_a_damaged_commit_is_said_and_not_skipped(output: Store) -> None:
    commit(output, "r", [row()])
    output.write("catalog/r/torn.parquet", b"PAR1 torn")
    with pytest.raises(StorageError, match=r"torn\.parquet is not a readable commit"):
        read_history(output)


def test_history_is_of_one_campaign(output: Store) -> None:
    commit(output, "r", [row(), row(campaign="autumn")])
    assert read_history(output, "autumn").num_rows == 1
    assert read_history(output).num_rows == 2


def test_the_clock_never_runs_behind_the_history() -> None:
    ahead = datetime.now(UTC) + timedelta(days=1)
    assert Clock(ahead).now() > ahead
    assert Clock(None).now() <= datetime.now(UTC)


def test_named_content_holds_old_rows_too(output: Store) -> None:
    commit(output, "a", [row(ONE)])
    commit(output, "b", [row(TWO, minute=1)])
    assert {key for key, _, _ in named_content(output)} == {"assets/11.jpg", "assets/22.jpg"}


def test_the_delivered_index_reads_only_what_is_new(output: Store) -> None:
    commit(output, "a", [row(ONE)])
    index = Delivered(output)
    index.refresh()
    assert index.has(IDENTITY.digest(), ONE)
    assert not index.has(IDENTITY.digest(), TWO)
    commit(output, "b", [row(TWO, "failed", minute=1)])
    index.refresh()
    assert not index.has(IDENTITY.digest(), TWO)
    commit(output, "c", [row(TWO, minute=2)])
    output.delete(key for key in commit_keys(output) if "/c/" not in key)
    index.refresh()
    assert index.has(IDENTITY.digest(), ONE)
    assert index.has(IDENTITY.digest(), TWO)
    assert index.master(TWO) == "renders/22.png"


def test_identity_survives_a_row() -> None:
    assert identity_of(row()) == IDENTITY


def test_current_rows_keeps_whole_rows(output: Store) -> None:
    commit(output, "a", [row(ONE, prompt="p", versions={"torch": "1"}, quality={"blur": 0.5})])
    kept = current_rows(read_history(output)).to_pylist()[0]
    assert kept["prompt"] == "p"
    assert dict(kept["versions"]) == {"torch": "1"}


def test_a_file_that_is_no_commit_is_told_whatever_is_read_of_it(output: Store) -> None:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"campaign": ["spring"]}), buffer)
    output.write("catalog/r1/foreign.parquet", buffer.getvalue())
    with pytest.raises(StorageError, match=r"foreign\.parquet is not a readable commit"):
        read_commit(output, "catalog/r1/foreign.parquet", ["campaign", "status"])
