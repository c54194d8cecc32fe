"""The vision model that a campaign names for its checks: whether it can be used, what it says, and which one it is."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from catalogs.errors import ModelError, OptionError
from inference.models.vision import read_vision_folder, vision_hash
from inference.quality.embedder import Embedding, embedder
from inference.quality.subject import Subject
from inference.quality.subject_crop import subject_crop
from inference.quality.vision_input import Preparation, model_input, preparation_of
from inference.quality.vision_model import EXTRA, can_load

KEY = "quality.likeness_model"
VERSION = "likeness_model"
"""Key of a row's `versions`: the hash of the model that its `embedding` is of."""


def check_likeness_model(folder: str, source: str) -> None:
    """Find out, without loading it, whether a folder holds a model that can be used.

    Raises:
        ModelError: it does not.
        OptionError: nothing here could load it.
    """
    if not can_load():
        raise OptionError(source, KEY, "nothing here embeds pictures", f"pip install '{EXTRA}'")
    _preparation(folder, source)


class LikenessModel:
    """Embeds subjects, from several threads.

    Args:
        folder: of the model.
        source: the campaign's file, for what is said of it.
    """

    def __init__(self, folder: str, source: str) -> None:
        self._folder, self._source = folder, source
        self._lock = threading.Lock()
        self._read: tuple[Preparation, str] | None = None

    def embedding(self, picture: Image.Image, found: Subject | str) -> Embedding:
        """Of the subject of an RGB picture, or of the whole where none could be told.

        Raises:
            ModelError: the folder holds no model that can be used.
            EmbedderError: the model cannot be loaded, or fails.
        """
        preparation, _ = self._known()
        return embedder(self._folder).embed(model_input(subject_crop(picture, found), preparation))

    @property
    def identity(self) -> str:
        """The hash of its files; raises ModelError where they cannot be read."""
        return self._known()[1]

    def _known(self) -> tuple[Preparation, str]:
        with self._lock:
            if self._read is None:
                self._read = (_preparation(self._folder, self._source), vision_hash(self._folder))
            return self._read


def _preparation(folder: str, source: str) -> Preparation:
    config, prepares = read_vision_folder(folder, source, KEY)
    name = Path(folder, "preprocessor_config.json")
    try:
        preparation = preparation_of(prepares, is_square="siglip" in config["model_type"])
    except ValueError as error:
        raise ModelError(source, KEY, f"{name}: {error}", "fetch it again, or name another model") from None
    if problem := _size_problem(config, preparation):
        raise ModelError(source, KEY, f"{name} {problem}", "name the folder of one model")
    return preparation


def _size_problem(config: Mapping[str, Any], preparation: Preparation) -> str | None:
    """DINOv2 takes any size, the others one alone."""
    wanted, made = config.get("image_size"), preparation.shape
    if "dinov2" in config["model_type"] or not isinstance(wanted, int) or made == (wanted, wanted):
        return None
    return f"makes pictures of {made[1]}x{made[0]}, and its config.json wants {wanted}x{wanted}"
