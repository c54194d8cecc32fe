"""How much a template may do for one product, and what may become text: counted, so that it holds on every machine.

Steps are loop turns, calls and every 64 characters that an operation reads; characters are those of every text that
an operation makes, also on the way. What would make a large value is asked for its size before it is made.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta
from datetime import time as day_time
from decimal import Decimal
from string import Formatter
from typing import Any
from uuid import UUID

from jinja2 import Undefined
from jinja2.exceptions import SecurityError
from jinja2.runtime import LoopContext

MAX_STEPS = 100_000
MAX_CHARACTERS = 1_000_000
MAX_BITS = 4_096
MAX_DEPTH = 50
LAST_STOP_SECONDS = 10.0

_CHARACTERS_A_STEP = 64
_ITEM = 8  # an item of a list takes as much as so many characters
_PLAIN = (str, int, float, Decimal, date, day_time, timedelta, bytes, UUID, range, type(None))
_PERCENT = re.compile(r"%(?:\([^)]*\))?[#0\- +]*(\*|\d+)?(?:\.(\*|\d+))?")
_NUMBER = re.compile(r"\d+")
_WIDE_DATE = re.compile(r"%[^a-zA-Z%]*\d{3}|%s")


class OverLimit(SecurityError):
    """A template does or makes more than it may."""


class _Spent(threading.local):
    """What one text of one product has taken so far."""

    steps = 0
    characters = 0
    looked = 0
    started = 0.0

    def reset(self) -> None:
        self.steps = self.characters = self.looked = 0

    def read(self, characters: int = 0) -> None:
        """Pay for an operation and what it reads."""
        self.steps += 1 + characters // _CHARACTERS_A_STEP
        if self.steps > MAX_STEPS:
            raise OverLimit(f"takes more than {MAX_STEPS:,} steps")
        if self.steps - self.looked > MAX_STEPS // 100:
            self._look()

    def write(self, characters: int) -> None:
        """Pay for a text that was made."""
        self.characters += characters
        if self.characters > MAX_CHARACTERS:
            raise OverLimit(f"makes more than {MAX_CHARACTERS:,} characters of text")

    def room(self, characters: int) -> None:
        """Ask for a text before it is made."""
        if self.characters + characters > MAX_CHARACTERS:
            raise OverLimit(f"makes more than {MAX_CHARACTERS:,} characters of text")

    def _look(self) -> None:
        # Steps decide; the clock only stops what they should have stopped.
        now = time.monotonic()
        if not self.looked:
            self.started = now
        elif now - self.started > LAST_STOP_SECONDS:
            raise OverLimit(f"takes more than {LAST_STOP_SECONDS:g} seconds")
        self.looked = self.steps


SPENT = _Spent()


def measured(value: Any, depth: int = 0) -> int:
    """About how many characters a value takes, with all that it holds. Raises OverLimit."""
    if isinstance(value, str | bytes):
        return len(value)
    if isinstance(value, int):
        return value.bit_length() // 3 + 1
    if isinstance(value, range):
        return _ITEM * len(value)
    if not isinstance(value, list | tuple | Mapping):
        return 1
    if depth > MAX_DEPTH:
        raise OverLimit(f"nests lists more than {MAX_DEPTH} deep")
    total = 0
    for item in value:
        total += _ITEM + measured(item, depth + 1)
        if isinstance(value, Mapping):
            total += measured(value[item], depth + 1)
        if total > MAX_CHARACTERS:
            raise OverLimit(f"makes more than {MAX_CHARACTERS:,} characters of text")
    return total


def paid(value: Any) -> Any:
    """A value that an operation made, paid for."""
    if isinstance(value, str | list | tuple | dict):
        SPENT.write(measured(value))
    elif isinstance(value, int) and value.bit_length() > MAX_BITS:
        raise OverLimit("makes a number of more than a thousand digits")
    elif isinstance(value, Iterator) and not isinstance(value, LoopContext):
        return counted(value)
    return value


def counted(values: Iterator[Any]) -> Iterator[Any]:
    """The items of something that has no length, paid for one by one."""
    for value in values:
        SPENT.read(measured(value) if isinstance(value, list | tuple) else 0)
        yield value


def iterated(value: Any) -> Any:
    """What a loop or a joining walks over, paid for."""
    if isinstance(value, Undefined):
        return value
    if hasattr(type(value), "__len__"):
        SPENT.read(len(value) * _CHARACTERS_A_STEP)
        return value
    return counted(iter(value))


def require_text(value: Any, depth: int = 0) -> None:
    """Refuse to write what has no text of its own, or another one in every process: a function, an iterator."""
    if isinstance(value, (*_PLAIN, Undefined)):
        return
    if isinstance(value, list | tuple | Mapping) and depth <= MAX_DEPTH:
        for item in value:
            require_text(item, depth + 1)
            if isinstance(value, Mapping):
                require_text(value[item], depth + 1)
        return
    if isinstance(value, Iterator):
        raise SecurityError("writes values one by one, which are no text yet; add | join(', ')")
    what = "function that is not called" if callable(value) else type(value).__name__.lower()
    raise SecurityError(f"writes a {what}, which is no text")


def percent(text: str, values: Any) -> None:
    """Ask for what `text % values` makes."""
    require_text(values)
    each = list(values.values()) if isinstance(values, Mapping) else values if isinstance(values, tuple) else [values]
    widest = max((_widest(value) for value in each), default=0)
    star = max((abs(value) for value in each if isinstance(value, int)), default=0)
    total = len(text)
    for found in _PERCENT.finditer(text):
        total += widest + sum(star if width == "*" else int(width[:9]) for width in found.groups() if width)
    SPENT.room(total)


def braces(text: str, values: list[Any]) -> None:
    """Ask for what `text.format(values)` makes."""
    require_text(values)
    widest = max((_widest(value) for value in values), default=0)
    number = max((abs(value) for value in values if isinstance(value, int)), default=0)
    total = len(text)
    for _, name, spec, _ in Formatter().parse(text):
        if name is not None:
            widths = sum(int(found[:9]) for found in _NUMBER.findall(spec or ""))
            total += widest + widths + (number if "{" in (spec or "") else 0)
    SPENT.room(total)


def _widest(value: Any) -> int:
    # A float in full is 300 digits and more, and repr() may write ten characters for one.
    return 400 if isinstance(value, float | Decimal) else 2 * measured(value)


def wrapped(text: str, width: int, line_end: str) -> None:
    """Ask for the lines of a text; a long word is cut piece by piece, which takes the square of its length."""
    longest = max(map(len, text.split()), default=0)
    SPENT.read(longest * longest // _CHARACTERS_A_STEP + longest * longest // max(1, width))
    lines = 2 * len(text) // max(1, width) + len(text.splitlines()) + 1
    SPENT.room(len(text) + lines * len(line_end))


def replaced(text: str, old: str, new: str, count: int | None = None) -> None:
    """Ask for what a replacing makes."""
    times = text.count(old)
    if count is not None and count >= 0:
        times = min(times, count)
    SPENT.room(len(text) + times * max(0, len(new) - len(old)))


def joined(values: Iterable[Any], between: str) -> list[Any]:
    """The values of a joining, after asking for what it makes."""
    found = list(values)
    for value in found:
        require_text(value)
    SPENT.room(sum(map(measured, found)) + len(between) * len(found))
    return found


def refuse_wide_date(form: str) -> None:
    """strftime fills to any width, and %s counts in the zone of the machine."""
    if _WIDE_DATE.search(form):
        raise SecurityError(f"{form[:40]!r} is no form of a date here")
