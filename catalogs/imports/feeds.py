"""Product feeds in XML: RSS 2.0 and Atom, as Google Merchant Center takes them.

Read as a stream. Entities other than XML's own five are refused, and with them every document type: a feed needs none,
and they can name files of this machine, or grow without end.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xml.parsers import expat

from catalogs.errors import CatalogError

_ITEMS = frozenset({"item", "entry"})
_MERCHANT = "http://base.google.com/ns/"
_CHUNK = 2**16
_JOIN = " | "
_LONGEST = 1_000_000
"""Characters of one item, the names of its elements with them."""
_DEEPEST = 32
_LONGEST_TAG = 4 * 2**20
"""Bytes: a tag is read again from its beginning with every further piece."""


def feed_items(path: Path, name: str) -> Iterator[dict[str, str] | str]:
    """Each item as text by element, without namespaces; what lies deeper is named by its path (`shipping.price`), and
    an element that is there several times is joined by " | ". Where Atom or RSS and the merchants' namespace have an
    element of one name (id, title, link), the merchants' counts.

    Raises:
        CatalogError: it is no XML, has a document type, or a tag without end.
    """
    reader = _Reader(name)
    with path.open("rb") as file:
        while data := file.read(_CHUNK):
            yield from reader.feed(data)
    yield from reader.feed(b"", final=True)


class _Reader:
    def __init__(self, name: str) -> None:
        self._name = name
        self._done: list[dict[str, str] | str] = []
        self._item: dict[str, list[str]] | None = None
        self._of_merchants: dict[str, list[str]] = {}
        self._path: list[str] = []
        self._text: list[str] = []
        self._length = self._depth = self._fed = 0
        self._parser = expat.ParserCreate(namespace_separator=" ")
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters
        self._parser.StartDoctypeDeclHandler = self._doctype

    def feed(self, data: bytes, final: bool = False) -> list[dict[str, str] | str]:
        try:
            self._parser.Parse(data, final)
        except expat.ExpatError as error:
            raise CatalogError(
                self._name, f"line {error.lineno}", f"is no XML ({expat.ErrorString(error.code)})", "export it again"
            ) from None
        except (ValueError, LookupError) as error:  # of an encoding that is named and unknown
            raise CatalogError(self._name, "", f"is no XML ({error})", "export it as UTF-8") from None
        self._fed += len(data)
        if not final and self._fed - max(0, self._parser.CurrentByteIndex) > _LONGEST_TAG:
            problem = f"holds a tag or a comment of more than {_LONGEST_TAG // 2**20} MiB"
            raise CatalogError(self._name, f"line {self._parser.CurrentLineNumber}", problem, "take it out")
        done, self._done = self._done, []
        return done

    def _doctype(self, *_: object) -> None:
        raise CatalogError(self._name, "", "has a document type, which no feed needs", "take <!DOCTYPE ...> out")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise CatalogError(self._name, "", f"has elements more than {_DEEPEST} deep", "export it as a feed")
        local = tag.rpartition(" ")[2]
        if self._item is None:
            if local in _ITEMS:
                self._item, self._of_merchants, self._path, self._length = {}, {}, [], 0
            return
        self._path.append(local)
        self._text = []
        self._length += len(local)
        if local == "link" and attributes.get("rel", "alternate") == "alternate":  # of Atom
            self._length += len(attributes.get("href", ""))
            self._add(tag, "link", attributes.get("href", ""))

    def _characters(self, text: str) -> None:
        if self._item is not None:
            self._length += len(text)
            if self._length <= _LONGEST:
                self._text.append(text)

    def _end(self, tag: str) -> None:
        self._depth -= 1
        if self._item is None:
            return
        if not self._path:
            found = {key: _JOIN.join(values) for key, values in (self._item | self._of_merchants).items()}
            self._done.append(found if self._length <= _LONGEST else f"is longer than {_LONGEST:,} characters")
            self._item = None
            return
        self._add(tag, ".".join(self._path), "".join(self._text).strip())
        self._path.pop()
        self._text = []

    def _add(self, tag: str, key: str, value: str) -> None:
        if self._item is not None and value and self._length <= _LONGEST:
            is_merchant = tag.startswith(_MERCHANT)
            (self._of_merchants if is_merchant else self._item).setdefault(key, []).append(value)
