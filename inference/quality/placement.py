"""Where the product of a photo stands in a scene, whose ground tells nothing of it.

The photo's product, cut out by its outline, is laid on the picture at every size and place: it fits where its edges run
as the picture's do (histograms of oriented gradients, Dalal and Triggs 2005, compared by their cosine inside the
outline) and its colours are near those that are there. All places of one size at once, by Fourier transforms, as
D. Padfield has it ("Masked Object Registration in the Fourier Domain", 2012). A product that is shown from another
side fits nowhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inference.quality.box import Box
from inference.quality.colours import lab
from inference.quality.subject import find_subject

FITS_FROM = 0.75
"""Cosine of the edges from which on a product is taken to stand there; chosen as tests/benchmarks/README.md says."""

MOST_DIFFERENCE = 22.0
"""Root mean square of the difference in CIELAB up to which it is."""

LOOKED_AT = 256
"""The longer side of picture and photo as they are looked at, in pixels."""

CELL = 4
"""Side of a cell in those pixels: places are as fine."""

_SMALLEST = 0.2  # of the picture's longer side
_STEP = 1.06  # from one size to the next
_TURNS = 8  # of edges, in half a circle
_AS_GROUND = 5.0  # CIELAB, what the eye tells at a glance
_FLAT = 4.0  # CIELAB a pixel, summed over a cell: edges much weaker than that are none
_LEANING = 0.03  # by which boxes are larger, and by a cell: what leans a little is to be whole in them
_COLOURS = 50.0  # CIELAB that count as much as all of the edges

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Product:
    """The product of a photo.

    Attributes:
        picture: RGB, made small.
        box: of the product in it.
        shape: bool of shape (height, width) of the picture: True where it is seen, False also in its holes.
    """

    picture: Image.Image
    box: Box
    shape: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a product stands.

    Attributes:
        box: in pixels of the picture, and inside it; a little larger than the product.
        edges: cosine of its edges and the picture's, 1 where they run the same way.
        difference: of its colours, root mean square in CIELAB.
    """

    box: Box
    edges: float
    difference: float

    @property
    def fits(self) -> bool:
        return self.edges >= FITS_FROM and self.difference <= MOST_DIFFERENCE


def product_of(photo: Image.Image) -> Product | None:
    """The product of an RGB photo, None where it cannot be told from what is behind it."""
    scale = min(LOOKED_AT / max(photo.size), 1.0)
    size = (max(round(photo.width * scale), 8), max(round(photo.height * scale), 8))
    small = photo.resize(size, Image.Resampling.BOX)
    found = find_subject(small)
    if isinstance(found, str):
        return None
    # A mask has no holes; here what is as the ground behind it is none of the product.
    difference = lab(np.asarray(small)) - lab(found.ground)
    shape = found.mask & (np.sqrt((difference**2).sum(axis=-1)) > _AS_GROUND)
    return Product(small, found.box, shape if shape.any() else found.mask)


def place(picture: Image.Image, product: Product) -> Placed | None:
    """Where a product fits an RGB picture best, None in a picture that has no room for it."""
    scale = LOOKED_AT / max(picture.size)
    size = (max(round(picture.width * scale), CELL), max(round(picture.height * scale), CELL))
    scene = _Scene(lab(np.asarray(picture.resize(size, Image.Resampling.BOX))))
    found = max((laid for laid in _laid(scene, product, size) if laid), key=lambda laid: laid.score, default=None)
    if found is None:
        return None
    left, top, width, height = found.box
    across, down = CELL + _LEANING * width, CELL + _LEANING * height
    box = Box(
        max(0.0, (left - across) / scale),
        max(0.0, (top - down) / scale),
        min(float(picture.width), (left + width + across) / scale),
        min(float(picture.height), (top + height + down) / scale),
    )
    return Placed(box, found.edges, found.difference)


@dataclass(frozen=True, slots=True)
class _Laid:
    """A product on the picture that is looked at; `box` is left, top, width and height of it in pixels."""

    box: tuple[int, int, int, int]
    edges: float
    difference: float

    @property
    def score(self) -> float:
        return self.edges - self.difference / _COLOURS


class _Scene:
    """A picture in cells, transformed once for all sizes; with an empty cell around it, for what fills it.

    Attributes:
        shape: rows and columns of cells.
    """

    def __init__(self, seen: NDArray[np.float32]) -> None:
        edges, colours = (np.pad(cells, ((1, 1), (1, 1), (0, 0))) for cells in (_edges(seen), _colours(seen)))
        self.shape = (edges.shape[0], edges.shape[1])
        self._edges, self._strength = self._transformed(edges), self._transformed((edges**2).sum(axis=-1))
        self._colours, self._squares = self._transformed(colours), self._transformed((colours**2).sum(axis=-1))

    def _transformed(self, values: Values) -> NDArray[np.complex128]:
        return np.fft.rfft2(values, s=self.shape, axes=(0, 1))

    def _sums(self, transformed: NDArray[np.complex128], cells: Values) -> Values:
        """Of the products of a picture's cells and those that are laid on it, at every place."""
        product = transformed * np.conj(self._transformed(cells))
        whole = product if product.ndim == 2 else product.sum(axis=-1)
        return np.fft.irfft2(whole, s=self.shape, axes=(0, 1))

    def edges_alike(self, edges: Values, on: Values) -> Values:
        """Cosine at every place; `on` is 1 in cells that count."""
        lengths = np.sqrt(np.maximum(self._sums(self._strength, on), 1e-9) * max(float((edges**2).sum()), 1e-9))
        alike: Values = self._sums(self._edges, edges) / lengths
        return alike

    def difference(self, colours: Values, on: Values) -> Values:
        """Root mean square at every place."""
        inside = colours * on[..., None]
        squares = self._sums(self._squares, on) - 2 * self._sums(self._colours, inside) + float((inside**2).sum())
        difference: Values = np.sqrt(np.maximum(squares, 0) / max(float(on.sum()), 1.0))
        return difference


