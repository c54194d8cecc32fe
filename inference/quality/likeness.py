"""How like a subject is to the one of a reference photo, without a trained model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from inference.quality.colours import ciede2000, lab
from inference.quality.subject import Subject

_SIDE = 64  # px of the frame in which two subjects are laid on each other
_CELLS = 8
_TURNS = 8  # of edges, in half a circle
_GRID = 6
_STRANGE = 50.0  # CIEDE2000 from which on colours are no more alike


@dataclass(frozen=True, slots=True)
class Likeness:
    """How like two subjects are, each laid into its own box.

    Attributes:
        outline: intersection over union of the two shapes, 1 where they are the same.
        colours: mean CIEDE2000 of what lies in the same place, 0 where it is the same.
        edges: cosine of how edges run in the same places, 1 where they are the same.
    """

    outline: float
    colours: float
    edges: float

    @property
    def score(self) -> float:
        """All three as one number, 1 where they are the same."""
        return (self.outline + self.edges + max(0.0, 1 - self.colours / _STRANGE)) / 3


def likeness(one: Framed, other: Framed) -> Likeness:
    """Compare two pictures of a product by their subjects."""
    union = (one.mask | other.mask).sum()
    return Likeness(
        outline=float((one.mask & other.mask).sum() / max(int(union), 1)),
        colours=_colours(one, other),
        edges=_edges_alike(one, other),
    )


@dataclass(frozen=True, slots=True)
class Framed:
    """A subject in a frame of its own: scaled to fill it, centred, the rest empty."""

    pixels: NDArray[np.uint8]
    mask: NDArray[np.bool_]


def framed(picture: Image.Image, subject: Subject) -> Framed:
    """A subject of an RGB picture in a frame of its own."""
    box = subject.box
    scale = _SIDE / max(box.width, box.height)
    size = (max(1, round(box.width * scale)), max(1, round(box.height * scale)))
    cut = (box.left, box.top, min(box.right, picture.width), min(box.bottom, picture.height))
    place = ((_SIDE - size[0]) // 2, (_SIDE - size[1]) // 2)
    frame, mask = Image.new("RGB", (_SIDE, _SIDE), "white"), Image.new("L", (_SIDE, _SIDE))
    shape = Image.fromarray(subject.mask).convert("L")
    across, down = shape.width / picture.width, shape.height / picture.height
    inside = (cut[0] * across, cut[1] * down, cut[2] * across, cut[3] * down)
    frame.paste(picture.resize(size, Image.Resampling.BOX, box=cut), place)
    mask.paste(shape.resize(size, Image.Resampling.BILINEAR, box=inside), place)
    return Framed(np.asarray(frame), np.asarray(mask) > 127)


def _colours(one: Framed, other: Framed) -> float:
    """Over a grid; cells count in which both have some of their subject."""
    (means, shares), (others, other_shares) = _cells(one), _cells(other)
    both = (shares > 0.25) & (other_shares > 0.25)
    if not both.any():
        return 100.0
    return float(ciede2000(lab(means[both]), lab(others[both])).mean())


def _cells(framed: Framed) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean colour of the subject in each cell, and its share of the cell."""
    edges = np.linspace(0, _SIDE, _GRID + 1).astype(int)
    means = np.zeros((_GRID, _GRID, 3), np.float32)
    shares = np.zeros((_GRID, _GRID), np.float32)
    for row in range(_GRID):
        for column in range(_GRID):
            part = np.s_[edges[row] : edges[row + 1], edges[column] : edges[column + 1]]
            inside = framed.mask[part]
            shares[row, column] = inside.mean()
            if inside.any():
                means[row, column] = framed.pixels[part][inside].mean(axis=0)
    return means, shares


def _edges_alike(one: Framed, other: Framed) -> float:
    """Dalal and Triggs, "Histograms of oriented gradients for human detection", 2005, with blocks of one cell."""
    a, b = _edge_histograms(one), _edge_histograms(other)
    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float((a * b).sum() / lengths) if lengths else 0.0


def _edge_histograms(framed: Framed) -> NDArray[np.float64]:
    grey = Image.fromarray(framed.pixels).convert("L").filter(ImageFilter.GaussianBlur(1))
    down, across = np.gradient(np.asarray(grey, np.float64))
    strength = np.hypot(across, down)
    turn = (np.degrees(np.arctan2(down, across)) % 180 / (180 / _TURNS)).astype(int) % _TURNS
    cell = np.arange(_SIDE) // (_SIDE // _CELLS)
    place = (cell[:, None] * _CELLS + cell[None]) * _TURNS + turn
    found = np.bincount(place.ravel(), strength.ravel(), minlength=_CELLS * _CELLS * _TURNS)
    cells = found.reshape(-1, _TURNS)
    histograms: NDArray[np.float64] = np.sqrt(cells / (np.linalg.norm(cells, axis=1, keepdims=True) + 20))
    return histograms
