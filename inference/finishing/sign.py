"""Where a content credential comes in: after the one encoding, before the hash, and within the channel's byte limit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from PIL import Image

from catalogs.campaigns.channels import Channel
from inference.finishing.encode import OverByteLimit, encode_within_limit

SPARE = 256
"""Bytes by which two credentials of one picture may differ: time stamps are not of one length."""

Size = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Edit:
    """A step of finishing, as a credential tells it.

    Attributes:
        parameters: texts and whole numbers; others would not be told as they are.
    """

    step: Literal["crop", "resize", "background", "overlay", "encode"]
    parameters: Mapping[str, str | int] = field(default_factory=dict)


class Sign(Protocol):
    """Makes a signed file of an encoded one. Called at least once a file, from any thread."""

    def __call__(self, data: bytes, edits: Sequence[Edit]) -> bytes:
        """The file with a credential in it; raises FinishingError."""


def crop_edits(master: Size, picture: Size) -> list[Edit]:
    """What the centre crop did to come from one size to the other."""
    across, down = (float(side) for side in master)
    scale = min(across / picture[0], down / picture[1])
    edits = []
    if picture[0] * scale < across or picture[1] * scale < down:
        edits.append(Edit("crop", {"width": round(picture[0] * scale), "height": round(picture[1] * scale)}))
    if scale != 1:
        edits.append(Edit("resize", {"width": picture[0], "height": picture[1]}))
    return edits


def signed_within_limit(
    picture: Image.Image, channel: Channel, embedded: dict[str, Any], sign: Sign, edits: Sequence[Edit]
) -> tuple[bytes, int | None]:
    """`encode_within_limit`, signed: the limit holds for the file with its credential.

    Raises:
        OverByteLimit: there is no room for both, at a quality that is good enough.
        FinishingError: it could not be encoded or signed.
    """

    def signed(data: bytes, quality: int | None) -> bytes:
        told: dict[str, str | int] = {"format": channel.format}
        return sign(data, [*edits, Edit("encode", told if quality is None else told | {"quality": quality})])

    data, quality = encode_within_limit(picture, channel, embedded)
    file, limit = signed(data, quality), channel.max_bytes
    if limit is None or len(file) <= limit:
        return file, quality
    size = len(file) - len(data) + SPARE
    try:
        smaller = channel.model_copy(update={"max_bytes": limit - size})
        data, quality = encode_within_limit(picture, smaller, embedded)
        file = signed(data, quality)
    except OverByteLimit:
        file = b""
    if not file or len(file) > limit:
        problem = f"with a content credential of {size:,} bytes the file is over {channel.name}'s {limit:,}"
        raise OverByteLimit(f"{problem}; set max_bytes to {limit + size} or more, or credentials: off")
    return file, quality
