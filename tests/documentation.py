"""The parts of the pages that follow from the code: tables between <!-- NAME --> and <!-- end -->.

python -m tests.documentation     writes them anew
"""

from __future__ import annotations

import re
import types
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from catalogs.campaigns.channels import Channel
from catalogs.campaigns.overlays import OverlayElement
from catalogs.campaigns.quality import RejectLimits, ShotQuality
from catalogs.campaigns.sections import CampaignFile
from catalogs.campaigns.value_wording import keys_of
from catalogs.columns import COLUMNS, REFERENCE_COLUMNS, Column, In
from catalogs.inputs.reject_file import Code
from catalogs.inputs.schemas import BRAND_COLUMNS, PRODUCT_COLUMNS, InputColumn, describe
from catalogs.requests import Reason
from flows.cli import cli
from flows.metrics_page import METRICS
from inference.prompts.structured import Camera, Lettering, StructuredPrompt, Subject

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "catalogs/README.md", "inference/README.md", "flows/README.md", "deployments/README.md")
_BLOCK = re.compile(r"(<!-- ([a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A markdown table."""
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def attributes(model: type) -> dict[str, str]:
    """What the docstring of a class says of each of its attributes."""
    found: dict[str, str] = {}
    name = ""
    for line in (model.__doc__ or "").partition("Attributes:")[2].splitlines():
        if match := re.match(r" {8}(\w+): (.*)", line):
            name, found[match[1]] = match[1], match[2]
        elif name and line.strip():
            found[name] += f" {line.strip()}"
    return found


def type_text(hint: Any) -> str:
    """A type as somebody who writes YAML knows it."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in inner)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(type_text(item) for item in inner if item is not types.NoneType))
    if origin in (list, tuple):
        return f"list of {type_text(inner[0])}"
    if origin is dict:
        return f"section, by name, of {type_text(inner[1])}" if inner[1] is not Any else "section"
    if hasattr(hint, "__metadata__"):
        return type_text(hint.__origin__)
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        return "section"
    names = {"str": "text", "int": "whole number", "float": "number", "bool": "yes or no", "Any": "anything"}
    return names.get(getattr(hint, "__name__", str(hint)), getattr(hint, "__name__", str(hint)))


def bounds_text(field: FieldInfo) -> str:
    """What a number may be."""
    words = {"ge": "from", "gt": "over", "le": "to", "lt": "below"}
    bounds = [(words[name], getattr(rule, name)) for rule in field.metadata for name in words if hasattr(rule, name)]
    return " ".join(f"{word} {bound:,}" for word, bound in bounds)


def default_text(field: FieldInfo) -> str:
    if field.is_required():
        return "**needed**"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel) or value in (None, (), [], ""):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def keys(model: type[BaseModel], prefix: str = "") -> Iterator[list[str]]:
    """Every key of a section and of the sections in it."""
    meanings = attributes(model)
    for name, field in model.model_fields.items():
        dotted = f"{prefix}{field.alias or name}"
        value = ", ".join(filter(None, (type_text(field.annotation), bounds_text(field))))
        yield [f"`{dotted}`", value, default_text(field), meanings.get(name, "")]
        for inner, below in _sections(field.annotation, dotted):
            yield from keys(inner, below)


# A key of two sections, with a table of its own; keys as those of another section.
_TOLD_ELSEWHERE = (OverlayElement, RejectLimits, ShotQuality)


def _sections(hint: Any, dotted: str) -> Iterator[tuple[type[BaseModel], str]]:
    if hint in _TOLD_ELSEWHERE:
        return
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        yield hint, f"{dotted}."
    elif get_origin(hint) in (Union, types.UnionType):
        yield from (found for inner in get_args(hint) for found in _sections(inner, dotted))
    elif get_origin(hint) is dict:
        yield from ((model, f"{dotted}.NAME.") for model, _ in _sections(get_args(hint)[1], ""))
    elif get_origin(hint) in (list, tuple):
        yield from ((model, f"{dotted}[].") for model, _ in _sections(get_args(hint)[0], ""))


def campaign_keys() -> str:
    return table(("key", "value", "default", "meaning"), keys(CampaignFile))


def channel_keys() -> str:
    return table(("key", "value", "default", "meaning"), keys(Channel))


def overlay_keys() -> str:
    return table(("key", "value", "default", "meaning"), keys(OverlayElement))


def prompt_keys() -> str:
    levels = {
        "prompt": StructuredPrompt,
        "prompt.subjects[]": Subject,
        "prompt.text[]": Lettering,
        "prompt.camera": Camera,
    }
    rows = ((f"`{name}`", ", ".join(f"`{key}`" for key in keys_of(model))) for name, model in levels.items())
    return table(("section", "keys, in the order of their importance"), rows)


def commands() -> str:
    rows = ((f"`packshot {name}`", _usage(command), command.get_short_help_str(200)) for name, command in _leaves(cli))
    return table(("command", "options", "does"), rows)


def _leaves(group: click.Group, before: str = "") -> Iterator[tuple[str, click.Command]]:
    """The commands that do something, by the words they are called with."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from _leaves(command, f"{before}{name} ")
        else:
            yield f"{before}{name}", command


def _usage(command: click.Command) -> str:
    options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    return " ".join(f"`{option.opts[0]}`" for option in options if option.name != "as_json")


def _input_columns(columns: Mapping[str, InputColumn]) -> str:
    rows = ((f"`{n}`", f"`{describe(c.type)}`", "yes" if c.required else "", c.meaning) for n, c in columns.items())
    return table(("column", "type", "needed", "meaning"), rows)


def _row_columns(columns: Mapping[str, Column], files: tuple[In, ...]) -> str:
    chosen = {name: column for name, column in columns.items() if column.files in files}
    rows = ((f"`{n}`", f"`{_arrow(c)}`", c.set_by.value, c.meaning) for n, c in chosen.items())
    return table(("column", "type", "set by", "meaning"), rows)


def _arrow(column: Column) -> str:
    return re.sub(r"list<\w+: (struct)?.*>", lambda found: f"list<{found[1] or 'string'}>", str(column.type))


def reasons() -> str:
    return ", ".join(f"`{reason}`" for reason in Reason)


def reject_codes() -> str:
    return ", ".join(f"`{code}`" for code in Code)


def metrics() -> str:
    rows = ((f"`{m.name}`", m.kind, ", ".join(f"`{name}`" for name in m.labels), m.meaning) for m in METRICS)
    return table(("metric", "type", "labels", "meaning"), rows)


BLOCKS = {
    "metrics": metrics,
    "reasons": reasons,
    "reject-codes": reject_codes,
    "commands": commands,
    "brand-columns": lambda: _input_columns(BRAND_COLUMNS),
    "product-columns": lambda: _input_columns(PRODUCT_COLUMNS),
    "campaign-keys": campaign_keys,
    "channel-keys": channel_keys,
    "overlay-keys": overlay_keys,
    "prompt-keys": prompt_keys,
    "asset-columns": lambda: _row_columns(COLUMNS, (In.BOTH, In.CATALOG)),
    "reference-columns": lambda: _row_columns(REFERENCE_COLUMNS, (In.BOTH,)),
    "plan-columns": lambda: _row_columns(COLUMNS, (In.PLAN,)),
}


def written(page: str) -> str:
    """A page with its blocks as the code has them now."""
    return _BLOCK.sub(lambda found: f"{found[1]}\n{BLOCKS[found[2]]()}\n\n{found[3]}", (ROOT / page).read_text("utf-8"))


def main() -> None:
    for page in PAGES:
        (ROOT / page).write_text(written(page), "utf-8")


if __name__ == "__main__":
    main()
