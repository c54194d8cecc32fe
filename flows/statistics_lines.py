"""The statistics of outputs in lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from catalogs.money import shown
from flows.cli_output import table_lines
from tasks.statistics import Statistics
from tasks.sums import Sums, sums_by, totals

LINES_SHOWN = 40
KINDS = {"proof": "layout proofs", "render": "renders"}


def lines_of(statistics: Statistics, begin: datetime | None, by: str) -> Iterator[str]:
    """The numbers for people, layout proofs and renders apart."""
    since = "" if begin is None else f" since {begin.date()}"
    whole = totals(statistics)
    if not whole:
        yield f"nothing was made or paid{since}" + ("" if statistics.is_whole else ", as far as it can be read")
    groups = sums_by(statistics, by)
    for number, one in enumerate(whole):
        if number:
            yield ""
        yield f"{KINDS.get(one.kind, one.kind)}{since}"
        yield from _totals(one)
        mine = [group for group in groups if group.kind == one.kind]
        yield ""
        # Of days the last ones, else the first.
        kept = mine[-LINES_SHOWN:] if by == "day" else mine[:LINES_SHOWN]
        yield from table_lines([row_of(by, group) for group in kept])
        if len(mine) > len(kept):
            yield f"... and {len(mine) - len(kept)} more; --json says all"
    if statistics.now and whole:
        yield ""
        for kind, counts in sorted(statistics.now.items()):
            told = ", ".join(f"{count:,} {status}" for status, count in sorted(counts.items()))
            yield f"{KINDS.get(kind, kind)} that count now: {told}"


def _totals(one: Sums) -> Iterator[str]:
    yield f"delivered {one.delivered:,} assets"
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in one.reasons.items())
    yield f"failed    {one.failed:,} tries" + (f" ({reasons}); {one.still_failed:,} assets still" if one.failed else "")
    rates = [
        f"{rate:.3g} images/s of {of}"
        for rate, of in ((one.images_per_second, "wall time"), (one.images_per_engine_second, "engine time"))
        if rate is not None
    ]
    yield ", ".join([f"rendered  {one.rendered:,} pictures in {seconds(one.engine_seconds)} s of engine time", *rates])
    if one.gpu_seconds:
        yield f"GPU       {one.gpu_hours:,.3f} hours"
    if one.paid or one.possibly_billed:
        more = f", and {shown(one.possibly_billed)} more that may have been billed" if one.possibly_billed else ""
        yield f"paid      {shown(one.paid)} USD{more}"
    if one.planned:
        adopted = f", {one.adopted:,} pictures taken over" if one.adopted else ""
        yield f"unchanged {one.unchanged:,} of {one.planned:,} planned assets ({percent(one.unchanged_share)}){adopted}"


def row_of(by: str, one: Sums) -> dict[str, Any]:
    """A line of the table, also of the page's."""
    return {
        by: one.value or "-",
        "delivered": one.delivered,
        "failed": one.failed,
        "rendered": one.rendered,
        "images/s": rate(one.images_per_second),
        "engine images/s": rate(one.images_per_engine_second),
        "GPU hours": f"{one.gpu_hours:.3f}",
        "USD": shown(one.paid),
        "unchanged": percent(one.unchanged_share),
        "adopted": percent(one.adopted_share),
    }


def seconds(value: float) -> str:
    """A time for people, in s."""
    return f"{value:,.1f}" if value >= 10 else f"{value:.3g}"


def rate(value: float | None) -> str:
    """Pictures a second for people."""
    return "-" if value is None else f"{value:.3g}"


def percent(value: float | None) -> str:
    """A share for people."""
    return "-" if value is None else f"{value:.1%}"
