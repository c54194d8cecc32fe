"""What of a product's variants can be seen: which options change its look, and which picture shows a variant."""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from posixpath import basename, splitext
from urllib.parse import unquote, urlsplit

from catalogs.imports.exports import Item, Picture
from catalogs.vocabulary.colours import colours_of

MOST_VALUES = 500
"""Of an option, that are looked at."""
_MOST_SIZES = 0.6
_SIZE = re.compile(
    r"(?:[2-9]?x{0,4}[sl]|[sm]|\d{1,2}xl|one\s?size|os|small|medium|large|x+[- ]?(?:small|large)|petite|regular|tall)"
    r"|(?:eu|uk|us)?\s*\d+(?:[.,/]\d+)*\s*[a-dx]{0,2}\s*(?:cm|mm|m|in|inch|\"|ml|l|g|kg|oz|lb|gb|tb|pcs?|pack)?"
    r"|\d+(?:[.,]\d+)?\s*(?:cm|mm|m|in|\")?\s*[x×]\s*\d+.*",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class OptionChoice:
    """Whether an option changes how a product looks.

    Attributes:
        reason: for people.
        is_sure: its name says so; else its values were judged, and a person should look.
    """

    name: str
    changes_look: bool
    reason: str
    is_sure: bool = True


class OptionCounts:
    """The values of every option of an export."""

    def __init__(self) -> None:
        self._values: dict[str, Counter[str]] = {}

    def add(self, item: Item) -> None:
        for name, value in item.options.items():
            counted = self._values.setdefault(name, Counter())
            if value in counted or len(counted) < MOST_VALUES:
                counted[value] += 1

    def choices(self) -> dict[str, OptionChoice]:
        """By name, in the order in which the export has them."""
        return {name: judge(name, list(values)) for name, values in self._values.items()}


def judge(name: str, values: Sequence[str]) -> OptionChoice:
    """By its name, else by what most of its values are; what cannot be told changes the look, which costs renders and
    never shows a wrong product."""
    bare = " ".join(_WORD.findall(name.lower()))
    names = _names()
    for changes in (True, False):
        if bare in names[changes]:
            what = "changes the look" if changes else "leaves the look as it is"
            return OptionChoice(name, changes, f"an option of this name {what}")
    sizes = sum(bool(_SIZE.fullmatch(value.strip())) for value in values)
    if values and sizes >= _MOST_SIZES * len(values):
        return OptionChoice(name, False, f"{sizes} of its {len(values)} values are sizes", is_sure=False)
    coloured = sum(bool(colours_of(value)) for value in values)
    if values and coloured >= _MOST_SIZES * len(values):
        return OptionChoice(name, True, f"{coloured} of its {len(values)} values are colours", is_sure=False)
    return OptionChoice(name, True, "neither its name nor its values tell", is_sure=False)


@cache
def _names() -> dict[bool, frozenset[str]]:
    told = json.loads(files("catalogs.imports").joinpath("option_names.json").read_text("utf-8"))
    return {True: frozenset(told["look"]), False: frozenset(told["same"])}


def look_of(item: Item, choices: Mapping[str, OptionChoice]) -> str:
    """What tells the looks of one product apart: the values of the options that change it."""
    return " / ".join(value for name, value in item.options.items() if choices[name].changes_look)


def chosen_pictures(item: Item, look: Iterable[str], most: int) -> tuple[tuple[Picture, ...], str]:
    """The pictures of a variant, that which shows it first, and why it does.

    Args:
        look: values of its options that change the look.
        most: how many.
    """
    if item.own_pictures:
        return item.own_pictures[:most], "its own picture"
    found, reason = _told(item.pictures, [value for value in look if value])
    if found is None:
        return (), "the export names none"
    return (found, *(one for one in item.pictures if one != found))[:most], reason


def _told(pictures: Sequence[Picture], values: Sequence[str]) -> tuple[Picture | None, str]:
    """By what alt text or file name say; of several pictures that fit, the first of those that tell most words."""
    best: tuple[int, Picture, str] | None = None
    for picture in pictures:
        for where, text in (("alt text", picture.alt), ("file name", _file_name(picture.uri))):
            words = _words(text)
            told = [value for value in values if _tells(words, value)]
            count = sum(len(_words(value)) for value in told)
            if told and (best is None or count > best[0]):
                best = count, picture, f"its {where} says {' and '.join(map(repr, told))}"
    if best:
        return best[1], best[2]
    if not pictures:
        return None, ""
    told_first = "the product's first picture"
    return pictures[0], f"{told_first}; none tells {' / '.join(values)!r}" if values and len(
        pictures
    ) > 1 else told_first


def _tells(words: Sequence[str], value: str) -> bool:
    """Whether words name a value, and no other colour that its word is a part of: "navy blue" is not blue."""
    wanted = _words(value)
    for at in range(len(words) - len(wanted) + 1) if wanted else ():
        if list(words[at : at + len(wanted)]) == wanted:
            colours = colours_of(value)
            around = (words[max(0, at - 1) : at + len(wanted)], words[at : at + len(wanted) + 1])
            if not colours or not any(_is_another(one, wanted, colours[0].hex) for one in around):
                return True
    return False


def _is_another(words: Sequence[str], wanted: Sequence[str], value: str | None) -> bool:
    found = colours_of(" ".join(words)) if len(words) > len(wanted) else []
    return bool(found) and not any(one.hex == value for one in found)


def _file_name(uri: str) -> str:
    try:
        path = urlsplit(uri).path if "://" in uri else uri
    except ValueError:  # of an address that is none
        return ""
    return splitext(basename(unquote(path)))[0]


def _words(text: str) -> list[str]:
    plain = unicodedata.normalize("NFKD", text.lower())
    return _WORD.findall("".join(one for one in plain if not unicodedata.combining(one)))
