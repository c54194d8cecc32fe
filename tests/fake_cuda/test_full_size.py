"""Every local model in full size on a fake CUDA device: no error of data type or device, no wait, memory as told.

What cannot be faked, and runs on a card only: `torch.cuda.Stream`, `torch.cuda.Event` and pinned memory, so neither
two-phase (`LayerStream`) nor offload (diffusers' group offloading) is here; the engine's clock and flights; compiled
blocks; the workspaces of cuDNN and cuBLAS, which the need allows for.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, product
from typing import Any

import pytest
import torch
import transformers.masking_utils

import inference.local.reference_encoding
from inference.models.memory import TEXT_HELD, TEXT_WINDOW, phases
from inference.models.parts import PARTS
from inference.models.table import MODELS
from tests.fake_cuda.fake_device import fake_cuda, on_the_host
from tests.fake_cuda.full_size import Case, Run, checkpoint

MOST = "most"
FACTORS: dict[str, tuple[Any, ...]] = {
    "model": tuple(PARTS),
    "precision": ("bfloat16", "float8"),
    "references": (0, 1, 3, MOST),
    "size": (512, 1024, 1536, 2048),
    "batch": (1, 10),
}
WORST = 1.6
"""Times what is really alive that the need may be: the rest is workspaces that fake tensors do not show."""


def grid() -> list[tuple[Any, ...]]:
    return list(product(*FACTORS.values()))


def pairwise() -> list[tuple[Any, ...]]:
    """Few of the grid, in which every two values of two factors meet."""
    chosen, waiting = [], {pair for row in grid() for pair in pairs_of(row)}
    while waiting:
        best = max(grid(), key=lambda row: len(waiting & pairs_of(row)))
        chosen.append(best)
        waiting -= pairs_of(best)
    return chosen


def pairs_of(row: tuple[Any, ...]) -> set[Any]:
    return set(combinations(enumerate(row), 2))


def case_of(model: str, precision: str, references: Any, size: int, batch: int) -> Case:
    count = MODELS[model].max_references if references == MOST else references
    return Case(model, precision, count, size, batch)


PAIRWISE = pairwise()
REST = [row for row in grid() if row not in PAIRWISE]


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Inside, every tensor is fake."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (160 * 2**30, 160 * 2**30))
    masking = transformers.masking_utils
    monkeypatch.setattr(masking, "create_causal_mask", on_the_host(masking.create_causal_mask))
    monkeypatch.setattr(inference.local.reference_encoding, "mark", lambda _: 0.0)
    with fake_cuda():
        yield


def check(case: Case) -> None:
    run = Run(case, checkpoint(case.model, case.precision))
    pixels, verdicts = run.pictures()
    assert pixels.shape == (case.batch, case.size, case.size, 3)
    assert (pixels.dtype, verdicts.dtype) == (torch.uint8, torch.bool)
    assert pixels.device.type == verdicts.device.type == "cuda"
    run.peaks.pop("text", None)  # of one prompt here
    told = phases(case.parts, case.precision, "resident", case.workload)
    expected = {"denoise", "decode"}
    if case.references:
        expected |= {"references", "keys and values"} if case.parts.family == "kv" else {"references"}
    assert set(run.peaks) == expected
    ratios = {name: told[name] / peak for name, peak in run.peaks.items()}
    assert all(1 <= ratio <= WORST for ratio in ratios.values()), ratios


@pytest.mark.usefixtures("device")
@pytest.mark.parametrize("row", PAIRWISE, ids=lambda row: "-".join(map(str, row)))
def test_a_batch_of_every_kind_runs_without_a_wait_in_the_memory_that_is_told(row: tuple[Any, ...]) -> None:
    check(case_of(*row))


@pytest.mark.slow
@pytest.mark.usefixtures("device")
@pytest.mark.parametrize("row", REST, ids=lambda row: "-".join(map(str, row)))
def test_so_does_the_rest_of_the_grid(row: tuple[Any, ...]) -> None:
    check(case_of(*row))


def prompts_fit(model: str, prompts: int, mode: Any) -> None:
    run = Run(case_of(model, "bfloat16", 0, 512, 1), checkpoint(model, "bfloat16"))
    texts = run.texts(prompts)
    text = PARTS[model].transformer.context
    assert [tuple(one.shape) for one in texts] == [(1, 512, text)] * prompts
    assert {one.dtype for one in texts} == {torch.bfloat16}
    told = phases(PARTS[model], "bfloat16", mode, case_of(model, "bfloat16", 0, 512, 1).workload)["text"]
    assert 1 <= told / run.peaks["text"] <= WORST


@pytest.mark.usefixtures("device")
def test_the_prompts_of_the_largest_batch_fit() -> None:
    prompts_fit("klein-4b", TEXT_HELD - TEXT_WINDOW, "resident")


@pytest.mark.slow
@pytest.mark.usefixtures("device")
@pytest.mark.parametrize("model", ["klein-4b", "klein-9b", "dev"])
def test_a_window_of_prompts_fits(model: str) -> None:
    prompts_fit(model, TEXT_WINDOW, "two-phase")


def test_few_of_the_grid_hold_every_pair() -> None:
    assert len(PAIRWISE) < 40
    assert len(PAIRWISE) + len(REST) == 6 * 2 * 4 * 4 * 2
    assert {pair for row in PAIRWISE for pair in pairs_of(row)} == {pair for row in grid() for pair in pairs_of(row)}
