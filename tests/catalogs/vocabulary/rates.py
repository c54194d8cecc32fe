"""How often the vocabulary agrees with the rows that were labelled by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from catalogs.vocabulary.colours import colours_in, colours_of
from catalogs.vocabulary.describe import describe
from catalogs.vocabulary.plain_text import plain_text

FOLDER = Path(__file__).parent


class Rates(NamedTuple):
    """Counts of right rows: nouns of all rows, colours of those that name one, silence of those that name none."""

    nouns: int
    rows: int
    colours: int
    named: int
    silent: int
    unnamed: int


def labelled(half: str) -> list[dict[str, Any]]:
    """The rows of "work" or "judge"."""
    return [json.loads(line) for line in (FOLDER / f"labelled_{half}.jsonl").read_text(encoding="utf-8").splitlines()]


def noun_is_right(row: dict[str, Any], noun: str) -> bool:
    """The head is one of those labelled, and only labelled words stand before it."""
    said = noun.replace("-", " ")
    for head in (name.replace("-", " ") for name in row["nouns"]):
        if said == head:
            return True
        if said.endswith(" " + head):
            before = said.removesuffix(" " + head)
            for word in sorted((word.replace("-", " ") for word in row["before"]), key=len, reverse=True):
                before = before.replace(word, "").strip()
            if not before:
                return True
    return False


def names_found(row: dict[str, Any]) -> list[str]:
    """As an importer asks: the options, else the title, else the description."""
    options = [colour.name for value in row["options"] for colour in colours_of(value, ("en",))]
    found = options or [colour.name for colour in colours_in(row["title"], ("en",))]
    return found or [colour.name for colour in colours_in(plain_text(row["description"]), ("en",))]


def colours_are_right(row: dict[str, Any], names: list[str]) -> bool:
    """Every labelled colour is found, and nothing that is not labelled."""
    left = [name for name in names if name not in row["may"]]
    wanted = [any(name in names for name in ways) for ways in row["colours"]]
    known = {name for ways in row["colours"] for name in ways}
    return all(wanted) and all(name in known for name in left)


def noun_found(row: dict[str, Any]) -> str:
    return describe(row["title"], row["description"], row["category"], row["attributes"]).noun


def wrong(half: str) -> Iterator[str]:
    """A line a row that is not as labelled."""
    for row in labelled(half):
        if not noun_is_right(row, noun := noun_found(row)):
            yield f"noun {noun!r}, wanted {row['nouns']}: {row['title']}"
        if not colours_are_right(row, names := names_found(row)):
            yield f"colours {names}, wanted {row['colours']}: {row['title']}"


def rates(half: str) -> Rates:
    """Counts of a half."""
    rows = labelled(half)
    nouns = sum(noun_is_right(row, noun_found(row)) for row in rows)
    named = [row for row in rows if row["colours"]]
    unnamed = [row for row in rows if not row["colours"]]
    colours = sum(colours_are_right(row, names_found(row)) for row in named)
    silent = sum(colours_are_right(row, names_found(row)) for row in unnamed)
    return Rates(nouns, len(rows), colours, len(named), silent, len(unnamed))
