"""What is asked of an engine: the types that the plan writes and the engines read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

RENDER_SCHEME = "render:"


class Reason(StrEnum):
    """Why a planned item was not delivered: the closed list."""

    REFERENCE_MISSING = "reference_missing"
    REFERENCE_CHANGED = "reference_changed"
    REFERENCE_INVALID = "reference_invalid"
    UPSTREAM_FAILED = "upstream_failed"
    ENGINE_ERROR = "engine_error"
    OUT_OF_MEMORY = "out_of_memory"
    NON_FINITE = "non_finite"
    BLANK_IMAGE = "blank_image"
    OVER_BYTE_LIMIT = "over_byte_limit"
    BACKGROUND_NOT_WHITE = "background_not_white"
    SUBJECT_TOO_SMALL = "subject_too_small"
    TEXT_DOES_NOT_FIT = "text_does_not_fit"
    MISSING_GLYPH = "missing_glyph"
    ENCODE_ERROR = "encode_error"
    CREDENTIALS_FAILED = "credentials_failed"
    WATERMARK_FAILED = "watermark_failed"
    MODERATED = "moderated"
    POSSIBLY_BILLED = "possibly_billed"
    PAID_EXPIRED = "paid_expired"
    REFUSED = "refused"
    NOT_READY = "not_ready"
    LINE_STOPPED = "line_stopped"


@dataclass(frozen=True, slots=True)
class Reference:
    """One reference image of a request.

    Attributes:
        uri: an absolute path or URI, or `render:<render_fingerprint>` for another shot's master.
        sha256: hex digest of the file's bytes; for another shot's master its render_fingerprint.
        role: what it shows ("hero", "logo", "shot", ...).
        width: pixels, after EXIF transposition.
        height: pixels, after EXIF transposition.
    """

    uri: str
    sha256: str
    role: str
    width: int
    height: int

    @property
    def is_render(self) -> bool:
        return self.uri.startswith(RENDER_SCHEME)


@dataclass(frozen=True, slots=True)
class RenderRequest:
    """One image to make. Every field before `label` enters the render fingerprint.

    Attributes:
        prompt: the text as the model gets it (compact JSON or prose).
        width: master width in pixels.
        height: master height in pixels.
        seed: seed of this sample's own generator.
        take: 0, plus one for every rejection.
        guidance: guidance scale, None where the model takes none.
        model: name in the model table, or the absolute path of a local folder.
        model_revision: pinned revision, or the hash of local weights.
        weight_precision: data type of the weights, e.g. "bfloat16".
        lora: `sha256@scale` of each LoRA file, in order.
        options: canonical JSON of what else changes pixels (hosted models), "" where nothing does.
        seed_device: whose generator draws the noise of the seed, `cpu` or `cuda`.
        label: for people, in logs and messages; not hashed, as what follows.
        brand_id: whose picture it is, or whose first, where looks of several ask for the same.
        shot: what it is of.
    """

    prompt: str
    references: tuple[Reference, ...]
    width: int
    height: int
    seed: int
    take: int
    steps: int
    guidance: float | None
    model: str
    model_revision: str
    weight_precision: str = "bfloat16"
    lora: tuple[str, ...] = ()
    options: str = ""
    seed_device: str = "cpu"
    label: str = field(default="", compare=False)
    brand_id: str = field(default="", compare=False)
    shot: str = field(default="", compare=False)


class PromptCompiler(Protocol):
    """How the plan speaks to the model table; `inference.prompts.compiler` implements it."""

    def validate(self, prompt: Mapping[str, Any], source: str, where: str) -> None:
        """Check a shot's prompt before its templates are expanded; raises CampaignError."""

    def compile(self, prompt: Mapping[str, Any], references: Sequence[Reference]) -> str:
        """The model's text for an expanded prompt; raises ValueError with a one-line reason."""

    def refuse(self, request: RenderRequest) -> str | None:
        """Why the model cannot take this request and what to change, or None."""
