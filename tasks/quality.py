"""Judges the pictures of a run: measured once a render, by the limits of its shot.

What needs a library that is no part of a plain installation is looked at where that is there, and else said to be
missing; a campaign that asks for it by name is refused.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from PIL import Image

from catalogs.assets.takes import Judgement, Verdict
from catalogs.campaigns.quality import Quality, ReviewLimits
from catalogs.errors import ModelError, OptionError, ReferenceImageError, StorageError
from catalogs.requests import Reference, RenderRequest
from inference.engine import LoadReference, Pixels
from inference.prompts.asked_letters import letters_asked
from inference.quality.bound_colours import codes_of
from inference.quality.box import Box
from inference.quality.checks import Fault, Product, faults, measure, reference_of, score
from inference.quality.embedder import EmbedderError, Embedding, cosine
from inference.quality.keypoints import EXTRA as KEYPOINTS
from inference.quality.keypoints import can_find_keypoints
from inference.quality.lettering import read_back
from inference.quality.reader import EXTRA, SECOND_SIDE, ReaderError, can_read, reader
from inference.quality.subject import Subject, find_subject
from tasks.likeness_model import VERSION, LikenessModel, check_likeness_model
from tasks.person_model import Look, PersonModel, check_person_model
from tasks.reference_products import product_photo

_REMEMBERED = 2_000  # reference photos, of 28 kB each, and up to as much for an embedding
_NOT_READ = f"its letters were not looked at: pip install '{EXTRA}'"
_OTHER_SCRIPT = "its letters were not looked at: they are of a script that is not read"


def check_quality(quality: Mapping[str, Any], source: str) -> None:
    """Find out before a run starts that it lacks what its campaign asks for by name.

    Args:
        quality: as a plan carries it, {} where pictures are not checked.

    Raises:
        OptionError: naming what to install.
        ModelError: the likeness model, or the person model, cannot be used.
    """
    asked = Quality.model_validate(quality or {})
    if asked.names("lettering") and not can_read():
        raise OptionError(source, "quality: lettering", "nothing here reads letters", f"pip install '{EXTRA}'")
    if asked.names("keypoints") and not can_find_keypoints():
        raise OptionError(source, "quality: keypoints", "nothing here finds keypoints", f"pip install '{KEYPOINTS}'")
    if asked.likeness_model is not None:
        check_likeness_model(asked.likeness_model, source)
    if asked.person_model is not None:
        check_person_model(asked.person_model, source)


REJECTED, _REVIEW, ACCEPTED = "rejected", "to be looked at", "accepted"
"""How a row's detail begins where it says why it has its verdict."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A picture's numbers, and what they say of it; no verdict where its campaign asks for no checks.

    Attributes:
        score: see `inference.quality.checks.score`.
        faults: for which it is rejected; of one that is not, for which it is to be looked at.
        problem: why it could not be checked, "" where it was.
        is_new: the record said nothing of it.
        judged_by: "person", or None where checks did.
        unseen: what was not looked at, and why.
        versions: of what looked at it, for its rows.
        has_person: None where nothing looked.
        subject: where it is in the picture, None where that was not told.
    """

    numbers: dict[str, float] = field(default_factory=dict)
    verdict: Verdict | None = None
    score: float | None = None
    faults: tuple[Fault, ...] = ()
    problem: str = ""
    is_new: bool = True
    judged_by: str | None = None
    unseen: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    has_person: bool | None = None
    subject: Box | None = None

    @property
    def remarks(self) -> list[str]:
        """What is counted of one that is delivered, and not to be taken again."""
        if self.verdict is Verdict.REJECTED:
            return []
        failed = ["to be looked at, since checks failed"] if self.problem else []
        return [*failed, *(f"to be looked at for {fault.check}" for fault in self.faults), *self.unseen]

    @property
    def detail(self) -> str:
        said = ", ".join(filter(None, (self.problem, *map(str, self.faults))))
        what = REJECTED if self.verdict is Verdict.REJECTED else _REVIEW
        return f"{what}: {said}" if said else ""


def without_verdict(detail: str | None) -> list[str]:
    """What a row's detail says beside its verdict."""
    verdicts = (f"{REJECTED}: ", f"{_REVIEW}: ", f"{ACCEPTED}: ")
    return [note for note in (detail or "").split("; ") if note and not note.startswith(verdicts)]


def _again(judged: Judged, known: Judgement) -> Judged:
    """A picture that is judged already, measured again."""
    kept = judged if known.verdict is judged.verdict else replace(judged, faults=(), problem="")
    return replace(kept, verdict=known.verdict, score=known.score, judged_by=known.judged_by, is_new=False)


def _verdict(
    numbers: Mapping[str, float], review: ReviewLimits, reject: ReviewLimits, problem: str
) -> tuple[Verdict, tuple[Fault, ...]]:
    """What numbers come to, and the faults that say so."""
    if rejecting := tuple(faults(numbers, reject)):
        return Verdict.REJECTED, rejecting
    found = tuple(faults(numbers, review))
    return Verdict.NEEDS_REVIEW if found or problem else Verdict.ACCEPTED, found


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


