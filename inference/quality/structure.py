"""Whether a picture shows anything, and how sharply: numbers of its light alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inference.quality.subject import Subject

_STEP_FROM, _STEP_TO = 2.0, 16.0  # of 255: a smaller step is what 8 bits make, a larger one an outline
_FLAT = 6  # px on both sides of a step

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Structure:
    """What was measured of a picture's light.

    Attributes:
        contrast: standard deviation of luma, of 255: about 0 for a blank picture.
        coherence: least correlation of neighbours at full size, a quarter and an eighth: noise has about 0.
        banding: share of smooth places that lie at a step between two flat bands.
        sharpness: log10 of the mean square of the Laplacian inside the subject; it falls with blur.
    """

    contrast: float
    coherence: float
    banding: float
    sharpness: float


def measure_structure(picture: Image.Image, subject: Subject | None) -> Structure:
    """Measure an RGB picture; where it has no subject that can be told, sharpness is that of the whole picture."""
    grey = picture.convert("L")
    luma = np.asarray(grey, np.float32)
    return Structure(
        contrast=float(luma.std()),
        coherence=_coherence(grey),
        banding=_banding(luma),
        sharpness=_sharpness(luma, subject, picture.size),
    )


def _coherence(grey: Image.Image) -> float:
    """Noise that an autoencoder has smoothed is smooth at full size, and noise at an eighth."""
    found = 1.0
    for factor in (1, 4, 8):
        if min(grey.size) < 4 * factor:
            break
        values = np.asarray(grey.reduce(factor) if factor > 1 else grey, np.float32)
        values = values - values.mean()
        spread = float((values**2).mean())
        if spread > 4:  # else there is nothing to be coherent
            found = min(found, float((values[:, :-1] * values[:, 1:]).mean()) / spread)
    return found


def _banding(luma: Floats) -> float:
    """Steps of a few levels between runs that are flat on both sides, along rows, of all places that are smooth."""
    steps = np.abs(np.diff(luma, axis=1))
    if steps.shape[1] < 2 * _FLAT + 1:
        return 0.0
    flat = steps < 0.5
    runs = np.cumsum(np.pad(flat, ((0, 0), (1, 0))), axis=1, dtype=np.int32)
    around = runs[:, _FLAT:] - runs[:, :-_FLAT] == _FLAT  # the six steps from each place on are flat
    before, after = around[:, : -_FLAT - 1], around[:, _FLAT + 1 :]
    middle = steps[:, _FLAT:-_FLAT]
    at_step = before & after & (middle >= _STEP_FROM) & (middle <= _STEP_TO)
    smooth = before | after
    return float(at_step.sum() / max(int(smooth.sum()), 1))


def _sharpness(luma: Floats, subject: Subject | None, size: tuple[int, int]) -> float:
    laplacian = 4 * luma[1:-1, 1:-1] - luma[:-2, 1:-1] - luma[2:, 1:-1] - luma[1:-1, :-2] - luma[1:-1, 2:]
    if subject is not None:
        inside = np.asarray(Image.fromarray(subject.mask).convert("L").resize(size, Image.Resampling.NEAREST)) > 0
        laplacian = laplacian[inside[1:-1, 1:-1]]
    if not laplacian.size:
        return 0.0
    return float(np.log10((laplacian**2).mean() + 1))
