"""The tables of colour names (`colours.tsv`) and of words that shift a colour (`shades.tsv`)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from catalogs.vocabulary.folding import LANGUAGES, key_of, respelled_key

Key = tuple[str, ...]

_ENDINGS = {  # ending of the word -> what may stand for it; "" where no other ending fits
    "en": {},
    "de": {"a": (), "e": ("er", "es", "en", "em"), "": ("e", "er", "es", "en", "em")},
    "fr": {"e": ("es",), "s": ("se", "ses"), "": ("e", "s", "es")},
    "es": {"o": ("a", "os", "as"), "a": ("as",), "e": ("es",), "": ("es",)},
    "it": {"o": ("a", "i", "e"), "e": ("i",), "": ()},
    "nl": {"e": (), "": ("e",)},
}


@dataclass(frozen=True, slots=True)
class Colour:
    """A colour that shops name.

    Attributes:
        name: the English name.
        hex: "#RRGGBB"; None for a look that is no colour ("transparent").
        known: the value is a published one (CSS, X11), or that of a basic name.
        basic: a name that a photo's colours are called by.
    """

    name: str
    hex: str | None
    known: bool
    basic: bool


@dataclass(frozen=True, slots=True)
class Shade:
    """A word that shifts a colour: added to CIELAB lightness, multiplied onto chroma."""

    name: str
    lightness: float
    chroma: float


@dataclass(frozen=True, slots=True)
class Named:
    """A word of one language for a colour or a shade; use: any, before or value, as `colours.tsv` says."""

    what: Colour | Shade
    use: str
    language: str


def _rows(name: str) -> Iterator[dict[str, str]]:
    lines = (files("catalogs.vocabulary") / name).read_text(encoding="utf-8").splitlines()
    header, *rows = (line.split("\t") for line in lines if line and not line.startswith("#"))
    for row in rows:
        yield dict(zip(header, row, strict=True))


def inflected(word: str, language: str) -> Iterator[str]:
    """A colour word's other forms: "rot" -> "rote", "roter", ..."""
    endings: Mapping[str, Any] = _ENDINGS[language]
    last = word[-1]
    if last in endings:
        yield from (word[:-1] + ending for ending in endings[last])
    else:
        yield from (word + ending for ending in endings.get("", ()))


def _words(row: Mapping[str, str], language: str, use: str) -> Iterator[tuple[str, str]]:
    for cell in filter(None, row[language].split("|")):
        word = cell.removeprefix("~")
        yield word, "value" if cell != word else "any" if _named_colour(word) else use


@cache
def all_colours() -> tuple[Colour, ...]:
    """Every colour of the table, sorted by name."""
    return tuple(_colour(row) for row in _rows("colours.tsv"))


def _colour(row: Mapping[str, str]) -> Colour:
    basic = row["basic"] == "yes"
    return Colour(row["name"], row["hex"] or None, basic or row["source"] != "own", basic)


_PLAIN = re.compile(r".(rot|blau|grün|gelb|grau|braun|weiß|farben|rood|blauw|groen|geel|grijs|bruin|roze|kleurig)$")


def _named_colour(word: str) -> bool:
    """Whether a word says by itself that it is a colour: "ocean blue", "rostrot", and not "ocean" or "Rost"."""
    return " " in word or "-" in word or _PLAIN.search(word) is not None


@cache
def colour_names(language: str) -> Mapping[Key, Named]:
    """Names of colours in one language, folded, with their inflections."""
    named: dict[Key, Named] = {}
    forms: dict[Key, Named] = {}
    for row in _rows("colours.tsv"):
        colour = _colour(row)
        for word, use in _words(row, language, row["use"]):
            entry = Named(colour, use, language)
            for key in {key_of(word), respelled_key(word)}:
                named.setdefault(key, entry)
                if len(key) == 1 and use == "any":
                    forms |= {(form,): entry for form in inflected(key[0], language)}
    return MappingProxyType({**forms, **named})


@cache
def shade_names(language: str) -> Mapping[Key, Named]:
    """Words that shift a colour in one language, folded."""
    named: dict[Key, Named] = {}
    for row in _rows("shades.tsv"):
        shade = Shade(row["name"], float(row["lightness"]), float(row["chroma"]))
        for word, use in _words(row, language, row["use"]):
            for form in (word, *(inflected(word, "de") if language == "de" else ())):
                named.setdefault(key_of(form), Named(shade, use, language))
    return MappingProxyType(named)


@cache
def names_in(languages: tuple[str, ...]) -> tuple[Mapping[Key, Named], Mapping[Key, Named], int]:
    """Colours and shades of several languages, the first named winning, and the longest name in words."""
    chosen = [language for language in languages if language in LANGUAGES]
    colours: dict[Key, Named] = {}
    shades: dict[Key, Named] = {}
    for language in reversed(chosen):
        colours |= colour_names(language)
        shades |= shade_names(language)
    return colours, shades, max(map(len, colours), default=0)
