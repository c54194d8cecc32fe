"""Where a content credential comes in: after the one encoding, before the hash, and within the channel's byte limit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from catalogs.campaigns.channels import Channel
from inference.finishing.encode import OverByteLimit

SPARE = 256
"""Bytes by which two credentials of one picture may differ: time stamps are not of one length."""

Size = tuple[int, int]
Encode = Callable[[Channel], tuple[bytes, int | None]]
"""Bytes of a picture and their quality, within the limit of a channel; raises FinishingError."""


@dataclass(frozen=True, slots=True)
class Edit:
    """A step of finishing, as a credential tells it.

    Attributes:
        parameters: texts and whole numbers; others would not be told as they are.
    """

    step: Literal["crop", "resize", "background", "overlay", "watermark", "encode"]
    parameters: Mapping[str, str | int] = field(default_factory=dict)


class Sign(Protocol):
    """Makes a signed file of an encoded one. Called at least once a file, from any thread."""

    def __call__(self, data: bytes, edits: Sequence[Edit]) -> bytes:
        """The file with a credential in it; raises FinishingError."""


def crop_edits(master: Size, part: Size | None, picture: Size) -> list[Edit]:
    """What was done to come from one size to the other.

    Args:
        part: of the master that is shown, larger where its ground was carried on; None is the centre.
    """
    across, down = (float(side) for side in master)
    scale = min(across / picture[0], down / picture[1])
    shown = part or (round(picture[0] * scale), round(picture[1] * scale))
    edits = []
    if shown[0] > master[0] or shown[1] > master[1]:
        edits.append(Edit("background", {"make": "larger"}))
    if shown != master:
        edits.append(Edit("crop", {"width": shown[0], "height": shown[1]}))
    if shown != picture:
        edits.append(Edit("resize", {"width": picture[0], "height": picture[1]}))
    return edits


def signed_within_limit(
    encode: Encode, channel: Channel, sign: Sign, edits: Sequence[Edit]
) -> tuple[bytes, int | None]:
    """What `encode` makes, signed: the limit holds for the file with its credential.

    Raises:
        OverByteLimit: there is no room for both, at a quality that is good enough.
        FinishingError: it could not be encoded or signed.
    """

    def signed(data: bytes, quality: int | None) -> bytes:
        told: dict[str, str | int] = {"format": channel.format}
        return sign(data, [*edits, Edit("encode", told if quality is None else told | {"quality": quality})])

    try:
        data, quality = encode(channel)
    except OverByteLimit as error:  # as large as it must be, it has a credential too
        data, quality = encode(channel.model_copy(update={"max_bytes": None}))
        size = len(signed(data, quality)) - len(data) + SPARE
        raise OverByteLimit(error.problem, error.needed + size, error.other) from None
    file, limit = signed(data, quality), channel.max_bytes
    if limit is None or len(file) <= limit:
        return file, quality
    size = len(file) - len(data) + SPARE
    try:
        data, quality = encode(channel.model_copy(update={"max_bytes": limit - size}))
        file = signed(data, quality)
        needed = limit + size
    except OverByteLimit as error:
        file, needed = b"", error.needed + size
    if not file or len(file) > limit:
        problem = f"with a content credential of {size:,} bytes the file is over {channel.name}'s {limit:,}"
        raise OverByteLimit(problem, needed, "leave its credential out (credentials: off)")
    return file, quality
