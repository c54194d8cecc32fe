"""The object detector that a campaign names to look for people: whether it can be used, what it says, and which."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from catalogs.campaigns.quality import Quality
from catalogs.errors import ModelError, OptionError
from inference.models.vision import read_detector_folder, vision_hash
from inference.quality.detector import DetectorError, detector
from inference.quality.vision_input import Preparation, detector_preparation_of, model_input
from inference.quality.vision_model import EXTRA, can_load

KEY = "quality.person_model"
VERSION = "person_model"
"""Key of a row's `versions`: the hash of the model that looked."""

NUMBER = "person"
"""Key of a row's `quality`: the best score for a person."""


def check_person_model(folder: str, source: str) -> None:
    """Find out, without loading it, whether a folder holds a model that can be used.

    Raises:
        ModelError: it does not.
        OptionError: nothing here could load it.
    """
    if not can_load():
        raise OptionError(source, KEY, "nothing here looks for people", f"pip install '{EXTRA}'")
    _read(folder, source)


@dataclass(frozen=True, slots=True)
class Look:
    """What came of looking at a picture.

    Attributes:
        has_person: None where nothing looked.
        numbers: the best score for a person; no check, and in no verdict.
        versions: of what looked.
        problem: why it failed, "" where it did not.
    """

    has_person: bool | None = None
    numbers: Mapping[str, float] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""


@dataclass(frozen=True, slots=True)
class _Model:
    """How a model looks.

    Attributes:
        person: number of the class.
        identity: the hash of its files.
    """

    person: int
    preparation: Preparation
    identity: str


class PersonModel:
    """Looks for people, from several threads.

    Args:
        folder: of the model.
        least: the score from which on there is a person.
        source: the campaign's file, for what is said of it.
    """

    def __init__(self, folder: str, least: float, source: str) -> None:
        self._folder, self._least, self._source = folder, least, source
        self._lock = threading.Lock()
        self._read: _Model | None = None

    @classmethod
    def of(cls, quality: Quality | None, source: str) -> PersonModel | None:
        """That of a campaign, None where it names none."""
        if quality is None or quality.person_model is None:
            return None
        return cls(quality.person_model, quality.person_from, source)

    def look(self, picture: Image.Image) -> Look:
        """Whether somebody is anywhere in an RGB picture; where the model fails, that and nothing else."""
        try:
            model = self._known()
            score = detector(self._folder, model.person).score(model_input(picture, model.preparation))
        except (ModelError, DetectorError) as error:
            return Look(problem=str(error))
        return Look(score >= self._least, {NUMBER: score}, {VERSION: model.identity})

    def _known(self) -> _Model:
        with self._lock:
            if self._read is None:
                self._read = _Model(*_read(self._folder, self._source), vision_hash(self._folder))
            return self._read


def _read(folder: str, source: str) -> tuple[int, Preparation]:
    """Number of the class, and what is done to a picture."""
    found = read_detector_folder(folder, source, KEY)
    try:
        return found.person, detector_preparation_of(found.prepares, found.model_type)
    except ValueError as error:
        name = Path(folder, "preprocessor_config.json")
        raise ModelError(source, KEY, f"{name}: {error}", "fetch it again, or name another model") from None
