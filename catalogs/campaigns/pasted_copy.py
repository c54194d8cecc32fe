"""How much text of a product a prompt's scenes and descriptions take over."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from jinja2 import nodes

from catalogs.campaigns.template_language import ENVIRONMENT

MOST_WORDS = 40
"""Above it a text was pasted and not chosen: models follow the first words, and claims and care labels steer them."""

_KEYS = frozenset({"scene", "description"})
_WORD = re.compile(r"\w")  # a comma between two values is none
# Written without spaces: two characters are about a word.
_UNSPACED = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")

Path = tuple[str | int, ...]


class PastedCopy:
    """Counts, in one shot's prompt, the words that come from products.

    Args:
        prompt: the prompt as the campaign writes it; its templates can be parsed.
    """

    def __init__(self, prompt: Mapping[str, Any]) -> None:
        self._own = {path: _own_words(text) for path, text in _texts(prompt, ()) if _reads_product(text)}

    def words(self, expanded: Mapping[str, Any]) -> int:
        """Words that one scene or description has beyond those its template is written with; the most of any."""
        return max((count_words(_at(expanded, path)) - own for path, own in self._own.items()), default=0)


def count_words(text: str) -> int:
    """Words of a text; of scripts without spaces, half their characters."""
    unspaced = 0 if text.isascii() else len(_UNSPACED.findall(text))
    spaced = _UNSPACED.sub(" ", text) if unspaced else text
    return sum(_WORD.search(part) is not None for part in spaced.split()) + -(-unspaced // 2)


def _texts(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _texts(inner, (*path, str(key)))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _texts(inner, (*path, index))
    elif isinstance(value, str) and path[-1] in _KEYS and "{" in value:
        yield path, value


def _own_words(text: str) -> int:
    """Words that stand in a template, in all its branches."""
    literal = (data.data for data in ENVIRONMENT.parse(text).find_all(nodes.TemplateData))
    return sum(count_words(data) for data in literal)


def _reads_product(text: str) -> bool:
    return any(name.name == "product" for name in ENVIRONMENT.parse(text).find_all(nodes.Name))


def _at(expanded: Any, path: Path) -> str:
    for step in path:
        expanded = expanded[step]
    return str(expanded)
