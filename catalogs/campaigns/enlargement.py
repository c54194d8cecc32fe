"""How much pictures are enlarged for their channels, and the limit on pictures that keeps it small."""

from __future__ import annotations

from collections.abc import Iterable

from catalogs.campaigns.channels import Channel

MAX_ENLARGEMENT = 1.1
"""Above it a plan warns: what was not rendered is seen to be missing."""

USUAL_MEGAPIXELS, MOST_MEGAPIXELS = 2.0, 4.0


def enlargement(size: tuple[int, int], channel: Channel) -> float:
    """How often longer a channel's file is than the part of a master of `size` pixels that it is cut from."""
    return max(channel.width / size[0], channel.height / size[1])


def suggested_megapixels(channels: Iterable[Channel]) -> float:
    """What `megapixels:` a new campaign of these channels gets: 2, or 4 where 2 would enlarge one by over 1.1."""
    bound = [channel for channel in channels if not channel.master]
    enlarged = (enlargement(channel.master_within(USUAL_MEGAPIXELS), channel) for channel in bound)
    return MOST_MEGAPIXELS if any(factor > MAX_ENLARGEMENT for factor in enlarged) else USUAL_MEGAPIXELS
