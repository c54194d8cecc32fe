"""Starts: each has a name that says when history counts it, so that names sort as history does.

A start takes its moment once: now, or just after the latest that the output has seen, whatever a machine's clock says.
Its name is written from that moment, to the microsecond, and `ordered_at` of its rows is read from its name.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from catalogs.storage.store import Store

_NAME = re.compile(r"(\d{8}T\d{6})(?:\.(\d{6}))?Z-")
_TICK = timedelta(microseconds=1)


def new_start(store: Store, latest: datetime | None) -> str:
    """The name of a start, later than every other that the output knows.

    Args:
        latest: of the asset catalog, `catalogs.assets.history.History.latest`.
    """
    seen = [moment for moment in (latest, latest_start(store.folders("runs"))) if moment is not None]
    now = datetime.now(UTC)
    moment = max([now, *(time + _TICK for time in seen)])
    return f"{moment:%Y%m%dT%H%M%S.%fZ}-{secrets.token_hex(3)}"


def latest_start(run_ids: Iterable[str]) -> datetime | None:
    """The moment of the latest of some starts; what is no name of one is passed over."""
    return max((moment for moment in map(_moment, run_ids) if moment is not None), default=None)


def ordered_at(run_id: str) -> datetime:
    """The moment history counts a start at, UTC.

    Raises:
        ValueError: this is no name of a start.
    """
    moment = _moment(run_id)
    if moment is None:
        raise ValueError(f"{run_id!r} is no name of a start")
    return moment


def _moment(run_id: str) -> datetime | None:
    found = _NAME.match(run_id)
    if found is None:
        return None
    try:
        second = datetime.strptime(found[1], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None
    # Names of before told whole seconds: they stand for the end of theirs.
    return second + (int(found[2]) if found[2] else 999_999) * _TICK
