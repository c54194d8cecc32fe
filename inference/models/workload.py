"""The largest of what a run asks of a model, which decides what fits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from inference.models.flops import tokens


@dataclass(frozen=True, slots=True)
class Workload:
    """Without a plan: one picture of 1024x1024 with one reference of a megapixel.

    Each number is the largest for itself: pictures, references and the transformer never hold their memory at once.

    Attributes:
        width: pixels of the largest picture.
        height: pixels of the same.
        tokens: of the longest sequence, a picture with its references.
        reference_tokens: of the largest set of references.
        reference_pixels: of the largest single reference, as the pipeline takes it.
        batch: pictures made at once.
        second_forward: guided, so that a step takes a forward without the prompt too.
    """

    width: int = 1024
    height: int = 1024
    tokens: int = 2 * 4096
    reference_tokens: int = 4096
    reference_pixels: int = 2**20
    batch: int = 1
    second_forward: bool = False

    @staticmethod
    def of(
        width: int,
        height: int,
        references: Sequence[tuple[int, int]] = (),
        batch: int = 1,
        second_forward: bool = False,
    ) -> Workload:
        """Of one picture and the sizes (width, height) that its references have inside the pipeline."""
        of_references = sum(tokens(*reference) for reference in references)
        return Workload(
            width=width,
            height=height,
            tokens=tokens(width, height) + of_references,
            reference_tokens=of_references,
            reference_pixels=max((w * h for w, h in references), default=0),
            batch=batch,
            second_forward=second_forward,
        )

    @property
    def picture_tokens(self) -> int:
        return tokens(self.width, self.height)

    def joined(self, other: Workload) -> Workload:
        """What holds for both."""
        larger = max(self, other, key=lambda one: one.width * one.height)
        return Workload(
            width=larger.width,
            height=larger.height,
            tokens=max(self.tokens, other.tokens),
            reference_tokens=max(self.reference_tokens, other.reference_tokens),
            reference_pixels=max(self.reference_pixels, other.reference_pixels),
            batch=max(self.batch, other.batch),
            second_forward=self.second_forward or other.second_forward,
        )
