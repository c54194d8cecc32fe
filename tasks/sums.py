"""Facts of outputs as sums: by day, campaign, brand, shot, model or engine, and all together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from catalogs.money import Micro, usd
from tasks.statistics import MEASURES, Statistics

BY = ("day", "campaign", "brand", "shot", "model", "engine")
OF_RUNS = ("planned", "unchanged", "adopted", "run_rendered", "run_seconds")
_NO_RUNS = ("brand", "shot")
"""What a run is not of one of: its numbers are told by nothing of these."""


@dataclass(frozen=True)
class Sums:
    """Sums of facts of one kind, proofs or renders.

    Attributes:
        value: of the column they are told by; "" for all together.
        delivered: assets.
        failed: tries at assets that came to nothing; `reasons` of them.
        still_failed: assets that a failure counts for now.
        rendered: pictures made, masters included; `engine_seconds` of them, `gpu_seconds` of those a GPU of ours made.
        paid: for tasks that a hosted model has taken; `possibly_billed` may come to that.
        planned: assets of plans that were run; `unchanged` of them need nothing.
        adopted: pictures that a run took over from one that was stopped; `run_rendered` that runs made, in
            `run_seconds` of wall time. None, as the two before, where runs are not told apart.
    """

    kind: str
    value: str
    delivered: int
    failed: int
    still_failed: int
    rendered: int
    paid: Micro
    possibly_billed: Micro
    engine_seconds: float
    gpu_seconds: float
    planned: int | None
    unchanged: int | None
    adopted: int | None
    run_rendered: int | None
    run_seconds: float | None
    reasons: Mapping[str, int] = field(default_factory=dict)

    @property
    def images_per_second(self) -> float | None:
        """Of the wall time of runs."""
        return ratio(self.run_rendered, self.run_seconds)

    @property
    def images_per_engine_second(self) -> float | None:
        return ratio(self.rendered, self.engine_seconds)

    @property
    def gpu_hours(self) -> float:
        return self.gpu_seconds / 3600

    @property
    def unchanged_share(self) -> float | None:
        """Of the assets of plans."""
        return ratio(self.unchanged, self.planned)

    @property
    def adopted_share(self) -> float | None:
        """Of the pictures that runs made or took over."""
        return None if self.adopted is None else ratio(self.adopted, self.adopted + (self.run_rendered or 0))

    def as_dict(self) -> dict[str, Any]:
        """For machines; money in USD."""
        return {
            "kind": self.kind,
            "value": self.value,
            "delivered": self.delivered,
            "failed": self.failed,
            "reasons": dict(self.reasons),
            "still_failed": self.still_failed,
            "rendered": self.rendered,
            "engine_seconds": round(self.engine_seconds, 3),
            "gpu_hours": round(self.gpu_hours, 6),
            "images_per_second": _rounded(self.images_per_second),
            "images_per_engine_second": _rounded(self.images_per_engine_second),
            "paid": usd(self.paid),
            "possibly_billed": usd(self.possibly_billed),
            "planned": self.planned,
            "unchanged": self.unchanged,
            "unchanged_share": _rounded(self.unchanged_share),
            "adopted": self.adopted,
            "adopted_share": _rounded(self.adopted_share),
        }


def ratio(part: float | None, whole: float | None) -> float | None:
    """A share or a rate, None where it has no meaning."""
    return part / whole if part is not None and whole else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def sums_by(statistics: Statistics, column: str) -> list[Sums]:
    """Sums by a column, of each kind: days in order, else the most delivered first."""
    found = _sums(statistics.facts, [column] if column else [], has_runs=column not in _NO_RUNS)
    if column and column != "day":
        found.sort(key=lambda one: (one.kind, -one.delivered, -one.rendered, one.value))
    return found


def totals(statistics: Statistics) -> list[Sums]:
    """Everything of each kind."""
    return sums_by(statistics, "")


def _sums(facts: pa.Table, columns: list[str], has_runs: bool) -> list[Sums]:
    if not has_runs:  # rows that only runs have told
        facts = facts.filter(pc.is_null(facts["planned"]))
    keys = ["kind", *columns]
    measured = [(name, "sum") for name in MEASURES]
    rows = facts.group_by(keys, use_threads=False).aggregate(measured).to_pylist()
    reasons = _reasons(facts, keys)
    made = [_made(row, columns, has_runs, reasons.get(tuple(row[key] for key in keys), {})) for row in rows]
    return sorted(made, key=lambda one: (one.kind, one.value))


def _reasons(facts: pa.Table, keys: list[str]) -> dict[tuple[Any, ...], dict[str, int]]:
    failed = facts.filter(pc.greater(facts["failed"], 0))
    found: dict[tuple[Any, ...], dict[str, int]] = {}
    rows = failed.group_by([*keys, "reason"], use_threads=False).aggregate([("failed", "sum")]).to_pylist()
    for row in sorted(rows, key=lambda row: -row["failed_sum"]):
        found.setdefault(tuple(row[key] for key in keys), {})[row["reason"] or "unknown"] = row["failed_sum"]
    return found


def _made(row: dict[str, Any], columns: list[str], has_runs: bool, reasons: dict[str, int]) -> Sums:
    numbers = {name: row[f"{name}_sum"] or 0 for name in MEASURES}
    if not has_runs:
        numbers |= dict.fromkeys(OF_RUNS)
    value = row[columns[0]] if columns else ""
    told = value.isoformat() if isinstance(value, date) else str(value or "")
    return Sums(kind=row["kind"], value=told, reasons=reasons, **numbers)
