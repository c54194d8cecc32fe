"""Whether a folder that diffusers saved is whole: told before anything is planned, from the heads of its files alone.

A safetensors file is eight bytes that count, then so many of JSON, which says for each tensor where in the rest of the
file it lies (https://huggingface.co/docs/safetensors): a file that was not fetched to its end is shorter than that.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, TemplateSyntaxError

from catalogs.errors import ModelError

PARTS = ("transformer", "vae", "text_encoder")
MAX_HEADER = 100_000_000
"""Bytes of a safetensors header; the format's own limit."""
_INDEX = ".safetensors.index.json"
_SHARD = re.compile(r"-\d{5}-of-\d{5}\.safetensors$")
_GENERATION = re.compile(r"{%-?\s*(end)?generation\s*-?%}")
"""A tag of transformers' own."""


def check_whole(folder: Path) -> None:
    """Look at every part that the engine loads.

    Raises:
        ModelError: a part lacks its configuration, its weights, its vocabulary or its chat template, or a file of them
            ends too early or is another one, as the page or the pointer that some servers send in its place.
    """
    looks = dict.fromkeys(PARTS, part_problem) | {"tokenizer": _tokenizer_problem, "scheduler": _scheduler_problem}
    for part, look in looks.items():
        if problem := look(folder / part):
            raise ModelError(str(folder), part, problem, "fetch its files again")


def read_object(path: Path) -> dict[str, Any] | None:
    """A JSON object; None where there is none that can be read."""
    if not path.is_file():  # a FIFO would never answer
        return None
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def header(file: Path) -> tuple[dict[str, Any], int] | None:
    """Of a safetensors file, and the byte after it; None where it is none.

    Raises:
        OSError: it cannot be read.
    """
    with file.open("rb") as opened:
        count = int.from_bytes(opened.read(8), "little")
        try:
            names = json.loads(opened.read(count)) if 2 <= count <= MAX_HEADER else None
        except (ValueError, RecursionError):
            return None
        return (names, opened.tell()) if isinstance(names, dict) else None


def part_problem(part: Path) -> str | None:
    """What is wrong with a folder of configuration and weights, told from the heads of its files."""
    if read_object(part / "config.json") is None:
        return "holds no readable config.json"
    weights = sorted(path for path in part.glob("*.safetensors") if path.is_file())
    if not weights:
        return "holds no .safetensors weights"
    indices = sorted(part.glob(f"*{_INDEX}"))
    if not indices and all(_SHARD.search(path.name) for path in weights):
        return f"lacks the {_INDEX} of {weights[0].name}"
    named: set[str] = set()
    for index in indices:
        places = (read_object(index) or {}).get("weight_map")
        if not isinstance(places, dict):
            return f"holds no readable {index.name}"
        named |= set(map(str, places.values()))
    if missing := sorted(named - {path.name for path in weights}):
        return f"lacks {missing[0]}" + (f" and {len(missing) - 1} more" if len(missing) > 1 else "")
    return next((problem for path in weights if (problem := _end_problem(path))), None)


def _scheduler_problem(part: Path) -> str | None:
    name = "scheduler_config.json"
    return None if read_object(part / name) is not None else f"holds no readable {name}"


def _tokenizer_problem(part: Path) -> str | None:
    """Of all that transformers passes over: an empty vocabulary is made up, any page said in place of the prompt."""
    config = read_object(part / "tokenizer_config.json")
    if config is None:
        return "holds no readable tokenizer_config.json"
    whole, words = part / "tokenizer.json", part / "vocab.json"
    name = words.name if words.exists() and not whole.exists() else whole.name
    if read_object(part / name) is None:
        return f"holds no readable {name}"
    if name == words.name and not (part / "merges.txt").is_file():
        return "holds no merges.txt"
    return _template_problem(part / "chat_template.jinja", config.get("chat_template"))


def _template_problem(file: Path, in_config: object) -> str | None:
    """Of a chat template, which stands in a file of its own or, as older versions saved it, in the configuration."""
    if not file.is_file() and not in_config:
        return f"holds no {file.name}"
    try:
        text = file.read_text("utf-8") if file.is_file() else str(in_config)
        if "messages" not in text:
            return f"{file.name} is no chat template"
        if file.is_file():
            Environment(extensions=["jinja2.ext.loopcontrols"]).parse(_GENERATION.sub("", text))
    except TemplateSyntaxError as error:
        return f"{file.name} breaks off or is damaged, at line {error.lineno}"
    except (OSError, ValueError) as error:
        return f"{file.name} cannot be read ({error})"
    return None


def _end_problem(file: Path) -> str | None:
    try:
        found = header(file)
        size = file.stat().st_size
    except OSError as error:
        return f"{file.name} cannot be read ({error.strerror})"
    if found is None:
        return f"{file.name} is no safetensors file"
    tensors, start = found
    ends = [one["data_offsets"][1] for one in tensors.values() if isinstance(one, dict) and _has_place(one)]
    wanted = start + max(ends, default=0)
    return f"{file.name} ends too early, at {size:,} of {wanted:,} bytes" if size < wanted else None


def _has_place(tensor: dict[str, Any]) -> bool:
    place = tensor.get("data_offsets")
    return isinstance(place, list) and len(place) == 2 and all(isinstance(one, int) for one in place)
