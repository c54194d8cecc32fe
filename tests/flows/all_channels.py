"""One campaign that asks for every built-in channel, and the files it delivers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from catalogs.campaigns.channels import builtin_channels
from tests.flows.projects import Project

FOLDER = "output/assets"
"""Of the campaign's folder: where its delivered files are."""

SHOT: dict[str, Any] = {"hero": {"prompt": {"scene": "{{ product.title }} alone on a white table"}}}
SMALL_SHOT = {"hero": SHOT["hero"] | {"size": "64x64"}}
"""For an engine that takes its time over each pixel."""


def delivered(folder: Path, more: Sequence[Any] = (), **campaign: Any) -> dict[str, Path]:
    """Render one product for every built-in channel, and for `more`; its file by the channel's name."""
    channels = [*builtin_channels(), *more]
    project = Project.of(folder, 1, **{"shots": SHOT, "channels": channels, **campaign})
    project.render()
    rows = project.view().values()
    assert [row["status"] for row in rows] == ["delivered"] * len(channels)
    return {row["channel"]: folder / "output" / row["asset_key"] for row in rows}
