"""The page of `packshot stats` as a browser shows it, and what its plots draw."""

from __future__ import annotations

import re
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from catalogs.gallery.plots import HEIGHT, Series, bars, spans
from catalogs.gallery.statistics import Page, Plot, Section, statistics_page
from tests.catalogs.gallery.rows import HOSTILE

FIRST = date(2026, 10, 1)


def page_of(days: int, said: str = "acme") -> str:
    values = {FIRST + timedelta(days=day): float(day % 5) for day in range(days)}
    plots = [
        Plot("Assets", [Series("made", "good", values), Series("failed", "bad", values)], lambda value: f"{value:g}"),
        Plot(
            "Share", [Series("share", "share", values)], lambda value: f"{value:.0%}", said, dict.fromkeys(values, 5.0)
        ),
    ]
    table = [["brand", "made"], [said, "7"]]
    section = Section("Renders", [["1,234", "assets", said]], plots, said, table)
    last = FIRST + timedelta(days=days - 1)
    return statistics_page(Page(said, [["Outputs", said]], [section], FIRST, last, problems=[said]))


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("said", ["acme", HOSTILE, "{{body}} \ud800"])
def test_it_shows_what_it_is_told_and_runs_nothing(page: Any, tmp_path: Path, said: str, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    (tmp_path / "p.html").write_text(page_of(40, said), "utf-8")
    page.goto((tmp_path / "p.html").as_uri())
    assert page.locator("svg").count() == 2
    assert page.locator("svg g").count() == 64, "a bar of every day that has any"
    assert page.locator("script, img, iframe, a").count() == 0
    assert page.locator("h1").inner_text().split() == said.replace("\ud800", "?").split()
    assert page.locator("tbody td").inner_text() == "7"
    assert len(page.requests) == 1


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_bars_and_texts_stand_out(page: Any, tmp_path: Path, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    (tmp_path / "p.html").write_text(page_of(40))
    page.goto((tmp_path / "p.html").as_uri())
    of = "(s, p) => getComputedStyle(document.querySelector(s))[p]"
    colour = {
        what: page.evaluate(f"([s, p]) => ({of})(s, p)", [selector, name])
        for what, selector, name in (
            ("ground", "figure", "backgroundColor"),
            ("bar", "rect.good", "fill"),
            ("failed", "rect.bad", "fill"),
            ("share", "rect.share", "fill"),
            ("tick", ".tick", "fill"),
            ("text", "td", "color"),
        )
    }
    ground = luminance(colour.pop("ground"))
    for what, found in colour.items():
        bright, dark = sorted((ground, luminance(found)), reverse=True)
        assert (bright + 0.05) / (dark + 0.05) >= (4.5 if what in ("tick", "text") else 3), what


def luminance(colour: str) -> float:
    """Of an `rgb(...)`, as WCAG has it."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.browser
def test_a_phone_scrolls_no_page_sideways(page: Any, tmp_path: Path) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    (tmp_path / "p.html").write_text(page_of(40, "x" * 300))
    page.goto((tmp_path / "p.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


@pytest.mark.parametrize(
    ("days", "span", "count"), [(1, "day", 1), (62, "day", 62), (63, "week", 10), (500, "month", 17)]
)
def test_a_bar_is_a_day_a_week_or_a_month(days: int, span: str, count: int) -> None:
    name, begins = spans(FIRST, FIRST + timedelta(days=days - 1))
    assert (name, len(begins)) == (span, count)
    assert begins == sorted(set(begins))
    assert begins[0] <= FIRST


def test_weeks_and_months_hold_every_day() -> None:
    for days in (100, 600):
        told = re.findall(r"<title>[^<:]+: ([\d.]+) made", page_of(days))
        assert sum(map(float, told)) == sum(day % 5 for day in range(days))


def test_the_share_of_a_week_is_of_its_sums() -> None:
    days = [FIRST + timedelta(days=day) for day in range(63)]
    weeks: dict[date, list[int]] = {}
    for number, day in enumerate(days):
        weeks.setdefault(day - timedelta(days=day.weekday()), []).append(number % 5)
    shares = dict(re.findall(r"<title>week from ([-\d]+): (\d+)% share", page_of(63)))
    assert shares == {str(week): f"{sum(made) / (5 * len(made)):.0%}"[:-1] for week, made in weeks.items()}


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([0.0], ["0", "1"]),
        ([1.0, 2.0], ["0", "1", "2"]),
        ([7.0, 3.0], ["0", "2", "4", "6", "8"]),
        ([0.7], ["0", "0.2", "0.4", "0.6", "0.8"]),
        ([1e9], ["0", "5e+08", "1e+09"]),
        ([1e-7], ["0", "2.5e-08", "5e-08", "7.5e-08", "1e-07"]),
    ],
)
def test_lines_are_at_round_values_and_bars_reach_theirs(values: list[float], ticks: list[str]) -> None:
    days = [FIRST + timedelta(days=day) for day in range(len(values))]
    drawn = bars(
        "T", "day", days, [Series("a", "good", dict(zip(days, values, strict=True)))], lambda value: f"{value:g}"
    )
    assert re.findall(r'text-anchor="end">([^<]+)<', drawn) == ticks
    tall = [float(height) for height in re.findall(r'height="([\d.]+)"/>', drawn)]
    assert len(tall) == sum(value > 0 for value in values)
    plot = HEIGHT - 12 - 26
    assert tall == [pytest.approx(plot * value / float(ticks[-1]), abs=0.01) for value in values if value]


def test_nothing_at_all_is_said() -> None:
    assert "Nothing was made or paid" in statistics_page(Page("t", [], []))
