"""What a product is, what of it can be seen, and what is left that is marketing copy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from catalogs.vocabulary.advice import own_words
from catalogs.vocabulary.folding import Token, folded, key_of, tokens_of, visible_text, words_of
from catalogs.vocabulary.lexicon import HEAD_FIRST, LOOKS, Lexicon, Span, is_said, lexicon
from catalogs.vocabulary.nouns import noun_of, without_brand
from catalogs.vocabulary.plain_text import plain_text, sentences_of
from catalogs.vocabulary.word_lists import sections

MOST_VISIBLE = 8
MAX_TITLE = 500
"""Characters of a title or an attribute that are read."""
_USUAL = 400  # characters of a sentence that is kept: shops say the same of many products, and never at such length

_FUNCTIONAL = frozenset({"care", "shipping", "size"})
_SAYING = LOOKS | {"colour"}
_SAID_OF = _SAYING | {"shade"}
_BINDING = frozenset({"en", "de", "d", "di", "in", "del", "a"})


@dataclass(frozen=True)
class Described:
    """A product in words for a prompt.

    Attributes:
        noun: what it is, lower case, without brand, model, size or colour: "canvas backpack"; "" where no word of the
            texts is known.
        visible: at most 8 short phrases of what can be seen, the surest first: "ribbed cuffs", "striped". The colour of
            the whole thing is not among them, a part's is.
        copy: the marketing copy that is left, plain text; without care, delivery and size tables.
    """

    noun: str
    visible: tuple[str, ...]
    copy: str


def describe(
    title: str,
    description: str,
    category: str,
    attributes: Mapping[str, str],
    language: str = "en",
    brand: str = "",
) -> Described:
    """What the words of a shop say a product is.

    Args:
        title: plain text.
        description: HTML or plain text.
        category: a path, its levels between ">", "/", "|" or line ends.
        attributes: the shop's own, such as {"material": "Nylon, Polyester"}.
        language: of all texts; English where we have no words of it.
        brand: its words in a title are no part of the noun.
    """
    words = lexicon(language)
    title = visible_text(title[:MAX_TITLE])
    sentences = _sentences(description)
    first = sentences[0][:MAX_TITLE] if sentences else ""
    noun, taken = noun_of(title, category[:MAX_TITLE], attributes, first, words, brand)
    phrases = list(_of_title(title, words, taken, brand))
    phrases += _of_attributes(attributes, words)
    copy = []
    head = key_of(noun)[0 if words.language in HEAD_FIRST else -1 :][:1]
    for sentence in sentences:
        read = _read_before if len(sentence) <= _USUAL else _of_sentence
        kind, found = read(sentence, words.language, head)
        phrases += found
        if kind == "copy":
            copy.append(sentence)
    return Described(noun, _chosen(phrases, noun, taken), " ".join(copy))


def _of_title(title: str, words: Lexicon, taken: frozenset[str], brand: str) -> Iterator[str]:
    tokens = without_brand(tokens_of(title), brand)
    spans = list(words.spans([token.word for token in tokens]))
    if words.language not in HEAD_FIRST:  # before "with" a colour is the whole thing's
        cut = next((span.start for span in spans if "cut" in span.kinds), len(tokens))
        spans = [at for at in spans if at.start > cut or at.kinds & LOOKS or not at.kinds & {"colour", "shade"}]
    parts, used = _bound(title, tokens, spans, words)
    for place, span in enumerate(spans):
        if place not in used and span.kinds & LOOKS and not span.kinds & {"noun", "colour"}:
            yield _surface(title, tokens, span.start, span.end)
    yield from parts


def _of_attributes(attributes: Mapping[str, str], words: Lexicon) -> Iterator[str]:
    look_keys = set(sections("attribute_names.txt")["looks"])
    for key, value in attributes.items():
        name = folded(key).replace("_", " ").split()
        if not look_keys.isdisjoint(name):
            part = _part_in(name, words)
            text = visible_text(value[:MAX_TITLE])
            tokens = tokens_of(text)
            for span in words.spans([token.word for token in tokens]):
                if span.kinds & LOOKS:
                    said = _surface(text, tokens, span.start, span.end)
                    is_whole = not part or part in folded(said) or span.kinds & {"part", "noun"}
                    yield said if is_whole else f"{said} {part}"


def _part_in(name: Sequence[str], words: Lexicon) -> str:
    """The part that an English attribute is of: "strap_bags: adjustable" is an adjustable strap."""
    if words.language != "en":
        return ""
    parts = sections("attribute_names.txt")["parts"]
    return next((word for word in name if word in parts), "")


@lru_cache(maxsize=4)
def _sentences(description: str) -> tuple[str, ...]:
    """Variants of one product, which come one after the other, share theirs."""
    return tuple(sentences_of(plain_text(description)))


def _of_sentence(sentence: str, language: str, head: tuple[str, ...]) -> tuple[str, Sequence[str]]:
    """Whether a sentence is copy, and the phrases it has of what can be seen."""
    words = lexicon(language)
    said = words_of(sentence)
    spans = list(words.spans(said))
    kinds = frozenset().union(*(span.kinds for span in spans))
    functional = bool(kinds & _FUNCTIONAL)
    if kinds.isdisjoint(_SAYING):
        return "functional" if functional else "copy", []
    own = own_words(said)
    spans = [span for span in spans if span.end <= own]
    tokens = tokens_of(sentence)
    phrases, used = _bound(sentence, tokens, spans, words)
    if not functional and "claim" not in kinds:
        phrases += _of_head(sentence, tokens, spans, words, head)
    phrases += _shares(sentence, tokens, spans)
    if functional:
        return "functional", [] if kinds & {"shipping", "size"} else phrases
    covered = sum(spans[place].end - spans[place].start for place in used)
    listed = phrases and "claim" not in kinds and covered * 2 >= len(tokens)
    return "listed" if listed else "copy", phrases


_read_before = lru_cache(maxsize=2_000)(_of_sentence)


def _bound(text: str, tokens: Sequence[Token], spans: Sequence[Span], words: Lexicon) -> tuple[list[str], set[int]]:
    """Parts with what is said of them, "brown leather straps", and the places of the spans they take."""
    phrases: list[str] = []
    used: set[int] = set()
    for place, span in enumerate(spans):
        if "part" not in span.kinds or place in used:
            continue
        said = list(_before(text, tokens, spans, place))
        if words.language in HEAD_FIRST:
            single = [at for at in said if spans[at].end == spans[at].start + 1]
            after = list(_after(tokens, spans, place))
            said = after if any(_says(spans[at]) for at in after) else single
        if any(_says(spans[other]) for other in said) and not _leads(spans, place, words):
            places = [*said, place]
            start, end = min(spans[at].start for at in places), max(spans[at].end for at in places)
            if end - start <= 7:
                phrases.append(_surface(text, tokens, start, end))
                used.update(places)
    return phrases, used


def _says(span: Span) -> bool:
    return bool(span.kinds & _SAYING)


def _leads(spans: Sequence[Span], place: int, words: Lexicon) -> bool:
    """Whether a part only begins a longer name: "front" in "front pocket"."""
    if words.language in HEAD_FIRST or place + 1 >= len(spans):
        return False
    after = spans[place + 1]
    return after.start == spans[place].end and bool(after.kinds & {"part", "noun"})


def _before(text: str, tokens: Sequence[Token], spans: Sequence[Span], place: int) -> Iterator[int]:
    """Places of what is said of a part right before it, commas between: "flexible, rubberized strap"."""
    edge = spans[place].start
    for other in range(place - 1, max(-1, place - 6), -1):
        span = spans[other]
        if span.end != edge or not span.kinds & (_SAID_OF | {"part"}):
            return
        gap = text[tokens[edge - 1].end : tokens[edge].start]
        if gap not in {" ", "-"} and not (gap == ", " and "part" not in span.kinds):
            return
        yield other
        edge = span.start


def _after(tokens: Sequence[Token], spans: Sequence[Span], place: int) -> Iterator[int]:
    """Places of what is said of a part after it: "bretelles en cuir marron"."""
    edge = spans[place].end
    for other in range(place + 1, min(len(spans), place + 5)):
        span = spans[other]
        bound = span.start == edge or (span.start == edge + 1 and tokens[edge].word in _BINDING)
        if not bound or not span.kinds & _SAID_OF or ("part" in span.kinds and not span.kinds & LOOKS):
            return
        yield other
        edge = span.end


def _of_head(
    text: str, tokens: Sequence[Token], spans: Sequence[Span], words: Lexicon, head: tuple[str, ...]
) -> Iterator[str]:
    """What is said right beside the product's own noun."""
    for place, span in enumerate(spans):
        word = tokens[span.end - 1].word
        if "noun" in span.kinds and head and (word.startswith(head[0]) or head[0].endswith(word)):
            said = _after(tokens, spans, place) if words.language in HEAD_FIRST else _before(text, tokens, spans, place)
            for other in sorted(said):
                if spans[other].kinds & LOOKS and not spans[other].kinds & {"colour", "noun"}:
                    yield _surface(text, tokens, spans[other].start, spans[other].end)


def _shares(text: str, tokens: Sequence[Token], spans: Sequence[Span]) -> Iterator[str]:
    """The material that is half of the thing or more: "95% cotton"."""
    for span in spans:
        if "material" in span.kinds and span.start:
            share = tokens[span.start - 1]
            if share.word.isdecimal() and "%" in text[share.end : tokens[span.start].start] and int(share.word) >= 50:
                yield _surface(text, tokens, span.start, span.end)


def _surface(text: str, tokens: Sequence[Token], start: int, end: int) -> str:
    return " ".join(text[tokens[start].start : tokens[end - 1].end].lower().split())


def _chosen(phrases: Sequence[str], noun: str, taken: frozenset[str]) -> tuple[str, ...]:
    """The first 8, none of which says only what the noun or another says."""
    kept: dict[str, frozenset[str]] = {}
    said = frozenset(word.removesuffix("s") for word in taken)
    for phrase in phrases:
        words = frozenset(word.removesuffix("s") for word in key_of(phrase))
        told = words <= said or phrase in noun or any(words <= other for other in kept.values())
        if words and is_said(phrase) and not told:
            kept[phrase] = words
    return tuple(kept)[:MOST_VISIBLE]
