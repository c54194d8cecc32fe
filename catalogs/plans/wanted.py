"""What a campaign wants of one look: the data that planning hands from step to step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from catalogs.identity import (
    Identity,
    Kind,
)
from catalogs.inputs.reject_file import Code
from catalogs.references.book import ReferenceProbe
from catalogs.requests import PromptCompiler, Reference, RenderRequest

Probe = Callable[[str, str], ReferenceProbe]
Rights = tuple[Mapping[str, Any], ...]


class RowProblem(Exception):
    """This look cannot be planned: the column at fault, what it holds, and why."""

    def __init__(self, column: str, value: str, reason: str, code: Code) -> None:
        self.column, self.value, self.reason, self.code = column, value, reason, code
        super().__init__(reason)


class PlanningModel(Protocol):
    """What planning must know of the model that will render."""

    @property
    def name(self) -> str: ...

    @property
    def revision(self) -> str: ...

    @property
    def engine(self) -> str: ...

    @property
    def kind(self) -> Kind: ...

    @property
    def steps(self) -> int: ...

    @property
    def guidance(self) -> float | None: ...

    @property
    def weight_precision(self) -> str: ...

    @property
    def lora(self) -> tuple[str, ...]: ...

    @property
    def options(self) -> str: ...

    @property
    def compiler(self) -> PromptCompiler: ...

    def seconds(self, width: int, height: int, references: int) -> float:
        """Estimated GPU seconds of one image."""

    def cost(self, width: int, height: int, reference_pixels: list[int]) -> tuple[float, float]:
        """Estimated price of one image, low and high, in USD."""


@dataclass(frozen=True, slots=True)
class Member:
    """The row that stands for a look.

    Attributes:
        covers: ids of all products of the look, sorted.
        file: the catalog file, for messages.
        number: 1-based row number in it.
        marks: sum of the marks of all rows of the look, see `catalogs.plans.accounts`.
    """

    look: str
    row: Mapping[str, Any]
    brand: Mapping[str, Any]
    covers: Sequence[str]
    file: str
    number: int
    marks: int


@dataclass(frozen=True, slots=True)
class Resolved:
    """A reference of one shot of one look, with the rights that come with it."""

    reference: Reference
    rights: Rights


@dataclass(frozen=True, slots=True)
class Planned:
    """One asset as the campaign wants it, before anybody asked what exists.

    Attributes:
        channel_spec: what of the channel enters the fingerprint; the master's own for a master row.
        resolved: references with their rights; another shot's picture brings those of its own references.
        refused: why no right covers this asset, or "".
    """

    identity: Identity
    member: Member
    request: RenderRequest
    render_fingerprint: str
    fingerprint: str
    stage: int
    format: str
    width: int
    height: int
    legal_line: str
    resolved: tuple[Resolved, ...]
    refused: str
