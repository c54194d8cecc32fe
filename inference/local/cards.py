"""Which GPU a process takes: one that no other process of packshot works on, the emptiest first.

A lock a card, held as long as the process lives: the system itself lets go of the locks of a process that was killed.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from inference.models.machine import cards
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
    free = {card.uuid: card.free_bytes for card in cards()}
    return torch.device("cuda", choose_card(names, free))


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
