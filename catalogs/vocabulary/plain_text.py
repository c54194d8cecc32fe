"""A description as sentences: HTML taken apart, what nobody sees left out."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

from catalogs.vocabulary.folding import visible_text

MAX_HTML = 400_000
MAX_TEXT = 20_000
"""Characters of a description that are read: no shop's copy is longer, and hostile ones are."""

# None of these can take more than one look at each character.
_HIDDEN = re.compile(r"<\s*(/?)\s*(script|style|template|svg|head|iframe|noscript)\b", re.IGNORECASE)
_BLOCK = re.compile(r"<\s*/?\s*(?:p|br|li|ul|ol|div|tr|td|th|h[1-6]|table|section|dd|dt|hr)\b[^<>]*>", re.IGNORECASE)
_TAG = re.compile(r"</?[a-zA-Z!?][^<>]*>")
_COMMENT = re.compile(r"<!--|-->")
_SPACES = re.compile(r"[ \t\r\f\v\xa0\u2000-\u200a\u3000]+")
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=\S)|\s*\n+\s*|\s[•·|✓✔]\s?|^[•·✓✔-]\s")


def plain_text(description: str) -> str:
    """The text of a description, HTML or not, a line a block; control characters and hidden elements left out."""
    text = visible_text(description[:MAX_HTML])
    if "<" in text:
        text = _without(_without(text, _COMMENT, "<!--", "-->"), _HIDDEN, "", "/")
        text = _TAG.sub("", _BLOCK.sub("\n", text.replace("\n", " ")))
    if "&" in text:
        text = visible_text(html.unescape(text))
    return _SPACES.sub(" ", text)[:MAX_TEXT].strip()


def _without(text: str, mark: re.Pattern[str], opening: str, closing: str) -> str:
    """The text without what stands between an opening mark and the next closing one, or the end."""
    kept, place, inside = [], 0, False
    for found in mark.finditer(text):
        opens = found[0] == opening if opening else found[1] != closing
        if opens and not inside:
            kept.append(text[place : found.start()])
            inside = True
        elif not opens and inside:
            end = text.find(">", found.start()) if not opening else found.end() - 1
            place, inside = (end + 1 if end >= 0 else len(text)), False
    if not inside:
        kept.append(text[place:])
    return " ".join(kept)


def sentences_of(text: str) -> Iterator[str]:
    """Sentences, lines and list items of a plain text."""
    for sentence in _SENTENCE.split(text):
        if sentence and (bare := sentence.strip(" \t-–•")):
            yield bare
