"""Words of colours, in six languages, and the values they stand for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, lru_cache
from itertools import zip_longest
from typing import Literal, NamedTuple

from catalogs.vocabulary.advice import before_advice
from catalogs.vocabulary.colour_table import Colour, Key, Named, Shade, all_colours, names_in
from catalogs.vocabulary.folding import LANGUAGES, Token, tokens_of, visible_text
from catalogs.vocabulary.lab import hex_to_lab, lab_to_hex
from catalogs.vocabulary.word_lists import keys

LIST = "not_colours.txt"
MAX_VALUE = 200
"""Characters of a colour's value that are read: longer cells hold sentences."""
MAX_TEXT = 20_000
"""Characters of a text that are read."""

_SEPARATOR = re.compile(r"[/,&+;|·•\n()\[\]:]|\s[-–—]+\s")
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_EXACT, _OWN, _SHIFTED, _JOINED, _PARTLY = 0.98, 0.9, 0.85, 0.75, 0.65
_SPLIT = ("de", "nl")  # languages that write a shade and its colour as one word
_SUFFIXES = ("farbenes", "farbener", "farbene", "farben", "farbiges", "farbiger", "farbige", "farbig", "kleurig")


class ColourFound(NamedTuple):
    """A colour that a word or a photo proposes.

    Attributes:
        name: the English name: "dark heather grey".
        hex: "#RRGGBB"; None for a look that is no colour ("transparent").
        source: where it comes from.
        confidence: 0 to 1; a word's is 0.6 or more, a photo's 0.5 or less.
    """

    name: str
    hex: str | None
    source: Literal["word", "photo"]
    confidence: float


class _Hit(NamedTuple):
    """A colour with its shades, and the tokens it takes."""

    colour: Colour
    shades: tuple[Shade, ...]
    start: int
    end: int
    use: str


def colours_of(word: str, languages: Sequence[str] = LANGUAGES) -> list[ColourFound]:
    """The colours that the value of a colour option or column names, in its order; [] where it names none we know.

    Args:
        word: "dark heather grey", "navy/white", "Schwarz-Weiß", "bleu marine".
        languages: whose words count; where two claim a word, the first named wins.
    """
    return list(_colours_of(visible_text(word[:MAX_VALUE]), tuple(languages)))


@lru_cache(maxsize=1 << 14)
def _colours_of(value: str, languages: tuple[str, ...]) -> tuple[ColourFound, ...]:
    if tuple(token.word for token in tokens_of(value)) in keys(LIST, "nothing"):
        return ()
    found: list[ColourFound] = []
    for segment in _segments(value, languages):
        hits = list(_hits(segment, languages, anywhere=True))
        whole = len({place for hit in hits for place in range(hit.start, hit.end)}) == len(segment)
        found += _joined(hits, 1.0 if whole else _PARTLY)
    return _once(found)


def colours_in(text: str, languages: Sequence[str] = LANGUAGES) -> list[ColourFound]:
    """The colours that stand in a title or a description, in its order.

    Words that are more often something else ("cherry", "stone") count only beside a colour or where a title ends with
    them ("... in stone"); what is told about other things ("pair with white sneakers") does not count.
    """
    chosen = tuple(languages)
    found: list[ColourFound] = []
    for sentence in _SENTENCE.split(visible_text(text[:MAX_TEXT])):
        found += _joined(_told(before_advice(sentence), chosen), 1.0)
    return list(_once(found))


def _told(sentence: str, languages: tuple[str, ...]) -> Iterator[_Hit]:
    """Hits of a sentence that are colours for certain; each with its place in the whole sentence."""
    follows = keys(LIST, "before the colour at the end")
    for place, segment in enumerate(_segments(sentence, languages, keep="in")):
        hits = list(_hits(segment, languages, anywhere=False))
        for number, hit in enumerate(hits):
            last = hit.end == len(segment)
            tail = last and ((hit.start == 0 and place > 0) or (segment[hit.start - 1].word,) in follows)
            beside = number + 1 < len(hits) and hits[number + 1].start == hit.end and hits[number + 1].colour.basic
            counts = {"any": True, "before": not last or tail or beside, "value": tail or beside}
            if counts[hit.use] and not _trapped(segment, hit):
                yield hit._replace(start=hit.start + place * 10_000, end=hit.end + place * 10_000)


def _trapped(segment: Sequence[Token], hit: _Hit) -> bool:
    """Whether a neighbour makes a place, a brand or a taste of the colour."""
    after = (segment[hit.end].word,) if hit.end < len(segment) else ()
    before = (segment[hit.start - 1].word,) if hit.start else ()
    if after in keys(LIST, "followers") or (hit.use != "any" and before in keys(LIST, "preceders")):
        return True
    words = tuple(token.word for token in segment)
    starts = range(max(0, hit.start - 2), hit.end)
    return any(
        words[start : start + size] in keys(LIST, "phrases") and start + size > hit.start
        for start in starts
        for size in (2, 3)
    )


def _segments(text: str, languages: tuple[str, ...], keep: str = "") -> Iterator[list[Token]]:
    """Stretches of words between which two colours are two: at separators, and at words like "and"."""
    between, (colours, _, _) = keys(LIST, "between"), names_in(languages)
    for part in _SEPARATOR.split(text):
        segment: list[Token] = []
        tokens = tokens_of(part)
        for token, after in zip_longest(tokens, tokens[1:]):
            begins = after is not None and (token.word, after.word) in colours  # "or rose"
            if (token.word,) in between and token.word != keep and not begins:
                yield segment
                segment = []
            else:
                segment.append(token)
        yield segment


