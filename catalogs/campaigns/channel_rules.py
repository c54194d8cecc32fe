"""What platforms ask of a picture, by channel, each rule with where it is from: for audits, never for rendering."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Literal, NamedTuple

import yaml
from pydantic import Field, field_validator

from catalogs.campaigns.channels import Channel, builtin_channels
from catalogs.campaigns.section import Section

FileKind = Literal["jpeg", "png", "webp", "gif", "tiff", "bmp", "avif"]
KIND_NAMES: Mapping[str, str] = MappingProxyType(
    {"jpeg": "JPEG", "png": "PNG", "webp": "WebP", "gif": "GIF", "tiff": "TIFF", "bmp": "BMP", "avif": "AVIF"}
)
SOURCES: Mapping[str, str] = MappingProxyType(
    {"O": "official", "S": "secondary", "C": "conflicting", "": "packshot's own"}
)
"""What the mark of a source means."""


class RuleName(StrEnum):
    """Rules that an audit knows; what a channel asks beyond them has a name of its own and is never judged."""

    FRAMES = "frames"
    FORMAT = "format"
    BYTES = "bytes"
    SIZE = "size"
    RATIO = "ratio"
    COLOUR = "colour"
    TRANSPARENCY = "transparency"
    BACKGROUND = "background"
    FILL = "fill"
    TEXT = "text"
    SAFE_ZONES = "safe_zones"


class Span(NamedTuple):
    """The least and the most that a number may be; None where that side is open."""

    least: float | None
    most: float | None

    def holds(self, value: float, tolerance: float = 0.0) -> bool:
        """Whether a value lies in it, or outside by no more than this share of the limit."""
        over = self.least is None or value >= self.least * (1 - tolerance)
        return over and (self.most is None or value <= self.most * (1 + tolerance))


class Limits(Section):
    """A row of channel_rules.yaml, which says what the keys mean."""

    formats: tuple[FileKind, ...] = ()
    more_formats: bool = False
    width: Span | None = None
    height: Span | None = None
    longest: Span | None = None
    pixels: int | None = Field(default=None, ge=1)
    ratio: tuple[str | None, str | None] | None = None
    ratio_tolerance: float = Field(default=0.01, ge=0, le=0.5)
    colour: Literal["rgb", "rgb8", "srgb"] | None = None
    opaque: bool = False
    safe_zones: str = ""
    others: dict[str, str] = Field(default_factory=dict)
    page: str = ""
    sources: dict[str, Literal["O", "S", "C"]] = Field(default_factory=dict)
    notes: dict[str, str] = Field(default_factory=dict)

    @field_validator("ratio", mode="before")
    @classmethod
    def _one_ratio(cls, value: object) -> object:
        return (value, value) if isinstance(value, str) else value

    @property
    def ratio_span(self) -> Span | None:
        """Width over height."""
        return Span(*map(_quotient, self.ratio)) if self.ratio else None


class Origin(NamedTuple):
    """Where a rule is from.

    Attributes:
        source: O official, S secondary, C conflicting, "" packshot's own.
        page: what is known of the page, "" where that was not written down.
        checked_on: the day it was compared with its source.
        note: what to know of the rule.
    """

    source: str
    page: str
    checked_on: date | None
    note: str

    def __str__(self) -> str:
        if not self.source:
            return f"{SOURCES['']} rule"
        words = [f"source {self.source} ({SOURCES[self.source]})", self.page or "page not recorded"]
        return ", ".join([*words, f"checked {self.checked_on}" if self.checked_on else "never checked"])


@dataclass(frozen=True, slots=True)
class ChannelRules:
    """All that a built-in channel asks of a picture."""

    channel: Channel
    limits: Limits

    @property
    def fill(self) -> Span | None:
        """Share of the picture that the subject's box takes, by its longer side."""
        if self.channel.fill is None:
            return None
        least, most = self.channel.fill
        return Span(least, None if most == 1 else most)

    def asked(self) -> dict[str, str]:
        """Rule -> what the channel wants, in words; "" where no source gave a limit and there should be one.

        In the order of `RuleName`, then what has a name of its own.
        """
        words = {str(name): _WANTS[name](self) for name in RuleName}
        told = {name: text for name, text in words.items() if text or name in _ALWAYS}
        return told | self.limits.others

    def origin(self, rule: str) -> Origin:
        """Where a rule of `asked` is from."""
        if rule == RuleName.FRAMES:
            return Origin("", "", None, "an audit looks at one still picture")
        limits, channel = self.limits, self.channel
        source = limits.sources.get(rule, channel.source)
        return Origin(source, limits.page, channel.checked_on, limits.notes.get(rule, ""))


