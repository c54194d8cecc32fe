"""What a task that was paid for has brought."""

from __future__ import annotations

from dataclasses import dataclass

from catalogs.money import Micro


@dataclass(frozen=True, slots=True)
class Download:
    """A downloaded picture and what is known of its making.

    Attributes:
        number: of its attempt.
        prompt: the one it was made with, as the API says.
        seconds: from its submit, or from where this process took it up, to the download.
    """

    fingerprint: str
    number: int
    data: bytes
    prompt: str
    seed: int
    cost: Micro
    seconds: float
