"""limits.toml: what the campaigns of a folder may spend together in a calendar month (UTC).

    [month]
    usd = 500
    gpu_hours = 100

    [brand.acme]
    usd = 200

It counts for the campaign files beside it and in the folders there, as `read_calendar` finds them; a campaign may be
under two, that of its folder and that of the folder above.
"""

from __future__ import annotations

import math
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from catalogs.errors import CampaignError, nearest
from catalogs.money import Micro, micro_down
from catalogs.storage.local_files import open_file

NAME = "limits.toml"
_KEYS = ("usd", "gpu_hours")
_MOST = 1e9


@dataclass(frozen=True)
class Limit:
    """What may be spent in a month.

    Attributes:
        where: its section of the file.
        brand: whose, None for all together.
        usd: None without a limit, as `gpu_hours`.
    """

    where: str
    brand: str | None
    usd: Micro | None
    gpu_hours: float | None


@dataclass(frozen=True)
class Limits:
    """One file.

    Attributes:
        folder: whose campaigns it is for.
    """

    path: str
    folder: str
    all: tuple[Limit, ...]


def limits_of(campaign_path: str) -> Iterator[Limits]:
    """The limits that a campaign file is under.

    Raises:
        CampaignError: a file of limits cannot be used.
    """
    folder = os.path.dirname(os.path.abspath(campaign_path))
    for place in dict.fromkeys((folder, os.path.dirname(folder))):
        path = os.path.join(place, NAME)
        if os.path.lexists(path):
            yield Limits(path, place, tuple(_limits(_read(path), path)))


def _read(path: str) -> dict[str, Any]:
    try:
        with open_file(path) as file:
            return tomllib.loads(file.read().decode())
    except OSError as error:
        raise CampaignError(path, "", f"cannot be read: {error.strerror or error}", "correct or delete it") from None
    except (ValueError, RecursionError) as error:
        raise CampaignError(path, "", f"is no TOML: {error}", "correct it") from None


def _limits(raw: Mapping[str, Any], path: str) -> Iterator[Limit]:
    for name in raw:
        if name not in ("month", "brand"):
            raise CampaignError(path, name, "is no section of limits", nearest(name, ("month", "brand.NAME")))
    if "month" in raw:
        yield _limit(raw["month"], "month", None, path)
    brands = raw.get("brand", {})
    if not isinstance(brands, Mapping):
        raise CampaignError(path, "brand", "is no section", "write [brand.NAME]")
    for brand, section in brands.items():
        if brand in _KEYS and not isinstance(section, Mapping):
            raise CampaignError(path, f"brand.{brand}", "names no brand", "write it under [brand.NAME]")
        yield _limit(section, f"brand.{brand}", brand, path)


def _limit(section: Any, where: str, brand: str | None, path: str) -> Limit:
    if not isinstance(section, Mapping):
        raise CampaignError(path, where, "is no section", f"write [{where}]")
    for key, value in section.items():
        if key not in _KEYS:
            raise CampaignError(path, f"{where}.{key}", "is no limit", nearest(key, _KEYS))
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not math.isfinite(value) or not 0 <= value < _MOST:
            raise CampaignError(path, f"{where}.{key}", f"is {value!r}", "write a number from 0 to below a billion")
    usd, hours = (section.get(key) for key in _KEYS)
    return Limit(where, brand, None if usd is None else micro_down(usd), None if hours is None else float(hours))
