"""Finds objects of one class with an object detection model of transformers."""

from __future__ import annotations

import atexit
import math
from functools import cache
from pathlib import Path

from inference.quality.vision_input import Values
from inference.quality.vision_model import PROCESS, SECONDS, VisionError, VisionModel, Words

_WORDS = Words("the person model", "what looks for people", "looking for people in it", "it cannot be looked at")


class DetectorError(VisionError):
    """A picture could not be looked at."""


@cache
def detector(folder: str, number: int) -> Detector:
    """The one of this process for a model and a class."""
    made = Detector(folder, number)
    atexit.register(made.close)
    return made


class Detector(VisionModel):
    """Looks at pictures, from any number of threads.

    Args:
        folder: of the model.
        number: of the class among its labels.
        process: what is started.
        seconds: for one picture.
    """

    def __init__(self, folder: str, number: int, process: Path = PROCESS, seconds: float = SECONDS) -> None:
        super().__init__((folder, "detect", str(number)), _WORDS, DetectorError, process, seconds)

    def score(self, values: Values) -> float:
        """The best score of a query of the model for the class, in [0, 1].

        Args:
            values: float32 of shape (3, height, width).

        Raises:
            DetectorError: the model cannot be loaded or does not take it, or takes too long or does not live through.
        """
        found = float(self.answer(values)["score"])
        if not math.isfinite(found):
            raise DetectorError("its score is no number: look at the weights of the person model")
        return found
