"""The copy of a campaign: its texts by name and language, and a channel as one in each of several languages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from catalogs.campaigns.locale_names import checked_locale, locale_tag
from catalogs.campaigns.value_wording import clipped, shown
from catalogs.errors import CampaignError

COPY = "copy"
ALL = "all"
MOST = 200

Copy = Mapping[str, Mapping[str, str]]
"""Name of a text -> language -> the text."""


def languages_of_copy(copy: Copy) -> list[str]:
    """Every language that some text is written in, in the order of the file."""
    return list(dict.fromkeys(locale for texts in copy.values() for locale in texts))


def in_languages(values: Mapping[str, Any], copy: Copy, source: str, where: str) -> list[dict[str, Any]]:
    """A channel as it is written, once for each language of its `copy:`; itself where it has none.

    Raises:
        CampaignError: `copy:` names no languages.
    """
    if COPY not in values:
        return [dict(values)]
    rest = {key: value for key, value in values.items() if key != COPY}
    place = f"{where}.{COPY}"
    if rest.get("locale") is not None:
        raise CampaignError(source, place, "stands beside `locale`, and says the languages itself", "drop `locale`")
    locales = _locales(values[COPY], copy, source, place)
    name = rest.get("name")
    if not isinstance(name, str):  # which validation tells better
        return [rest]
    return [{**rest, "name": f"{name}-{locale_tag(locale)}", "locale": locale} for locale in locales]


def _locales(asked: object, copy: Copy, source: str, place: str) -> list[str]:
    known = languages_of_copy(copy)
    if asked == ALL:
        if not known:
            raise CampaignError(source, place, "`all` stands for the languages of `copy:`, and there is none", _FIX)
        asked = known
    if not isinstance(asked, list | tuple) or not asked:
        raise CampaignError(source, place, f"must be a list of languages or `all` (found {shown(asked)})", _FIX)
    if len(asked) > MOST:
        raise CampaignError(source, place, f"has {len(asked)} languages, over the limit of {MOST}", "split the channel")
    for i, locale in enumerate(asked):
        try:
            if checked_locale(locale) is None:
                raise ValueError("is empty; write a language")
        except ValueError as error:
            raise CampaignError(source, f"{place}.{i}", f"{error} (found {clipped(shown(locale))})") from None
    return [str(locale) for locale in asked]


_FIX = "write for example [en, de]"
