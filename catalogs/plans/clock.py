"""How long a plan takes; without pyarrow, as `packshot --help` imports it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def by_the_clock(plan: Mapping[str, Any], seconds: float) -> float:
    """How long so many engine seconds of a plan take, shared by its image servers.

    Args:
        plan: its summary, also of a version that did not count servers.
    """
    return float(seconds / max(1, plan.get("servers", 0)))
