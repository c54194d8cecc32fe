"""Verdicts on servers, kept on this machine for a while: a test costs six pictures."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from typing import Any

from inference.models.weights import cache_folder, keep_json
from inference.servers.served import Served
from inference.servers.verdicts import Verdicts

FILE = "servers.json"
LIFE = 7 * 86_400.0


def recall(address: str, served: Served) -> Verdicts | None:
    """What was found out of a server that serves the same as now, None where nothing was, or long ago."""
    found = _read().get(_name(address, served))
    if not isinstance(found, dict) or not _is_young(found):
        return None
    told = {name: str(found.get(name) or "") for name in ("seed", "steps", "references")}
    return Verdicts(**told) if all(told.values()) else None


def remember(address: str, served: Served, verdicts: Verdicts) -> None:
    """Keep a verdict; without a folder to write to it is found out again."""
    kept = {name: one for name, one in _read().items() if _is_young(one)}
    with suppress(OSError):
        keep_json(FILE, {**kept, _name(address, served): {**verdicts.as_dict(), "at": time.time()}})


def _is_young(found: Any) -> bool:
    at = found.get("at") if isinstance(found, dict) else None
    return isinstance(at, int | float) and 0 <= time.time() - at < LIFE


def _name(address: str, served: Served) -> str:
    return " ".join((address, served.kind, *served.models, served.revision, served.precision))


def _read() -> dict[str, Any]:
    try:
        content = json.loads((cache_folder() / FILE).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
