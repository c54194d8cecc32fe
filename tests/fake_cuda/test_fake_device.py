"""The fake device itself: what waits is refused, what does not is let through, and memory is counted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from tests.fake_cuda.fake_device import CUDA, HostSync, NoSync, Peak, fake_cuda, put_on

Work = Callable[[Any], Any]
WAITS: dict[str, Work] = {
    "item": lambda x: x.sum().item(),
    "float": lambda x: float(x.sum()),
    "int": lambda x: int(x.sum()),
    "bool": lambda x: bool(x.any()),
    "if": lambda x: 1 if x.isfinite().all() else 0,
    "tolist": lambda x: x.sum().tolist(),
    "cpu": lambda x: x.cpu(),
    "to the host": lambda x: x.to("cpu"),
    "to the host in its own time": lambda x: x.to("cpu", non_blocking=True),
    "to the host as another type": lambda x: x.to("cpu", torch.float64),
    "into a tensor of the host": lambda x: torch.empty(4, 6).copy_(x),
    "nonzero": lambda x: torch.nonzero(x),
    "where": lambda x: torch.where(x.isfinite()),
    "masked select": lambda x: torch.masked_select(x, x > 0),
    "rows of a mask": lambda x: x[x > 0],
    "unique": lambda x: torch.unique(x),
    "equal": lambda x: torch.equal(x, x + 1),
    "from pageable memory": lambda x: x + torch.ones(4, 6).to(CUDA),
}
GOES_ON: dict[str, Work] = {
    "arithmetic": lambda x: (x * 2 + 1).sum(dim=-1),
    "slices": lambda x: x[..., :2][:, None][1:3],
    "an index on the device": lambda x: x[torch.zeros(3, device=CUDA, dtype=torch.int32)],
    "into a part of another": lambda x: torch.empty(2, 9, 6, device=CUDA)[1, :4].copy_(x),
    "one row": lambda x: x[2],
    "cast": lambda x: x.to(torch.bfloat16),
    "from pinned memory": lambda x: x + torch.ones(4, 6).pin_memory().to(CUDA, non_blocking=True),
    "a constant": lambda x: x + torch.full([6], 0.5, device=CUDA),
    "a number of the host": lambda x: x * torch.tensor(2.0),
    "verdicts": lambda x: torch.stack([x.isfinite().all(), x.amin() != x.amax()]),
    "where by value": lambda x: torch.where(x > 0, x, 0),
}


@pytest.mark.parametrize("work", WAITS.values(), ids=WAITS)
def test_what_waits_for_the_device_is_refused(work: Work) -> None:
    with fake_cuda():
        tensor = torch.empty(4, 6, device=CUDA)
        with NoSync(), pytest.raises(HostSync):
            work(tensor)


@pytest.mark.parametrize("work", GOES_ON.values(), ids=GOES_ON)
def test_what_does_not_wait_goes_on(work: Work) -> None:
    with fake_cuda():
        tensor = torch.empty(4, 6, device=CUDA)
        with NoSync():
            assert work(tensor).device.type == "cuda"


@pytest.mark.parametrize(
    ("key", "shape"),
    [
        (0, (3, 4)),
        (slice(1, None), (1, 3, 4)),
        ((Ellipsis, slice(0, 2)), (2, 3, 2)),
        ((slice(None), None, 1), (2, 1, 4)),
        ((None, Ellipsis), (1, 2, 3, 4)),
        ((Ellipsis, None), (2, 3, 4, 1)),
        ((slice(None), slice(None, None, 2)), (2, 2, 4)),
        (-1, (3, 4)),
        ((1, Ellipsis, -1), (3,)),
    ],
)
def test_indexing_is_that_of_a_real_tensor(key: Any, shape: tuple[int, ...]) -> None:
    assert torch.empty(2, 3, 4)[key].shape == shape
    with fake_cuda():
        assert torch.empty(2, 3, 4, device=CUDA)[key].shape == shape


def test_memory_is_what_is_alive_at_once_beside_what_was_there() -> None:
    kib = 256  # float32 numbers of one KiB
    with fake_cuda():
        weights = torch.empty(8 * kib, device=CUDA)
        with Peak([weights]) as peak:
            first = weights * 2
            assert peak.bytes == 8 * 1024
            view = first[: 4 * kib]
            assert peak.bytes == 8 * 1024
            second = view + 1
            assert peak.bytes == 12 * 1024
            del first, view, second
            torch.empty(2 * kib, device=CUDA)
            torch.empty(20 * kib)  # of the host
            assert peak.bytes == 12 * 1024


def test_weights_that_are_replaced_are_counted_once() -> None:
    with torch.device("meta"):
        layer = torch.nn.Linear(64, 64, bias=False)
    with fake_cuda():
        put_on(layer)
        with Peak(layer.parameters()) as peak:
            layer.to(torch.bfloat16)
        assert layer.weight.dtype == torch.bfloat16
        assert peak.bytes == 64 * 64 * 2  # beside the old ones, for a moment


def test_errors_of_data_type_and_device_are_those_of_a_card() -> None:
    with fake_cuda():
        here, there = torch.empty(4, 4, device=CUDA), torch.empty(4, 4)
        with pytest.raises(RuntimeError, match="device"):
            here @ there
        with pytest.raises(RuntimeError, match="dtype"):
            here @ here.to(torch.bfloat16)
