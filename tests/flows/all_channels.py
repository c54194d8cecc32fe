"""One campaign that asks for every built-in channel, and the files it delivers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from catalogs.campaigns.channels import builtin_channels
from tests.flows.projects import Project

FOLDER = "output/assets"
"""Of the campaign's folder: where its delivered files are."""

SHOT: dict[str, Any] = {"hero": {"prompt": {"scene": "{{ product.title }} alone on a white table"}}}


def delivered(folder: Path, **campaign: Any) -> dict[str, Path]:
    """Render one product for every built-in channel; its file by the channel's name."""
    project = Project.of(folder, 1, shots=SHOT, channels=list(builtin_channels()), **campaign)
    reports = project.render()
    assert reports
    rows = project.view().values()
    assert {row["status"] for row in rows} == {"delivered"}
    files = {row["channel"]: folder / "output" / row["asset_key"] for row in rows}
    assert files.keys() == builtin_channels().keys()
    return files
