"""Whether a campaign's output can be made where its own files lie: a folder of campaigns is often mounted read-only."""

from __future__ import annotations

import os
from pathlib import Path

from catalogs.campaigns.campaign import Campaign

_FIX = "give it a place to write to, in an object store (output: s3://BUCKET/NAME) or another folder"


def refuse_read_only(campaign: Campaign, folder: str | None = None) -> None:
    """Refuse an output in a folder of campaigns that cannot be written to; writes nothing.

    Outputs elsewhere are not judged: who looks at a campaign need not have what its workers have.

    Args:
        folder: the folder of campaigns; the one the campaign file lies in when None.

    Raises:
        CampaignError: naming the file, the key and the folder.
    """
    if "://" in campaign.output:
        return
    own = os.path.realpath(folder or os.path.dirname(os.path.realpath(campaign.source)))
    if not Path(campaign.output).is_relative_to(own):
        return
    place = _nearest(campaign.output)
    if os.path.isdir(place) and not _may_write(place):
        why = "is mounted read-only" if _is_read_only(place) else "may not be written to by this user"
        raise campaign.problem("output", f"{campaign.output} cannot be written, as {place} {why}", _FIX)


def _nearest(path: str) -> str:
    """What exists of a path."""
    while not os.path.exists(path) and path != os.path.dirname(path):
        path = os.path.dirname(path)
    return path


def _may_write(folder: str) -> bool:
    by_effective_user = os.access in os.supports_effective_ids
    return os.access(folder, os.W_OK | os.X_OK, effective_ids=by_effective_user)


def _is_read_only(folder: str) -> bool:
    return hasattr(os, "statvfs") and bool(os.statvfs(folder).f_flag & os.ST_RDONLY)
