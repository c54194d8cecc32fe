"""Where an element of an overlay may stand: its room in a frame, in % of the frame's width and height."""

from __future__ import annotations

from catalogs.campaigns.channels import Channel
from catalogs.campaigns.overlays import LOGO_WIDTH, OverlayElement

Room = tuple[float, float, float, float]
"""Left, top, width and height in % of the frame's width and height."""

_DIGITS = 4
_ROUNDING = 1e-6


class NoRoom(ValueError):
    """An element does not lie where its channel lets it; `fix` is what to do."""

    def __init__(self, problem: str, fix: str) -> None:
        self.fix = fix
        super().__init__(problem)


def room_of(element: OverlayElement, channel: Channel) -> Room:
    """The room of an element in a channel's frame.

    Raises:
        NoRoom: it leaves the channel's safe zone, or is wider than that.
    """
    top, right, bottom, left = channel.safe_zone or (0.0, 0.0, 0.0, 0.0)
    if element.box is not None:
        across, down, width, height = element.box
        ends = (across + width, down + height)
        is_inside = across >= left - _ROUNDING and down >= top - _ROUNDING
        if not is_inside or ends[0] > 100 - right + _ROUNDING or ends[1] > 100 - bottom + _ROUNDING:
            free = f"[{left:g}, {top:g}, {100 - left - right:g}, {100 - top - bottom:g}]"
            raise NoRoom("its box leaves the channel's safe zone", f"stay inside of {free}, or use `anchor`")
        return element.box
    shorter = min(channel.width, channel.height)
    beside, above = (element.margin * shorter / side for side in (channel.width, channel.height))
    room = (left + beside, top + above, 100 - left - right - 2 * beside, 100 - top - bottom - 2 * above)
    if room[2] <= 0 or room[3] <= 0:
        raise NoRoom("its margin leaves no room in the channel's safe zone", "make the margin smaller")
    return _narrowed(element, room)


def _narrowed(element: OverlayElement, room: Room) -> Room:
    """A room of the element's width, at the anchor's side."""
    width = element.width or (LOGO_WIDTH if element.logo is not None else room[2])
    if width > room[2] + _ROUNDING:
        if element.width is not None:
            raise NoRoom(f"is {width:g} % wide, and has {room[2]:.4g} % of room", "make width or margin smaller")
        width = room[2]
    free = room[2] - width
    start = {"left": 0.0, "right": free}.get(side_of(element), free / 2)
    left, top, wide, high = (round(value, _DIGITS) for value in (room[0] + start, room[1], width, room[3]))
    return left, top, wide, high


def side_of(element: OverlayElement) -> str:
    """`left`, `centre` or `right`, by the anchor."""
    return next((side for side in ("left", "right") if side in anchor_of(element)), "centre")


def level_of(element: OverlayElement) -> str:
    """`top`, `middle` or `bottom`, by the anchor."""
    return next((level for level in ("top", "bottom") if level in anchor_of(element)), "middle")


def align_of(element: OverlayElement) -> str:
    """How the lines of a text stand: as it says, else at the side of its anchor."""
    return element.align or {"left": "start"}.get(side_of(element), side_of(element))


def anchor_of(element: OverlayElement) -> str:
    """Where it stands in its room."""
    return element.anchor or ("centre" if element.logo is not None else "top-left")
