"""What the shots of a campaign point to: references, channels, and each other, in an order that can be made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Literal

from catalogs.campaigns.channels import Channel
from catalogs.campaigns.sections import Shot
from catalogs.errors import CampaignError, nearest


@dataclass(frozen=True)
class ShotReference:
    """One entry of a shot's `references`, taken apart.

    Attributes:
        name: as written, without the `?`; what `image('...')` in a template is called with.
        source: "product", "brand" or "shot".
        role: the product's role, "logo", or the other shot's name.
        channel: for a shot, the channel whose master is meant; "" for the largest.
        optional: left out without a word where the product has none.
    """

    name: str
    source: Literal["product", "brand", "shot"]
    role: str
    channel: str
    optional: bool


def shot_references(name: str, shot: Shot, source: str) -> tuple[ShotReference, ...]:
    """The entries of a shot's `references`, taken apart.

    Raises:
        CampaignError: an entry that is no reference.
    """
    return tuple(
        _shot_reference(text, f"shots.{name}.references.{i}", source) for i, text in enumerate(shot.references)
    )


def _shot_reference(text: str, where: str, source: str) -> ShotReference:
    plain = text.removesuffix("?")
    kind, *rest = plain.split(".")
    fix = "write product.ROLE, brand.logo or shot.NAME"
    if kind not in ("product", "brand", "shot") or not all(rest) or not rest:
        raise CampaignError(source, where, f"{text!r} is not a reference", fix)
    if len(rest) > (2 if kind == "shot" else 1):
        raise CampaignError(source, where, f"{text!r} has too many parts", fix)
    if kind == "brand" and rest != ["logo"]:
        raise CampaignError(source, where, f"a brand has no picture {rest[0]!r}", "write brand.logo")
    channel = rest[1] if len(rest) == 2 else ""
    return ShotReference(plain, kind, rest[0], channel, text.endswith("?"))  # type: ignore[arg-type]


def check_links(
    shots: Mapping[str, Shot],
    channels: tuple[Channel, ...],
    references: Mapping[str, tuple[ShotReference, ...]],
    source: str,
) -> None:
    """Refuse what points to nothing.

    Raises:
        CampaignError: a channel or shot that the campaign does not have, or a reference listed twice.
    """
    names = {channel.name for channel in channels}
    for shot_name, shot in shots.items():
        for channel in shot.channels:
            if channel not in names:
                where = f"shots.{shot_name}.channels"
                raise CampaignError(source, where, f"{channel!r} is no channel here", nearest(channel, names))
        for other in shot.after:
            if other not in shots:
                where = f"shots.{shot_name}.after"
                raise CampaignError(source, where, f"there is no shot {other!r}", nearest(other, shots))
        seen: set[str] = set()
        for i, reference in enumerate(references[shot_name]):
            where = f"shots.{shot_name}.references.{i}"
            if reference.name in seen:
                raise CampaignError(source, where, f"{reference.name!r} is listed twice", "drop one")
            seen.add(reference.name)
            if reference.source == "shot" and reference.role not in shots:
                raise CampaignError(
                    source, where, f"there is no shot {reference.role!r}", nearest(reference.role, shots)
                )
            if reference.channel and reference.channel not in names:
                raise CampaignError(
                    source,
                    where,
                    f"{reference.channel!r} is no channel here",
                    nearest(reference.channel, names),
                )


def stages_of(
    shots: Mapping[str, Shot], references: Mapping[str, tuple[ShotReference, ...]], source: str
) -> tuple[tuple[str, ...], ...]:
    """The shots in an order that can be made: each stage builds on those before it alone.

    Raises:
        CampaignError: shots build on each other in a circle.
    """
    graph = {
        name: {*shot.after, *(r.role for r in references[name] if r.source == "shot")} for name, shot in shots.items()
    }
    sorter = TopologicalSorter(graph)
    try:
        sorter.prepare()
    except CycleError as error:
        cycle = " -> ".join(reversed(error.args[1]))
        raise CampaignError(source, "shots", f"shots build on each other in a circle: {cycle}", "break it") from None
    stages = []
    while sorter.is_active():
        ready = sorter.get_ready()
        stages.append(tuple(name for name in shots if name in ready))
        sorter.done(*ready)
    return tuple(stages)
