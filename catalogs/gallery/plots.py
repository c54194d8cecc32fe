"""Plots of numbers over time, drawn as SVG: bars of a day, a week or a month each; colours are the page's."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

DAYS, WEEKS = 62, 434
"""Up to so many days a bar is a day, up to so many a week, beyond that a month."""
WIDTH, HEIGHT = 640, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 8, 12, 26
_LINES = 4  # at most, above the zero
_LABELS = 7


@dataclass(frozen=True)
class Series:
    """One colour of a plot.

    Attributes:
        name: for the legend.
        style: class of its bars.
        values: by the first day of each bar.
    """

    name: str
    style: str
    values: Mapping[date, float]


def spans(first: date, last: date) -> tuple[str, list[date]]:
    """What a bar stands for, and the first day of each, without a gap."""
    days = (last - first).days + 1
    name = "day" if days <= DAYS else "week" if days <= WEEKS else "month"
    found = []
    day = span_of(first, name)
    while day <= last:
        found.append(day)
        day = _next(day, name)
    return name, found


def span_of(day: date, name: str) -> date:
    """First day of the day, week or month that a day lies in."""
    if name == "day":
        return day
    return day.replace(day=1) if name == "month" else day - timedelta(days=day.weekday())


def _next(day: date, name: str) -> date:
    if name == "month":
        return (day.replace(day=28) + timedelta(days=4)).replace(day=1)
    return day + timedelta(days=7 if name == "week" else 1)


def bars(title: str, span: str, begins: Sequence[date], series: Sequence[Series], told: Callable[[float], str]) -> str:
    """An SVG of stacked bars.

    Args:
        title: what is told, for those who cannot see it.
        begins: of every bar, in order.
        told: a value as text.
    """
    highest = max((sum(one.values.get(day, 0.0) for one in series) for day in begins), default=0.0)
    is_whole = all(value == int(value) for one in series for value in one.values.values())
    step = max(1.0, _step(highest, (1, 2, 5, 10))) if is_whole else _step(highest, (1, 2, 2.5, 5, 10))
    top = step * max(1, math.ceil(highest / step - 1e-9))
    parts = [_grid(step, top, told), _dates(begins, span)]
    wide = (WIDTH - _LEFT - _RIGHT) / max(1, len(begins))
    for place, day in enumerate(begins):
        parts.append(_bar(_LEFT + place * wide, wide, day, span, series, top, told))
    label = html.escape(f"{title}, by {span}", quote=True)
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{"".join(parts)}</svg>'


def _bar(
    left: float, wide: float, day: date, span: str, series: Sequence[Series], top: float, told: Callable[[float], str]
) -> str:
    """One bar, and what it says when it is pointed at; nothing where there is nothing."""
    values = [(one, one.values[day]) for one in series if one.values.get(day)]
    if not values:
        return ""
    gap, height, made = min(3.0, wide * 0.2), 0.0, []
    for one, value in values:
        tall = _tall(value, top)
        y = HEIGHT - _BOTTOM - height - tall
        made.append(f'<rect class="{one.style}" x="{left + gap / 2:.2f}" y="{y:.2f}" width="{wide - gap:.2f}"')
        made.append(f' height="{max(tall, 0.75):.2f}"/>')
        height += tall
    said = ", ".join(f"{told(value)} {one.name}" for one, value in values)
    return f"<g><title>{html.escape(f'{_called(day, span)}: {said}')}</title>{''.join(made)}</g>"


def _tall(value: float, top: float) -> float:
    return (HEIGHT - _TOP - _BOTTOM) * value / top


def _grid(step: float, top: float, told: Callable[[float], str]) -> str:
    lines = []
    for number in range(round(top / step) + 1):
        y = HEIGHT - _BOTTOM - _tall(number * step, top)
        lines.append(f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.2f}" y2="{y:.2f}"/>')
        said = html.escape(told(number * step))
        lines.append(f'<text class="tick" x="{_LEFT - 8}" y="{y + 4:.2f}" text-anchor="end">{said}</text>')
    return "".join(lines)


def _dates(begins: Sequence[date], span: str) -> str:
    every, wide = math.ceil(len(begins) / _LABELS) or 1, (WIDTH - _LEFT - _RIGHT) / max(1, len(begins))
    labels = []
    for place, day in enumerate(begins):
        if place % every == 0:
            said = f"{day:%b %Y}" if span == "month" else f"{day.day} {day:%b}"
            x = _LEFT + (place + 0.5) * wide
            labels.append(f'<text class="tick" x="{x:.2f}" y="{HEIGHT - 8}" text-anchor="middle">{said}</text>')
    return "".join(labels)


def _called(day: date, span: str) -> str:
    return {"day": f"{day}", "week": f"week from {day}"}.get(span, f"{day:%B %Y}")


def _step(highest: float, units: Sequence[float]) -> float:
    """A round distance of lines, a few of which reach the highest value."""
    if highest <= 0:
        return 1.0
    rough = highest / _LINES
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * unit for unit in units if power * unit >= rough * (1 - 1e-9))
