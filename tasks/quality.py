"""Judges the pictures of a run: measured once a render, by the limits of its shot.

What needs a library that is no part of a plain installation is looked at where that is there, and else said to be
missing; a campaign that asks for it by name is refused.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from PIL import Image

from catalogs.campaigns.quality import Quality
from catalogs.errors import OptionError, ReferenceImageError, StorageError
from catalogs.plans.file import PlanHeader
from catalogs.references.book import load_reference
from catalogs.requests import Reference, RenderRequest
from catalogs.storage.store import Store
from inference.engine import Pixels
from inference.prompts.asked_letters import letters_asked
from inference.quality.bound_colours import codes_of
from inference.quality.checks import Fault, faults, measure, reference_of
from inference.quality.lettering import read_back
from inference.quality.likeness import Framed
from inference.quality.reader import EXTRA, SECOND_SIDE, ReaderError, can_read, reader

LOGO = "logo"
_REMEMBERED = 2_000  # reference photos, of 16 kB each
_NOT_READ = f"its letters were not looked at: pip install '{EXTRA}'"
_OTHER_SCRIPT = "its letters were not looked at: they are of a script that is not read"


def check_quality(quality: Mapping[str, Any], source: str) -> None:
    """Find out before a run starts that it lacks what its campaign asks for by name.

    Args:
        quality: as a plan carries it, {} where pictures are not checked.

    Raises:
        OptionError: naming what to install.
    """
    if quality and Quality.model_validate(quality).names("lettering") and not can_read():
        raise OptionError(source, "quality.review.lettering", "nothing here reads letters", f"pip install '{EXTRA}'")


class Verdict(StrEnum):
    """What checks or people say of a picture."""

    ACCEPTED = "accepted"
    NEEDS_REVIEW = "needs_review"


@dataclass(frozen=True, slots=True)
class Judged:
    """A picture's numbers, and what they say of it; no verdict where its campaign asks for no checks.

    Attributes:
        problem: why it could not be checked, "" where it was.
        unseen: what was not looked at, and why.
    """

    numbers: dict[str, float] = field(default_factory=dict)
    verdict: Verdict | None = None
    faults: tuple[Fault, ...] = ()
    problem: str = ""
    unseen: tuple[str, ...] = ()

    @property
    def remarks(self) -> list[str]:
        """What is counted of it."""
        failed = ["to be looked at, since checks failed"] if self.problem else []
        return [*failed, *(f"to be looked at for its {fault.check}" for fault in self.faults), *self.unseen]

    @property
    def detail(self) -> str:
        said = ", ".join(filter(None, (self.problem, *map(str, self.faults))))
        return f"to be looked at: {said}" if said else ""


class Unseen(Exception):
    """Something is not looked at, in words for whoever reads the run."""


def _lettering(asked: Sequence[str], pixels: Pixels) -> dict[str, float]:
    """How much of the letters that were asked for can be read.

    Raises:
        Unseen: nothing here reads them.
        ReaderError: what reads them failed.
    """
    if not can_read():
        raise Unseen(_NOT_READ)
    picture = Image.fromarray(pixels)
    read = reader().read(picture)
    texts = [text for text in asked if read.knows(text)]
    if not texts:
        raise Unseen(_OTHER_SCRIPT)
    share = read_back(texts, read.lines)
    if share < 1:
        share = max(share, read_back(texts, reader().read(picture, SECOND_SIDE).lines))
    return {"lettering": share}


class Judge:
    """Judges pictures of one plan, from several threads."""

    def __init__(self, store: Store, header: PlanHeader) -> None:
        self._store, self._header = store, header
        self._quality = Quality.model_validate(header.quality) if header.quality else None
        self._references: dict[str, Framed | None] = {}
        self._lock = threading.Lock()

    def judge(self, request: RenderRequest, pixels: Pixels) -> Judged:
        """A picture as it came out of the engine."""
        if self._quality is None:
            return Judged()
        try:
            reference = self._reference(request.references)
            numbers = measure(Image.fromarray(pixels), codes_of(request.prompt), reference)
        except Exception as error:
            # A picture that no check takes is a picture all the same, and somebody should see it.
            return Judged(verdict=Verdict.NEEDS_REVIEW, problem=f"{type(error).__name__}: {error}")
        limits = self._quality.of_shot(request.shot)
        problem, unseen = "", []
        if limits.lettering is not None and (asked := letters_asked(request.prompt)):
            try:
                numbers |= _lettering(asked, pixels)
            except Unseen as why:
                unseen.append(str(why))
            except ReaderError as error:
                problem = str(error)
        found = tuple(faults(numbers, limits))
        verdict = Verdict.NEEDS_REVIEW if found or problem else Verdict.ACCEPTED
        return Judged(numbers, verdict, found, problem, tuple(unseen))

    def _reference(self, references: Sequence[Reference]) -> Framed | None:
        """The product of the first photo of it; None where that cannot be had or told: then likeness is not judged."""
        photo = next((one for one in references if not one.is_render and one.role != LOGO), None)
        if photo is None:
            return None
        with self._lock:
            if photo.sha256 in self._references:
                return self._references[photo.sha256]
        found = self._load(photo)
        with self._lock:
            if len(self._references) >= _REMEMBERED:
                self._references.clear()
            self._references[photo.sha256] = found
        return found

    def _load(self, photo: Reference) -> Framed | None:
        header = self._header
        places = (header.reference_background, header.max_reference_pixels, header.places, self._store)
        try:
            return reference_of(load_reference(photo, *places))
        except (ReferenceImageError, StorageError):
            return None  # it was read when the picture was made; that is another's to tell
