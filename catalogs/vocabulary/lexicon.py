"""The words of a language with what they mean (`words/*.txt`), and where they stand in a text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

from catalogs.vocabulary.colour_table import colour_names, inflected, shade_names
from catalogs.vocabulary.folding import LANGUAGES, key_of, respelled_key
from catalogs.vocabulary.word_lists import sections

Kinds = frozenset[str]

HEAD_FIRST = frozenset({"fr", "es", "it"})
"""Languages whose noun stands before what is said of it."""
COMPOUNDING = frozenset({"de", "nl"})
LOOKS = frozenset({"material", "pattern", "finish", "shape", "look"})
"""Kinds of words that say what can be seen."""
_NO_LOOK = frozenset({"solid color", "solid colour", "plain", "open"})


class Span(NamedTuple):
    """Words of a text that the lexicon knows: tokens `start` to `end`."""

    start: int
    end: int
    kinds: Kinds


@dataclass(slots=True)
class Lexicon:
    """One language's words by their first; `ends` are nouns, parts and materials that may end a longer word."""

    language: str
    entries: dict[tuple[str, ...], Kinds] = field(default_factory=dict)
    first: dict[str, tuple[int, ...]] = field(default_factory=dict)
    ends: dict[str, str] = field(default_factory=dict)
    _known: dict[str, Kinds] = field(default_factory=dict)

    def spans(self, words: Sequence[str]) -> Iterator[Span]:
        """Known words of a text in their order, the longest first where several start together."""
        place, first, entries = 0, self.first, self.entries
        while place < len(words):
            size = 1
            sizes = first.get(words[place])
            if sizes:
                for length in sizes:
                    kinds = entries.get(tuple(words[place : place + length])) if place + length <= len(words) else None
                    if kinds:
                        yield Span(place, place + length, kinds)
                        size = length
                        break
            elif self.ends and (kinds := self._compound(words[place])):
                yield Span(place, place + 1, kinds)
            place += size

    def _compound(self, word: str) -> Kinds:
        """What a German or Dutch compound is: the kind of its end."""
        if len(word) < 7:
            return frozenset()
        if word not in self._known:
            if len(self._known) > 50_000:
                self._known.clear()
            found = next((self.ends[word[cut:]] for cut in range(3, len(word) - 3) if word[cut:] in self.ends), "")
            self._known[word] = frozenset({found} if found else ())
        return self._known[word]


@cache
def lexicon(language: str) -> Lexicon:
    """The words of a language; those of English where we have none of it."""
    language = language[:2].lower()
    language = language if language in LANGUAGES else "en"
    kinds: dict[tuple[str, ...], set[str]] = {}
    for section, words in sections(f"words/{language}.txt").items():
        kind = section.partition(".")[0]
        for word in words:
            for form in _forms(word, kind, language):
                kinds.setdefault(form, set()).add(kind)
    for kind, names in (("colour", colour_names(language)), ("shade", shade_names(language))):
        for key, named in names.items():
            if named.use != "value":
                kinds.setdefault(key, set()).add(kind)
    found = Lexicon(language, {key: frozenset(meanings) for key, meanings in kinds.items()})
    sizes: dict[str, set[int]] = {}
    for key in found.entries:
        sizes.setdefault(key[0], set()).add(len(key))
    found.first = {word: tuple(sorted(lengths, reverse=True)) for word, lengths in sizes.items()}
    if language in COMPOUNDING:
        found.ends = dict(_ends(found.entries))
    return found


def _ends(entries: Mapping[tuple[str, ...], Iterable[str]]) -> Iterator[tuple[str, str]]:
    for key, kinds in entries.items():
        # "praktisch" is no table
        if len(key) == 1 and key[0] != "tisch":
            if "noun" in kinds and len(key[0]) >= 4:
                yield key[0], "noun"
            elif "part" in kinds and len(key[0]) >= 5:
                yield key[0], "part"
            elif "material" in kinds and len(key[0]) >= 4:
                yield key[0], "material"


def _forms(word: str, kind: str, language: str) -> Iterator[tuple[str, ...]]:
    """A word as it may stand in a text: number, gender, and German's other spelling."""
    for key in {key_of(word), respelled_key(word)}:
        if not key:
            continue
        yield key
        *before, last = key
        if kind == "noun" or kind == "part":
            yield from ((*before, form) for form in plurals(last, language))
            if language in HEAD_FIRST and before:  # "sacs a dos"
                yield from ((form, *key[1:]) for form in plurals(key[0], language))
        elif kind in LOOKS and len(key) == 1 and language != "en":
            yield from ((form,) for form in inflected(last, language))


def plurals(word: str, language: str) -> tuple[str, ...]:
    """Plurals that the word may have."""
    if language == "en":
        if word.endswith(("s", "x", "ch", "sh")):
            return (word + "es",)
        if word.endswith("y") and word[-2:-1] not in "aeou":
            return (word[:-1] + "ies",)
        return (word + "s",)
    if language == "it":
        return {"o": (word[:-1] + "i",), "a": (word[:-1] + "e",), "e": (word[:-1] + "i",)}.get(word[-1], ())
    if language in {"fr", "es"}:
        return (word + "s",) if word[-1] in "aeiou" or language == "fr" else (word + "es",)
    return (word + "n", word + "en", word + "s", word + "e")


def is_said(word: str) -> bool:
    """Whether a word of a look says anything: "solid colour" does not."""
    return word not in _NO_LOOK
