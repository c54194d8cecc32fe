"""What a kind of GPU has shown, kept under the cache folder for every process of the machine."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from inference.models.weights import cache_folder, keep_json

FORMAT = 2
"""The first had keys in which what cannot be compared was one; files of other formats are ignored."""

_FILE = "batch-sizes.json"
_MOST = 1e9


def recall(kind: str) -> dict[str, float]:
    """Measurements of one kind by key; none where nothing readable was kept, and none that is no measurement."""
    found = _content().get(kind, {})
    return {key: one for key, one in found.items() if isinstance(one, int | float) and 0 <= one < _MOST}


def remember(kind: str, found: Mapping[str, Any]) -> None:
    """Add measurements to those of other processes; without a writable cache folder they are for this process only."""
    try:
        with _alone():
            content = _content()
            content[kind] = {**content.get(kind, {}), **found}
            keep_json(_FILE, {"format": FORMAT, **content})
    except OSError:
        return


def _content() -> dict[str, dict[str, Any]]:
    try:
        content = json.loads(Path(cache_folder() / _FILE).read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        return {}
    return {kind: found for kind, found in content.items() if isinstance(found, dict)}


@contextmanager
def _alone() -> Iterator[None]:
    """While no other process reads and replaces the file; a killed one's lock ends with it."""
    cache_folder().mkdir(parents=True, exist_ok=True)
    with Path(cache_folder() / f"{_FILE}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
