"""Names of languages as campaigns write them: de, de-AT."""

from __future__ import annotations

import re
from collections.abc import Iterable

LOCALE = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{1,8}){0,3}")


def checked_locale(value: object) -> object:
    """A language, or None.

    Raises:
        ValueError: it is none, in words for the author of a campaign.
    """
    if value is False:  # what YAML takes `no` for
        raise ValueError('Norwegian is written in quotes: "no"')
    if value is not None and not (isinstance(value, str) and LOCALE.fullmatch(value)):
        raise ValueError("write a language, with a country where it matters, for example de or de-AT")
    return value


def locale_tag(locale: str) -> str:
    """One spelling of a language: lower case, with hyphens."""
    return locale.lower().replace("_", "-")


def found_locale(locale: str, known: Iterable[str]) -> str | None:
    """Which of the known languages stands for one: itself, else one with fewer parts (de for de-AT); None for none."""
    by_tag = {locale_tag(name): name for name in known}
    parts = locale_tag(locale).split("-")
    tags = ("-".join(parts[:count]) for count in range(len(parts), 0, -1))
    return next((by_tag[tag] for tag in tags if tag in by_tag), None)
