"""One picture against the rules of one channel: what holds, what is broken, and what no pixel tells."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from catalogs.campaigns.channel_rules import KIND_NAMES, ChannelRules, Origin, RuleName, bytes_text
from catalogs.campaigns.channels import FORMATS, Channel
from catalogs.references.pictures import Header
from inference.quality.background import Ground
from inference.quality.facts import Facts


class Outcome(StrEnum):
    """What an audit says of one rule."""

    KEPT = "kept"
    BROKEN = "broken"
    NOT_JUDGED = "not judged"


class Judged(NamedTuple):
    """An outcome, what the file has, and why it is not judged where it is not."""

    outcome: Outcome
    has: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule of a channel, held against one picture.

    Attributes:
        rule: a `RuleName`, or the channel's own name of what is never judged.
        has: what the file has, "" where that was not looked at.
        wants: what the channel wants, "" where no source gave a limit.
        why: it is not judged, else "".
        origin: where the rule is from.
    """

    rule: str
    outcome: Outcome
    has: str
    wants: str
    why: str
    origin: Origin


@dataclass(frozen=True, slots=True)
class Verdict:
    """All rules of a channel, held against one picture."""

    channel: str
    findings: tuple[Finding, ...]

    @property
    def is_accepted(self) -> bool:
        """Whether no rule is broken; some may not be judged."""
        return not self.broken

    @property
    def broken(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.outcome is Outcome.BROKEN]

    @property
    def not_judged(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.outcome is Outcome.NOT_JUDGED]

    def __str__(self) -> str:
        if self.broken:
            return "refused"
        return "accepted as far as judged" if self.not_judged else "accepted"


def audit(facts: Facts, rules: ChannelRules) -> Verdict:
    """Hold one picture against all that a channel asks."""
    findings = []
    for rule, wants in rules.asked().items():
        found = _judged(rule, wants, facts, rules)
        findings.append(Finding(rule, found.outcome, found.has, wants, found.why, rules.origin(rule)))
    return Verdict(rules.channel.name, tuple(findings))


_ASKED = (RuleName.FORMAT, RuleName.BYTES, RuleName.SIZE, RuleName.RATIO)


def audit_asked(channel: Channel, rules: ChannelRules) -> list[Finding]:
    """What every file of a channel would break of another's rules, whatever it shows."""
    asked = Header(channel.width, channel.height, FORMATS[channel.format].pillow, "RGB", 8, 1, "", False)
    facts = Facts(channel.max_bytes or 0, asked, None)
    verdict = audit(facts, rules)
    found = [each for each in verdict.broken if each.rule in _ASKED]
    limit = rules.channel.max_bytes
    if limit is not None and channel.max_bytes is None:
        wants, origin = rules.asked()[RuleName.BYTES], rules.origin(RuleName.BYTES)
        found.append(Finding(RuleName.BYTES, Outcome.BROKEN, "any number of them", wants, "", origin))
    if channel.text and not rules.channel.text:
        wants, origin = rules.asked()[RuleName.TEXT], rules.origin(RuleName.TEXT)
        found.append(Finding(RuleName.TEXT, Outcome.BROKEN, "`text: true`", wants, "", origin))
    return found


def _judged(rule: str, wants: str, facts: Facts, rules: ChannelRules) -> Judged:
    if not wants:
        return Judged(Outcome.NOT_JUDGED, "", "no limit is recorded")
    if judge := _JUDGES.get(rule):
        return judge(facts, rules)
    return Judged(Outcome.NOT_JUDGED, "", "not looked at")


def _frames(facts: Facts, rules: ChannelRules) -> Judged:
    count = facts.header.frames
    return _held(count == 1, "one" if count == 1 else f"{count} frames or pages")


def _format(facts: Facts, rules: ChannelRules) -> Judged:
    kind, limits = facts.header.format.lower(), rules.limits
    has = KIND_NAMES.get(kind, facts.header.format)
    if kind not in limits.formats and limits.more_formats:
        return Judged(Outcome.NOT_JUDGED, has, "its source names more formats than are recorded")
    return _held(kind in limits.formats, has)


def _bytes(facts: Facts, rules: ChannelRules) -> Judged:
    limit = rules.channel.max_bytes
    kept = limit is None or facts.size <= limit
    return _held(kept, bytes_text(facts.size))


def _size(facts: Facts, rules: ChannelRules) -> Judged:
    (width, height), limits = facts.header[:2], rules.limits
    sides = ((limits.width, width), (limits.height, height), (limits.longest, max(width, height)))
    few = limits.pixels is None or width * height <= limits.pixels
    return _held(few and all(span is None or span.holds(side) for span, side in sides), f"{width} x {height} px")


