"""Any table, by a map of its columns: what each column of a product is read from.

A map is a JSON object. Keys are fields of a product; a value is a column's name, a text with columns in braces
(`photos/{handle}.jpg`), or for `options` and `pictures` a list of such.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from catalogs.errors import CatalogError, nearest
from catalogs.imports.exports import Found, Item, Line, Picture, all_of, code, money, pictures_in

NAME = "mapped table"
FIELDS = (
    *("product_id", "title", "description", "category", "brand", "product_group", "price", "currency", "gtin", "url"),
    *("pictures", "options", "attributes", "active"),
)
LISTS = ("pictures", "options", "attributes")
NEEDED = ("product_id", "title")
COLUMNS_NAMED = 20
_COLUMN = re.compile(r"\{([^{}]+)\}")
_OFF = frozenset({"0", "false", "no", "n", "inactive", "disabled", "draft", "archived", "nein", "non", "off"})
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss"})

# By what a column is called without all but letters and digits; the first name that a column of the table has is taken.
_NAMES: Mapping[str, tuple[str, ...]] = {
    "product_id": (
        *("productid", "sku", "variantsku", "articlenumber", "artikelnummer", "artikelnr", "artnr", "artno", "itemid"),
        *("itemnumber", "itemno", "productnumber", "produktnummer", "produktnr", "bestellnummer", "artikelcode"),
        *("productcode", "codice", "codigo", "referencia", "reference", "id", "handle", "ref", "code"),
    ),
    "title": (
        *("title", "producttitle", "productname", "name", "titel", "produktname", "artikelname", "bezeichnung"),
        *("artikelbezeichnung", "nom", "designation", "libelle", "nombre", "titolo", "nome", "naam"),
    ),
    "description": (
        *("description", "bodyhtml", "longdescription", "beschreibung", "langbeschreibung", "artikelbeschreibung"),
        *("descripcion", "descrizione", "omschrijving", "text"),
    ),
    "category": (
        *("categoryfullpath", "categorypath", "producttype", "category", "categories", "kategorie", "warengruppe"),
        *("categorie", "categoria", "type"),
    ),
    "brand": (
        *("brand", "vendor", "manufacturer", "marke", "hersteller", "marque", "fabricant", "marca", "fabricante"),
        *("produttore", "merk", "fabrikant"),
    ),
    "product_group": (
        *("itemgroupid", "productgroup", "parentsku", "parentid", "groupid", "modelid", "modelnumber", "modellnummer"),
        *("stylenumber", "modell"),
    ),
    "price": (
        *("price", "priceminusd", "regularprice", "saleprice", "listprice", "unitprice", "preis", "verkaufspreis"),
        *("bruttopreis", "prix", "precio", "prezzo", "prijs"),
    ),
    "currency": ("currency", "waehrung", "devise", "moneda", "valuta"),
    "gtin": ("gtin", "ean", "upc", "barcode", "ean13"),
    "url": ("url", "link", "producturl", "permalink"),
    "active": ("active", "published", "status", "aktiv", "enabled"),
}
_PICTURE_NAMES = re.compile(r"image|picture|photo|bild|foto|img", re.IGNORECASE)
_NO_PICTURE = re.compile(
    r"count|alt|width|height|id$|anzahl|position|role|licence|license|territor|reason|credit|quelle", re.IGNORECASE
)
_OPTION_NAMES = frozenset(
    (
        *("color", "colour", "farbe", "couleur", "color1", "colore", "kleur", "size", "groesse", "taille", "talla"),
        *("taglia", "maat", "material", "matiere", "materiale", "pattern", "muster", "motif", "style", "finish"),
        "variant",
    )
)


@dataclass(frozen=True)
class ColumnMap:
    """What each field of a product is read from; texts with columns in braces."""

    fields: Mapping[str, str]
    lists: Mapping[str, tuple[str, ...]]

    @property
    def columns(self) -> list[str]:
        """That it reads."""
        templates = [*self.fields.values(), *(one for some in self.lists.values() for one in some)]
        return list(dict.fromkeys(column for one in templates for column in _COLUMN.findall(one)))

    def product_of(self, line: Line) -> str:
        """Its group, else itself; "" where it has neither."""
        if group := self._one(line, "product_group"):
            return f"group {group}"
        name = self._one(line, "product_id")
        return f"id {name}" if name else ""

    def items(self, lines: Sequence[Line]) -> Iterator[Found]:
        """A line is an item."""
        pictures = all_of(self._pictures(line) for line in lines)
        for line in lines:
            product_id = code(self._one(line, "product_id"))
            price, currency = money(self._one(line, "price"))
            yield Item(
                line=line,
                product_id=product_id,
                group=code(self._one(line, "product_group")) or product_id,
                title=self._one(line, "title"),
                brand=self._one(line, "brand"),
                description=self._one(line, "description"),
                category=self._one(line, "category"),
                options=self._named(line, "options"),
                own_pictures=self._pictures(line),
                pictures=pictures,
                price=price,
                currency=self._one(line, "currency") or currency,
                gtin=code(self._one(line, "gtin")),
                url=self._one(line, "url"),
                attributes=self._named(line, "attributes"),
                texts={name: text for name in self.fields if "@" in name and (text := self._one(line, name))},
                is_active=self._one(line, "active").lower() not in _OFF,
            )

    def as_json(self) -> str:
        """As it is written to be edited; what is needed and not known is there to be filled in."""
        lists = {name: list(columns) for name, columns in self.lists.items()}
        return json.dumps({**dict.fromkeys(NEEDED, ""), **self.fields, **lists}, indent=2, ensure_ascii=False) + "\n"

    def _one(self, line: Line, name: str) -> str:
        return _filled(self.fields.get(name, ""), line)

    def _named(self, line: Line, name: str) -> dict[str, str]:
        """By the name of the column alone."""
        columns = (column.strip("{}") for column in self.lists.get(name, ()))
        return {column: value for column in columns if (value := line.get(column))}

    def _pictures(self, line: Line) -> tuple[Picture, ...]:
        cells = (_filled(one, line) for one in self.lists.get("pictures", ()))
        return all_of(pictures_in(cell) for cell in cells)


def _filled(template: str, line: Line) -> str:
    """A template with the line's columns; "" where one of them is empty."""
    columns = _COLUMN.findall(template)
    if any(not line.get(column) for column in columns):
        return ""
    return _COLUMN.sub(lambda found: line.get(found[1]), template)


