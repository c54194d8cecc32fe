"""The page of `packshot stats`: one file of HTML with plots, no script and no network.

Whatever comes from a catalog is escaped text, under a content security policy that runs nothing at all.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from importlib.resources import files

from catalogs.gallery.page import source_hash
from catalogs.gallery.plots import Series, bars, span_of, spans

Cells = Sequence[Sequence[str]]


@dataclass(frozen=True)
class Plot:
    """Numbers over time.

    Attributes:
        series: names in the legend and classes, with a value a day.
        whole: of a share: what the values of its one series are a part of, a value a day.
        told: a value as text.
        note: what is counted.
    """

    title: str
    series: Sequence[Series]
    told: Callable[[float], str]
    note: str = ""
    whole: Mapping[date, float] | None = None


@dataclass(frozen=True)
class Section:
    """Layout proofs or renders.

    Attributes:
        tiles: a number, what it is of, and more about it.
        table: its head, then its rows.
        caption: what the table is told by.
    """

    title: str
    tiles: Cells
    plots: Sequence[Plot]
    caption: str
    table: Cells
    more: str = ""


@dataclass(frozen=True)
class Page:
    """Everything that the page says."""

    title: str
    about: Cells
    sections: Sequence[Section]
    first: date | None = None
    last: date | None = None
    problems: Sequence[str] = field(default_factory=list)


def statistics_page(page: Page) -> str:
    """The page as HTML."""
    style = _asset("statistics.css")
    policy = f"default-src 'none'; style-src '{source_hash(style)}'; img-src data:; base-uri 'none'; form-action 'none'"
    filling = {
        "policy": policy,
        "title": _text(page.title),
        "style": style,
        "about": "".join(
            f"<div><dt>{_text(name)}</dt><dd><bdi>{_text(value)}</bdi></dd></div>" for name, value in page.about
        ),
        "body": "".join(_body(page)),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda found: filling[found[1]], _asset("statistics.html"))


def _body(page: Page) -> Iterator[str]:
    if page.problems:
        lines = "".join(f"<li><bdi>{_text(line)}</bdi></li>" for line in page.problems)
        title = "Not everything could be read, and is in no number here"
        yield f'<div class="problems"><h2>{title}</h2><ul>{lines}</ul></div>'
    if not page.sections:
        yield '<p class="empty">Nothing was made or paid.</p>'
    for section in page.sections:
        yield f'<section><h2>{_text(section.title)}</h2><div class="tiles">'
        for number, name, more in section.tiles:
            small = f"<small>{_text(more)}</small>" if more else ""
            yield f"<div><b>{_text(number)}</b><span>{_text(name)}</span>{small}</div>"
        yield '</div><div class="plots">'
        if page.first and page.last:
            yield from (_figure(plot, page.first, page.last) for plot in section.plots)
        yield f"</div>{_table(section)}</section>"


def _figure(plot: Plot, first: date, last: date) -> str:
    span, begins = spans(first, last)
    whole = None if plot.whole is None else _by_span(plot.whole, span)
    series = [Series(one.name, one.style, _shares(_by_span(one.values, span), whole)) for one in plot.series]
    drawn = bars(plot.title, span, begins, series, plot.told)
    legend = ""
    if len(series) > 1:
        named = "".join(f'<li><i class="{one.style}"></i>{_text(one.name)}</li>' for one in series)
        legend = f'<ul class="legend">{named}</ul>'
    note = f"<small>{_text(plot.note)}</small>" if plot.note else ""
    caption = f"<figcaption>{_text(plot.title)} by {span}{legend}{note}</figcaption>"
    return f'<figure tabindex="0">{caption}{drawn}</figure>'


def _by_span(values: Mapping[date, float], span: str) -> Mapping[date, float]:
    found: Counter[date] = Counter()
    for day, value in values.items():
        found[span_of(day, span)] += value  # type: ignore[assignment]  # floats add up as whole numbers do
    return found


def _shares(values: Mapping[date, float], whole: Mapping[date, float] | None) -> Mapping[date, float]:
    if whole is None:
        return values
    return {day: value / whole[day] for day, value in values.items() if whole.get(day)}


def _table(section: Section) -> str:
    head, *rows = section.table
    heads = "".join(f'<th scope="col">{_text(name)}</th>' for name in head)
    lines = "".join(
        f'<tr><th scope="row"><bdi>{_text(row[0])}</bdi></th>'
        + "".join(f"<td>{_text(cell)}</td>" for cell in row[1:])
        + "</tr>"
        for row in rows
    )
    more = f"<p>{_text(section.more)}</p>" if section.more else ""
    return (
        f'<div class="table" tabindex="0" role="region" aria-label="{_text(section.caption)}"><table>'
        f"<caption>{_text(section.caption)}</caption><thead><tr>{heads}</tr></thead><tbody>{lines}</tbody></table></div>{more}"
    )


def _text(value: str) -> str:
    # Half a surrogate is no text that a file can hold.
    return html.escape(value.encode("utf-8", "replace").decode(), quote=True)


def _asset(name: str) -> str:
    return files("catalogs.gallery").joinpath(name).read_text("utf-8")
