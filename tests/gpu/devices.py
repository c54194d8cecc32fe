"""The device that was asked for."""

from __future__ import annotations

import torch


def asked_device(name: str | None, tiny: bool = False) -> torch.device:
    """The first GPU, or the CPU where that was asked for: with one thread for tiny checkpoints, which gain by no more.

    Raises:
        SystemExit: no GPU, and the CPU was not asked for.
    """
    if name == "cpu":
        torch.set_num_threads(1 if tiny else torch.get_num_threads())
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise SystemExit("no GPU that torch can use; --device cpu --tiny tries the same on the CPU")
    return torch.device("cuda", 0)
