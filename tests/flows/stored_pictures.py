"""Pictures of a plan's renders that a test draws, as a start leaves them that dies before its commit."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np

from catalogs.assets.masters import MasterRecord, store_master
from inference.finishing.pixels import encode_master, pixel_sha256
from tests.flows.projects import Project, plan_rows


def store_pictures(project: Project, draw: Callable[[dict[str, Any], int], Any]) -> None:
    """Store one for each render.

    Args:
        draw: its picture, or pixels, by a row of the render and how many were stored before.
    """
    rows = {row["render_fingerprint"]: row for row in plan_rows(project.plan())}
    for number, (fingerprint, row) in enumerate(rows.items()):
        pixels = np.asarray(draw(row, number))
        data, (height, width, _) = encode_master(pixels), pixels.shape
        made = (hashlib.sha256(data).hexdigest(), pixel_sha256(pixels), width, height, "tiny", "tiny", "", 1.0, 1)
        store_master(project.store, fingerprint, data, MasterRecord(*made))
