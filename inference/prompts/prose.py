"""A prompt as sentences instead of JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def write_prose(body: Mapping[str, Any]) -> str:
    """A cleaned prompt as sentences in klein's order: subject, setting, details, light, style and mood."""
    sentences = [
        *map(_subject_sentence, body.get("subjects", ())),
        *body.get("references", ()),
        *map(_lettering_sentence, body.get("text", ())),
        body.get("scene", ""),
        _labelled("Background", body.get("background")),
        _labelled("Composition", body.get("composition")),
        _labelled("Camera", _camera_words(body.get("camera", {}))),
        _labelled("Effects", body.get("effects")),
        _labelled("Color palette", body.get("color_palette")),
        _labelled("Lighting", body.get("lighting")),
        _labelled("Style", body.get("style")),
        _labelled("Mood", body.get("mood")),
    ]
    return " ".join(_sentence(sentence) for sentence in sentences if sentence)


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + ("" if text[-1] in ".!?" else ".")


def _labelled(label: str, value: Any) -> str:
    if not value:
        return ""
    return f"{label}: {value if isinstance(value, str) else ', '.join(map(str, value))}"


def _subject_sentence(subject: Mapping[str, Any]) -> str:
    name = subject.get("id") or subject.get("type", "")
    description = subject.get("description", "")
    if not description or name.lower() not in description.lower():
        description = ": ".join(filter(None, (name, description)))
    colors = " and ".join(subject.get("color_palette", ()))
    parts = [
        description.rstrip("."),
        subject.get("action"),
        subject.get("pose"),
        subject.get("position"),
        f"colors {colors}" if colors else "",
        _qualified(subject.get("color_match"), "color match"),
        _qualified(subject.get("detail_preservation"), "detail preservation"),
    ]
    return ", ".join(filter(None, parts))


def _qualified(value: str | None, noun: str) -> str:
    return f"{value} {noun}" if value else ""


def _lettering_sentence(text: Mapping[str, Any]) -> str:
    color = text.get("color")
    parts = [
        f'the text "{text["content"]}"',
        f"in {text['font']}" if "font" in text else "",
        text.get("size"),
        f"in color {color}" if color else "",
        text.get("position"),
    ]
    return ", ".join(filter(None, parts))


def _camera_words(camera: Mapping[str, Any]) -> list[str]:
    lens, number, iso = camera.get("lens-mm"), camera.get("f-number"), camera.get("ISO")
    depth = camera.get("depth_of_field", "")
    words = [
        camera.get("angle"),
        camera.get("distance"),
        f"{_plain(lens)} mm lens" if lens else "",
        camera.get("lens"),
        f"f/{_plain(number).removeprefix('f/')}" if number else "",
        f"ISO {_plain(iso)}" if iso else "",
        f"focus {camera['focus']}" if "focus" in camera else "",
        depth if not depth or "field" in depth else f"{depth} depth of field",
    ]
    return [word for word in words if word]


def _plain(value: Any) -> str:
    return value.removesuffix("mm").strip() if isinstance(value, str) else f"{value:g}"
