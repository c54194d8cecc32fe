"""Structured prompts: what a shot's `prompt:` may say, and what is wrong with one that does not."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from catalogs.campaigns.value_wording import clipped, first_fault

Number = Annotated[float, Field(allow_inf_nan=False)] | str
Texts = list[str]
_HEX = re.compile(r"#[0-9A-Fa-f]{6}(?![0-9A-Za-z])")
_TEMPLATE = re.compile(r"\{\{|\{%|\{#")


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


def palette_problem(prompt: Mapping[str, Any]) -> tuple[str, str, str] | None:
    """The first literal text of a `color_palette` that begins as a hex colour and is none; words and templates stay."""
    palettes = [("color_palette", prompt.get("color_palette"))]
    for number, subject in enumerate(prompt.get("subjects") or ()):
        palettes.append((f"subjects.{number}.color_palette", subject.get("color_palette")))
    for key, palette in palettes:
        for number, text in enumerate(palette or ()):
            if text.lstrip().startswith("#") and not _HEX.match(text.lstrip()) and not _TEMPLATE.search(text):
                return f"{key}.{number}", f"{clipped(repr(text))} is no hex colour", "write #RRGGBB, or a word"
    return None


def shape_problem(prompt: Mapping[str, Any]) -> tuple[str, str, str] | None:
    """The first key at fault (dotted), what is wrong with it and the fix."""
    try:
        checked = StructuredPrompt.model_validate(dict(prompt) if isinstance(prompt, Mapping) else prompt)
    except ValidationError as error:
        keys, problem, fix = first_fault(error, prompt, StructuredPrompt)
        return ".".join(keys), problem, fix
    if not checked.scene and not checked.subjects:
        return "", "has neither scene nor subjects", "say what the picture shows"
    return None
