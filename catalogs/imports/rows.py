"""From an item of an export to a row of a product catalog: words, colours, pictures, looks."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

import pyarrow as pa

from catalogs.imports.exports import Item
from catalogs.imports.variants import OptionChoice, chosen_pictures, look_of
from catalogs.inputs.ids import normal_form
from catalogs.inputs.schemas import PRODUCTS
from catalogs.inputs.text import clean_text
from catalogs.vocabulary.colours import ColourFound, colours_in, colours_of
from catalogs.vocabulary.describe import MAX_TITLE, describe

MOST_PICTURES = 4
"""Of a product, that are written: a shot takes few, and a model four to ten."""
MOST_COLOURS = 3
OF_IMPORT = {
    "noun": (pa.string(), "what a prompt calls it"),
    "visible": (pa.list_(pa.string()), "what can be seen of it, for prompts"),
    "copy": (pa.string(), "what the shop says of it, for people and overlays"),
    "setting": (pa.string(), "where the shot `in_use` shows it"),
    "look": (pa.string(), "what tells its looks apart, for `look_by`"),
    "color_source": (pa.string(), "where each colour is from, and how sure that is; a proposal"),
    "picture_reason": (pa.string(), "why its first picture was taken"),
    "active": (pa.bool_(), "false where the shop no longer sells it"),
}
"""Columns that an import adds to those of the contract."""

_COLOUR_NAMES = re.compile(r"colou?rs?|colou?r[ _]family|farbe|farbton|couleur|colore?|kleur|shade|shade name", re.I)
_MATERIAL_NAMES = re.compile(r"materials?|fabric|stoff|mati[eè]re|materiale|materiaal|obermaterial", re.I)
_NO_WORD = re.compile(r"[^\w-]+")
_SPLIT = re.compile(r"\s*[,;|/\n]\s*")
_PRICE = re.compile(r"(?:(?<![^\W\d_])[.,])?\d[\d.,'’ \u00a0\u202f]*")  # ".5" is a half, "Rs.500" five hundred
_NO_AMOUNT = re.compile(r"(?:^|[\s€£$])[-−]$"), re.compile(r"[eE][+-]?\d")
"""Before and after the digits of what is below nought, or has an exponent: no price is written so."""
_COMMA = re.compile(r"^\D*\d+(?:[.'’ \u00a0\u202f]\d{3})*,\d{1,2}\D*$")

_clean = lru_cache(maxsize=8)(clean_text)
"""Variants of one product, which come one after the other, share their texts."""

Locate = Callable[[str], str | None]
LookAt = Callable[[str], Sequence[ColourFound]]


def schema(texts: Sequence[str]) -> pa.Schema:
    """Of the written catalog.

    Args:
        texts: columns in other languages.
    """
    added = [pa.field(name, kind) for name, (kind, _) in OF_IMPORT.items()]
    return pa.schema([*PRODUCTS, *added, *(pa.field(name, pa.string()) for name in texts)])


@dataclass(frozen=True, slots=True)
class Look:
    """What all variants of one look share: whatever a prompt or a reference reads."""

    noun: str
    visible: tuple[str, ...]
    copy: str
    setting: str
    colours: tuple[ColourFound, ...]
    materials: tuple[str, ...]
    pictures: tuple[str, ...]
    picture_reason: str


@dataclass(frozen=True)
class RowMaker:
    """Makes rows of items.

    Attributes:
        choices: which options change the look.
        locate: the URI that a picture of the export has in the catalog, None where it is nowhere.
        look_at: the colours of a picture, for what has no word for them.
        language: of the export's texts.
        currency: where the export names none.
        has_comma: a comma is the decimal sign of its prices.
    """

    choices: Mapping[str, OptionChoice]
    locate: Locate
    look_at: LookAt
    language: str = "en"
    currency: str = ""
    has_comma: bool = False

    def rows(self, items: Sequence[Item], brand_ids: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        """The rows of one product's variants, in their order."""
        looks: dict[str, Look] = {}
        for item in items:
            name = look_of(item, self.choices)
            if name not in looks:
                looks[name] = self._look(item)
            yield self._row(item, name, looks[name], brand_ids[item.brand])

    def _look(self, item: Item) -> Look:
        options = {name: value for name, value in item.options.items() if self.choices[name].changes_look}
        described = describe(
            item.title, item.description, item.category, {**item.attributes, **options}, self.language, item.brand
        )
        pictures, reason = chosen_pictures(item, options.values(), len(item.pictures) + len(item.own_pictures))
        placed = [uri for picture in pictures if (uri := self.locate(picture.uri))][:MOST_PICTURES]
        if pictures and not placed:
            reason = f"{reason}, but there is no such file: {pictures[0].uri}"
        return Look(
            noun=described.noun,
            visible=described.visible,
            copy=described.copy,
            setting=setting_of(described.noun, item.category[:MAX_TITLE]),
            colours=self._colours(item, options, placed),
            materials=tuple(_listed({**item.attributes, **options}, _MATERIAL_NAMES)),
            pictures=tuple(placed),
            picture_reason=reason,
        )

    def _colours(self, item: Item, options: Mapping[str, str], placed: Sequence[str]) -> tuple[ColourFound, ...]:
        """Of its options, else of its attributes, else of its title, else of its picture."""
        told = [*_named(options, _COLOUR_NAMES), *_named(item.attributes, _COLOUR_NAMES)]
        found = next((colours for word in told if (colours := colours_of(word))), None)
        found = found or [one for value in options.values() for one in colours_of(value)] or colours_in(item.title)
        if not found and placed:
            found = list(self.look_at(placed[0]))
        return tuple(found[:MOST_COLOURS])

    def _row(self, item: Item, name: str, look: Look, brand_id: str) -> dict[str, Any]:
        return {
            "product_id": normal_form(item.product_id),
            "brand_id": brand_id,
            "title": _clean(item.title),
            "description": _clean(item.description) or None,
            "category": _clean(item.category) or None,
            "colors": [{"hex": one.hex, "name": one.name} for one in look.colours] or None,
            "materials": list(look.materials) or None,
            "attributes": sorted({**item.attributes, **item.options}.items()) or None,
            "reference_images": _references(look.pictures) or None,
            "product_group": normal_form(item.group or item.product_id),
            "price": amount(item.price, self.has_comma),
            "currency": item.currency or self.currency or None,
            "gtin": item.gtin or None,
            "url": item.url or None,
            "noun": look.noun or None,
            "visible": list(look.visible) or None,
            "copy": look.copy or None,
            "setting": look.setting,
            "look": name,
            "color_source": "; ".join(f"{one.source} {one.confidence:.2f}" for one in look.colours) or None,
            "picture_reason": look.picture_reason,
            "active": item.is_active,
            **{column: clean_text(text) for column, text in item.texts.items()},
        }


