"""How the account behaves, as tests set it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from random import Random
from typing import Any


@dataclass
class Rules:
    """Seconds are of the server's clock, money is in integer micro-USD.

    Names that begin with `p_`, and `slow`, are the share of submits that it happens to; whether it happens to
    submit number n is drawn from `seed`, the name and n alone, so that one rule never moves another's draws.
    They, `seconds` and `slow_seconds` hold for the submits that arrive after they were set. The others hold for
    every question asked after, also about older tasks.
    """

    seed: int = 0
    key: str = ""
    """The only key that is known; with "" every one is."""
    clock: float = 0.0
    """Seconds that the server's clock is ahead; set higher to let time pass."""

    seconds: float = 0.5
    """From a submit to the end of its task."""
    slow: float = 0.0
    slow_seconds: float = 5.0
    answer_after: float = 0.0
    """From a submit, already billed, to its answer."""
    cap: int = 24
    """Active tasks; one more is answered 429."""
    storm: int = 0
    """Next submits that are answered 429; counts down."""
    credits: int = 10_000_000_000
    """What is left on the account; counts down."""
    price_factor: float = 1.0
    cost_says: str | None = None
    """JSON text that stands where the answer to a submit has the cost."""

    p_bill_then_500: float = 0.0
    p_bill_then_502: float = 0.0
    p_bill_then_503_bare: float = 0.0
    p_bill_then_cut: float = 0.0
    p_503_body: float = 0.0
    p_503_bare_free: float = 0.0
    p_cut_free: float = 0.0

    p_error: float = 0.0
    p_request_moderated: float = 0.0
    p_content_moderated: float = 0.0
    p_gone: float = 0.0
    """The task is made, and every question for it is answered 404 without a body."""
    p_wrong_ratio: float = 0.0
    """The picture is 25 % wider than it should be."""
    p_wrong_size: float = 0.0
    """The picture is 1 % larger on each side."""
    p_not_an_image: float = 0.0

    poll_404_for: float = 0.0
    """From the submit."""
    poll_503_for: float = 0.0
    task_life: float | None = None
    """From the submit to the moment when nobody knows the task any more."""
    link_404_for: float = 0.0
    """From the moment when a task's first link was given."""
    link_403_for: float = 0.0
    link_ttl: float = 600.0
    """From the giving of a link to the time in it, which is rounded up to whole seconds; below 0, given expired."""
    renew_links: bool = True
    """Whether each poll of a finished task gives a link of its own; otherwise always the first one."""
    link_redirects: int = 0
    """Redirects of a link on its own host before it comes to its end."""
    link_to: str | None = None
    """URL that a link redirects to in place of answering bytes."""
    link_host: str | None = None
    """host:port that links name in place of their own."""
    big_link: int | None = None
    """Bytes of zeros that a link answers in place of a picture."""

    def change(self, given: Mapping[str, Any]) -> None:
        """Set some; all of them or none.

        Raises:
            ValueError: a name that is no rule, or a value that its rule cannot have.
        """
        for name, value in given.items():
            if problem := _problem(name, value):
                raise ValueError(f"{name}: {problem}")
        for name, value in given.items():
            setattr(self, name, value)

    def happens(self, name: str, n: int) -> bool:
        """Whether what `name` has a share of happens to submit number `n`."""
        share: float = getattr(self, name)
        return share > 0 and Random(f"{self.seed}/{name}/{n}").random() < share

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


_TYPES = {field.name: str(field.type) for field in fields(Rules)}


def _problem(name: str, value: object) -> str | None:
    """Why a rule cannot have this value, or None."""
    if name not in _TYPES:
        return "there is no such rule"
    allowed: tuple[type, ...] = ()
    for word, kinds in {"int": (int,), "float": (int, float), "bool": (bool,), "str": (str,)}.items():
        allowed += kinds if word in _TYPES[name] else ()
    if value is None:
        return None if "None" in _TYPES[name] else "wants a value"
    if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
        return f"wants {_TYPES[name]}"
    if isinstance(value, float) and not math.isfinite(value):
        return "wants a finite number"
    if name.startswith("p_") or name == "slow":
        return None if isinstance(value, int | float) and 0 <= value <= 1 else "is a share, 0 to 1"
    return None
