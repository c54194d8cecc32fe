"""Delivery channels: the table that ships with packshot, a campaign's own, and the master ladder."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from catalogs.errors import CampaignError, nearest

FINISHING_RECIPE = "1"
"""Enters every asset fingerprint: raise it when `inference.finishing.finish` makes other bytes on purpose."""

Format = Literal["jpeg", "png", "webp"]
Background = Literal["white", "light", "any"]


@dataclass(frozen=True, slots=True)
class FileFormat:
    """One format of delivered files: Pillow's name, the file extension and the MIME type."""

    pillow: str
    extension: str
    mime: str


FORMATS: Mapping[str, FileFormat] = MappingProxyType(
    {
        "jpeg": FileFormat("JPEG", "jpg", "image/jpeg"),
        "png": FileFormat("PNG", "png", "image/png"),
        "webp": FileFormat("WEBP", "webp", "image/webp"),
    }
)

SIDE_MULTIPLE = 16
MIN_SIDE = 64
MAX_SIDE = 4096
MAX_PIXELS = 2**22
LADDER_FROM = 512
"""Long side in pixels from which targets share rungs; below it, each gets its smallest legal size."""

RATIO_TOLERANCE = 0.01
"""How far a target's ratio may lie from a family's."""

MAX_CROP_LOSS = 0.02
"""Largest share of a rung that the centre crop to a target of its family throws away."""

MAX_RATIO = 16

# Ratio family -> its rungs, landscape, ascending; portrait is the mirror image. A rung is never
# changed or put between two others without need: every channel whose master moves is rendered anew.
_LADDER: Mapping[float, Sequence[tuple[int, int]]] = MappingProxyType(
    {
        1.0: ((512, 512), (640, 640), (768, 768), (1024, 1024), (1088, 1088), (1440, 1440), (2048, 2048)),
        1.25: ((640, 512), (960, 768), (1360, 1088), (1808, 1440), (2240, 1792)),
        4 / 3: ((512, 384), (768, 576), (1024, 768), (1472, 1104), (2048, 1536), (2352, 1776)),
        2600 / 1801: ((832, 576), (1664, 1152), (2448, 1712)),
        1.5: ((528, 352), (768, 512), (1152, 768), (1504, 1008), (2016, 1344), (2496, 1664)),
        16 / 9: ((512, 288), (768, 432), (1024, 576), (1280, 720), (1920, 1088), (2560, 1440), (2720, 1536)),
        1.91: ((704, 368), (1408, 736), (2112, 1104), (2816, 1472)),
        2.0: ((640, 320), (1216, 608), (1600, 800), (2048, 1024), (2880, 1440)),
    }
)


def is_legal_size(width: int, height: int) -> bool:
    """Whether FLUX.2 renders this size: sides are multiples of 16 from 64 to 4096, at most 2**22 pixels."""
    sides = (width, height)
    return (
        all(side % SIDE_MULTIPLE == 0 and MIN_SIDE <= side <= MAX_SIDE for side in sides)
        and width * height <= MAX_PIXELS
    )


def crop_loss(width: int, height: int, target_width: int, target_height: int) -> float:
    """Share of a picture, 0 to 1, that the largest centre crop to the target's ratio throws away."""
    a, b = width * target_height, height * target_width
    return 1 - min(a, b) / max(a, b)


@cache
def master_size(width: int, height: int) -> tuple[int, int]:
    """Size in pixels at which a target of width x height is rendered; depends on nothing else.

    A target whose ratio is that of a family (within `RATIO_TOLERANCE`) gets the family's smallest rung
    that covers it, or the largest; any other the smallest legal size that covers it, or the largest
    of its shape that the pixel limit allows.
    """
    if height > width:
        mirrored = master_size(height, width)
        return mirrored[1], mirrored[0]
    rungs = _family(width / height) if width >= LADDER_FROM else ()
    for rung in rungs:
        if rung[0] >= width and rung[1] >= height:
            return rung
    if rungs:
        return rungs[-1]
    covering = _up(width), _up(height)
    return covering if is_legal_size(*covering) else _largest_of_shape(width, height)


