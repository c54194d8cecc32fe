"""What a description says of other things: to wear, or set, beside the product."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from catalogs.vocabulary.folding import tokens_of
from catalogs.vocabulary.word_lists import keys


@cache
def _phrases() -> dict[str, tuple[tuple[str, ...], ...]]:
    first: dict[str, tuple[tuple[str, ...], ...]] = {}
    for key in sorted(keys("not_colours.txt", "advice")):
        first[key[0]] = (*first.get(key[0], ()), key)
    return first


def own_words(words: Sequence[str]) -> int:
    """How many words of a sentence are of the product: "pair with white sneakers" is not."""
    phrases = _phrases()
    for number, word in enumerate(words):
        for key in phrases.get(word, ()):
            if tuple(words[number : number + len(key)]) == key:
                return number
    return len(words)


def before_advice(sentence: str) -> str:
    """A sentence up to where it turns to other things."""
    tokens = tokens_of(sentence)
    own = own_words([token.word for token in tokens])
    return sentence[: tokens[own].start] if own < len(tokens) else sentence