def read_map(text: str, source: str, header: Sequence[str]) -> ColumnMap:
    """A map as it is written in a file.

    Args:
        header: columns of the table it is for.

    Raises:
        CatalogError: it is no JSON object, or names a field or a column that is not there.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CatalogError(source, "", f"is no JSON ({' '.join(str(error).split())})", "correct it") from None
    if not isinstance(content, dict):
        raise CatalogError(source, "", "is no JSON object", 'write {"product_id": "sku", "title": "name"}')
    fields: dict[str, str] = {}
    lists: dict[str, tuple[str, ...]] = {}
    for name, value in content.items():
        bare = name.partition("@")[0]
        if bare not in FIELDS or (bare != name and bare not in ("title", "description")):
            raise CatalogError(source, name, "is no field of a product", nearest(name, FIELDS))
        if name in LISTS:
            lists[name] = tuple(_template(one, source, name, header) for one in _as_list(value, source, name))
        else:
            fields[name] = _template(value, source, name, header)
    if missing := [name for name in NEEDED if name not in fields]:
        raise CatalogError(source, missing[0], "is missing", "name the column that it is read from")
    return ColumnMap(fields, lists)


def _as_list(value: Any, source: str, name: str) -> list[Any]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return value
    raise CatalogError(source, name, "is no list of columns", 'write ["column", "column"]')


def _some(header: Sequence[str]) -> str:
    more = [f"and {len(header) - COLUMNS_NAMED} more"] if len(header) > COLUMNS_NAMED else []
    return ", ".join([*header[:COLUMNS_NAMED], *more])


def _template(value: Any, source: str, name: str, header: Sequence[str]) -> str:
    if not isinstance(value, str) or not value.strip():
        raise CatalogError(source, name, "is no column's name", f"write one of the table's, in quotes: {_some(header)}")
    template = value if _COLUMN.search(value) else "{" + value + "}"
    for column in _COLUMN.findall(template):
        if column not in header:
            raise CatalogError(source, name, f"the table has no column {column!r}", nearest(column, header))
    return template


def _bare(column: str) -> str:
    """Letters and digits of a name: `Währung` is waehrung, `Matière` matiere."""
    plain = unicodedata.normalize("NFKD", column.lower().translate(_UMLAUTS))
    return re.sub(r"[^a-z0-9]", "", plain)


def propose(header: Sequence[str]) -> ColumnMap:
    """A map by the names of the columns; fields that none seems to be for are left out."""
    bare = {column: _bare(column) for column in header}
    fields: dict[str, str] = {}
    for field, names in _NAMES.items():
        found = next((column for name in names for column in header if bare[column] == name), None)
        if found is not None and "{" + found + "}" not in fields.values():
            fields[field] = "{" + found + "}"
    taken = set(fields.values())
    free = [column for column in header if "{" + column + "}" not in taken]
    pictures = [one for one in free if _PICTURE_NAMES.search(one) and not _NO_PICTURE.search(one)]
    options = [one for one in free if bare[one] in _OPTION_NAMES]
    lists = {
        "pictures": tuple("{" + one + "}" for one in pictures),
        "options": tuple("{" + one + "}" for one in options),
    }
    return ColumnMap(fields, {name: columns for name, columns in lists.items() if columns})
