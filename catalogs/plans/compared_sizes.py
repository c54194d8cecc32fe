"""What one master for many channels saves, and what it enlarges."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from catalogs.campaigns.campaign import Campaign
from catalogs.campaigns.enlargement import MAX_ENLARGEMENT, MOST_MEGAPIXELS, enlargement
from catalogs.plans.shot_sizes import ShotSizes
from catalogs.plans.wanted import Estimator, Planned

SHOWN = 3


class ComparedSizes:
    """All renders that a campaign wants under its `megapixels`, made already or not, beside those of the ladder."""

    def __init__(self, campaign: Campaign) -> None:
        self._campaign = campaign
        self._shots: Counter[tuple[str, int]] = Counter()  # (shot, references) -> looks

    def add(self, look: Sequence[Planned]) -> None:
        """Count the shots of a look that any right covers."""
        if self._campaign.megapixels is None:
            return
        wanted = {p.identity.shot: len(p.request.references) for p in look if not p.refused}
        self._shots.update(wanted.items())

    def noted(self, model: Estimator) -> dict[str, Any]:
        """`megapixels`, and renders and estimated seconds with it and with a size a channel; {} without the key."""
        if self._campaign.megapixels is None:
            return {}
        renders, seconds = self._counted(self._campaign, model)
        ladder_renders, ladder_seconds = self._counted(replace(self._campaign, megapixels=None), model)
        return {
            "megapixels": self._campaign.megapixels,
            "renders": renders,
            "seconds": seconds,
            "ladder_renders": ladder_renders,
            "ladder_seconds": ladder_seconds,
        }

    def _counted(self, campaign: Campaign, model: Estimator) -> tuple[int, float]:
        sizes, renders, seconds = ShotSizes(campaign), 0, 0.0
        for (shot, references), looks in self._shots.items():
            times = looks * campaign.variations
            renders += times * len(sizes.of(shot))
            seconds += times * sum(model.seconds(*size, references) for size in sizes.of(shot))
        return renders, seconds


def enlarged_lines(campaign: Campaign) -> list[str]:
    """A line on the channels whose files are larger than what they are cut from; [] where none is by much."""
    factors = _enlarged(campaign)
    if not factors:
        return []
    worst = sorted(factors.items(), key=lambda item: (-item[1][0], item[0]))
    told = ", ".join(f"{name} by {factor:.2f} from {width}x{height}" for name, (factor, width, height) in worst[:SHOWN])
    more = f", {len(worst) - SHOWN} more" if len(worst) > SHOWN else ""
    line = f"channels whose pictures are enlarged by over {MAX_ENLARGEMENT}: {len(worst)} ({told}{more})"
    return [line + _advice(campaign, len(worst))]


def _enlarged(campaign: Campaign) -> dict[str, tuple[float, int, int]]:
    """The worst factor of every channel that is enlarged, and the size it is cut from."""
    sizes, found = ShotSizes(campaign), dict[str, tuple[float, int, int]]()
    for shot in campaign.shots:
        for channel in campaign.channels_of(shot):
            size = sizes.of_channel(shot, channel.name)
            factor = enlargement(size, channel)
            if factor > MAX_ENLARGEMENT:
                found[channel.name] = max(found.get(channel.name, (0.0, 0, 0)), (factor, *size))
    return found


def _advice(campaign: Campaign, enlarged: int) -> str:
    if campaign.megapixels is None or campaign.megapixels >= MOST_MEGAPIXELS:
        return ""
    left = len(_enlarged(replace(campaign, megapixels=MOST_MEGAPIXELS)))
    return f"; `megapixels: {MOST_MEGAPIXELS:g}` leaves {left or 'none'} of them" if left < enlarged else ""