def _references(uris: Sequence[str]) -> list[dict[str, Any]]:
    return [{"uri": uri, "role": "hero" if place == 0 else "more"} for place, uri in enumerate(uris)]


def _named(attributes: Mapping[str, str], names: re.Pattern[str]) -> list[str]:
    return [value for name, value in attributes.items() if names.fullmatch(name.strip())]


def _listed(attributes: Mapping[str, str], names: re.Pattern[str]) -> list[str]:
    values = [one for value in _named(attributes, names) for one in _SPLIT.split(value) if one]
    return list(dict.fromkeys(value.lower() for value in values))


def writes_comma(price: str) -> bool:
    """Whether a price can only have a decimal comma: "12,50"."""
    return bool(_COMMA.match(price.strip()))


def amount(price: str, has_comma: bool) -> Decimal | None:
    """A price as a number; None where it is none.

    The last of two signs is the decimal one, and a sign parts thousands where it comes twice. One that stands alone
    before three digits may be either.

    Args:
        has_comma: of such a price the comma is the decimal sign, else the point.
    """
    found = _PRICE.search(price)
    if not found or _NO_AMOUNT[0].search(price[: found.start()]) or _NO_AMOUNT[1].match(price, found.end()):
        return None
    digits = re.sub(r"['’ \u00a0\u202f]", "", found.group()).rstrip(".,")
    last = max(digits.rfind("."), digits.rfind(","))
    if last >= 0:
        sign, whole, part = digits[last], digits[:last], digits[last + 1 :]
        is_decimal = sign not in whole and (len(part) != 3 or not whole.isdecimal() or (sign == ",") == has_comma)
        digits = re.sub("[.,]", "", whole) + ("." if is_decimal else "") + part
    try:
        made = Decimal(digits)
    except InvalidOperation:
        return None
    return made.quantize(Decimal("0.0001")) if made < 10**13 else None


@lru_cache(maxsize=1_000)
def setting_of(noun: str, category: str) -> str:
    """Where people use such a thing, by the words of its noun, else of its category."""
    for text in (noun, category):
        words = f" {_NO_WORD.sub(' ', text.lower())} "
        for kind in _settings():
            if any(f" {word} " in words or f" {word}s " in words for word in kind["words"]):
                return str(kind["setting"])
    return "in a bright, tidy room, in soft daylight"


@cache
def _settings() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(files("catalogs.imports").joinpath("settings.json").read_text("utf-8"))
    return found
