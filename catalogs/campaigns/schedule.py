"""When a campaign is due, and before which others."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator, model_validator

from catalogs.campaigns.section import Section

PRIORITY = 50


class Standing(StrEnum):
    """Where a moment lies in a campaign's validity."""

    EARLY = "early"
    DUE = "due"
    OVER = "over"


class Schedule(Section):
    """Validity and priority of a campaign; no part of any fingerprint, so a change renders nothing.

    Attributes:
        valid_from: first moment, or first day, on which the campaign is rendered; always when None.
        valid_to: a day is its last one, rendered to its end; a moment is the first one too late.
        time_zone: IANA name; needed where a day or a moment has no offset of its own.
        priority: the higher is rendered first.
    """

    valid_from: datetime | date | None = None
    valid_to: datetime | date | None = None
    time_zone: str | None = None
    priority: int = Field(default=PRIORITY, ge=0, le=100)

    @field_validator("valid_from", "valid_to", mode="before")
    @classmethod
    def _day_or_moment(cls, value: object) -> object:
        # A date alone is a whole day: pydantic would read "2026-12-24" as its midnight.
        if not isinstance(value, str):
            return value
        try:
            return date.fromisoformat(value) if len(value) == len("2026-12-24") else datetime.fromisoformat(value)
        except ValueError:
            raise ValueError("write a day as 2026-12-24, or a moment as 2026-12-24T18:00") from None

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str | None) -> str | None:
        try:
            return value and ZoneInfo(value).key
        except (KeyError, ValueError, OSError):
            raise ValueError("is no time zone; write an IANA name, for example Europe/Berlin") from None

    @model_validator(mode="after")
    def _consistent(self) -> Schedule:
        for name in ("valid_from", "valid_to"):
            value = getattr(self, name)
            if value is not None and not self.time_zone and not _has_offset(value):
                raise ValueError(f"{name} says no time zone; add `time_zone:`, for example Europe/Berlin")
        if self.starts and self.ends and self.starts >= self.ends:
            raise ValueError("valid_to lies before valid_from; correct one of them")
        return self

    @property
    def starts(self) -> datetime | None:
        return None if self.valid_from is None else self._moment(self.valid_from)

    @property
    def ends(self) -> datetime | None:
        if self.valid_to is None or isinstance(self.valid_to, datetime):
            return None if self.valid_to is None else self._moment(self.valid_to)
        if self.valid_to == date.max:  # no day follows it
            return None
        return self._moment(self.valid_to + timedelta(days=1))

    def _moment(self, value: date | datetime) -> datetime:
        moment = value if isinstance(value, datetime) else datetime.combine(value, time())
        return moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(self.time_zone or "UTC"))

    def standing(self, now: datetime) -> Standing:
        """Where `now`, which has a time zone, lies."""
        if self.starts and now < self.starts:
            return Standing.EARLY
        if self.ends and now >= self.ends:
            return Standing.OVER
        return Standing.DUE

    def describe(self) -> str:
        """The validity for people, "always" where none is given."""
        given = [(word, value) for word, value in (("from", self.valid_from), ("to", self.valid_to)) if value]
        zone = [self.time_zone or ""] if any(not _has_offset(value) for _, value in given) else []
        return " ".join([f"{word} {value}" for word, value in given] + zone) or "always"


def _has_offset(value: date | datetime) -> bool:
    return isinstance(value, datetime) and value.tzinfo is not None
