"""An overlay as a plan carries it: every text written out, every file named by its content, every place in %.

One canonical JSON text: what it says of content and places enters the fingerprint, where its files lie does not.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from catalogs.campaigns.overlay_places import Room
from catalogs.campaigns.overlays import OVERLAY_RECIPE
from catalogs.identity import canonical_json


@dataclass(frozen=True, slots=True)
class DrawnFile:
    """A font or a logo.

    Attributes:
        uri: an absolute path or URI.
        sha256: hex digest of its bytes.
    """

    uri: str
    sha256: str


@dataclass(frozen=True, slots=True)
class DrawnBadge:
    """A filled rectangle; `colour` is #RRGGBB, the others as in `catalogs.campaigns.overlays.Badge`."""

    colour: str
    opacity: float
    radius: float
    padding: float


@dataclass(frozen=True, slots=True)
class DrawnText:
    """A text. Sizes are in % of the frame's shorter side, the room in % of its width and height.

    Attributes:
        language: as in de-AT, which some letters are drawn by; "" where none is known.
        colours: #RRGGBB each, by preference.
        align: `start`, `left`, `centre`, `right` or `end`.
        level: `top`, `middle` or `bottom` of the room.
    """

    text: str
    language: str
    font: DrawnFile
    size: float
    min_size: float
    colours: tuple[str, ...]
    lines: int
    align: str
    level: str
    room: Room
    badge: DrawnBadge | None
    scrim: str


@dataclass(frozen=True, slots=True)
class DrawnLogo:
    """A logo, as large as fits into its room (in % of the frame's width and height).

    Attributes:
        side: `left`, `centre` or `right` of the room.
        level: `top`, `middle` or `bottom` of the room.
    """

    logo: DrawnFile
    side: str
    level: str
    room: Room


Drawn = DrawnText | DrawnLogo


def written(elements: Iterable[Drawn]) -> str | None:
    """Elements in the order they are drawn, as one text; None for none."""
    listed = [asdict(element) for element in elements]
    return canonical_json(listed) if listed else None


def read_overlay(text: str) -> tuple[Drawn, ...]:
    """The elements of an overlay that `written` wrote.

    Raises:
        ValueError: it did not write this.
    """
    try:
        listed = json.loads(text)
        if not isinstance(listed, list) or not listed:
            raise TypeError("a list of elements is wanted")
        return tuple(_element(entry) for entry in listed)
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"is no overlay ({error})") from error


def overlay_mark(text: str) -> dict[str, Any]:
    """What of an overlay enters the fingerprint.

    Raises:
        ValueError: the text is no overlay.
    """
    elements = [asdict(element) for element in read_overlay(text)]
    for element in elements:
        for name in ("font", "logo"):
            if name in element:
                element[name] = element[name]["sha256"]
    return {"elements": elements, "recipe": OVERLAY_RECIPE}


def _element(entry: Mapping[str, Any]) -> Drawn:
    room = tuple(map(float, entry["room"]))
    if len(room) != 4:
        raise ValueError("a room has four numbers")
    if "logo" in entry:
        return DrawnLogo(**{**entry, "logo": DrawnFile(**entry["logo"]), "room": room})
    badge = None if entry["badge"] is None else DrawnBadge(**entry["badge"])
    lists = {"colours": tuple(entry["colours"]), "room": room}
    return DrawnText(**{**entry, **lists, "font": DrawnFile(**entry["font"]), "badge": badge})
