"""The sizes at which the shots of a campaign are rendered: for their channels, and for the shots that build on them."""

from __future__ import annotations

from catalogs.campaigns.campaign import Campaign
from catalogs.campaigns.shot_links import ShotReference
from catalogs.identity import master_channel

Size = tuple[int, int]


class ShotSizes:
    """Master sizes in pixels, by shot."""

    def __init__(self, campaign: Campaign) -> None:
        self._campaign = campaign
        self._of_channels = {shot: self._channel_sizes(shot) for shot in campaign.shots}
        self._built_on = self._needed_masters()

    def of(self, shot: str) -> list[Size]:
        """Every size a shot is rendered at, in order."""
        return sorted({*self._of_channels[shot].values(), *self._built_on[shot]})

    def of_channel(self, shot: str, channel: str) -> Size:
        """The size of the master that a channel's asset is cut from."""
        return self._of_channels[shot][channel]

    def of_parent(self, reference: ShotReference, child: Size) -> Size:
        """Size of the master a child builds on: the named channel's, the parent's own, else the child's.

        Never "the largest there is": a channel added later would change it, and render every child anew.
        """
        own = self._campaign.shots[reference.role].master_size
        if own or not reference.channel:
            return own or child
        channel = next(c for c in self._campaign.channels if c.name == reference.channel)
        return channel.master_within(self._campaign.megapixels)

    def is_built_on(self, shot: str, size: Size) -> bool:
        """Whether other shots need this master of a shot."""
        return size in self._built_on[shot]

    def names(self, shot: str) -> list[str]:
        """The channels of a shot, and its masters that other shots build on, as rows call them."""
        masters = [master_channel(*size) for size in self.of(shot) if self.is_built_on(shot, size)]
        return [*self._of_channels[shot], *masters]

    def _channel_sizes(self, shot: str) -> dict[str, Size]:
        own = self._campaign.shots[shot].master_size
        limit = self._campaign.megapixels
        return {channel.name: own or channel.master_within(limit) for channel in self._campaign.channels_of(shot)}

    def _needed_masters(self) -> dict[str, set[Size]]:
        needed: dict[str, set[Size]] = {shot: set() for shot in self._campaign.shots}
        for shot in reversed([shot for stage in self._campaign.stages for shot in stage]):
            sizes = {*self._of_channels[shot].values(), *needed[shot]}
            for reference in self._campaign.references[shot]:
                if reference.source == "shot":
                    needed[reference.role].update(self.of_parent(reference, size) for size in sizes)
        return needed
