from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from catalogs.requests import RenderRequest
from inference.engine import EngineOptions
from inference.local.batch_sizes import BatchSizes
from inference.local.batching import TOKEN_BUDGET
from inference.local.device import dense_flops, peak_bytes
from inference.models.flops import TransformerShape

SHAPE = TransformerShape(3072, 5, 20, 7680)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACKSHOT_CACHE", str(tmp_path))


def request(side: int) -> RenderRequest:
    return RenderRequest("p", (), side, side, 1, 0, 4, None, "klein-4b", "1")


def sizes(tries: bool = True, **checkpoint: Any) -> BatchSizes:
    """Of a CPU, told to try sizes as a GPU does."""
    made = BatchSizes(
        SimpleNamespace(shape=SHAPE, device=torch.device("cpu"), family="klein", memory="resident", **checkpoint),  # type: ignore[arg-type]
        EngineOptions(),
    )
    made._tries, made._tokens = tries, TOKEN_BUDGET
    return made


def run(made: BatchSizes, seconds: dict[int, float], batches: int = 12) -> list[int]:
    used = []
    for place in range(batches):
        size = made.size(request(512))
        used.append(size)
        slow = 5.0 if used.count(size) == 1 else 0.0  # kernels are chosen at the first call of a shape
        made.measured(request(512), size, seconds[size] + slow)
        assert place >= 0
    return used


def test_each_size_is_tried_twice_and_the_fastest_kept() -> None:
    # 512 x 512: ten of them fill the token budget
    made = sizes()
    used = run(made, {10: 2.0, 5: 0.9, 2: 0.5, 1: 0.3})
    assert used[:8] == [10, 10, 5, 5, 2, 2, 1, 1]
    assert set(used[8:]) == {5}


def test_of_two_as_fast_the_smaller_is_kept() -> None:
    assert run(sizes(), {10: 1.0, 5: 0.505, 2: 0.3, 1: 0.3})[-1] == 5


def test_what_was_learned_is_there_in_the_next_process() -> None:
    run(sizes(), {10: 2.0, 5: 0.9, 2: 0.5, 1: 0.3})
    assert sizes().size(request(512)) == 5
    assert sizes().size(request(1024)) == 3


def test_without_trying_the_token_budget_decides() -> None:
    assert run(sizes(tries=False), {10: 2.0}) == [10] * 12


def test_a_size_that_did_not_fit_is_never_asked_again() -> None:
    made = sizes()
    made.limit(request(512), 2)
    assert max(run(made, {2: 0.5, 1: 0.3})) == 2
    assert sizes().size(request(512)) <= 2


def test_a_broken_memory_is_no_memory(tmp_path: Path) -> None:
    (tmp_path / "batch-sizes.json").write_text("{")
    assert sizes().size(request(512)) == 10


def test_the_dense_rate_is_measured_and_plausible() -> None:
    rate = dense_flops(torch.device("cpu"), torch.float32)
    assert 1e9 < rate < 1e14
    assert peak_bytes(torch.device("cpu")) > 2**25
