"""How to plan."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime


@dataclass(frozen=True)
class PlanOptions:
    """How to plan.

    Attributes:
        only: product ids to plan alone; all when empty.
        limit: plan only the first looks, so many.
        retry_failed: try final failures again.
        resubmit: pay again for what may have been billed, or was paid and lost.
        accept_price: buy on at prices that are not the published ones.
        strict: a bad row stops the plan.
        beside: another run of the campaign is live: what is unchanged is said again, to stand above what it commits.
        today: the day rights are judged on.
    """

    only: tuple[str, ...] = ()
    limit: int | None = None
    retry_failed: bool = False
    resubmit: bool = False
    accept_price: bool = False
    strict: bool = False
    beside: bool = False
    today: date = field(default_factory=lambda: datetime.now(UTC).date())

    @property
    def partial(self) -> bool:
        return bool(self.only) or self.limit is not None