@cache
def _limits() -> Mapping[str, Limits]:
    text = files("catalogs.campaigns").joinpath("channel_rules.yaml").read_text(encoding="utf-8")
    return MappingProxyType({name: Limits.model_validate(row) for name, row in yaml.safe_load(text).items()})


def builtin_rules() -> dict[str, ChannelRules]:
    """The rules of every built-in channel by its name, in the order of channels.yaml."""
    return {name: ChannelRules(channel, _limits()[name]) for name, channel in builtin_channels().items()}


def _quotient(text: str | None) -> float | None:
    """Width over height of "16:9"."""
    if text is None:
        return None
    width, _, height = text.partition(":")
    return float(width) / float(height)


def bytes_text(count: int) -> str:
    """A number of bytes for people, decimal units as platforms state them."""
    for unit, size in (("MB", 1_000_000), ("kB", 1_000)):
        if count >= size and count * 10 % size == 0:
            return f"{count / size:g} {unit}"
    return f"{count:,} bytes"


def _span_text(span: Span, unit: str, scale: float = 1) -> str:
    least, most = (None if side is None else f"{side * scale:,.10g}" for side in span)
    if least == most:
        return f"{least} {unit}"
    if most is None:
        return f"{least} {unit} or more"
    return f"{most} {unit} or less" if least is None else f"{least} to {most} {unit}"


def _format(rules: ChannelRules) -> str:
    return one_of([KIND_NAMES[kind] for kind in rules.limits.formats] + ["others"] * rules.limits.more_formats)


def one_of(words: Sequence[str]) -> str:
    """Words as a choice: "a, b or c"."""
    *first, last = words or [""]
    return f"{', '.join(first)} or {last}" if first else last


def _size(rules: ChannelRules) -> str:
    return ", ".join(_sizes(rules.limits))


def _sizes(limits: Limits) -> Iterator[str]:
    for name, span in (("width", limits.width), ("height", limits.height), ("longest side", limits.longest)):
        if span is not None:
            yield f"{name} {_span_text(span, 'px')}"
    if limits.pixels is not None:
        yield f"at most {limits.pixels / 1e6:g} million pixels"


def _ratio(rules: ChannelRules) -> str:
    if rules.limits.ratio is None:
        return ""
    (least, most), within = rules.limits.ratio, f" within {rules.limits.ratio_tolerance * 100:g} %"
    if least == most:
        return f"{least}{within}"
    if most is None:
        return f"{least} or wider{within}"
    return f"{most} or taller{within}" if least is None else f"{least} to {most}{within}"


_BACKGROUNDS = {
    "white": "pure white: every pixel along the edge 255",
    "light": "light and neutral, without a number",
    "any": "",
}
_COLOURS = {None: "", "rgb": "RGB", "rgb8": "RGB of 8 bits", "srgb": "RGB of 8 bits, sRGB or no profile"}
_ALWAYS = frozenset({RuleName.FORMAT, RuleName.BYTES, RuleName.SIZE})
_WANTS: Mapping[RuleName, Callable[[ChannelRules], str]] = {
    RuleName.FRAMES: lambda rules: "one still picture",
    RuleName.FORMAT: _format,
    RuleName.BYTES: lambda rules: f"at most {bytes_text(limit)}" if (limit := rules.channel.max_bytes) else "",
    RuleName.SIZE: _size,
    RuleName.RATIO: _ratio,
    RuleName.COLOUR: lambda rules: _COLOURS[rules.limits.colour],
    RuleName.TRANSPARENCY: lambda rules: "no alpha channel" if rules.limits.opaque else "",
    RuleName.BACKGROUND: lambda rules: _BACKGROUNDS[rules.channel.ground],
    RuleName.FILL: lambda rules: f"subject {_span_text(rules.fill, '%', 100)}" if rules.fill else "",
    RuleName.TEXT: lambda rules: "" if rules.channel.text else "no text, logo or graphics",
    RuleName.SAFE_ZONES: lambda rules: rules.limits.safe_zones,
}
