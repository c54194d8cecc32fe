"""Delivery channels: the table that ships with packshot, and a campaign's own."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import (
    BeforeValidator,
    ByteSize,
    Field,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from catalogs.campaigns.copy_matrix import COPY, Copy, in_languages
from catalogs.campaigns.locale_names import checked_locale, locale_tag
from catalogs.campaigns.master_sizes import (
    MAX_PIXELS,
    MAX_RATIO,
    MAX_SIDE,
    MIN_SIDE,
    SIDE_MULTIPLE,
    is_legal_size,
    master_size,
    shared_master_size,
)
from catalogs.campaigns.overlays import Insets, OverlayElement, checked_insets
from catalogs.campaigns.section import Section
from catalogs.campaigns.value_wording import clipped, first_fault, shown
from catalogs.errors import CampaignError, nearest

FINISHING_RECIPE = "1"
"""Enters every asset fingerprint: raise it when `inference.finishing.finish` makes other bytes on purpose."""

WHITE_RECIPE = ENCODE_RECIPE = 1
CROP_RECIPE = 3  # in scenes by the reference photo, and again where the file shows another share
"""Each enters the fingerprints of those assets alone whose channel asks for the step: raise it as the one above."""

Format = Literal["jpeg", "png", "webp", "avif"]
Background = Literal["white", "light", "any"]
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_COUNTRY = re.compile(r"[A-Z]{2}")


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
        "avif": FileFormat("AVIF", "avif", "image/avif"),
    }
)


def _bytes(value: object) -> object:
    if isinstance(value, str):
        try:
            return int(TypeAdapter(ByteSize).validate_python(value))
        except ValidationError:
            raise ValueError("write bytes as a number, or as 400kB or 5MB") from None
    return value


class MadeBackground(Section):
    """A background that finishing makes, where the render has about that one.

    Attributes:
        make: white snaps a light and even ground to 255 and leaves subject and shadow; what cannot be made so fails.
    """

    make: Literal["white"]


class Channel(Section):
    """A delivery target. Sizes are in pixels, `max_bytes` in bytes (a file says 5MB or 300kB too).

    Attributes:
        name: lower-case letters, digits and "-", first a letter or digit, at most 64; part of every file's name.
        width: of the delivered file.
        height: of the delivered file.
        format: of the delivered file.
        max_bytes: the platform's limit, as a number or as 400kB, 5MB; a file that cannot keep it is a failure.
        quality: JPEG and WebP quality to start from; finishing lowers it to keep `max_bytes`.
        background: what the platform demands behind the product; `{make: white}` makes it, and delivers nothing else.
        crop: what is kept where the render has another shape: its centre, or its subject, whole and as large as `fill`
            says; where no subject can be told, the centre, and the row says so.
        fill: least and most share of the picture that the subject takes, by its longer side; for `crop: subject`.
        encode: best takes the highest quality that keeps `max_bytes`, and fails what would look worse than a floor.
        text: whether the platform allows text and logos; an overlay on one that does not is refused.
        scene: whether the platform takes the product in a scene; `plan` warns of shots that show it in one where it
            wants the product alone.
        safe_zone: top, right, bottom and left in % of the frame that overlays leave free.
        overlay: texts and logos on its files, drawn in order after those of the shot.
        locale: language of the overlay's texts: what `copy` and columns such as `title@de` are read in; the campaign's
            when left out. `copy: [en, de]`, or `copy: all`, makes a channel NAME-LOCALE of it for each.
        territory: ISO 3166 country (two upper-case letters) in which the assets are shown, which a reference's licence
            must cover.
        master: WIDTHxHEIGHT to render at instead of the ladder's size.
        source: where the numbers are from: O official, S secondary, C conflicting, "" the campaign.
        checked_on: the day the numbers were compared with their source.
        notes: for people.
    """

    name: str
    width: int = Field(ge=16, le=10_000)
    height: int = Field(ge=16, le=10_000)
    format: Format = "jpeg"
    quality: int = Field(default=92, ge=40, le=100)
    max_bytes: Annotated[int, BeforeValidator(_bytes), Field(ge=1_000)] | None = None
    background: Background | MadeBackground = "any"
    crop: Literal["centre", "subject"] = "centre"
    fill: tuple[float, float] | None = None
    encode: Literal["best"] | None = None
    text: bool = True
    scene: bool = True
    safe_zone: Insets | None = None
    overlay: tuple[OverlayElement, ...] = ()
    locale: str | None = None
    territory: str | None = None
    master: str | None = None
    source: Literal["O", "S", "C", ""] = ""
    checked_on: date | None = None
    notes: str = ""

    @field_validator("name")
    @classmethod
    def _name(cls, value: str) -> str:
        if not _NAME.fullmatch(value):
            raise ValueError("use lower-case letters, digits and '-', first a letter or digit, at most 64")
        # Rows of masters stand beside rows of channels and are named master-WxH.
        if value.startswith("master-"):
            raise ValueError("names that start with 'master-' are reserved for masters")
        return value

    @field_validator("background", mode="before")
    @classmethod
    def _known_background(cls, value: object) -> object:
        if value in get_args(Background) or isinstance(value, MadeBackground):
            return value
        if isinstance(value, Mapping) and (value.get("make") == "white" or set(value) - {"make"}):
            return value
        raise ValueError(f"write {', '.join(get_args(Background))} or {{make: white}}")

    @field_validator("safe_zone")
    @classmethod
    def _some_room(cls, value: Insets | None) -> Any:
        return checked_insets(value)

    @field_validator("locale", mode="before")
    @classmethod
    def _language(cls, value: object) -> object:
        return checked_locale(value)

    @field_validator("territory")
    @classmethod
    def _country(cls, value: str | None) -> str | None:
        if value is not None and not _COUNTRY.fullmatch(value):
            raise ValueError("write a country as two upper-case letters, for example DE")
        return value

    @field_validator("master")
    @classmethod
    def _legal_master(cls, value: str | None) -> str | None:
        if value is not None and not is_legal_size(*_parse_size(value)):
            limit = f"sides are multiples of {SIDE_MULTIPLE} from {MIN_SIDE} to {MAX_SIDE}"
            raise ValueError(f"{limit}, at most {MAX_PIXELS:,} pixels in all")
        return value

    @field_validator("fill")
    @classmethod
    def _share(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and not 0 < value[0] < value[1] <= 1:
            raise ValueError("write the least and the most share, for example [0.75, 0.9]")
        return value

    @model_validator(mode="after")
    def _not_too_long(self) -> Channel:
        if max(self.width, self.height) > MAX_RATIO * min(self.width, self.height):
            raise ValueError(f"{self.width}x{self.height} is longer than {MAX_RATIO}:1, more than can be rendered")
        return self

    @property
    def master_size(self) -> tuple[int, int]:
        """Width and height in pixels of the render this channel is cut from, by the ladder."""
        return self.master_within(None)

    def master_within(self, megapixels: float | None) -> tuple[int, int]:
        """The same in a campaign that says `megapixels:`."""
        if self.master:
            return _parse_size(self.master)
        if megapixels is None:
            return master_size(self.width, self.height)
        return shared_master_size(self.width, self.height, megapixels)

    @property
    def family(self) -> str:
        """The channel that it is one language of; itself where it is none."""
        return self.name.removesuffix(f"-{locale_tag(self.locale)}") if self.locale else self.name

    @property
    def ground(self) -> Background:
        """What the platform demands behind the product."""
        return self.background.make if isinstance(self.background, MadeBackground) else self.background

    @property
    def makes_white(self) -> bool:
        return isinstance(self.background, MadeBackground)

    @property
    def encodes_best(self) -> bool:
        """Whether a quality is searched for; PNG has none."""
        return self.encode == "best" and self.format != "png"

    def finishing_spec(self) -> dict[str, Any]:
        """All of this channel that enters an asset's fingerprint: closed, JSON-able, steps only where asked for."""
        spec: dict[str, Any] = {
            "background": self.ground,
            "format": self.format,
            "height": self.height,
            "max_bytes": self.max_bytes,
            # PNG knows no quality: two spellings of one file must not differ.
            "quality": None if self.format == "png" or self.encodes_best else self.quality,
            "recipe": FINISHING_RECIPE,
            "width": self.width,
        }
        if self.crop == "subject":
            spec["crop"] = {"fill": list(self.fill) if self.fill else None, "recipe": CROP_RECIPE, "to": "subject"}
        if self.makes_white:
            spec["make"] = {"background": "white", "recipe": WHITE_RECIPE}
        if self.encodes_best:
            spec["encode"] = {"recipe": ENCODE_RECIPE, "to": "best"}
        return spec


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
        row = channel.model_dump(mode="json", exclude={"territory", "master", "crop", "encode", "overlay", "locale"})
        row["master"] = "{}x{}".format(*channel.master_size)
        rows.append(row)
    return rows