def _family(ratio: float) -> Sequence[tuple[int, int]]:
    for nominal, rungs in _LADDER.items():
        if abs(ratio / nominal - 1) <= RATIO_TOLERANCE:
            return rungs
    return ()


def _up(side: int) -> int:
    return max(MIN_SIDE, -(-side // SIDE_MULTIPLE) * SIDE_MULTIPLE)


def _largest_of_shape(width: int, height: int) -> tuple[int, int]:
    best, best_key = (MIN_SIDE, MIN_SIDE), (False, 0.0)
    for long in range(MIN_SIDE, MAX_SIDE + 1, SIDE_MULTIPLE):
        below = long * height // width // SIDE_MULTIPLE * SIDE_MULTIPLE
        for short in (below, below + SIDE_MULTIPLE):
            if not is_legal_size(long, short):
                continue
            loss = crop_loss(long, short, width, height)
            close = loss <= RATIO_TOLERANCE
            key = (close, float(long * short) if close else -loss)
            if key > best_key or best_key == (False, 0.0):
                best, best_key = (long, short), key
    return best


def _bytes(value: object) -> object:
    if isinstance(value, str):
        return int(TypeAdapter(ByteSize).validate_python(value))
    return value


class Channel(BaseModel):
    """A delivery target. Sizes are in pixels, `max_bytes` in bytes (a file says 5MB or 300kB too).

    Attributes:
        quality: JPEG and WebP quality to start from; finishing lowers it to keep `max_bytes`.
        background: what the platform demands behind the product.
        text: whether text and logos may be on the picture.
        territory: ISO 3166 country the assets are shown in, which a reference's licence must cover.
        master: WIDTHxHEIGHT to render at instead of the ladder's size.
        source: where the numbers are from: O official, S secondary, C conflicting, "" the campaign.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")
    width: int = Field(ge=16, le=10_000)
    height: int = Field(ge=16, le=10_000)
    format: Format = "jpeg"
    quality: int = Field(default=92, ge=40, le=100)
    max_bytes: Annotated[int, BeforeValidator(_bytes), Field(ge=1_000)] | None = None
    background: Background = "any"
    text: bool = True
    territory: str | None = Field(default=None, pattern=r"^[A-Z]{2}$")
    master: str | None = None
    source: Literal["O", "S", "C", ""] = ""
    checked_on: date | None = None
    notes: str = ""

    @field_validator("name")
    @classmethod
    def _not_reserved(cls, value: str) -> str:
        # Rows of masters stand beside rows of channels and are named master-WxH.
        if value.startswith("master-"):
            raise ValueError("names that start with 'master-' are reserved for masters")
        return value

    @field_validator("master")
    @classmethod
    def _legal_master(cls, value: str | None) -> str | None:
        if value is not None and not is_legal_size(*_parse_size(value)):
            limit = f"sides are multiples of {SIDE_MULTIPLE} from {MIN_SIDE} to {MAX_SIDE}"
            raise ValueError(f"{limit}, at most {MAX_PIXELS:,} pixels in all")
        return value

    @model_validator(mode="after")
    def _not_too_long(self) -> Channel:
        if max(self.width, self.height) > MAX_RATIO * min(self.width, self.height):
            raise ValueError(f"{self.width}x{self.height} is longer than {MAX_RATIO}:1, more than can be rendered")
        return self

    @property
    def master_size(self) -> tuple[int, int]:
        """Width and height in pixels of the render this channel is cut from."""
        return _parse_size(self.master) if self.master else master_size(self.width, self.height)

    def finishing_spec(self) -> dict[str, Any]:
        """All of this channel that enters an asset's fingerprint: closed, sorted, JSON-able."""
        return {
            "background": self.background,
            "format": self.format,
            "height": self.height,
            "max_bytes": self.max_bytes,
            # PNG knows no quality: two spellings of one file must not differ.
            "quality": None if self.format == "png" else self.quality,
            "recipe": FINISHING_RECIPE,
            "width": self.width,
        }


def _parse_size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    if match is None:
        raise ValueError("write a size as WIDTHxHEIGHT in pixels, for example 1024x1024")
    return int(match[1]), int(match[2])


@cache
def _builtin() -> Mapping[str, Channel]:
    text = files("catalogs.campaigns").joinpath("channels.yaml").read_text(encoding="utf-8")
    rows = [Channel.model_validate(row) for row in yaml.safe_load(text)]
    return MappingProxyType({channel.name: channel for channel in rows})


def builtin_channels() -> dict[str, Channel]:
    """The channels that ship with packshot, by name, in the order of channels.yaml."""
    return dict(_builtin())


def table() -> list[dict[str, Any]]:
    """The built-in channels as JSON-able rows for people, with the master each is cut from."""
    rows = []
    for channel in _builtin().values():
        row = channel.model_dump(mode="json", exclude={"territory", "master"})
        row["master"] = "{}x{}".format(*channel.master_size)
        rows.append(row)
    return rows


def resolve_channels(entries: Sequence[str | Mapping[str, Any]], source: str) -> list[Channel]:
    """A campaign's `channels:` list, in its order.

    An entry is a name of the table, a channel spelled out, or a mapping with `base: NAME` and the keys
    that differ from it.

    Raises:
        CampaignError: a name, key or value that cannot be, or a channel listed twice; `source` is the
            campaign file it names.
    """
    channels: dict[str, Channel] = {}
    for i, entry in enumerate(entries):
        channel = _resolve(entry, source, f"channels.{i}")
        if channel.name in channels:
            fix = "drop one, or give it a name of its own"
            raise CampaignError(source, f"channels.{i}", f"{channel.name!r} is listed twice", fix)
        channels[channel.name] = channel
    return list(channels.values())


def _resolve(entry: object, source: str, where: str) -> Channel:
    if isinstance(entry, str):
        return _named(entry, source, where)
    if not isinstance(entry, Mapping):
        fix = "write a name of `packshot channels`, or a mapping with name, width and height"
        raise CampaignError(source, where, f"{entry!r} is no channel", fix)
    values = {str(key): value for key, value in entry.items()}
    if "base" in values:
        base = _named(values.pop("base"), source, f"{where}.base")
        values = base.model_dump(exclude={"source", "checked_on", "notes"}) | values
    try:
        return Channel.model_validate(values)
    except ValidationError as error:
        raise _first_problem(error, values, source, where) from None


def _named(name: object, source: str, where: str) -> Channel:
    known = _builtin()
    if not isinstance(name, str) or name not in known:
        fix = f"{nearest(str(name), known)}, or spell it out with name, width and height"
        raise CampaignError(source, where, f"there is no channel {name!r}", fix)
    return known[name]


def _first_problem(error: ValidationError, values: Mapping[str, Any], source: str, where: str) -> CampaignError:
    # A wrong key explains more than the missing one it usually causes.
    item = min(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")
    key = str(item["loc"][0]) if item["loc"] else ""
    place = f"{where}.{key}" if key else where
    if item["type"] == "extra_forbidden":
        return CampaignError(source, place, f"unknown key {key!r}", nearest(key, [*Channel.model_fields, "base"]))
    if item["type"] == "missing":
        in_table = values.get("name") in _builtin()
        fix = f"write `base: {values['name']}` to change that channel" if in_table else f"add `{key}:`"
        return CampaignError(source, place, "is missing", fix)
    message = item["msg"].removeprefix("Value error, ")
    found = f" (found {values[key]!r})" if key in values else ""
    return CampaignError(source, place, f"{message[0].lower()}{message[1:]}{found}", "correct the value")
