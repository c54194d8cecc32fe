"""What a campaign says of checks: from which numbers on a person is to look at a picture."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from catalogs.campaigns.section import Section


class ReviewLimits(Section):
    """Of each check the number from which on a picture is to be looked at; `off` looks at none.

    What stands here was chosen on photos with planted faults (tests/benchmarks/README.md), not yet on renders.

    Attributes:
        colours: the largest CIEDE2000 of a colour that the prompt names to the nearest main colour of the subject;
            worse above.
        likeness: of outline, colours and edges to the first reference photo, 1 where they are the same; worse below.
        cut_off: the largest share of a side of the picture that the subject touches; worse above.
        sharpness: log10 of the mean square of the Laplacian inside the subject; worse below. Off unless set: it tells
            pictures of one shot apart, not products.
        lettering: of the texts that the prompt asks for (`text`, and what stands in double quotes) the share of letters
            of the one that can be read back worst; worse below. Needs `packshot[lettering]`: where that is missing it
            is not looked at, and a campaign that sets it is refused.
        contrast: standard deviation of luma, of 255: 0 for a blank picture; worse below.
        coherence: correlation of neighbouring pixels: 0 for noise; worse below.
        banding: share of smooth places at a step between two flat bands; worse above.
    """

    colours: float | None = Field(default=5.3, ge=0)
    likeness: float | None = Field(default=0.8, ge=0, le=1)
    cut_off: float | None = Field(default=0.04, ge=0, le=1)
    sharpness: float | None = Field(default=None, ge=0)
    lettering: float | None = Field(default=0.98, ge=0, le=1)
    contrast: float | None = Field(default=8.0, ge=0)
    coherence: float | None = Field(default=0.9, ge=-1, le=1)
    banding: float | None = Field(default=0.00015, ge=0, le=1)

    @field_validator("*", mode="before")
    @classmethod
    def _off(cls, value: object) -> object:
        return None if value is False else value  # what YAML takes `off` for


class Quality(Section):
    """Checks of every picture but proofs; `quality: on` takes what stands here. None of them rejects a picture yet.

    Attributes:
        review: for all shots.
        shots: by the name of a shot, what is another for it.
    """

    review: ReviewLimits = ReviewLimits()
    shots: dict[str, ReviewLimits] = Field(default_factory=dict)

    def of_shot(self, shot: str) -> ReviewLimits:
        """The limits of a shot."""
        own = self.shots.get(shot)
        if own is None:
            return self.review
        return self.review.model_copy(update={name: getattr(own, name) for name in own.model_fields_set})

    def names(self, check: str) -> bool:
        """Whether the campaign itself sets a limit for a check, for all shots or for one."""
        limits = (self.review, *self.shots.values())
        return any(check in one.model_fields_set and getattr(one, check) is not None for one in limits)

    def said(self) -> dict[str, Any]:
        """For a plan's header."""
        return self.model_dump(mode="json", exclude_unset=True) or {"review": {}}


def as_quality(value: object) -> object:
    """What stands behind `quality:`, with `on` and `off` as YAML reads them.

    Raises:
        ValueError: it is neither of them, nor a section.
    """
    if value is None or isinstance(value, dict | Quality):
        return value
    if isinstance(value, bool):
        return {} if value else None
    raise ValueError("write on, off, or a section such as `quality: {review: {colours: 5}}`")