def resolve_channels(
    entries: Sequence[str | Mapping[str, Any]], source: str, copy: Copy = MappingProxyType({})
) -> list[Channel]:
    """A campaign's `channels:` list, in its order.

    An entry is a name of the table, a channel spelled out, or a mapping with `base: NAME` and the keys
    that differ from it. One with `copy:` is a channel in each of its languages.

    Raises:
        CampaignError: a name, key or value that cannot be, or a channel listed twice; `source` is the
            campaign file it names.
    """
    channels: dict[str, Channel] = {}
    for i, entry in enumerate(entries):
        for channel in _resolve(entry, source, f"channels.{i}", copy):
            if channel.name in channels:
                fix = "drop one, or give it a name of its own"
                raise CampaignError(source, f"channels.{i}", f"{channel.name!r} is listed twice", fix)
            channels[channel.name] = channel
    return list(channels.values())


def _resolve(entry: object, source: str, where: str, copy: Copy) -> list[Channel]:
    if isinstance(entry, str):
        return [_named(entry, source, where)]
    if not isinstance(entry, Mapping):
        fix = "write a name of `packshot channels`, or a mapping with name, width and height"
        raise CampaignError(source, where, f"{shown(entry)} is no channel", fix)
    values = {str(key): value for key, value in entry.items()}
    if "base" in values:
        base = _named(values.pop("base"), source, f"{where}.base")
        values = base.model_dump(exclude={"source", "checked_on", "notes"}) | values
    return [_validated(each, source, where) for each in in_languages(values, copy, source, where)]


def _validated(values: Mapping[str, Any], source: str, where: str) -> Channel:
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
    keys, problem, fix = first_fault(error, values, Channel)
    place = ".".join([where, *map(clipped, keys)])
    if problem.startswith("unknown key"):
        fix = nearest(keys[-1], [*Channel.model_fields, "base", COPY])
    elif problem == "is missing" and values.get("name") in _builtin():
        fix = f"write `base: {values['name']}` to change that channel"
    return CampaignError(source, place, problem, fix)
