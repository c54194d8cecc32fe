"""What a part of a first run is made of: checks by name, each of which ends as one row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import torch

from inference.models.machine import free_host_bytes
from tests.gpu.record import Record

Found = dict[str, Any]
Check = tuple[str, Callable[[], Found]]
"""A name, and what does it: `holds` and whatever numbers it found. `holds` is None for what is only reported."""


@dataclass(frozen=True)
class Setting:
    """Where checks run.

    Attributes:
        tiny: with tiny checkpoints.
    """

    device: torch.device
    tiny: bool = False

    @property
    def is_gpu(self) -> bool:
        return self.device.type == "cuda"

    def free(self) -> tuple[int, int]:
        """Bytes of the device and of the host."""
        host = free_host_bytes()
        return (torch.cuda.mem_get_info(self.device)[0] if self.is_gpu else host), host


@dataclass(frozen=True)
class Part:
    """A part of a first run.

    Attributes:
        minutes: estimated for one H100.
    """

    number: int
    name: str
    minutes: float
    checks: Callable[[Setting], Iterator[Check]]


def skipped(reason: str) -> Found:
    """What a check found that cannot be made here."""
    return {"holds": None, "detail": f"skipped: {reason}"}


def run_part(part: Part, setting: Setting, record: Record) -> bool:
    """Make the checks of a part; whether none failed. One that breaks is a row with its error, and the next follows."""
    started, good = perf_counter(), True
    checks = part.checks(setting)
    while True:
        begun, name, found = perf_counter(), "(to make ready)", Found()
        try:
            name, check = next(checks)
            begun = perf_counter()
            found = check()
        except StopIteration:
            break
        except Exception as error:
            found = {"holds": False, "detail": f"{type(error).__name__}: {' '.join(str(error).split())[:400]}"}
        holds, detail = found.pop("holds"), found.pop("detail", "")
        seconds = round(perf_counter() - begun, 2)
        row = {"part": part.number, "check": name, "holds": holds, "seconds": seconds, "found": found, "detail": detail}
        record.add(row)
        good = good and holds is not False
    seconds = round(perf_counter() - started, 1)
    detail = f"part {part.number}, {part.name}: estimated {part.minutes * 60:g} s"
    record.add({"part": part.number, "check": "(all of it)", "seconds": seconds, "detail": detail})
    return good
