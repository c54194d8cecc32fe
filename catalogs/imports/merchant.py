"""Google Merchant Center's feeds (TSV, RSS, Atom) and Meta's catalog (CSV), which names its columns alike.

https://support.google.com/merchants/answer/7052112 and
https://www.facebook.com/business/help/120325381656392: a row is a sellable item, and variants share `item_group_id`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from catalogs.imports.exports import Found, Item, Line, Picture, all_of, code, money, pictures_in

NAME = "Google Merchant or Meta catalog"
WANTED = ("id", "title", "image_link")
OPTIONS = ("color", "material", "pattern", "size", "size_type", "size_system")
ATTRIBUTES = ("gender", "age_group", "condition", "google_product_category", "fb_product_category", "product_highlight")
_GONE = frozenset({"discontinued", "archived", "deleted"})
_JOIN = " | "
_DETAIL = "product_detail.attribute_"


def plain(name: str) -> str:
    """A column as the feeds' own documents call it: `g:image link` is `image_link`."""
    bare = name.strip().lower().removeprefix("g:")
    return bare.partition("[")[0].strip().replace(" ", "_")


def product_of(line: Line) -> str:
    """The item's group, else the item itself; "" where it has neither."""
    cells = _plain(line)
    if group := cells.get("item_group_id"):
        return f"group {group}"
    return f"id {cells['id']}" if cells.get("id") else ""


def items(lines: Sequence[Line]) -> Iterator[Found]:
    """The items of one group; each says everything of itself."""
    told = [(line, _plain(line)) for line in lines]
    pictures = all_of(_pictures(cells) for _, cells in told)
    for line, cells in told:
        price, currency = money(cells.get("price", ""))
        state = cells.get("availability", "").replace("_", " ").lower(), cells.get("status", "").lower()
        yield Item(
            line=line,
            product_id=code(cells.get("id", "")),
            group=code(cells.get("item_group_id", "")) or code(cells.get("id", "")),
            title=cells.get("title", "") or cells.get("structured_title.content", ""),
            brand=cells.get("brand", ""),
            description=cells.get("description", "") or cells.get("structured_description.content", ""),
            category=_category(cells),
            options={name: cells[name] for name in OPTIONS if cells.get(name)},
            own_pictures=_pictures(cells),
            pictures=pictures,
            price=price,
            currency=currency,
            gtin=code(cells.get("gtin", "")),
            url=cells.get("link", ""),
            attributes=_details(cells) | {name: cells[name] for name in ATTRIBUTES if cells.get(name)},
            is_active=not _GONE.intersection(state),
        )


def _plain(line: Line) -> dict[str, str]:
    return {plain(name): bare for name, value in line.cells.items() if (bare := value.strip())}


def _category(cells: Mapping[str, str]) -> str:
    """The shop's own, the first of several; else the feeds' own, where it is a path and no number."""
    told = cells.get("product_type", "").partition(_JOIN)[0]
    named = (cells.get(name, "") for name in ("google_product_category", "fb_product_category"))
    return told or next((one for one in named if one and not one.isdecimal()), "")


def _details(cells: Mapping[str, str]) -> dict[str, str]:
    """Names and values of `product_detail`: elements of their own in XML, "section:name:value" by commas in a table."""
    names, values = (cells.get(f"{_DETAIL}{what}", "").split(_JOIN) for what in ("name", "value"))
    found = dict(zip(names, values, strict=True)) if len(names) == len(values) else {}
    for one in cells.get("product_detail", "").split(","):
        _, is_detail, told = one.partition(":")
        name, _, value = told.partition(":")
        if is_detail and value:
            found[name.strip()] = value.strip()
    return {name: value for name, value in found.items() if name and value}


def _pictures(cells: Mapping[str, str]) -> tuple[Picture, ...]:
    """Its main picture, then the additional ones: by commas in a table, each an element of its own in XML."""
    main = cells.get("image_link", "").partition(_JOIN)[0].strip()
    return (*((Picture(main),) if main else ()), *pictures_in(cells.get("additional_image_link", "")))
