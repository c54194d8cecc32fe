"""What `packshot stats` does and answers."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Any

from catalogs.errors import OptionError
from catalogs.storage.store import Store, write_uri
from flows.cli_output import Answer
from flows.statistics_lines import lines_of
from flows.statistics_page import page_of
from tasks.statistics import Statistics, read_statistics
from tasks.sums import sums_by, totals


def tell(target: str, since: str | None, by: str, page: str | None) -> Answer:
    """What was made and what it took; its page in a file if one is named."""
    begin = None if since is None else begin_of(since, datetime.now(UTC))
    if page is not None:
        Store.at(page)  # refused before anything is read
    statistics = read_statistics(target, begin)
    data = _data(statistics, target, begin, by)
    lines = list(lines_of(statistics, begin, by))
    if page is not None:
        write_uri(page, page_of(statistics, target, begin, by).encode())
        lines += ["", f"page  {page}"]
    return Answer(data, lines, exit_code=0 if statistics.is_whole else 1)


def begin_of(since: str, now: datetime) -> datetime:
    """The moment of --since: the beginning of a day, in UTC.

    Raises:
        OptionError: it is none.
    """
    told = since.strip()
    try:
        if days := re.fullmatch(r"(\d{1,6})d", told, re.ASCII):
            day = now.date() - timedelta(days=int(days[1]))
        elif re.fullmatch(r"\d{4}-\d\d-\d\d", told, re.ASCII):
            day = date.fromisoformat(told)
        else:
            raise OptionError("--since", repr(since), "is no day", "write one as 2026-11-01, or as 30d for 30 days ago")
    except (ValueError, OverflowError):
        raise OptionError("--since", repr(since), "is no day of the calendar", "write one as 2026-11-01") from None
    if day > now.date():
        raise OptionError(
            "--since", repr(since), f"is still to come, today is {now.date()} (UTC)", "name an earlier day"
        )
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _data(statistics: Statistics, target: str, begin: datetime | None, by: str) -> dict[str, Any]:
    return {
        "target": target,
        "since": None if begin is None else begin.date().isoformat(),
        "by": by,
        "outputs": [{"output": place.output, "campaign": place.campaign} for place in statistics.places],
        "totals": [one.as_dict() for one in totals(statistics)],
        "groups": [one.as_dict() for one in sums_by(statistics, by)],
        "now": statistics.now,
        "unread": statistics.unread,
        "problems": statistics.problems,
        "complete": statistics.is_whole,
    }
