"""Magento 2 and Adobe Commerce: a line a SKU, with a parent that lists its variants, and lines a store view.

https://experienceleague.adobe.com/en/docs/commerce-admin/systems/data-transfer/data-attributes-product. The tables that
Magento's own sample data comes in are read too; they name the same things by other columns, and pictures by a table of
`sku` and `image`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from catalogs.imports.exports import Code, Found, Item, Joined, Line, Picture, Refusal, all_of, code

NAME = "Magento 2 products"
WANTED = ("sku", "attribute_set_code", "product_type")
SAMPLE = ("sku", "name", "category", "attribute_set")
PICTURES = ("sku", "image")
_OWN_COLUMNS = frozenset(
    (
        *("sku", "name", "category", "price", "qty", "description", "short_description", "attribute_set", "image"),
        *("related", "upsell", "crosssell", "special_price", "new", "sale", "erin_recommends", "eco_collection"),
        "performance_fabric",
    )
)
_DEFAULT = "Default Category/"
_NO_PICTURE = "no_selection"
_OFF = frozenset({"0", "2"})
_LEAST = 2
# Codes of attributes begin with a letter; a value may hold commas, and one in quotes anything. Each begins at a comma,
# so that no letter is looked at twice.
_CODE = re.compile("(?:^|,)([A-Za-z][A-Za-z0-9_]*)=")
_QUOTED = re.compile(r'"((?:[^"]|"")*)"(?=,|\Z)')
_LANGUAGES = re.compile(
    "ar|bg|bs|ca|cs|cy|da|de|el|en|es|et|eu|fa|fi|fr|ga|gl|he|hi|hr|hu|hy|id|is|it|ja|ka|kk|ko|lt|lv|mk|ms|mt|nb|nl|nn"
    "|no|pl|pt|ro|ru|sk|sl|sq|sr|sv|th|tr|vi|zh"
)


def product_of(line: Line) -> str:
    """The SKU."""
    return line.get("sku")


def others(line: Line) -> Iterator[str]:
    """The variants that a configurable product lists belong to it."""
    yield from _variations(line)


def items(lines: Sequence[Line]) -> Iterator[Found]:
    """The variants of one configurable product, or a product alone."""
    by_sku: dict[str, list[Line]] = {}
    for line in lines:
        by_sku.setdefault(line.get("sku"), []).append(line)
    told: dict[str, dict[str, str]] = {}
    parent = next((line for line in lines if (told := _variations(line))), None)
    family = by_sku.get(parent.get("sku"), []) if parent else []
    has_variants = parent is not None and len(by_sku) > 1
    for sku, own in by_sku.items():
        named = [one for one in own if one.get("name") and not one.get("store_view_code")]
        line = (named or own)[0]
        if line.get("sku") == (parent and parent.get("sku")):
            line = parent or line
        yield from (_added(one, one in named) for one in own if one is not line)
        if not named:
            yield _nameless(line)
        elif (line is parent and has_variants) or line.get("product_type") == "grouped":
            yield Joined(line)  # a grouped product shows others, which are sold and stand in lines of their own
        elif line is parent or line.get("product_type") == "configurable":
            yield Refusal(line, Code.NO_VARIANT, "is configurable, and no variant of it is here; export them too")
        else:
            yield _item(line, own, parent, family or own, told.get(sku, {}))


def _added(line: Line, is_twin: bool) -> Found:
    problem = "its SKU is another row's already; give each product one of its own"
    return Refusal(line, Code.TWICE, problem) if is_twin else Joined(line)


def _nameless(line: Line) -> Found:
    problem = "has no line of its own, only pictures or texts of a store view; export its product too"
    return Refusal(line, Code.NO_PARENT, problem)


def _item(
    line: Line, own: Sequence[Line], parent: Line | None, family: Sequence[Line], options: dict[str, str]
) -> Item:
    product = parent or line
    attributes = (_attributes(parent) if parent else {}) | _attributes(line)
    description = product.get("description") or line.get("description")
    return Item(
        line=line,
        product_id=code(line.get("sku")),
        group=code(product.get("sku")),
        title=product.get("name") or line.get("name"),
        brand=attributes.get("brand") or attributes.get("manufacturer", ""),
        description=f"{description} {product.get('short_description') or line.get('short_description')}".strip(),
        category=_category(product.get("categories") or line.get("categories", "category")),
        options=options,
        own_pictures=all_of(_pictures(one) for one in own) if parent else (),
        pictures=all_of(_pictures(one) for one in family),
        price=line.get("price") or product.get("price"),
        gtin=code(attributes.get("gtin") or attributes.get("ean", "")),
        attributes=attributes,
        texts=_texts(family),
        is_active=all(one.get("product_online") not in _OFF for one in (line, product)),
    )


def _variations(line: Line) -> dict[str, dict[str, str]]:
    """Options by SKU: "sku=A-RED,color=Red,size=S|sku=A-BLUE,color=Blue,size=S"."""
    found: dict[str, dict[str, str]] = {}
    packed = line.cells.get("configurable_variations", "")
    for one in packed.split("|") if packed else ():
        pairs = _pairs(one.strip())
        if sku := pairs.pop("sku", "").strip():
            found[sku] = pairs
    return found


def _pairs(packed: str) -> dict[str, str]:
    """ "color=Red,material=Cotton, organic" and the like, by name."""
    found = {}
    at = _CODE.search(packed)
    while at:
        if quoted := _QUOTED.match(packed, at.end()):
            value, after = quoted[1].replace('""', '"'), _CODE.search(packed, quoted.end())
        else:
            after = _CODE.search(packed, at.end())
            value = packed[at.end() : after.start() if after else len(packed)]
        if value.strip():
            found[at[1]] = value.strip()
        at = after
    return found


def _attributes(line: Line) -> dict[str, str]:
    """Of the one column that packs all, and of columns of their own."""
    found = _pairs(line.get("additional_attributes"))
    if "additional_attributes" not in line.cells and "product_type" not in line.cells:
        found |= {name: value for name, value in line.cells.items() if name not in _OWN_COLUMNS}
    return {name: re.sub(r"\s*[|\n]\s*", ", ", value.strip()) for name, value in found.items() if value.strip()}


def _category(paths: str) -> str:
    """The deepest path; in the sample's tables each line of the cell is a step."""
    if "\n" in paths:
        return " > ".join(paths.split("\n")[:_LEAST])
    found = [path.strip().removeprefix(_DEFAULT) for path in paths.split(",") if path.strip()]
    return max(found, key=lambda path: path.count("/"), default="").replace("/", " > ")


