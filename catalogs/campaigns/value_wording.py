"""What is wrong with a value of a campaign file, in words that somebody who writes YAML knows.

The one place where the types of pydantic's errors meet words; its own texts are shown nowhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from catalogs.errors import nearest

_LONGEST = 60
_CHOICE = re.compile(r"'([^']+)'")
_TRUTHS = "YAML reads yes, no, on and off as true and false"
# Type of error -> what is wrong, what to do; {bound} is the bound of a number, {choices} are the words that are known.
_WORDS: Mapping[str, tuple[str, str]] = {
    "bool_parsing": ("must be true or false", "write true or false"),
    "bool_type": ("must be true or false", "write true or false"),
    "finite_number": ("must be a finite number", "correct the number"),
    "float_parsing": ("must be a number", "write it in digits"),
    "float_type": ("must be a number", "write it in digits"),
    "int_from_float": ("must be a whole number", "round it"),
    "int_parsing": ("must be a whole number", "write it in digits"),
    "int_parsing_size": ("is too large", "write a smaller number"),
    "int_type": ("must be a whole number", "write it in digits"),
    "greater_than": ("is too small", "use more than {bound}"),
    "greater_than_equal": ("is too small", "use {bound} or more"),
    "less_than": ("is too large", "use less than {bound}"),
    "less_than_equal": ("is too large", "use {bound} or less"),
    "literal_error": ("is none of the known words", "use one of {choices}"),
    "too_short": ("is empty", "add at least one entry"),
    "invalid_key": ("has a key that is no text", "put the key in quotes"),
}
_BOUNDS = ("gt", "ge", "lt", "le")
_SECTIONS = ("model_type", "model_attributes_type")
_LISTS = ("list_type", "tuple_type")
_DAY = "write a day as 2026-12-24, or a moment as 2026-12-24T18:00"


class Fault(NamedTuple):
    """The keys that lead to a value, what is wrong with it, and what to do."""

    keys: tuple[str, ...]
    problem: str
    fix: str


def first_fault(error: ValidationError, given: Any, model: type[BaseModel]) -> Fault:
    """The first thing that is wrong with a section of a campaign file, a wrong key before all others.

    Args:
        given: the section as it was read.
        model: what was to be made of it.
    """
    # A wrong key explains more than the missing one it usually causes.
    item = min(error.errors(include_url=False), key=lambda problem: problem["type"] != "extra_forbidden")
    keys = tuple(_written_keys(item, given))
    if item["type"] == "extra_forbidden":
        known = _section_at(model, keys[:-1])
        allowed = keys_of(known) if known else []
        return Fault(keys, f"unknown key {clipped(repr(keys[-1]))}", nearest(keys[-1], allowed))
    if item["type"] == "missing":
        return Fault(keys, "is missing", f"add `{keys[-1]}:`")
    problem, fix = _said(item, _annotation_at(model, keys))
    return Fault(keys, problem, fix)


def keys_of(model: type[BaseModel]) -> list[str]:
    """The keys of a section, as they are written, in order."""
    return [field.alias or name for name, field in model.model_fields.items()]


def shown(value: object) -> str:
    """A value as YAML writes it in one line, at most 60 characters of it."""
    text = ""
    for piece in _pieces(value):
        text += piece
        if len(text) > _LONGEST:
            break
    return clipped(text)


def clipped(text: str) -> str:
    """At most 60 characters of a text."""
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def _pieces(value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield "{"
        for number, (key, inner) in enumerate(value.items()):
            yield f"{', ' if number else ''}{_scalar(key)}: "
            yield from _pieces(inner)
        yield "}"
    elif isinstance(value, list | tuple):
        yield "["
        for number, inner in enumerate(value):
            yield ", " if number else ""
            yield from _pieces(inner)
        yield "]"
    else:
        yield _scalar(value)


def _scalar(value: object) -> str:
    if isinstance(value, str):
        value = value[: _LONGEST + 1]
        if not value.isprintable():
            return '"' + value.encode("unicode_escape").decode().replace('"', '\\"') + '"'
    elif not isinstance(value, bool | int | float | date | None):
        return str(value)[: _LONGEST + 1]
    # Within a list, so that what must be in quotes there is.
    return yaml.safe_dump([value], default_flow_style=True, allow_unicode=True, width=10_000).strip()[1:-1]


def _written_keys(item: ErrorDetails, given: Any) -> Iterator[str]:
    """The keys as the file has them, without pydantic's names for the sides of a union."""
    place: Any = given
    for number, part in enumerate(item["loc"]):
        is_last = number == len(item["loc"]) - 1
        try:
            place = place[part]
        except (KeyError, IndexError, TypeError):
            if not (is_last and item["type"] == "missing"):
                continue
        yield str(part)


