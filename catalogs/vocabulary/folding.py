"""Words as they are compared: without case, accents or hyphens."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

LANGUAGES = ("en", "de", "fr", "es", "it", "nl")
"""Languages that the tables have words of; where two claim a word, the first named wins."""

_WORD = re.compile(r"[^\W_]+")
# Control, format and private characters: NUL, zero-width, bidirectional marks. Line ends and tabs stay.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\ufe00-\ufe0f\ufeff\ufff9-\ufffb\ud800-\udfff\ue000-\uf8ff]"
)


class Token(NamedTuple):
    """A word of a text: as it is compared, and where it stands."""

    word: str
    start: int
    end: int


def visible_text(text: str) -> str:
    """The text without characters that nobody sees."""
    return _UNSEEN.sub("", text)


@lru_cache(maxsize=1 << 16)
def folded(word: str) -> str:
    """Lower case, without accents: "Weiß" -> "weiss", "Türkis" -> "turkis"."""
    if word.isascii():
        return word.lower()
    bare = unicodedata.normalize("NFKD", word.casefold())
    return "".join(mark for mark in bare if not unicodedata.combining(mark)).replace("œ", "oe").replace("æ", "ae")


def tokens_of(text: str) -> list[Token]:
    """The words of a text; a hyphen or an apostrophe stands between two."""
    if text.isascii():  # most texts, at three times the pace
        return [Token(found[0], found.start(), found.end()) for found in _WORD.finditer(text.lower())]
    return [Token(folded(found[0]), found.start(), found.end()) for found in _WORD.finditer(text)]


def words_of(text: str) -> list[str]:
    """The words of a text as they are compared, without their places: much the quicker."""
    return _WORD.findall(text.lower()) if text.isascii() else [folded(word) for word in _WORD.findall(text)]


def key_of(phrase: str) -> tuple[str, ...]:
    """A phrase as tables know it."""
    return tuple(folded(word) for word in _WORD.findall(phrase))


def respelled_key(phrase: str) -> tuple[str, ...]:
    """A phrase in German's other spelling: "grün" -> ("gruen",)."""
    lower = unicodedata.normalize("NFC", phrase).casefold()
    return key_of(lower.replace("ä", "ae").replace("ö", "oe").replace("ü", "ue"))