def _pictures(line: Line) -> tuple[Picture, ...]:
    labels = line.get("additional_image_labels").split(",")
    more = line.get("additional_images").split(",")
    named = [(line.get("base_image", "image"), line.get("base_image_label"))]
    named += [(uri, labels[place] if place < len(labels) else "") for place, uri in enumerate(more)]
    placed = ((_placed(uri.strip()), alt.strip()) for uri, alt in named)
    return tuple(dict.fromkeys(Picture(uri, alt) for uri, alt in placed if uri and uri != _NO_PICTURE))


def _placed(uri: str) -> str:
    """Magento's paths begin at its media folder, not at the disk's root."""
    return uri.lstrip("/") if uri.startswith("/") else uri


def _texts(family: Sequence[Line]) -> dict[str, str]:
    """Names and descriptions of store views whose code is, or ends in, a language."""
    found = {}
    for line in family:
        if language := _language(line.get("store_view_code")):
            for column, name in (("name", "title"), ("description", "description")):
                if line.get(column):
                    found[f"{name}@{language}"] = line.get(column)
    return found


def _language(view: str) -> str:
    """ "de", "store_de", "de_at": a language, and perhaps a region; "" for "store_uk", which is a country."""
    *_, before, last = ["", *re.split("[_-]", view.lower())]
    if _LANGUAGES.fullmatch(before) and re.fullmatch("[a-z]{2}", last):
        return f"{before}-{last}"
    return last if _LANGUAGES.fullmatch(last) else ""
