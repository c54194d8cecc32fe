"""What of finishing enters a fingerprint: the one place that planning and the check for edited plans share."""

from __future__ import annotations

from typing import Any

from catalogs.campaigns.channels import Channel
from catalogs.campaigns.credentials import Credentials
from catalogs.campaigns.drawn_overlay import overlay_mark
from catalogs.campaigns.metadata import Metadata
from catalogs.campaigns.watermark import Mark
from catalogs.identity import asset_fingerprint

MASTER_SPEC = {"master": True}


def finished_fingerprint(
    render: str,
    channel: Channel | None,
    legal_line: str,
    credentials: Credentials | None = None,
    overlay: str | None = None,
    metadata: Metadata | None = None,
    mark: Mark | None = None,
) -> str:
    """The fingerprint of a render finished for a channel, None for a master of its own.

    Args:
        credentials: how it is signed, None where it is not.
        overlay: as `catalogs.campaigns.drawn_overlay.written` gives it.
        metadata: what the file tells; None is what it tells where nobody chooses.
        mark: its watermark, None without one.
    """
    if channel is None:
        return asset_fingerprint(render, MASTER_SPEC, {})
    told = metadata or Metadata()
    finishing: dict[str, Any] = {"rights": told.rights_of(legal_line)}
    if credentials is not None:
        finishing["credentials"] = credentials.finishing_spec()
    if overlay:
        finishing["overlay"] = overlay_mark(overlay)
    if spec := told.finishing_spec():
        finishing["metadata"] = spec
    if mark is not None:
        finishing["watermark"] = mark.finishing_spec()
    return asset_fingerprint(render, channel.finishing_spec(), finishing)
