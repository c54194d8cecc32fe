"""How long an output keeps what nothing needs any more: asked by `packshot prune` alone, and by no fingerprint."""

from __future__ import annotations

import re
from datetime import timedelta

from pydantic import BaseModel, ConfigDict, field_validator

KEEP = "keep"
_UNITS = {"d": timedelta(days=1), "h": timedelta(hours=1)}
_TIME = re.compile(r"(\d{1,5})([dh])", re.ASCII)
_SPELLING = "write days or hours, for example 30d or 12h, or keep"
_LEAST_WITHDRAWN = "1d"  # a typing error in the end of a licence must be reversible
_LEAST = "1h"  # what a start takes from its plan to its lease lies within it


class Retention(BaseModel):
    """What `packshot prune` may delete, and how long after; what is not named here is kept.

    Attributes:
        plans: plan, rejects and report of a start, so long after it; never those of the newest plan.
        superseded: a delivered file, so long after another took its place or its asset was retired.
        withdrawn: a delivered file, so long after a right to it ended; a day at least.
        masters: a render that no current row names or builds on, so long after the last one did.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    plans: str = KEEP
    superseded: str = KEEP
    withdrawn: str = KEEP
    masters: str = KEEP

    @field_validator("plans", "superseded", "masters", mode="before")
    @classmethod
    def _of_others(cls, value: object) -> object:
        return _checked(value, _LEAST)

    @field_validator("withdrawn", mode="before")
    @classmethod
    def _of_withdrawn(cls, value: object) -> object:
        return _checked(value, _LEAST_WITHDRAWN)

    def times(self) -> dict[str, timedelta | None]:
        """How long each kind is kept; None for ever."""
        return {kind: time_of(str(text)) for kind, text in self.model_dump().items()}


def time_of(text: str) -> timedelta | None:
    """A time as it is written, None for `keep`.

    Raises:
        ValueError: it is written otherwise.
    """
    if text == KEEP:
        return None
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError(_SPELLING)
    return int(found[1]) * _UNITS[found[2]]


def _checked(value: object, least: str) -> object:
    if not isinstance(value, str):
        raise ValueError(_SPELLING)
    time, shortest = time_of(value), time_of(least)
    if time is not None and shortest is not None and time < shortest:
        raise ValueError(f"is too short, use {least} or more, or keep")
    return value


USUAL = Retention(plans="30d", superseded="90d", withdrawn="7d")
"""What is taken where a campaign says nothing and somebody asks for it."""
