"""Outlines: closed lines of points, in shares of the picture, x to the right and y down."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Point = tuple[float, float]


def ellipse(x: float, y: float, across: float, down: float, start: float = 0, end: float = 360) -> list[Point]:
    """Points on an ellipse of half axes `across` and `down`, from `start` to `end` degrees clockwise."""
    turns = np.radians(np.linspace(start, end, 120))
    return [(x + across * float(np.cos(t)), y + down * float(np.sin(t))) for t in turns]


def outline(thousandths: str) -> list[Point]:
    """Points written as `x,y x,y ...` in thousandths of the picture."""
    pairs = (pair.split(",") for pair in thousandths.split())
    return [(int(x) / 1000, int(y) / 1000) for x, y in pairs]


def spline(points: Sequence[Point], steps: int = 14) -> list[Point]:
    """A closed smooth line through the points (uniform Catmull-Rom)."""
    count, line = len(points), []
    for i in range(count):
        p0, p1, p2, p3 = (np.array(points[(i + k) % count]) for k in (-1, 0, 1, 2))
        for t in np.linspace(0, 1, steps, endpoint=False):
            x, y = 0.5 * (
                2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3
            )
            line.append((float(x), float(y)))
    return line


def stroke(points: Sequence[Point], width: float) -> list[Point]:
    """The outline of an open line drawn `width` thick."""
    line = np.array(points)
    along = np.gradient(line, axis=0)
    normal = np.stack([-along[:, 1], along[:, 0]], -1) / np.maximum(np.hypot(*along.T), 1e-9)[:, None]
    sides = [*(line + normal * width / 2), *(line - normal * width / 2)[::-1]]
    return [(float(x), float(y)) for x, y in sides]


def rounded(left: float, top: float, right: float, bottom: float, radius: float) -> list[Point]:
    """A rectangle with round corners."""
    corners = (
        (right - radius, bottom - radius, 0),
        (left + radius, bottom - radius, 90),
        (left + radius, top + radius, 180),
        (right - radius, top + radius, 270),
    )
    return [p for x, y, start in corners for p in ellipse(x, y, radius, radius, start, start + 90)]
