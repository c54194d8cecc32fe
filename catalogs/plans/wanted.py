"""What a campaign wants of one look: the data that planning hands from step to step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from catalogs.columns import ReferenceRow
from catalogs.identity import Identity, Kind
from catalogs.inputs.reject_file import Code
from catalogs.references.book import ReferenceProbe
from catalogs.requests import PromptCompiler, Reference, RenderRequest

Probe = Callable[[str, str], ReferenceProbe]
Photos = tuple[ReferenceRow, ...]


class RowProblem(Exception):
    """This look cannot be planned: the column at fault, what it holds, and why."""

    def __init__(self, column: str, value: str, reason: str, code: Code) -> None:
        self.column, self.value, self.reason, self.code = column, value, reason, code
        super().__init__(reason)


class Estimator(Protocol):
    """What tells the effort of a picture."""

    def seconds(self, width: int, height: int, references: int) -> float:
        """Estimated GPU seconds of one image."""

    def cost(self, width: int, height: int, reference_pixels: list[int]) -> tuple[float, float]:
        """Estimated price of one image, low and high, in USD."""


class PlanningModel(Estimator, Protocol):
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
    def seed_device(self) -> str: ...

    @property
    def lora(self) -> tuple[str, ...]: ...

    @property
    def options(self) -> str: ...

    @property
    def compiler(self) -> PromptCompiler: ...


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
    """A reference of one shot of one look.

    Attributes:
        photos: itself with its rights; for another shot's picture all photos behind that.
        probe: None for another shot's picture.
    """

    reference: Reference
    photos: Photos
    probe: ReferenceProbe | None = None


@dataclass(frozen=True, slots=True)
class Planned:
    """One asset as the campaign wants it, before anybody asked what exists.

    Attributes:
        take_of: the render fingerprint at take 0; None where that is this one.
        territory: where its channel shows it, None for the whole world.
        refused: why no right covers this asset, or "".
        overlay: what is drawn on the file, see `catalogs.campaigns.drawn_overlay`; None where nothing is.
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
    territory: str | None
    refused: str
    overlay: str | None = None
    take_of: str | None = None

    @property
    def is_master(self) -> bool:
        return self.identity.is_master

    @property
    def upstream(self) -> list[ReferenceRow]:
        """The photos behind the shots it builds on."""
        return [photo for resolved in self.resolved if resolved.reference.is_render for photo in resolved.photos]
