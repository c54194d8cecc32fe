"""Which letters a written prompt asks for in its picture."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

# A mark that opens stands after a space, one that closes before none: inches (12" wide) are no quotes.
_QUOTED = re.compile(
    r'(?<![^\s(\[:;,/—–-])"(?=\S)([^"]+?)(?<=\S)"(?!\w)'
    r"|[“„”]([^“”„]+)[“”]|«([^«»]+)»|「([^「」]+)」"
)
_LONGEST = 200  # characters of one text: more is a description in quotes


def letters_asked(prompt: str) -> tuple[str, ...]:
    """The texts that a picture is to show, each once: `text[].content`, and what stands in quotes in any other words.

    Single quotes are apostrophes too often to count; what holds neither letter nor digit cannot be read back.

    Args:
        prompt: as the model gets it, compact JSON or prose.
    """
    found = dict.fromkeys(" ".join(text.split()) for text in _texts(prompt))
    return tuple(text for text in found if len(text) <= _LONGEST and any(map(str.isalnum, text)))


def _texts(prompt: str) -> Iterator[str]:
    try:
        body = json.loads(prompt)
    except ValueError:
        body = None
    if isinstance(body, dict):
        yield from _of_body(body)
    else:
        yield from _quoted(prompt)


def _of_body(body: dict[str, Any]) -> Iterator[str]:
    for text in body.get("text", ()):
        yield str(text["content"])
    for key, value in body.items():
        if key not in ("text", "references"):  # what describes letters is none, and our own clauses ask for none
            yield from _within(value)


def _within(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield from _quoted(value)
    elif isinstance(value, list | dict):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _within(part)


def _quoted(words: str) -> Iterator[str]:
    for match in _QUOTED.finditer(words):
        yield next(filter(None, match.groups()))