def _ratio(facts: Facts, rules: ChannelRules) -> Judged:
    (width, height), span = facts.header[:2], rules.limits.ratio_span
    kept = span is None or span.holds(width / height, rules.limits.ratio_tolerance)
    return _held(kept, f"{width} x {height} px, {_as_ratio(width, height)}")


def _as_ratio(width: int, height: int) -> str:
    """Over one, as people write it: 1.78:1 or 1:1.78."""
    return f"{width / height:.4g}:1" if width >= height else f"1:{height / width:.4g}"


def _colour(facts: Facts, rules: ChannelRules) -> Judged:
    wanted, found = rules.limits.colour, facts.header
    has = _colour_text(found)
    if not _is_rgb(found):
        return _held(False, has)
    if wanted == "rgb":
        return _held(True, has)
    if wanted == "srgb" and found.profile and not found.profile.startswith("sRGB"):
        return _held(False, has)
    if not found.bits:
        return Judged(Outcome.NOT_JUDGED, has, "how many bits a colour has cannot be told")
    return _held(found.bits == 8, has)


_COLOUR_MODELS = {
    **dict.fromkeys(("RGB", "RGBA", "RGBX", "RGBa"), "RGB"),
    **dict.fromkeys(("P", "PA"), "a palette"),
    **dict.fromkeys(("1", "L", "LA", "La", "I", "I;16", "I;16L", "I;16B", "I;16N"), "grey"),
}


def _is_rgb(found: Header) -> bool:
    return _COLOUR_MODELS.get(found.mode) == "RGB"


def _colour_text(found: Header) -> str:
    bits = f" of {found.bits} bits" if found.bits else ""
    profile = f"profile {found.profile!r}" if found.profile else "no profile"
    return f"{_COLOUR_MODELS.get(found.mode, found.mode)}{bits}, {profile}"


def _transparency(facts: Facts, rules: ChannelRules) -> Judged:
    alpha = facts.header.has_alpha
    return _held(not alpha, "an alpha channel" if alpha else "none")


def _background(facts: Facts, rules: ChannelRules) -> Judged:
    ground = facts.ground
    if ground is None:
        return _ANIMATED
    if rules.channel.ground == "light":
        has = "edge of about #{:02X}{:02X}{:02X}".format(*ground.colour) if ground.is_even else "edge of many colours"
        return Judged(Outcome.NOT_JUDGED, has + _laid(facts), "no number says what is light")
    off = f"{_percent(ground.off_white)} of the edge off white, darkest {ground.darkest}"
    return _held(ground.off_white == 0, (off if ground.off_white else "a white edge") + _laid(facts))


def _fill(facts: Facts, rules: ChannelRules) -> Judged:
    ground, span = facts.ground, rules.fill
    if ground is None or span is None:
        return _ANIMATED
    if not ground.is_even:
        has = f"{_percent(ground.even)} of the edge of one colour"
        return Judged(Outcome.NOT_JUDGED, has, "a subject cannot be told from an uneven ground")
    return _held(span.holds(ground.fill), _subject_text(ground) + _laid(facts))


def _subject_text(ground: Ground) -> str:
    box = ground.subject
    return f"subject {ground.fill:.1%}, {box.width} x {box.height} px" if box else "nothing that differs from the edge"


def _laid(facts: Facts) -> str:
    return ", transparency laid on white" if facts.header.has_alpha else ""


def _percent(share: float) -> str:
    """Never 0 % of what there is a little of, nor 100 % of what is not whole."""
    return f"{share:.2%}" if 0.0001 <= share <= 0.9999 or share in (0, 1) else ("<0.01%" if share < 0.5 else ">99.99%")


def _held(kept: bool, has: str) -> Judged:
    return Judged(Outcome.KEPT if kept else Outcome.BROKEN, has)


_ANIMATED = Judged(Outcome.NOT_JUDGED, "", "pixels of animations are not looked at")
_JUDGES: Mapping[str, Callable[[Facts, ChannelRules], Judged]] = {
    RuleName.FRAMES: _frames,
    RuleName.FORMAT: _format,
    RuleName.BYTES: _bytes,
    RuleName.SIZE: _size,
    RuleName.RATIO: _ratio,
    RuleName.COLOUR: _colour,
    RuleName.TRANSPARENCY: _transparency,
    RuleName.BACKGROUND: _background,
    RuleName.FILL: _fill,
}