def _said(item: ErrorDetails, annotation: Any) -> tuple[str, str]:
    kind, found = item["type"], item.get("input")
    beside = f" (found {shown(found)})"
    if kind == "value_error":  # its words are ours, and say what to do
        said = str(item["ctx"]["error"])
        return said + (beside if not isinstance(found, Mapping) else ""), ""
    if found is None:
        return "is empty", "write its value, in quotes if it begins with #"
    if kind == "string_type":
        return f"must be text{beside}", _as_text(found)
    if kind in _LISTS:
        return f"must be a list{beside}", _as_list(found)
    if kind in _SECTIONS:
        return f"must be a section of keys{beside}", _as_section(_models(annotation))
    if kind == "dict_type":
        return f"must be a section of names{beside}", _as_names(item["loc"], found, annotation)
    if kind.startswith(("date_", "datetime_")):
        return f"is no day{beside}", _DAY
    problem, fix = _WORDS.get(kind, ("cannot be used", "correct the value"))
    context = item.get("ctx", {})
    bound = next((str(context[name]).removesuffix(".0") for name in _BOUNDS if name in context), "")
    choices = ", ".join(_CHOICE.findall(str(context.get("expected", ""))))
    if kind == "literal_error" and isinstance(found, bool):
        problem += f", and {_TRUTHS}"
    return problem + beside, fix.format(bound=bound, choices=choices)


def _as_text(found: object) -> str:
    if isinstance(found, bool):
        return f"{_TRUTHS}: put the word in quotes"
    if isinstance(found, Mapping | list | tuple):
        return "write one text in quotes"
    return "put it in quotes"


def _as_list(found: object) -> str:
    if isinstance(found, Mapping | list | tuple):
        return "begin each entry with '- '"
    return f"write {shown([found])}"


def _as_section(models: list[type[BaseModel]]) -> str:
    if not models:
        return "write its keys below it, as key: value"
    needed = [field.alias or name for name, field in models[0].model_fields.items() if field.is_required()]
    named = ", ".join(f"{key}: ..." for key in needed or keys_of(models[0])[:3])
    return f"write its keys below it: {named}"


def _as_names(loc: tuple[int | str, ...], found: object, annotation: Any) -> str:
    models = _models(annotation)
    if not loc or not models:
        return "write it as key: value"
    needed = ", ".join(f"{name}: ..." for name, field in models[0].model_fields.items() if field.is_required())
    dashes = ", without dashes" if isinstance(found, list) else ""
    return f"write each by its name{dashes}: `{loc[-1]}: {{NAME: {{{needed}}}}}`"


def _section_at(model: type[BaseModel], keys: Sequence[str]) -> type[BaseModel] | None:
    return next(iter(_models(_annotation_at(model, keys))), None)


def _annotation_at(model: type[BaseModel], keys: Sequence[str]) -> Any:
    """What the keys of a section lead to: a model, or a type with models in it; None where there is nothing."""
    place: Any = model
    for key in keys:
        place = _below(place, key)
    return place


def _below(place: Any, key: str) -> Any:
    if isinstance(place, type) and issubclass(place, BaseModel):
        fields = {field.alias or name: field for name, field in place.model_fields.items()}
        return fields[key].annotation if key in fields else None
    options = [option for option in get_args(place) if option not in (type(None), Ellipsis, str)]
    if not options:
        return None
    # An optional section is one step, a list or names of sections are too.
    is_optional = type(None) in get_args(place)
    return _below(options[-1], key) if is_optional else options[-1]


def _models(place: Any) -> list[type[BaseModel]]:
    """The sections in a type."""
    if isinstance(place, type) and issubclass(place, BaseModel):
        return [place]
    return [model for option in get_args(place) for model in _models(option)]