@dataclass(frozen=True, slots=True)
class _Photo:
    """What pictures are compared with.

    Attributes:
        product: None where it cannot be told.
        embedding: None without a likeness model.
        problem: why there is none, "" where nothing went wrong.
    """

    product: Product | None = None
    embedding: Embedding | None = None
    problem: str = ""


class Asked(Protocol):
    """What a picture was to show, as its request or its row says."""

    @property
    def prompt(self) -> str:
        """As the model got it."""

    @property
    def references(self) -> Sequence[Reference]:
        """In the order of the prompt."""

    @property
    def shot(self) -> str:
        """By its name."""


class Judge:
    """Judges pictures of one campaign, from several threads.

    Args:
        quality: as a plan carries it, {} where pictures are not checked.
        source: the campaign's file, for what is said of its models.
        load: a reference photo.
        known: what the record says of a render: a changed limit or check judges nothing anew.
    """

    def __init__(
        self, quality: Mapping[str, Any], source: str, load: LoadReference, known: Callable[[str], Judgement | None]
    ) -> None:
        self._load_photo, self._known = load, known
        self._quality = Quality.model_validate(quality) if quality else None
        named = self._quality.likeness_model if self._quality else None
        self._model = LikenessModel(named, source) if named else None
        self._people = PersonModel.of(self._quality, source)
        self._references: dict[str, _Photo] = {}
        self._turns: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def judge(self, fingerprint: str, request: RenderRequest, pixels: Pixels) -> Judged:
        """A picture as it came out of the engine, of a render fingerprint."""
        known = self._known(fingerprint)
        if self._quality is None:
            return _again(Judged(), known) if known else Judged(is_new=False)
        judged = self.measured(request, pixels)
        return _again(judged, known) if known else judged

    def of_numbers(self, shot: str, numbers: Mapping[str, float]) -> Judged:
        """A picture of which the numbers are known."""
        assert self._quality is not None
        review, reject = self._quality.review_of(shot), self._quality.reject_of(shot)
        verdict, faulty = _verdict(numbers, review, reject, "")
        return Judged(dict(numbers), verdict, score(numbers, review, reject), faulty)

    def measured(self, request: Asked, pixels: Pixels) -> Judged:
        """A picture as it is, whatever the record says."""
        quality, picture = self._quality, Image.fromarray(pixels)
        assert quality is not None
        try:
            photo, found = self._reference(request.references), find_subject(picture)
            numbers = measure(picture, codes_of(request.prompt), photo.product, found)
        except Exception as error:
            # A picture that no check takes is a picture all the same, and somebody should see it.
            return Judged(verdict=Verdict.NEEDS_REVIEW, problem=f"{type(error).__name__}: {error}")
        review, reject = quality.review_of(request.shot), quality.reject_of(request.shot)
        problems, unseen, versions = [photo.problem], list[str](), dict[str, str]()
        if (review.lettering, reject.lettering) != (None, None) and (asked := letters_asked(request.prompt)):
            try:
                numbers |= _lettering(asked, pixels)
            except Unseen as why:
                unseen.append(str(why))
            except ReaderError as error:
                problems.append(str(error))
        if self._model is not None and photo.embedding is not None:
            try:
                numbers["embedding"] = cosine(self._model.embedding(picture, found), photo.embedding)
                versions[VERSION] = self._model.identity
            except (EmbedderError, ModelError) as error:
                problems.append(str(error))
        people = self._people.look(picture) if self._people else Look()
        numbers, versions = {**numbers, **people.numbers}, {**versions, **people.versions}
        problems.append(people.problem)
        problem = ", ".join(filter(None, problems))
        verdict, faulty = _verdict(numbers, review, reject, problem)
        rated = score(numbers, review, reject)
        told = Judged(numbers, verdict, rated, faulty, problem, unseen=tuple(unseen), versions=versions)
        return replace(told, has_person=people.has_person, subject=found.box if isinstance(found, Subject) else None)

    def _reference(self, references: Sequence[Reference]) -> _Photo:
        """The first photo of it; nothing of it where it cannot be had: then likeness is not judged."""
        photo = product_photo(references)
        if photo is None:
            return _Photo()
        with self._lock:
            turn = self._turns.setdefault(photo.sha256, threading.Lock())
        with turn:  # the first pictures of a product come together, and an embedding costs more than all other checks
            known = self._references.get(photo.sha256)
            return self._remembered(photo) if known is None else known

    def _remembered(self, photo: Reference) -> _Photo:
        found = self._load(photo)
        with self._lock:
            if len(self._turns) > _REMEMBERED:
                self._references.clear()
                self._turns.clear()
            if not found.problem:
                self._references[photo.sha256] = found
        return found

    def _load(self, photo: Reference) -> _Photo:
        try:
            loaded = self._load_photo(photo)
        except (ReferenceImageError, StorageError):
            return _Photo()  # it was read when the picture was made; that is another's to tell
        found = find_subject(loaded)
        product = reference_of(loaded, found)
        if self._model is None:
            return _Photo(product)
        try:
            return _Photo(product, self._model.embedding(loaded, found))
        except (EmbedderError, ModelError) as error:
            return _Photo(product, problem=str(error))
