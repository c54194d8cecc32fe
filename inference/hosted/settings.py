"""How a run uses the hosted API."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class HostedSettings:
    """How a run uses the hosted API.

    Attributes:
        in_flight: tasks at once in this process.
        max_cost: USD the campaign may cost over all its runs, None without a limit.
        machines: processes that share the run; each then keeps to the estimate of its own shards.
        deadline: seconds a task may take, None for the model's own.
        run: what the money of this process is counted under.
    """

    base_url: str
    in_flight: int
    safety_tolerance: int = 2
    output_format: str = "png"
    prompt_upsampling: bool = False
    retry_moderated: bool = False
    retry_failed: bool = False
    resubmit: bool = False
    max_cost: float | None = None
    machines: int = 1
    deadline: float | None = None
    run: str = ""
