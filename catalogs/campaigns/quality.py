"""What a campaign says of checks: from which numbers on a person is to look at a picture, or it is taken again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, TypeVar

from pydantic import Field, field_validator

from catalogs.campaigns.section import Section

MAX_ATTEMPTS = 20
"""Of one picture: what is rejected so often is rejected by its limit."""


class ReviewLimits(Section):
    """Of each check the number from which on a picture is to be looked at; `off` looks at none.

    What stands here was chosen on photos with planted faults (tests/benchmarks/README.md), not yet on renders.

    Attributes:
        colours: the largest CIEDE2000 of a colour that the prompt names to the nearest main colour of the subject;
            worse above.
        likeness: of outline, colours and edges to the first reference photo, 1 where they are the same; worse below.
        keypoints: the share of keypoints of the first reference photo's product that the picture has again, each in its
            place: what is printed on it, its seams; worse below. Off unless set. Needs `packshot[keypoints]`: where
            that is missing a campaign that sets it is refused.
        cut_off: the largest share of a side of the picture that the subject touches; worse above.
        sharpness: log10 of the mean square of the Laplacian inside the subject; worse below. Off unless set: it tells
            pictures of one shot apart, not products.
        lettering: of the texts that the prompt asks for (`text`, and what stands in double quotes) the share of letters
            of the one that can be read back worst; worse below. Needs `packshot[lettering]`: where that is missing it
            is not looked at, and a campaign that sets it is refused.
        embedding: cosine of the embeddings that `likeness_model` makes of the subject and of that of the first
            reference photo, 1 where they are the same; worse below. Off unless set: what is good depends on the model.
        contrast: standard deviation of luma, of 255: 0 for a blank picture; worse below.
        coherence: correlation of neighbouring pixels: 0 for noise; worse below.
        banding: share of smooth places at a step between two flat bands; worse above.
    """

    colours: float | None = Field(default=5.3, ge=0)
    likeness: float | None = Field(default=0.8, ge=0, le=1)
    keypoints: float | None = Field(default=None, ge=0, le=1)
    cut_off: float | None = Field(default=0.04, ge=0, le=1)
    sharpness: float | None = Field(default=None, ge=0)
    lettering: float | None = Field(default=0.98, ge=0, le=1)
    embedding: float | None = Field(default=None, ge=-1, le=1)
    contrast: float | None = Field(default=8.0, ge=0)
    coherence: float | None = Field(default=0.9, ge=-1, le=1)
    banding: float | None = Field(default=0.00015, ge=0, le=1)

    @field_validator("*", mode="before")
    @classmethod
    def _off(cls, value: object) -> object:
        return None if value is False else value  # what YAML takes `off` for


class RejectLimits(ReviewLimits):
    """As `ReviewLimits`, and none unless it is set: what was chosen on photos takes no render again by itself."""

    colours: float | None = Field(default=None, ge=0)
    likeness: float | None = Field(default=None, ge=0, le=1)
    keypoints: float | None = Field(default=None, ge=0, le=1)
    cut_off: float | None = Field(default=None, ge=0, le=1)
    sharpness: float | None = Field(default=None, ge=0)
    lettering: float | None = Field(default=None, ge=0, le=1)
    embedding: float | None = Field(default=None, ge=-1, le=1)
    contrast: float | None = Field(default=None, ge=0)
    coherence: float | None = Field(default=None, ge=-1, le=1)
    banding: float | None = Field(default=None, ge=0, le=1)


class ShotQuality(Section):
    """What is another for a shot."""

    review: ReviewLimits = ReviewLimits()
    reject: RejectLimits = RejectLimits()


class Quality(Section):
    """Checks of every picture but proofs; `quality: on` takes what stands here.

    Attributes:
        review: from which numbers on a person is to look at a picture.
        reject: from which numbers on a picture is taken again; keys as in `review`, none unless it is set.
        max_attempts: how many takes of a picture there may be; then the best of them stands.
        stop_line: whether a shot most of whose pictures are rejected is stopped, until somebody resumes or changes it.
        likeness_model: a local folder with a vision model of transformers (DINOv2, CLIP or SigLIP), whose embeddings
            are compared; see `review.embedding`.
        person_model: a local folder with an object detection model of transformers (RT-DETR, D-FINE, YOLOS or DETR)
            that has a class `person`: it fills `has_person`, and is in no verdict.
        person_from: the score of that class from which on a picture shows a person.
        shots: by the name of a shot, `review` and `reject` where they are others for it.
    """

    review: ReviewLimits = ReviewLimits()
    reject: RejectLimits = RejectLimits()
    max_attempts: int = Field(default=3, ge=1, le=MAX_ATTEMPTS)
    stop_line: bool = True
    likeness_model: str | None = Field(default=None, min_length=1)
    person_model: str | None = Field(default=None, min_length=1)
    person_from: float = Field(default=0.5, gt=0, le=1)
    shots: dict[str, ShotQuality] = Field(default_factory=dict)

    def review_of(self, shot: str) -> ReviewLimits:
        """From which numbers on a picture of a shot is to be looked at."""
        own = self.shots.get(shot)
        return self.review if own is None else _over(self.review, own.review)

    def reject_of(self, shot: str) -> RejectLimits:
        """From which numbers on a picture of a shot is taken again."""
        own = self.shots.get(shot)
        return self.reject if own is None else _over(self.reject, own.reject)

    @property
    def attempts(self) -> int:
        """How many takes of a picture there may be: 1 where nothing rejects any."""
        rejects = any(limit is not None for section in self._all("reject") for _, limit in section)
        return self.max_attempts if rejects else 1

    def names(self, check: str) -> bool:
        """Whether the campaign itself sets a limit for a check, for all shots or for one."""
        limits = (*self._all("review"), *self._all("reject"))
        return any(check in one.model_fields_set and getattr(one, check) is not None for one in limits)

    def _all(self, kind: Literal["review", "reject"]) -> Iterator[ReviewLimits]:
        for section in (self, *self.shots.values()):
            yield getattr(section, kind)

    def said(self) -> dict[str, Any]:
        """For a plan's header."""
        return self.model_dump(mode="json", exclude_unset=True) or {"review": {}}


_Limits = TypeVar("_Limits", bound=ReviewLimits)


def _over(limits: _Limits, own: _Limits) -> _Limits:
    return limits.model_copy(update={name: getattr(own, name) for name in own.model_fields_set})
