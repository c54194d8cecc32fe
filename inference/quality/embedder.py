"""Embeds pictures with a vision model of transformers."""

from __future__ import annotations

import atexit
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inference.quality.vision_input import Values
from inference.quality.vision_model import PROCESS, SECONDS, VisionError, VisionModel, Words

_WORDS = Words("the likeness model", "what embeds pictures", "embedding it", "it cannot be embedded")

Embedding = NDArray[np.float64]


class EmbedderError(VisionError):
    """A picture could not be embedded."""


@cache
def embedder(folder: str) -> Embedder:
    """The one of this process for a model."""
    made = Embedder(folder)
    atexit.register(made.close)
    return made


def cosine(one: Embedding, other: Embedding) -> float:
    """Of two embeddings of unit length, in [-1, 1]."""
    return float(np.clip(np.dot(one, other), -1, 1))


class Embedder(VisionModel):
    """Embeds pictures, from any number of threads.

    Args:
        folder: of the model.
        process: what is started.
        seconds: for one picture.
    """

    def __init__(self, folder: str, process: Path = PROCESS, seconds: float = SECONDS) -> None:
        super().__init__((folder, "embed"), _WORDS, EmbedderError, process, seconds)

    def embed(self, values: Values) -> Embedding:
        """The embedding of a picture, of unit length.

        Args:
            values: float32 of shape (3, height, width).

        Raises:
            EmbedderError: the model cannot be loaded or does not take it, or takes too long or does not live through.
        """
        vector = np.asarray(self.answer(values)["embedding"], np.float64)
        length = float(np.linalg.norm(vector))
        if not np.isfinite(length) or not length:
            raise EmbedderError("its embedding is no direction: look at the weights of the likeness model")
        return vector / length
