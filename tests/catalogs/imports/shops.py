"""One shop of each format: its columns with what usually stands in them, and how its export is written."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

import pyarrow as pa
import pyarrow.parquet as pq
from openpyxl import Workbook
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

from tests.catalogs.imports.imported import table

Rows = Sequence[Mapping[str, str]]
Columns = Mapping[str, tuple[str, ...]]
WEB = "https://shop.example/"
_NUMBERS = tuple(str(number) for number in range(1, 40))
_TITLES = ("Canvas Backpack", "Stoneware Mug", "Leinenhemd in Größe M", "Robe d'été", "")
_HTML = ("<p>Roomy &amp; light. <b>Wash at 30&deg;C.</b></p>", "Ships in 3 days.\nHand-glazed clay.", "")
_COLOURS = ("Red", "navy/white", "Dark heather grey", "Blau", "")
_SIZES = ("S", "M", "42", "")
_PRICES = ("49.00", "1.299,00", "12,50", "free", "")
_CODES = ("0400638133393", "'0012345670128", '="0099"', "4.00638E+12", "")
_PHOTOS = (f"{WEB}red.jpg", f"{WEB}w_5,h_5/navy-white.jpg?v=1", "photos/mug.png", "")
_BRANDS = ("Harbour", "Acme & Sons", "")
_SKUS = tuple(f"S-{number}" for number in _NUMBERS)


@dataclass(frozen=True)
class Shop:
    """An export of one format.

    Attributes:
        file: as the shop names it.
        columns: usual values by column.
        write: rows as the bytes of a file.
    """

    file: str
    columns: Columns
    write: Callable[[Rows, Sequence[str]], bytes]


def _csv(separator: str) -> Callable[[Rows, Sequence[str]], bytes]:
    return lambda rows, columns: table(rows, columns, separator).encode()


def _json_lines(rows: Rows, columns: Sequence[str]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def _json(rows: Rows, columns: Sequence[str]) -> bytes:
    return json.dumps({"products": [dict(row) for row in rows], "page": 1}).encode()


def _parquet(rows: Rows, columns: Sequence[str]) -> bytes:
    held = io.BytesIO()
    pq.write_table(pa.table({name: [row.get(name) for row in rows] for name in columns}), held)
    return held.getvalue()


def _excel(rows: Rows, columns: Sequence[str]) -> bytes:
    book, held = Workbook(), io.BytesIO()
    assert book.active is not None
    for row in (list(columns), *([row.get(name, "") for name in columns] for row in rows)):
        book.active.append([ILLEGAL_CHARACTERS_RE.sub("", value)[:32_000] for value in row])
        for cell in book.active[book.active.max_row]:
            cell.data_type = "s"
    book.save(held)
    return held.getvalue()


def _rss(rows: Rows, columns: Sequence[str]) -> bytes:
    items = "".join(f"<item>{_elements(row)}</item>" for row in rows)
    space = 'xmlns:g="http://base.google.com/ns/1.0"'
    return f'<?xml version="1.0"?>\n<rss {space}><channel><title>Shop</title>{items}</channel></rss>'.encode()


def _atom(rows: Rows, columns: Sequence[str]) -> bytes:
    entries = "".join(f"<entry><title>of Atom</title>\n{_elements(row)}</entry>" for row in rows)
    spaces = 'xmlns="http://www.w3.org/2005/Atom" xmlns:g="http://base.google.com/ns/1.0"'
    return f"<feed {spaces}><id>tag:shop</id>{entries}</feed>".encode()


def _elements(row: Mapping[str, str]) -> str:
    """Without what XML has no way to write."""
    legal = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
    told = ((re.sub(r"\W", "_", name) or "_", escape(legal.sub("", value))) for name, value in row.items())
    return "".join(f"<g:{name}>{value}</g:{name}>\n" for name, value in told)


SHOPIFY: Columns = {
    "Handle": ("backpack", "mug", "hemd", "robe"),
    "Title": _TITLES,
    "Body (HTML)": _HTML,
    "Vendor": _BRANDS,
    "Type": ("Bags", "Kitchen > Mugs", ""),
    "Published": ("true", "false", ""),
    "Option1 Name": ("Color", "Title", ""),
    "Option1 Value": (*_COLOURS, "Default Title"),
    "Option2 Name": ("Size", ""),
    "Option2 Value": _SIZES,
    "Variant SKU": (*_SKUS, "", "", ""),
    "Variant Price": _PRICES,
    "Variant Barcode": _CODES,
    "Image Src": _PHOTOS,
    "Image Position": ("1", "2", "x", ""),
    "Image Alt Text": ("in red", ""),
    "Variant Image": _PHOTOS,
    "Status": ("active", "draft", ""),
    "Fabric (product.metafields.custom.fabric)": ("Linen", ""),
}
WOOCOMMERCE: Columns = {
    "ID": _NUMBERS,
    "Type": ("simple", "variable", "variation", "variation", "grouped", "variation, downloadable", ""),
    "SKU": (*_SKUS, ""),
    "Name": _TITLES,
    "Published": ("1", "0", "-1"),
    "Description": _HTML,
    "Regular price": _PRICES,
    "Categories": ("Bags > Totes, Bags", "Kitchen\\, Bath > Mugs", ""),
    "Images": (*_PHOTOS, f"{WEB}a.jpg, {WEB}b.jpg"),
    "Parent": ("", "id:1", "id:2", "S-3", "S-4", "none"),
    "Brands": _BRANDS,
    "Attribute 1 name": ("Color", "pa_farbe", ""),
    "Attribute 1 value(s)": (*_COLOURS, "Red\\, white, Blue"),
    "Attribute 2 name": ("Size", ""),
    "Attribute 2 value(s)": _SIZES,
    "Meta: care": ("cold", ""),
}
MERCHANT: Columns = {
    "id": (*_NUMBERS, "0012"),
    "title": _TITLES,
    "description": _HTML,
    "link": (f"{WEB}p?a=1&b=2", ""),
    "image_link": _PHOTOS,
    "additional_image_link": (*_PHOTOS, f"{WEB}a.jpg,{WEB}b.jpg"),
    "availability": ("in_stock", "out of stock", "discontinued", ""),
    "price": ("49.00 EUR", "EUR 12,50", "USD", ""),
    "brand": _BRANDS,
    "gtin": _CODES,
    "product_type": ("Bags > Totes", ""),
    "google_product_category": ("5608", "Home > Mugs", ""),
    "item_group_id": ("tote", "mug", "", ""),
    "color": _COLOURS,
    "size": _SIZES,
    "product_detail": ("General:Fabric:Linen", ":::", ""),
}
MAGENTO: Columns = {
    "sku": _SKUS,
    "store_view_code": ("", "", "", "de", "store_fr", "admin"),
    "attribute_set_code": ("Default", "Bag"),
    "product_type": ("simple", "simple", "configurable", "grouped", "virtual", ""),
    "categories": ("Default Category/Bags,Default Category/Bags/Totes", ""),
    "name": _TITLES,
    "description": _HTML,
    "short_description": ("Light.", ""),
    "product_online": ("1", "2", ""),
    "price": _PRICES,
    "base_image": ("/b/a/bag.jpg", "no_selection", ""),
    "additional_images": ("/a.jpg,/b.jpg", ""),
    "additional_image_labels": ("Red,Blue,more", ""),
    "additional_attributes": ("color=Red,material=Cotton, organic|Wool,brand=Acme", 'note="a, ""b"" c",x=', "=,=", ""),
    "configurable_variations": ("", "", "sku=S-1,color=Red|sku=S-2,color=Blue", "sku=S-9,size=S|sku=|color=x", "|"),
}
MAPPED: Columns = {
    "sku": (*_SKUS, "0012", ""),
    "name": _TITLES,
    "description": _HTML,
    "category": ("Taschen > Rucksäcke", ""),
    "brand": _BRANDS,
    "parent_id": ("P-1", "P-2", "", ""),
    "price": _PRICES,
    "currency": ("EUR", ""),
    "ean": _CODES,
    "image": (*_PHOTOS, "a.jpg, b.jpg", "a.jpg | b.jpg"),
    "color": _COLOURS,
    "size": _SIZES,
    "active": ("yes", "no", ""),
}
SHOPS: Mapping[str, Shop] = {
    "shopify": Shop("products_export.csv", SHOPIFY, _csv(",")),
    "woocommerce": Shop("wc-product-export.csv", WOOCOMMERCE, _csv(",")),
    "merchant": Shop("merchant.txt", MERCHANT, _csv("\t")),
    "meta": Shop("meta.csv", MERCHANT, _csv(",")),
    "rss": Shop("feed.xml", MERCHANT, _rss),
    "atom": Shop("feed.atom", MERCHANT, _atom),
    "magento": Shop("catalog_product.csv", MAGENTO, _csv(",")),
    "mapped": Shop("shop.csv", MAPPED, _csv(";")),
    "json lines": Shop("shop.jsonl", MAPPED, _json_lines),
    "json": Shop("shop.json", MAPPED, _json),
    "parquet": Shop("shop.parquet", MAPPED, _parquet),
    "excel": Shop("shop.xlsx", MAPPED, _excel),
}
