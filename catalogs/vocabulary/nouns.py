"""What a thing is called: the noun of a title, else of a category or a description."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from catalogs.vocabulary.folding import Token, folded, key_of, tokens_of
from catalogs.vocabulary.lexicon import HEAD_FIRST, Lexicon, Span, plurals
from catalogs.vocabulary.word_lists import sections

_SEGMENT = re.compile(r"[:|,;()\[\]•·]|\s[-–—/]+\s")
_LEVEL = re.compile(r"\s*[>|/»›]\s*|\n")
_BINDING = frozenset({"en", "de", "d", "di", "in", "del", "a", "of"})


def noun_of(
    title: str, category: str, attributes: Mapping[str, str], first_sentence: str, words: Lexicon, brand: str
) -> tuple[str, frozenset[str]]:
    """The noun in lower case, "" where no word is known, and the words of the title that it takes."""
    for segment in _SEGMENT.split(title):
        if noun := _of_text(segment, words, brand):
            return noun, frozenset(key_of(noun))
    for text in _places(category, attributes):
        if noun := _of_text(text, words, brand):
            noun = singular(noun, words)
            noun = _of_text(first_sentence, words, brand, head=key_of(noun)) or noun
            return noun, frozenset(key_of(noun))
    noun = _of_text(_before_cut(first_sentence, words), words, brand)
    return noun, frozenset(key_of(noun))


def _before_cut(sentence: str, words: Lexicon) -> str:
    """What a sentence says first: "a robe in soft cotton for your wardrobe" -> "a robe"."""
    tokens = tokens_of(sentence)
    cut = next(
        (span.start for span in words.spans([token.word for token in tokens]) if "cut" in span.kinds and span.start),
        len(tokens),
    )
    return sentence[: tokens[cut].start] if cut < len(tokens) else sentence


def _places(category: str, attributes: Mapping[str, str]) -> Iterator[str]:
    """Where else a noun may stand: the category from its leaf, and attributes that say a type."""
    types = sections("attribute_names.txt")["types"]
    yield from (value for key, value in attributes.items() if folded(key).replace("_", " ") in types)
    yield from reversed(_LEVEL.split(category))


def _of_text(text: str, words: Lexicon, brand: str, head: tuple[str, ...] = ()) -> str:
    """The noun of a text, "" where it has none; with a head, only where that stands in it."""
    tokens = without_brand(tokens_of(text), brand)
    spans = list(words.spans([token.word for token in tokens]))
    cut = next((span.start for span in spans if "cut" in span.kinds and _has_noun(spans, span.start)), len(tokens))
    kept = [span for span in spans if span.end <= cut]
    nouns = [
        place
        for place, span in enumerate(kept)
        if "noun" in span.kinds and (not head or head == tuple(token.word for token in tokens[span.start : span.end]))
    ]
    if not nouns:
        return ""
    if words.language in HEAD_FIRST:
        start, end = _head_first(tokens, kept, nouns[0])
    else:
        start, end = _head_last(kept, nouns[-1])
    return text[tokens[start].start : tokens[end - 1].end].lower()


def _has_noun(spans: Sequence[Span], before: int) -> bool:
    return any("noun" in span.kinds and span.end <= before for span in spans)


def _head_last(spans: Sequence[Span], place: int) -> tuple[int, int]:
    """The last noun with a noun and a material right before it: "faux leather shoulder bag"."""
    start, end = spans[place].start, spans[place].end
    for kind in ("noun", "material"):
        before = spans[place - 1] if place else None
        if before and before.end == start and kind in before.kinds and not before.kinds & {"colour", "part"}:
            place, start = place - 1, before.start
    return start, end


def _head_first(tokens: Sequence[Token], spans: Sequence[Span], place: int) -> tuple[int, int]:
    """The first noun with the material that is bound to it: "sac en cuir"."""
    start, end = spans[place].start, spans[place].end
    after = spans[place + 1] if place + 1 < len(spans) else None
    if (
        after
        and "material" in after.kinds
        and (after.start == end or (after.start == end + 1 and tokens[end].word in _BINDING))
    ):
        end = after.end
    return start, end


def without_brand(tokens: list[Token], brand: str) -> list[Token]:
    """The tokens without those of the brand's name."""
    name = key_of(brand)
    if not name:
        return tokens
    size = len(name)
    for start in range(len(tokens) - size + 1):
        if tuple(token.word for token in tokens[start : start + size]) == name:
            return tokens[:start] + without_brand(tokens[start + size :], brand)
    return tokens


def singular(noun: str, words: Lexicon) -> str:
    """A category's plural as one thing: "backpacks" -> "backpack"; what is always plural stays."""
    *before, last = noun.split(" ")
    for cut, ending in ((1, ""), (2, ""), (3, "y")):
        stem = last[: len(last) - cut] + ending
        known = words.entries.get(key_of(" ".join([*before, stem]))) or words.entries.get(key_of(stem))
        if (
            stem
            and known
            and "noun" in known
            and key_of(last)[-1:]
            and key_of(last)[0] in plurals(key_of(stem)[0], words.language)
        ):
            return " ".join([*before, stem])
    return noun
