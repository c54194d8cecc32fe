"""Where a row of the asset catalog stands in history."""

from __future__ import annotations

from datetime import datetime

from catalogs.columns import Row

Order = tuple[datetime, str, int, datetime, str, str]
"""Where a row stands in history; the last item is its commit's key."""

ORDER_COLUMNS = ("ordered_at", "run_id", "step", "created_at", "attempt_id")
"""What a row's place in history is told by, beside its commit."""


def order_of(row: Row) -> Order:
    """Where a row with its `commit` stands in history."""
    return (
        row["ordered_at"] or row["created_at"],
        row["run_id"],
        row["step"] or 0,
        row["created_at"],
        row["attempt_id"] or "",
        row["commit"],  # type: ignore[typeddict-item]  # which `read_commit` adds
    )
