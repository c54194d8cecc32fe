"""All takes of an asset's request, from rows in whatever order they are read, and from the commits of an output."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import permutations
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from catalogs.assets.attempts import TOLD, Attempts
from catalogs.assets.commits import Step, commit
from catalogs.assets.history import read_current
from catalogs.storage.store import Store
from tests.catalogs.gallery.rows import row_of

MOMENT = datetime(2026, 11, 23, tzinfo=UTC)
FIRST = "0" * 64


def take_row(take: int, place: int, status: str = "delivered", **changes: Any) -> dict[str, Any]:
    """A row of one asset's take, the `place`th in history."""
    moment = MOMENT + timedelta(seconds=place)
    told = {
        "campaign": "Autumn",
        "take": take,
        "take_of": FIRST if take else None,
        "render_fingerprint": f"{take:064x}",
        "fingerprint": f"{100 + take:064x}",
        "status": status,
        "asset_key": f"assets/{take}" if status != "failed" else None,
        "verdict": "rejected",
        "score": 0.1 * take,
        "ordered_at": moment,
        "created_at": moment,
        "run_id": f"run{place}",
        "step": 3,
        "attempt_id": "a",
        "commit": f"catalog/run{place}/x.parquet",
    }
    return row_of(0, **{**told, **changes})


def attempts(rows: list[dict[str, Any]]) -> Attempts:
    return Attempts(pa.Table.from_pylist(rows, schema=TOLD))


def test_takes_are_told_in_any_order_of_rows() -> None:
    rows = [
        take_row(0, 1),
        take_row(1, 2, "failed", detail="blank"),
        take_row(1, 3, detail="coherence 0.1 (under 0.5)"),
        take_row(2, 4, detail="too dark"),
        take_row(2, 5),
        take_row(2, 6, "pruned", detail="deleted"),
        take_row(0, 4, "missing"),
    ]
    for order in permutations(rows):
        found = attempts(list(order)).of(rows[0])
        told = [(take["take"], take["status"], take["detail"]) for take in found]
        assert told == [(0, "missing", None), (1, "delivered", "coherence 0.1 (under 0.5)"), (2, "pruned", "too dark")]
        assert [take["score"] for take in found] == pytest.approx([0.0, 0.1, 0.2])


@pytest.mark.parametrize(
    ("rows", "statuses"),
    [
        ([take_row(0, 1)], []),
        ([take_row(1, 1)], []),
        ([take_row(0, 1), take_row(1, 2, "failed"), take_row(1, 3, "failed")], ["delivered", "failed"]),
        ([take_row(0, 1), take_row(1, 2), take_row(1, 3, "failed")], ["delivered", "delivered"]),
        ([take_row(0, 1), take_row(0, 2, "missing"), take_row(0, 3), take_row(1, 4)], ["delivered", "delivered"]),
        ([take_row(0, 1), take_row(1, 2), take_row(0, 3, "missing", asset_key="other")], ["delivered", "delivered"]),
        ([take_row(0, 1), take_row(1, 2, channel="other")], []),
        ([take_row(0, 1), take_row(1, 2, take_of="9" * 64)], []),
        ([take_row(0, 1, master=True), take_row(1, 2, master=True)], []),
    ],
)
def test_what_counts_of_a_take(rows: list[dict[str, Any]], statuses: list[str]) -> None:
    assert [take["status"] for take in attempts(rows).of(rows[0])] == statuses


def test_what_was_withdrawn_has_no_takes() -> None:
    rows = [take_row(0, 1), take_row(1, 2)]
    assert attempts(rows).of({**rows[1], "status": "withdrawn"}) == []
    assert attempts(rows).of({}) == []


def test_takes_are_read_from_commits_of_the_campaign(tmp_path: Path) -> None:
    store = Store.at(str(tmp_path))

    def delivered(run: int, *rows: Any) -> None:
        commit(store, f"20261123T00000{run}.000000Z-aaaaaa", Step.RENDER, rows)

    def bare(take: int, **changes: Any) -> dict[str, Any]:
        made = take_row(take, take, quality={}, shard=0, final=True, **changes)
        return {name: value for name, value in made.items() if name != "commit"}

    alone = bare(0, look="other", render_fingerprint="5" * 64, fingerprint="6" * 64)
    foreign = [bare(take, campaign="Spring") for take in (0, 1)]
    delivered(1, bare(0), alone, *foreign)
    delivered(2, bare(1, verdict="accepted"))
    found = Attempts.read(store, "Autumn", [])
    assert len(found) == 1
    current = {row["look"]: row for row in read_current(store, "Autumn").to_pylist()}
    takes = found.of(current["look-0000"])
    assert [(take["take"], take["verdict"]) for take in takes] == [(0, "rejected"), (1, "accepted")]
    assert found.of(current["other"]) == []


def test_a_record_without_takes_holds_nothing(tmp_path: Path) -> None:
    assert len(Attempts.read(Store.at(str(tmp_path)), "Autumn", [])) == 0
