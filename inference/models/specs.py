"""What a model is: the facts that plan, prompts and engines ask of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Use = Literal["commercial", "research"]
EngineName = Literal["diffusers", "bfl", "server", "proof"]
Family = Literal["klein", "base", "kv", "dev"]

FAMILIES: dict[tuple[str, bool], Family] = {
    ("Flux2KleinPipeline", True): "klein",
    ("Flux2KleinPipeline", False): "base",
    ("Flux2KleinKVPipeline", False): "kv",
    ("Flux2Pipeline", False): "dev",
}
"""What a checkpoint is, by its pipeline class and whether it says it is distilled."""
APACHE = "Apache-2.0"
NON_COMMERCIAL = "FLUX Non-Commercial License v2.1"
API_TERMS = "BFL API terms"


@dataclass(frozen=True, slots=True)
class Prices:
    """USD of a hosted image, by megapixel."""

    first: float
    further: float
    reference: float


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One model.

    Attributes:
        repository: Hugging Face repository, local folder, or path under the hosted API.
        revision: pinned commit, hash of local weights, or "" where the host alone decides.
        commercial: whether the licence lets the model run for a commercial campaign.
        default_steps: 0 where the host alone decides.
        steps: lowest and highest number allowed, None where the model takes none.
        guidance: lowest and highest scale allowed, None where the model takes none (distilled).
        token_limit: longest prompt in tokens; local ones count the chat template. None: no limit.
        prices: None for local models.
        pinned: whether the same request meets the same weights next month.
        seconds_per_megapixel: estimated GPU seconds per 2**20 output pixels without references, on one
            H200; right to a factor of two. 0.0 for hosted models.
        reference_factor: what one reference of 2**20 pixels takes, in output megapixels.
        family: which loop a local model was trained for, None for the others.
        fields: hosted models: what of steps, guidance and the two switches for prompt rewriting it takes.
        first_look: hosted models: seconds before the first look at a task, while nothing is known.
        deadline: hosted models: seconds after which a task is left for the next run.
        total_pixels: most pixels of output and references together, None without a limit.
        max_pixels: 4 MP; BFL's own example of it is 2048x2048, so it is 2**22 and not 4,000,000.
    """

    name: str
    engine: EngineName
    repository: str
    licence: str
    commercial: bool
    default_steps: int
    max_references: int
    revision: str = ""
    steps: tuple[int, int] | None = None
    default_guidance: float | None = None
    guidance: tuple[float, float] | None = None
    token_limit: int | None = 512
    weight_precision: str = "bfloat16"
    prices: Prices | None = None
    pinned: bool = True
    seconds_per_megapixel: float = 0.0
    reference_factor: float = 0.0
    family: Family | None = None
    fields: frozenset[str] = frozenset()
    first_look: float = 0.5
    deadline: float = 300.0
    total_pixels: int | None = None
    size_multiple: int = 16
    min_side: int = 64
    max_side: int = 4096
    max_pixels: int = 2**22

    def __post_init__(self) -> None:
        if self.steps and not self.steps[0] <= self.default_steps <= self.steps[1]:
            raise ValueError(f"{self.name}: default_steps {self.default_steps} is outside {self.steps}")
        if self.guidance is None and self.default_guidance is not None:
            raise ValueError(f"{self.name}: a default guidance, but no range")
        if (self.engine == "bfl") != (self.prices is not None):
            raise ValueError(f"{self.name}: hosted models, and only they, have prices")
        if self.max_references < 0 or self.size_multiple < 1 or self.seconds_per_megapixel < 0:
            raise ValueError(f"{self.name}: a limit is negative")
