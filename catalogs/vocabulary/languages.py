"""The language of a shop's texts, by the words that are common in it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from functools import cache

from catalogs.vocabulary.folding import LANGUAGES, words_of
from catalogs.vocabulary.lexicon import lexicon
from catalogs.vocabulary.word_lists import keys

READ_TEXTS = 2_000
READ_CHARACTERS = 1_000
"""Of a text, from its beginning: what follows is written in the same language."""
DEFAULT = LANGUAGES[0]


@dataclass
class LanguageCount:
    """Counts the words of texts that are one shop's; a word of several languages counts a part for each."""

    texts: int = 0
    found: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def add(self, text: str) -> None:
        """Count a text, among the first of them."""
        if self.texts >= READ_TEXTS or not text:
            return
        self.texts += 1
        for word in words_of(text[:READ_CHARACTERS]):
            for language in (known := _known().get(word, ())):
                self.found[language] += 1 / len(known)

    @property
    def language(self) -> str:
        """The language with most words; English where no word is known, or two languages have as many."""
        most = max(self.found.values(), default=0.0)
        languages = [language for language, count in self.found.items() if count == most]
        return languages[0] if len(languages) == 1 else DEFAULT


@cache
def _known() -> dict[str, tuple[str, ...]]:
    """Each word with its languages: those that hold sentences together, and things."""
    found: dict[str, tuple[str, ...]] = {}
    for language in LANGUAGES:
        words = {key[0] for key in keys("function_words.txt", language) if len(key) == 1}
        words |= {key[0] for key, kinds in lexicon(language).entries.items() if len(key) == 1 and "noun" in kinds}
        for word in words:
            found[word] = (*found.get(word, ()), language)
    return found
