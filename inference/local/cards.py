"""Which GPU a process takes: one that no other process of packshot works on, the emptiest first.

A lock a card, held as long as the process lives: the system itself lets go of the locks of a process that was killed.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from inference.models.weights import cache_folder

_held: list[int] = []
"""Open lock files of this process."""


@cache
def own_device() -> Any:
    """The GPU of this process, chosen once; the CPU where there is none.

    Of the cards that CUDA_VISIBLE_DEVICES leaves, where it is set.
    """
    import torch

    if not torch.cuda.is_available():
        return torch.device("cpu")
    names = [_name(torch.cuda.get_device_properties(place)) for place in range(torch.cuda.device_count())]
    return torch.device("cuda", choose_card(names, free_memory()))


def choose_card(names: Sequence[str], free: dict[str, int]) -> int:
    """Place of the card to take, and its lock.

    Args:
        names: of the cards as CUDA counts them.
        free: bytes by name, for those that are known.
    """
    ordered = sorted(range(len(names)), key=lambda place: -free.get(names[place], 0))
    if len(names) == 1:
        return 0
    for place in ordered:
        if _lock(names[place]):
            return place
    return ordered[0]


def free_memory() -> dict[str, int]:
    """Bytes by the name of each card, as the driver's tool tells: to ask CUDA would take memory on every card."""
    tool = shutil.which("nvidia-smi")
    if not tool:
        return {}
    query = [tool, "--query-gpu=uuid,memory.free", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, check=False, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return {}
    found = {}
    for line in answer.stdout.splitlines():
        name, _, mebibytes = line.partition(",")
        if mebibytes.strip().isdigit():
            found[name.strip()] = int(mebibytes) * 2**20
    return found


def _name(properties: Any) -> str:
    """As nvidia-smi writes it."""
    name = str(getattr(properties, "uuid", ""))
    return name if name.startswith(("GPU-", "MIG-")) else f"GPU-{name}"


def _lock(name: str) -> bool:
    """Whether the card was free; without a writable cache folder every card is."""
    folder = cache_folder() / "cards"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        opened = os.open(Path(folder, f"{name}.lock"), os.O_RDWR | os.O_CREAT, 0o666)
    except OSError:
        return True
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(opened)
        return False
    _held.append(opened)
    return True
