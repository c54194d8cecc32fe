"""A prompt while it is written: empty keys go, colours get their signal word, references are noted."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pydantic import BaseModel

from catalogs.campaigns.colour_wording import signal_codes, upper_codes
from catalogs.campaigns.value_wording import keys_of
from inference.prompts.structured import Camera, Lettering, StructuredPrompt, Subject

_NUMBER = re.compile(r"\d+")
# "image 16:9" and "image 4k" speak of no reference.
_MENTION = re.compile(r"\b[Ii]mage(?: \d+|s \d+(?:(?:, | and |, and | or )\d+)*)(?!\w|[:.]\d)")


class Draft:
    """One prompt being written: colours and references found on the way.

    Attributes:
        colors: hexes in order of appearance.
        mentioned: numbers N of every "image N".
    """

    __slots__ = ("colors", "mentioned")

    def __init__(self) -> None:
        self.colors: dict[str, None] = {}
        self.mentioned: set[int] = set()

    def prose(self, value: Any) -> Any:
        """A text in words: hexes get their signal word, references are noted."""
        if value.__class__ is not str:
            return value
        if "#" in value:
            value = signal_codes(value, self._note_color)
        if "mage" in value:
            for found in _MENTION.finditer(value):
                self.mentioned.update(map(int, _NUMBER.findall(found[0])))
        return value.strip() if "\n" not in value else " ".join(value.split())

    def color(self, value: Any) -> Any:
        """A text that stands under a colour key, which is signal enough."""
        if value.__class__ is str and "#" in value:
            return upper_codes(value, self._note_color)
        return value

    def texts(self, values: Iterable[Any]) -> list[Any]:
        return [text for text in map(self.prose, values) if text]

    def palette(self, values: Iterable[Any]) -> list[Any]:
        return list(dict.fromkeys(text for text in map(self.color, values) if text))

    def exact(self, value: Any) -> Any:
        return value

    def _note_color(self, code: str) -> None:
        self.colors[code] = None

    def subjects(self, values: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        return [part for part in (self.part(value, _SUBJECT) for value in values) if part]

    def lettering(self, values: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        return [part for part in (self.part(value, _LETTERING) for value in values) if part.get("content")]

    def camera(self, value: Mapping[str, Any]) -> dict[str, Any]:
        return self.part(value, _CAMERA)

    def part(self, given: Mapping[str, Any], fields: _Fields) -> dict[str, Any]:
        """The filled keys of a mapping in the order of its fields."""
        written = {}
        for key, write in fields:
            value = given.get(key)
            if value:
                value = write(self, value)
                if value:
                    written[key] = value
        return written


_Writer = Callable[[Draft, Any], Any]
_Fields = tuple[tuple[str, _Writer], ...]


def _fields(model: type[BaseModel], **special: _Writer) -> _Fields:
    """The keys of a model in order, each with what writes its value."""
    return tuple((key, special.get(key, Draft.prose)) for key in keys_of(model))


_SUBJECT = _fields(Subject, color_palette=Draft.palette)
_LETTERING = _fields(Lettering, content=Draft.exact, color=Draft.color)
_CAMERA = _fields(Camera)
PROMPT = _fields(
    StructuredPrompt,
    subjects=Draft.subjects,
    text=Draft.lettering,
    color_palette=Draft.palette,
    camera=Draft.camera,
    effects=Draft.texts,
)
ORDER = ("scene", "subjects", "references", *(key for key, _ in PROMPT[2:]))
