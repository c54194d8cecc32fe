"""How many random orders of steps a state machine takes, and how long they are."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import HealthCheck, Phase, settings


def drawn(examples: int, steps: int, **more: Any) -> settings:
    """Orders that are drawn once and not kept; PACKSHOT_TRIAL_SHRINK=1 reduces what they find."""
    shrink = [Phase.shrink] if os.environ.get("PACKSHOT_TRIAL_SHRINK") else []
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        database=None,
        deadline=None,
        phases=[Phase.generate, *shrink],
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
        **more,
    )
