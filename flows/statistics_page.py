"""The statistics of outputs as the page of `packshot stats`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

from catalogs.gallery.plots import Series
from catalogs.gallery.statistics import Page, Plot, Section, statistics_page
from catalogs.money import shown, usd
from flows.statistics_lines import KINDS, percent, rate, row_of, seconds
from tasks.statistics import Statistics
from tasks.sums import Sums, sums_by, totals

ROWS_SHOWN = 500


def page_of(statistics: Statistics, target: str, begin: datetime | None, by: str) -> str:
    """The page as HTML."""
    days = sums_by(statistics, "day")
    groups = sums_by(statistics, by)
    seen = [date.fromisoformat(one.value) for one in days]
    told = {place.campaign for place in statistics.places}
    campaign = next(iter(told)) if len(told) == 1 else None
    about = [
        ["Since", begin.date().isoformat() if begin else "the beginning"],
        ["Outputs", ", ".join(place.output for place in statistics.places) or "none"],
        ["Written", datetime.now(UTC).isoformat(sep=" ", timespec="minutes").replace("+00:00", " UTC")],
    ]
    page = Page(
        title=campaign or Path(target).absolute().name or target,
        about=about,
        sections=[_section(one, days, groups, statistics, by) for one in totals(statistics)],
        first=min(seen, default=None),
        last=max(seen, default=None),
        problems=[*statistics.problems, *(f"{one['commit']}: {one['problem']}" for one in statistics.unread)],
    )
    return statistics_page(page)


def _section(one: Sums, days: Sequence[Sums], groups: Sequence[Sums], statistics: Statistics, by: str) -> Section:
    mine = [group for group in groups if group.kind == one.kind]
    kept = mine[-ROWS_SHOWN:] if by == "day" else mine[:ROWS_SHOWN]
    rows = [row_of(by, group) for group in (reversed(kept) if by == "day" else kept)]
    title = KINDS.get(one.kind, one.kind)
    return Section(
        title=title[0].upper() + title[1:],
        tiles=list(_tiles(one, statistics)),
        plots=list(_plots([day for day in days if day.kind == one.kind])),
        caption=f"By {by}",
        table=[list(rows[0]) if rows else [by], *([str(cell) for cell in row.values()] for row in rows)],
        more=f"and {len(mine) - len(kept)} more; --json says all" if len(mine) > len(kept) else "",
    )


def _tiles(one: Sums, statistics: Statistics) -> Iterator[list[str]]:
    now = statistics.now.get(one.kind, {})
    yield [f"{one.delivered:,}", "assets delivered", f"{now.get('delivered', 0):,} count now"]
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in one.reasons.items())
    yield [f"{one.failed:,}", "tries failed", reasons and f"{reasons}; {one.still_failed:,} assets still"]
    yield [f"{one.rendered:,}", "pictures rendered", f"{seconds(one.engine_seconds)} s of engine time"]
    if one.images_per_second is not None:
        yield [rate(one.images_per_second), "images/s of runs' wall time", ""]
    if one.images_per_engine_second is not None:
        yield [rate(one.images_per_engine_second), "images/s of engine time", ""]
    if one.gpu_seconds:
        yield [f"{one.gpu_hours:,.3f}", "GPU hours", ""]
    if one.paid or one.possibly_billed:
        more = f"{shown(one.possibly_billed)} more may have been billed" if one.possibly_billed else ""
        yield [shown(one.paid), "USD paid", more]
    if one.planned:
        yield [percent(one.unchanged_share), "of planned assets unchanged", f"{one.unchanged:,} of {one.planned:,}"]
    if one.adopted:
        yield [percent(one.adopted_share), "of pictures taken over", f"{one.adopted:,} that a stopped run had stored"]


def _plots(days: Sequence[Sums]) -> Iterator[Plot]:
    """What there is anything of."""

    def series(name: str, style: str, value: Callable[[Sums], float | None]) -> Series:
        return Series(name, style, {date.fromisoformat(day.value): float(value(day) or 0) for day in days})

    found = [
        Plot(
            "Assets",
            [
                series("delivered", "good", lambda day: day.delivered),
                series("tries failed", "bad", lambda day: day.failed),
            ],
            _count,
        ),
        Plot("Pictures rendered", [series("rendered", "work", lambda day: day.rendered)], _count),
        Plot(
            "Images a second",
            [series("images/s", "work", lambda day: day.run_rendered)],
            _number,
            "of the wall time of runs",
            {date.fromisoformat(day.value): day.run_seconds or 0.0 for day in days},
        ),
        Plot("GPU hours", [series("hours", "work", lambda day: day.gpu_hours)], _number),
        Plot(
            "USD",
            [
                series("paid", "money", lambda day: usd(day.paid)),
                series("perhaps billed", "perhaps", lambda day: usd(day.possibly_billed)),
            ],
            _number,
        ),
        Plot(
            "Unchanged",
            [series("unchanged", "share", lambda day: day.unchanged)],
            lambda value: f"{value:.0%}",
            "share of the assets of plans that were run",
            {date.fromisoformat(day.value): float(day.planned or 0) for day in days},
        ),
    ]
    for plot in found:
        if any(value for one in plot.series for value in one.values.values()):
            yield plot


def _count(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:,.1f}"


def _number(value: float) -> str:
    return f"{value:,.4g}"
