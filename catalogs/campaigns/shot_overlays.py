"""The overlays of a checked campaign: what is drawn on the files of a shot for a channel, and where."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from catalogs.campaigns.channels import Channel
from catalogs.campaigns.copy_matrix import Copy
from catalogs.campaigns.overlay_places import NoRoom, Room, room_of
from catalogs.campaigns.overlay_texts import CopyTexts, OverlayText
from catalogs.campaigns.overlays import OverlayElement
from catalogs.campaigns.sections import Shot
from catalogs.errors import CampaignError


@dataclass(frozen=True)
class PlacedElement:
    """An element on the files of one shot for one channel.

    Attributes:
        room: left, top, width and height in % of the frame's.
        text: None for a logo.
        where: its key in the campaign file, for messages.
    """

    element: OverlayElement
    room: Room
    text: OverlayText | None
    where: str


ShotOverlays = Mapping[tuple[str, str], tuple[PlacedElement, ...]]
"""By shot and channel; there is no entry where nothing is drawn."""


def shot_overlays(
    shots: Mapping[str, Shot],
    channels: Iterable[Channel],
    copy: Copy,
    locale: str | None,
    source: str,
) -> ShotOverlays:
    """What is drawn on which files.

    Args:
        locale: the campaign's, for channels without one.

    Raises:
        CampaignError: a channel that allows no text has some, an element leaves its safe zone, or a text is no template
            or is not there in the channel's language.
    """
    maker = _Maker(CopyTexts(copy, source), locale, source)
    found = {}
    for channel in channels:
        for name, shot in shots.items():
            if shot.channels and channel.name not in shot.channels:
                continue
            own = [(element, f"shots.{name}.overlay.{i}") for i, element in enumerate(shot.overlay)]
            of_channel = [(e, f"channels.{channel.family}.overlay.{i}") for i, e in enumerate(channel.overlay)]
            if both := [*own, *of_channel]:
                found[name, channel.name] = tuple(maker.placed(element, where, channel) for element, where in both)
    return found


class _Maker:
    def __init__(self, copy: CopyTexts, locale: str | None, source: str) -> None:
        self._copy, self._locale, self._source = copy, locale, source
        self._texts: dict[tuple[str, str], OverlayText] = {}

    def placed(self, element: OverlayElement, where: str, channel: Channel) -> PlacedElement:
        if not channel.text:
            problem = f"channel {channel.name!r} allows no text and no logo on a picture"
            fix = "drop the overlay there, or give the shot `channels:` without it"
            raise CampaignError(self._source, where, problem, fix)
        try:
            room = room_of(element, channel)
        except NoRoom as error:
            raise CampaignError(self._source, where, f"on channel {channel.name!r} {error}", error.fix) from None
        return PlacedElement(element, room, self._text(element, where, channel), where)

    def _text(self, element: OverlayElement, where: str, channel: Channel) -> OverlayText | None:
        if element.text is None:
            return None
        key = (element.text, where)
        if key not in self._texts:
            self._texts[key] = OverlayText(element.text, self._copy, self._source, where)
        text = self._texts[key]
        text.templates(channel.locale or self._locale, channel.name)  # says what copy is missing
        return text


def in_families(shots: Mapping[str, Shot], channels: Iterable[Channel]) -> dict[str, Shot]:
    """Shots whose `channels` name a channel of several languages, with all of these in its place."""
    families: dict[str, list[str]] = {}
    names = set()
    for channel in channels:
        names.add(channel.name)
        families.setdefault(channel.family, []).append(channel.name)
    return {name: _spelled_out(shot, names, families) for name, shot in shots.items()}


def _spelled_out(shot: Shot, names: set[str], families: Mapping[str, list[str]]) -> Shot:
    said = [each for name in shot.channels for each in ([name] if name in names else families.get(name, [name]))]
    return shot if tuple(said) == shot.channels else shot.model_copy(update={"channels": tuple(dict.fromkeys(said))})
