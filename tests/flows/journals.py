"""Records of spend journals, written by hand."""

from __future__ import annotations

import json
from typing import Any

from tests.flows.projects import Project

FIRST: dict[str, Any] = {
    "campaign": "spring",
    "model": "bfl/klein-4b",
    "seed": 7,
    "cost_high": 0.014,
    "run_id": "20261101T000000Z-aa",
    "at": "2026-11-01T00:00:00+00:00",
    "host": "h",
    "pid": 1,
    "nonce": "n",
}
"""An intent of the first format."""


def journal(project: Project, **attempts: tuple[Any, ...]) -> None:
    """Write first attempts: of each the name that stands for its fingerprint, its intent or None, and what the keys
    beside that say."""
    for name, (intent, *others) in attempts.items():
        if intent is not None:
            project.store.write(f"spend/{name}/0000.json", json.dumps(intent).encode())
        for other in others:
            project.store.write(f"spend/{name}/0000.{other}.json", b"{}")