def _laid(scene: _Scene, product: Product, size: tuple[int, int]) -> Iterator[_Laid | None]:
    """A product at each of its sizes, where it is most like what is there."""
    box = product.box
    scale = min(size[0] / box.width, size[1] / box.height)
    while scale * max(box.width, box.height) >= _SMALLEST * LOOKED_AT:
        yield _best(scene, product, scale)
        scale /= _STEP


def _best(scene: _Scene, product: Product, scale: float) -> _Laid | None:
    """None where it is too large."""
    picture, mask, box = _cut_out(product, scale)
    rows, columns = mask.shape[0] // CELL, mask.shape[1] // CELL
    down, across = scene.shape[0] - rows + 1, scene.shape[1] - columns + 1
    if down < 1 or across < 1:
        return None
    seen, share = lab(np.asarray(picture)), _means(mask)
    on = (share > 0.05).astype(np.float64)
    edges = scene.edges_alike(_edges(seen) * on[..., None], on)[:down, :across]
    inside = (share > 0.8).astype(np.float64)
    difference = scene.difference(_colours(seen), inside if inside.any() else on)[:down, :across]
    row, column = np.unravel_index(int((edges - difference / _COLOURS).argmax()), edges.shape)
    place = (int(column - 1) * CELL + box[0], int(row - 1) * CELL + box[1], box[2], box[3])
    return _Laid(place, float(edges[row, column]), float(difference[row, column]))


def _cut_out(product: Product, scale: float) -> tuple[Image.Image, Values, tuple[int, int, int, int]]:
    """A product made smaller, with room for a cell around it: the picture, its share of each pixel, its box in that."""
    box = product.box
    width, height = max(1, round(box.width * scale)), max(1, round(box.height * scale))
    size = ((-(-width // CELL) + 2) * CELL, (-(-height // CELL) + 2) * CELL)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    by = box.width / width, box.height / height
    part = (
        box.left - left * by[0],
        box.top - top * by[1],
        box.left + (size[0] - left) * by[0],
        box.top + (size[1] - top) * by[1],
    )
    beyond = int(max(0, -part[0], -part[1], part[2] - product.picture.width, part[3] - product.picture.height)) + 1
    around = ((beyond, beyond), (beyond, beyond))
    carried_on = Image.fromarray(np.pad(np.asarray(product.picture), (*around, (0, 0)), mode="edge"))
    shape = Image.fromarray(np.pad(product.shape.astype(np.uint8) * 255, around))
    moved = (part[0] + beyond, part[1] + beyond, part[2] + beyond, part[3] + beyond)
    small = carried_on.resize(size, Image.Resampling.BOX, box=moved)
    share = np.asarray(shape.resize(size, Image.Resampling.BOX, box=moved), np.float64) / 255
    return small, share, (left, top, width, height)


def _means(values: Values) -> Values:
    """float64 of shape (rows, columns) or (rows, columns, channels), in cells."""
    rows, columns = values.shape[0] // CELL, values.shape[1] // CELL
    cells = values[: rows * CELL, : columns * CELL].reshape(rows, CELL, columns, CELL, *values.shape[2:])
    means: Values = cells.mean(axis=(1, 3))
    return means


def _colours(seen: NDArray[np.float32]) -> Values:
    return _means(seen.astype(np.float64))


def _edges(seen: NDArray[np.float32]) -> Values:
    """How strongly edges run each way in each cell, beside the cells around it: shape (rows, columns, turns)."""
    down, across = np.gradient(seen.astype(np.float64), axis=(0, 1))
    steepest = np.hypot(across, down).argmax(axis=-1)[..., None]
    down, across = (np.take_along_axis(each, steepest, axis=-1)[..., 0] for each in (down, across))
    turn = np.degrees(np.arctan2(down, across)) % 180 / (180 / _TURNS)
    before = np.floor(turn)
    nearer = np.hypot(across, down) * np.stack([1 - turn + before, turn - before])
    ways = np.stack([before, before + 1]).astype(int) % _TURNS
    found = np.zeros((*turn.shape, _TURNS))
    for way, strength in zip(ways, nearer, strict=True):
        np.put_along_axis(found, way[..., None], strength[..., None], axis=-1)
    cells = _means(found) * CELL**2
    power = np.pad((cells**2).sum(axis=-1), 1, mode="edge")
    rows, columns = cells.shape[:2]
    around = sum(power[i : i + rows, j : j + columns] for i in range(3) for j in range(3)) / 9
    edges: Values = np.sqrt(cells / np.sqrt(around + _FLAT**2)[..., None])
    return edges
