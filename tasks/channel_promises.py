"""Channels of a campaign that are made from one of the table: whether its platform takes what they ask for."""

from __future__ import annotations

from collections.abc import Iterator

from catalogs.campaigns.campaign import Campaign
from catalogs.campaigns.channel_rules import RuleName, builtin_rules
from catalogs.campaigns.channels import Channel
from inference.quality.channel_audit import Finding, audit_asked


def promise_warnings(campaign: Campaign) -> list[str]:
    """What a plan says of such channels.

    Raises:
        CampaignError: one that its files are finished for (crop, background, encode, overlay) breaks a rule of it.
    """
    lines = []
    for channel in campaign.channels:
        for finding in _broken(campaign, channel):
            base = campaign.bases[channel.name]
            said = f"has {finding.has}, and {base} wants {finding.wants} ({finding.rule}; {finding.origin})"
            if finding.rule != RuleName.BYTES and _is_finished(campaign, channel):  # a file may well be smaller
                fix = "correct it, or spell the channel out without `base`"
                raise campaign.problem(f"channels: {channel.name}", said, fix)
            lines.append(f"channel {channel.name}: {said}")
    return lines


def _broken(campaign: Campaign, channel: Channel) -> Iterator[Finding]:
    base = campaign.bases.get(channel.name)
    if base is not None:
        yield from audit_asked(channel, builtin_rules()[base])


def _is_finished(campaign: Campaign, channel: Channel) -> bool:
    has_overlay = any(name == channel.name for _, name in campaign.overlays)
    return channel.crop == "subject" or channel.makes_white or channel.encode is not None or has_overlay
