"""Which bodies a submit may have, and the 422 for those it may not."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tests.ledger.prices import image_fields, image_size

Check = Callable[[Any], str | None]


def canonical_hash(body: object) -> str:
    """sha256 of the body's JSON with sorted keys and no spaces, in hex."""
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def prompt_hash(body: Mapping[str, Any]) -> str:
    """sha256 of a body's prompt in hex, "" where it has none."""
    prompt = body.get("prompt")
    return hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).hexdigest() if isinstance(prompt, str) else ""


def problems(path: str, body: object) -> list[dict[str, Any]]:
    """FastAPI's list of what is wrong with a body; [] for a good one. Fields that no model has are let pass."""
    if not isinstance(body, dict):
        return [_problem([], "Input should be a valid dictionary", "model_attributes_type")]
    if "prompt" not in body:
        return [_problem(["prompt"], "Field required", "missing")]
    return [_problem([name], text, "value_error") for name, text in _wrong(path, body)]


def _problem(place: list[str], text: str, kind: str) -> dict[str, Any]:
    return {"loc": ["body", *place], "msg": text, "type": kind}


def _wrong(path: str, body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    checks: dict[str, Check] = {**_CHECKS, **(_FLEX if "flex" in path else {})}
    checks |= dict.fromkeys(image_fields(path), _image)
    for name, check in checks.items():
        value = body.get(name)
        if name not in body or (value is None and name not in _NEVER_NULL):
            continue
        if text := check(value):
            yield name, text


def _whole(least: int, most: int | None = None) -> Check:
    def check(value: Any) -> str | None:
        if not isinstance(value, int) or isinstance(value, bool):
            return "Input should be a valid integer"
        if value < least:
            return f"Input should be greater than or equal to {least}"
        return f"Input should be less than or equal to {most}" if most is not None and value > most else None

    return check


def _between(least: float, most: float) -> Check:
    def check(value: Any) -> str | None:
        good = isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most
        return None if good else f"Input should be a number from {least} to {most}"

    return check


def _text(least: int = 0, most: int | None = None) -> Check:
    def check(value: Any) -> str | None:
        if not isinstance(value, str):
            return "Input should be a valid string"
        good = least <= len(value) and (most is None or len(value) <= most)
        return None if good else f"String should have {least} to {most} characters"

    return check


def _flag(value: Any) -> str | None:
    return None if isinstance(value, bool) else "Input should be a valid boolean"


def _format(value: Any) -> str | None:
    return None if value in ("jpeg", "png", "webp") else "Input should be 'jpeg', 'png' or 'webp'"


def _image(value: Any) -> str | None:
    if not isinstance(value, str):
        return "Input should be a valid string"
    if value.startswith(("http://", "https://")):
        return None
    try:
        image_size(value)
    except ValueError as error:
        return f"Value error, {error}"
    return None


_NEVER_NULL = {"prompt", "safety_tolerance", "disable_pup"}
_CHECKS: dict[str, Check] = {
    "prompt": _text(),
    "seed": _whole(-(2**63)),
    "width": _whole(64),
    "height": _whole(64),
    "safety_tolerance": _whole(0, 5),
    "output_format": _format,
    "disable_pup": _flag,
    "webhook_url": _text(1, 2083),
    "webhook_secret": _text(),
}
_FLEX: dict[str, Check] = {
    "prompt_upsampling": _flag,
    "guidance": _between(1.5, 10.0),
    "steps": _whole(1, 50),
}
