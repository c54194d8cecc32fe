"""Structured prompts: what a shot's `prompt:` may say, and what is wrong with one that does not."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

Number = Annotated[float, Field(allow_inf_nan=False)] | str
Texts = list[str]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Subject(_Part):
    """One subject, or one part of a product.

    Attributes:
        description: binds each colour to a part: "cap in color #E8D9B5 pale sand".
        color_match: "exact" for brand colours.
        detail_preservation: "high" for logos and labels.
    """

    type: str | None = None
    id: str | None = None
    description: str | None = None
    position: str | None = None
    action: str | None = None
    pose: str | None = None
    color_palette: Texts | None = None
    color_match: str | None = None
    detail_preservation: str | None = None


class Lettering(_Part):
    """Letters in the picture: one exact string, where it stands and how it looks.

    Attributes:
        content: the exact string; never altered.
    """

    content: str
    position: str | None = None
    font: str | None = None
    size: str | None = None
    color: str | None = None


class Camera(_Part):
    """Angle, lens and exposure, in the words of a photographer."""

    angle: str | None = None
    distance: str | None = None
    lens: str | None = None
    focus: str | None = None
    depth_of_field: str | None = None
    lens_mm: Number | None = Field(default=None, alias="lens-mm")
    f_number: Number | None = Field(default=None, alias="f-number")
    iso: Number | None = Field(default=None, alias="ISO")


class StructuredPrompt(_Part):
    """What a shot's `prompt:` may hold. The order of the fields is the order of importance FLUX.2 reads."""

    scene: str | None = None
    subjects: list[Subject] | None = None
    text: list[Lettering] | None = None
    style: str | None = None
    color_palette: Texts | None = None
    lighting: str | None = None
    mood: str | None = None
    background: str | None = None
    composition: str | None = None
    camera: Camera | None = None
    effects: Texts | None = None


_LEVELS: dict[str, type[BaseModel]] = {"subjects": Subject, "text": Lettering, "camera": Camera}


def keys_of(model: type[BaseModel]) -> list[str]:
    """The keys of one level of a prompt, as they are written, in order."""
    return [field.alias or name for name, field in model.model_fields.items()]


def shape_problem(prompt: Mapping[str, Any]) -> tuple[str, str, str] | None:
    """The first key at fault (dotted), what is wrong with it and the fix."""
    try:
        checked = StructuredPrompt.model_validate(dict(prompt) if isinstance(prompt, Mapping) else prompt)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        return _translated(first["type"], first["loc"], first["msg"], first["input"])
    if not checked.scene and not checked.subjects:
        return "", "has neither scene nor subjects", "say what the picture shows"
    return None


def _translated(kind: str, loc: tuple[int | str, ...], message: str, given: Any) -> tuple[str, str, str]:
    if kind == "extra_forbidden":
        return ".".join(map(str, loc)), "unknown key", _nearest_key(loc)
    if loc and loc[-1] in ("float", "str"):  # pydantic's names for the two sides of `Number`
        loc = loc[:-1]
    known = {
        "string_type": (
            "must be text",
            f"put {given!r} in quotes" if not isinstance(given, dict | list) else "",
        ),
        "list_type": ("must be a list", "begin each entry with '- '"),
        "model_type": ("must be a mapping of keys", "write it as key: value"),
        "missing": ("is missing", "add it"),
        "finite_number": ("must be a finite number", "correct the number"),
    }
    what, fix = known.get(kind, (message, "correct the value"))
    return ".".join(map(str, loc)), what, fix


def _nearest_key(loc: tuple[int | str, ...]) -> str:
    model = StructuredPrompt if len(loc) == 1 else _LEVELS[str(loc[0])]
    keys = keys_of(model)
    close = difflib.get_close_matches(str(loc[-1]), keys, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else "use one of " + ", ".join(keys)
