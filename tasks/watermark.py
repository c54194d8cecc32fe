"""The watermark of a run: the plug-in that a campaign names, and the same one again where its files are finished."""

from __future__ import annotations

from catalogs.campaigns.campaign import Campaign
from catalogs.campaigns.watermark import Mark
from catalogs.errors import OptionError
from catalogs.plans.file import PlanHeader
from inference.finishing.watermark import BadPlugin, Marker, load_marker


def planned_mark(campaign: Campaign, kind: str) -> Mark | None:
    """What a plan carries of a campaign's watermark; None without one, and for proofs.

    Raises:
        CampaignError: the plug-in is not installed, or cannot be used.
    """
    if campaign.watermark is None or kind != "render":
        return None
    try:
        return load_marker(campaign.watermark).planned
    except BadPlugin as bad:
        raise campaign.problem(f"watermark.{bad.key}", bad.problem, bad.fix) from None


def marker_of(header: PlanHeader) -> Marker | None:
    """What marks the files of a plan, None where they are not marked.

    Raises:
        OptionError: the plug-in is not installed here, cannot be used, or is another than was planned with.
    """
    mark = header.mark
    if mark is None:
        return None
    try:
        marker = load_marker(mark)
    except BadPlugin as bad:
        raise OptionError(header.source, f"watermark.{bad.key}", bad.problem, bad.fix) from None
    if marker.planned != mark:
        problem = f"{mark.plugin!r} has version {marker.planned.version} here, and was planned with {mark.version}"
        raise OptionError(header.source, "watermark.plugin", problem, "plan again, or install that version")
    return marker


def check_watermark(header: PlanHeader) -> None:
    """Find out before a run starts that it cannot mark what it is to mark; raises OptionError as `marker_of` does."""
    marker_of(header)