def _hits(segment: Sequence[Token], languages: tuple[str, ...], *, anywhere: bool) -> Iterator[_Hit]:
    """Colours of a segment with the shades that stand beside them, the longest names first."""
    colours, shades, longest = names_in(languages)
    words = [token.word for token in segment]
    waiting: list[Shade] = []
    first = place = 0
    hit: _Hit | None = None
    while place < len(words):
        named, size = _longest(words, place, colours, longest)
        shade = shades.get((words[place],))
        if named is None and shade is None:
            compound = list(_compound(words[place], languages))
            if compound:
                if hit:
                    yield hit
                *before, hit = (one._replace(start=place, end=place + 1) for one in compound)
                yield from before
                place, waiting = place + 1, []
                continue
        if named is not None:
            if hit:
                yield hit
            start = first if waiting else place
            assert isinstance(named.what, Colour)
            hit = _Hit(named.what, tuple(waiting), start, place + size, named.use)
            waiting, place = [], place + size
            continue
        if shade is not None and (anywhere or shade.use == "any") and isinstance(shade.what, Shade):
            if hit and not waiting and _may_follow(shade, hit, words):
                hit = hit._replace(shades=(*hit.shades, shade.what), end=place + 1)
            else:
                first = first if waiting else place
                waiting.append(shade.what)
        else:
            if hit:
                yield hit
            hit, waiting = None, []
        place += 1
    if hit:
        yield hit


def _may_follow(shade: Named, hit: _Hit, words: Sequence[str]) -> bool:
    """Whether the shade belongs to the colour before it: at the end always, in Romance languages anywhere."""
    return hit.end == len(words) - 1 or shade.language in {"fr", "es", "it"}


def _longest(words: Sequence[str], place: int, names: Mapping[Key, Named], longest: int) -> tuple[Named | None, int]:
    for size in range(min(longest, len(words) - place), 0, -1):
        named = names.get(tuple(words[place : place + size]))
        if named is not None:
            return named, size
    return None, 0


@lru_cache(maxsize=1 << 14)
def _compound(word: str, languages: tuple[str, ...]) -> tuple[_Hit, ...]:
    """A German or Dutch word of a shade and a colour, or of two colours: "dunkelblau", "schwarzweiss"; () else."""
    own = tuple(language for language in languages if language in _SPLIT)
    if not own or not 6 <= len(word) <= 40:
        return ()
    colours, shades, _ = names_in(own)
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and (rest := word.removesuffix(suffix)):
            named = colours.get((rest,)) or colours.get((rest.removesuffix("n"),))
            return (_hit(named),) if named else _compound(rest, languages)
    for cut in range(3, len(word) - 2):
        front, back = (word[:cut],), (word[cut:],)
        ends = (_hit(colours[back]),) if back in colours else _compound(word[cut:], languages)
        if ends and front in shades and isinstance(shade := shades[front].what, Shade):
            return (ends[0]._replace(shades=(shade, *ends[0].shades), use="any"), *ends[1:])
        if ends and front in colours and colours[front].use == "any":
            return (_hit(colours[front]), *ends)
    return ()


def _hit(named: Named) -> _Hit:
    assert isinstance(named.what, Colour)
    return _Hit(named.what, (), 0, 1, named.use)


def _joined(hits: Iterator[_Hit] | list[_Hit], most: float) -> Iterator[ColourFound]:
    """What hits say; a colour beside a basic one is one colour with it: "emerald blue"."""
    waiting: _Hit | None = None
    for hit in hits:
        if waiting and waiting.end == hit.start and _is_one(waiting, hit):
            first, second = _found(waiting, most), _found(hit, most)
            name, value = f"{first.name} {second.name}", _between(first.hex, second.hex)
            yield ColourFound(name, value, "word", min(_JOINED, most))
            waiting = None
            continue
        if waiting:
            yield _found(waiting, most)
        waiting = hit
    if waiting:
        yield _found(waiting, most)


@cache
def _basic_words() -> frozenset[str]:
    return frozenset(word for colour in all_colours() if colour.basic for word in colour.name.split())


def _is_one(first: _Hit, second: _Hit) -> bool:
    """Whether two neighbours are one colour: "emerald blue", and not "light blue cream"."""
    return (
        second.colour.basic
        and not second.shades
        and not first.colour.basic
        and first.colour.name.split()[-1] not in _basic_words()
        and first.colour.hex is not None
    )


def _found(hit: _Hit, most: float) -> ColourFound:
    colour = hit.colour
    name = " ".join([*(shade.name for shade in hit.shades if shade.name), colour.name])
    sure = _SHIFTED if name != colour.name else _EXACT if colour.known else _OWN
    return ColourFound(name, _shifted(colour.hex, hit.shades), "word", min(sure, most))


@cache
def _shifted(value: str | None, shades: tuple[Shade, ...]) -> str | None:
    if value is None or not shades:
        return value
    lab = hex_to_lab(value)
    for shade in shades:
        lab[0] = min(max(lab[0] + shade.lightness, 4), 98)
        lab[1:] *= shade.chroma
    return lab_to_hex(lab)


def _between(first: str | None, second: str | None) -> str | None:
    """Two thirds of the first: the more particular word."""
    if first is None or second is None:
        return first or second
    return lab_to_hex((2 * hex_to_lab(first) + hex_to_lab(second)) / 3)


def _once(found: Sequence[ColourFound]) -> tuple[ColourFound, ...]:
    kept: dict[str, ColourFound] = {}
    for colour in found:
        kept.setdefault(colour.name, colour)
    return tuple(kept.values())
