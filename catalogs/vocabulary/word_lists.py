"""Word lists that ship as text: sections in square brackets, entries between commas."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from catalogs.vocabulary.folding import key_of


@cache
def sections(name: str) -> dict[str, tuple[str, ...]]:
    """Every section of a word list of this room, as written."""
    found: dict[str, list[str]] = {}
    entries: list[str] = []
    for line in (files("catalogs.vocabulary") / name).read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            entries = found.setdefault(line.strip("[] "), [])
        elif line and not line.startswith("#"):
            entries += filter(None, (entry.strip() for entry in line.split(",")))
    return {section: tuple(dict.fromkeys(words)) for section, words in found.items()}


@cache
def keys(name: str, section: str) -> frozenset[tuple[str, ...]]:
    """A section's entries as texts are compared with them."""
    return frozenset(map(key_of, sections(name)[section]))
