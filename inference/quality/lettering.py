"""How much of the letters that a picture was to show can be read in it."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache

_ACCENTS = range(0x300, 0x370)  # those of Latin, Greek and Cyrillic; the marks of other scripts are letters
_MOST_TOKENS = 120  # of a picture: a page of print is compared in parts no further


def read_back(asked: Sequence[str], lines: Sequence[str]) -> float:
    """Share of the letters of the text that was read worst, 1 where all texts stand in the picture.

    Case, accents, spaces and punctuation do not count, nor does the order of lines. A letter too much counts like one
    that is missing or another: words are compared whole.

    Args:
        asked: at least one text with a letter or digit.
        lines: what was read, from top to bottom.
    """
    tokens = [token for line in lines for word in line.split() if (token := plain(word))][:_MOST_TOKENS]
    return min(_share([part for word in text.split() if (part := plain(word))], tokens) for text in asked)


def plain(text: str) -> str:
    """Letters and digits of a text, without case and accents."""
    parts = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    bare = "".join(part for part in parts if ord(part) not in _ACCENTS)
    return "".join(part for part in unicodedata.normalize("NFC", bare) if part.isalnum() or _is_mark(part))


def _is_mark(part: str) -> bool:
    return unicodedata.category(part).startswith("M")


def _share(words: Sequence[str], tokens: Sequence[str]) -> float:
    """1 - edit distance / length, with every run of words taken from wherever it was read best."""
    whole = "".join(words)
    least = [0] * (len(words) + 1)
    for end in range(1, len(words) + 1):
        least[end] = min(least[start] + _distance("".join(words[start:end]), tokens) for start in range(end))
    return max(0.0, 1 - least[-1] / len(whole))


def _distance(part: str, tokens: Sequence[str]) -> int:
    """Edits between a part of a text and the run of read words that is most like it; all of it where none is."""
    best = len(part)
    for run in _runs(tokens, 2 * len(part)):
        if abs(len(run) - len(part)) < best:
            best = min(best, edits(part, run))
    return best


def _runs(tokens: Sequence[str], longest: int) -> Iterator[str]:
    for start in range(len(tokens)):
        run = ""
        for token in tokens[start:]:
            run += token
            if len(run) > longest:
                break
            yield run


@lru_cache(1024)
def _places(text: str) -> dict[str, int]:
    """Of each letter a number with a bit for every place where it stands."""
    found: dict[str, int] = {}
    for place, letter in enumerate(text):
        found[letter] = found.get(letter, 0) | 1 << place
    return found


def edits(one: str, other: str) -> int:
    """Letters to insert, to take out or to exchange; a column a step in whole numbers (Hyyrö 2003)."""
    if not one:
        return len(other)
    places, top = _places(one), 1 << (len(one) - 1)
    more, less, count = (1 << len(one)) - 1, 0, len(one)
    for letter in other:
        same = places.get(letter, 0)
        across = (((same & more) + more) ^ more) | same | less
        up, down = less | ~(across | more), more & across
        count += bool(up & top) - bool(down & top)
        up, down = up << 1 | 1, down << 1
        more, less = down | ~(same | less | up), up & (same | less)
    return count
