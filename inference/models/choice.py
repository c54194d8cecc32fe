"""Which memory mode a model runs in: the fastest that has room for one picture of the largest that is planned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from inference.models.memory import MODES, Mode, Need, need
from inference.models.parts import Parts
from inference.models.workload import Workload

_GIB = 2**30
_SIDES = (1536, 1024, 768, 512)


@dataclass(frozen=True, slots=True)
class Choice:
    """How a model fits.

    Attributes:
        batch: pictures of the largest bucket that fit at once, at most as many as are wanted.
        tiled: the VAE must take pictures in tiles, since not even one fits otherwise.
    """

    mode: Mode
    batch: int
    tiled: bool = False


def fitting_batch(
    parts: Parts, weight_precision: str, mode: Mode, workload: Workload, device_bytes: int, tiled: bool = False
) -> int:
    """The most pictures at once, up to the workload's batch, that so many free bytes have room for; 0 for none."""
    for batch in range(workload.batch, 0, -1):
        if need(parts, weight_precision, mode, replace(workload, batch=batch), tiled).device <= device_bytes:
            return batch
    return 0


def choose(
    parts: Parts,
    weight_precision: str,
    workload: Workload,
    device_bytes: int,
    host_bytes: int,
    modes: Sequence[Mode] = MODES,
) -> Choice | str:
    """The fastest mode in which one picture fits: a smaller batch costs less than to stream weights.

    Args:
        device_bytes: free on the device before anything is loaded.
        host_bytes: free on the host, for weights that stay there.
        modes: that may be chosen, the fastest first.

    Returns:
        The choice, or one line that says why nothing fits and what would.
    """
    choices = _choices(parts, weight_precision, workload, device_bytes, host_bytes, modes)
    return next(choices, None) or _refusal(parts, weight_precision, workload, device_bytes, host_bytes)


def _choices(
    parts: Parts,
    weight_precision: str,
    workload: Workload,
    device_bytes: int,
    host_bytes: int,
    modes: Sequence[Mode] = MODES,
) -> Iterator[Choice]:
    """All that fit; tiles come last, since they are slower and their edges show."""
    for tiled in (False, True):
        for mode in modes:
            if need(parts, weight_precision, mode, workload, tiled).host > host_bytes:
                continue
            batch = fitting_batch(parts, weight_precision, mode, workload, device_bytes, tiled)
            if batch:
                yield Choice(mode, batch, tiled)


def _refusal(parts: Parts, weight_precision: str, workload: Workload, device_bytes: int, host_bytes: int) -> str:
    one = replace(workload, batch=1)
    needs = {mode: need(parts, weight_precision, mode, one, tiled=True) for mode in MODES}
    on_device = [mode for mode in MODES if needs[mode].device <= device_bytes]
    if on_device:  # the host is too small for what would stay there
        mode = on_device[0]
        wants = f"{mode} keeps {_gib(needs[mode].host)} GiB of weights in the host's memory, of which"
        wants += f" {_gib(host_bytes)} are free"
    else:
        wants = f"{_asked(one)} needs {_gib(needs['offload'].device)} GiB of the device, of which"
        wants += f" {_gib(device_bytes)} are free, with all weights on the host and the VAE in tiles"
    remedies = [*_lighter(parts, weight_precision, one, device_bytes, host_bytes), *_cards(needs, host_bytes)]
    return f"{wants}: {', or '.join(remedies)}"


def _lighter(parts: Parts, weight_precision: str, one: Workload, device_bytes: int, host_bytes: int) -> Iterator[str]:
    """What would fit here."""
    if not weight_precision.startswith("float8") and any(_choices(parts, "float8", one, device_bytes, host_bytes)):
        yield "set weight_precision: float8"
    for side in _SIDES:
        if side**2 >= one.width * one.height:
            continue
        smaller = replace(one, width=side, height=side, tokens=one.tokens - one.picture_tokens + (side // 16) ** 2)
        if any(_choices(parts, weight_precision, smaller, device_bytes, host_bytes)):
            yield f"ask for pictures of at most {side}x{side}"
            return
    bare = Workload.of(one.width, one.height)
    if one.reference_tokens and any(_choices(parts, weight_precision, bare, device_bytes, host_bytes)):
        yield "use fewer references"


def _cards(needs: dict[Mode, Need], host_bytes: int) -> Iterator[str]:
    """The least free memory of a card that this host is enough for."""
    mode = next(mode for mode in reversed(MODES) if needs[mode].host <= host_bytes)
    yield f"take a card with {_gib(needs[mode].device)} GiB free ({mode})"


def _asked(one: Workload) -> str:
    references = f" with {one.reference_tokens} tokens of references" if one.reference_tokens else ""
    return f"one picture of {one.width}x{one.height}{references}"


def _gib(count: int) -> str:
    return f"{count / _GIB:.1f}"
