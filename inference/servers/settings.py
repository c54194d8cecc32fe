"""Which servers a run uses, and what they must serve."""

from __future__ import annotations

from dataclasses import dataclass

from inference.servers.served import Served


@dataclass(frozen=True)
class ServerSettings:
    """Which servers a run uses.

    Attributes:
        addresses: of the servers.
        model: the repository or name that they must serve.
        revision: of its weights, as the servers said when it was planned; "" where they did not.
        precision: as `revision`.
        steps: that the model is made for.
        guidance: the model's own, None where it takes none.
        many: whether it takes two references.
        needs_steps: whether a shot asks for other steps.
        needs_order: whether a shot has several references.
        may_ignore_seed: whether a server may that makes another picture every time.
    """

    addresses: tuple[str, ...]
    model: str
    revision: str
    precision: str
    steps: int
    guidance: float | None
    many: bool
    needs_steps: bool = False
    needs_order: bool = False
    may_ignore_seed: bool = False

    def why_not(self, served: Served) -> str | None:
        """Why a server is not to be used, None where it is."""
        if served.model_for(self.model) is None:
            return f"serves {served.says}, not {self.model}"
        for what, wanted, told in (
            ("revision", self.revision, served.revision),
            ("precision", self.precision, served.precision),
        ):
            if wanted != told:
                return f"says of its {what} {told or 'nothing'}, where {wanted or 'nothing'} was planned"
        return None
