from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from catalogs.requests import RenderRequest
from inference.engine import EngineOptions
from inference.local.batch_sizes import BatchSizes, sizes_to_try
from inference.local.batching import TOKEN_BUDGET
from inference.local.device import dense_flops, peak_bytes
from inference.local.measured import recall
from inference.models.flops import TransformerShape
from inference.models.parts import PARTS
from tests.inference.local.engines import reference

SHAPE = TransformerShape(3072, 5, 20, 7680)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACKSHOT_CACHE", str(tmp_path))


def request(side: int, steps: int = 4, guidance: float | None = None) -> RenderRequest:
    return RenderRequest("p", (), side, side, 1, 0, steps, guidance, "klein-4b", "1")


def sizes(tries: bool = True, **checkpoint: Any) -> BatchSizes:
    """Of a CPU, told to try sizes as a GPU does."""
    fields = {"shape": SHAPE, "device": torch.device("cpu"), "family": "klein", "memory": "resident"}
    fields |= {"weight_precision": "bfloat16", "room": 0, **checkpoint}
    made = BatchSizes(SimpleNamespace(**fields), EngineOptions())  # type: ignore[arg-type]
    made._tries, made._tokens = tries, TOKEN_BUDGET
    return made


def run(made: BatchSizes, seconds: dict[int, float], asked: RenderRequest | None = None, how: str = "") -> list[int]:
    used = []
    for _ in range(12):
        size = made.size(asked or request(512), how)
        used.append(size)
        slow = 5.0 if used.count(size) == 1 else 0.0  # kernels are chosen at the first call of a shape
        made.measured(asked or request(512), size, seconds[size] + slow, how)
    return used


def test_each_size_is_tried_twice_and_the_fastest_kept() -> None:
    # 512 x 512: ten of them fill the token budget
    made = sizes()
    used = run(made, {10: 2.0, 5: 0.9, 2: 0.5, 1: 0.3})
    assert used[:8] == [10, 10, 5, 5, 2, 2, 1, 1]
    assert set(used[8:]) == {5}


def test_two_is_tried_at_one_megapixel() -> None:
    assert run(sizes(), {3: 3.3, 2: 2.0, 1: 1.1}, request(1024))[:7] == [3, 3, 2, 2, 1, 1, 2]


@pytest.mark.parametrize(
    ("most", "tried"), [(1, [1]), (2, [2, 1]), (3, [3, 2, 1]), (5, [5, 2, 1]), (16, [16, 8, 4, 2, 1])]
)
def test_sizes_to_try(most: int, tried: list[int]) -> None:
    assert sizes_to_try(most) == tried


def test_of_two_as_fast_the_smaller_is_kept() -> None:
    assert run(sizes(), {10: 1.0, 5: 0.505, 2: 0.3, 1: 0.3})[-1] == 5


def test_what_was_learned_is_there_in_the_next_process() -> None:
    run(sizes(), {10: 2.0, 5: 0.9, 2: 0.5, 1: 0.3})
    assert sizes().size(request(512)) == 5
    assert sizes().size(request(1024)) == 3


LEARNED = {"family": "base"}


@pytest.mark.parametrize(
    ("other", "asked", "how"),
    [
        ({}, request(512, 10), ""),
        ({}, request(512, 50, 4.0), ""),
        ({}, request(256), ""),
        ({}, request(512), "compile"),
        ({"family": "klein"}, request(512), ""),
        ({"memory": "offload"}, request(512), ""),
        ({"weight_precision": "float8"}, request(512), ""),
        ({"shape": TransformerShape(4096, 8, 24, 12288)}, request(512), ""),
    ],
    ids=["steps", "guidance", "size", "compiled", "family", "memory", "precision", "model"],
)
def test_what_cannot_be_compared_is_learned_apart(other: dict[str, Any], asked: RenderRequest, how: str) -> None:
    run(sizes(**LEARNED), {10: 2.0, 5: 0.9, 2: 0.5, 1: 0.3})
    assert sizes(**LEARNED).size(request(512)) == 5
    made = sizes(**LEARNED | other)
    assert made.key(asked, how) not in made._chosen


def test_fifty_steps_and_ten_are_compared_by_the_forward() -> None:
    """Were they one key, the slow shot's large batches would be judged against the quick shot's small ones."""
    made = sizes()
    slow, quick = request(512, 50), request(512, 10)
    times = {10: 1.0, 5: 0.6, 2: 0.3, 1: 0.2}
    for _ in range(12):
        for asked in (slow, quick):
            size = made.size(asked)
            made.measured(asked, size, times[size] * asked.steps)
    assert (made.size(slow), made.size(quick)) == (10, 10)
    assert sorted(made._seconds[made.key(slow)][10])[0] == pytest.approx(sorted(made._seconds[made.key(quick)][10])[0])


def test_processes_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    code = (
        "import sys; from inference.local.measured import remember\n"
        "for n in range(40): remember('batch_sizes', {f'{sys.argv[1]}-{n}': n})"
    )
    running = [subprocess.Popen([sys.executable, "-c", code, str(number)]) for number in range(4)]
    assert [process.wait(60) for process in running] == [0] * 4
    assert len(recall("batch_sizes")) == 160
    assert sorted(path.name for path in tmp_path.iterdir()) == ["batch-sizes.json", "batch-sizes.json.lock"]


def test_an_older_file_is_ignored_and_replaced(tmp_path: Path) -> None:
    old = {"NVIDIA H200 3072x25 klein resident": {"1024+0": 2}}
    (tmp_path / "batch-sizes.json").write_text(json.dumps(old))
    made = sizes()
    assert made._chosen == {}
    made.limit(request(512), 4)
    assert sizes().size(request(512)) == 4
    assert set(json.loads((tmp_path / "batch-sizes.json").read_text())) == {"format", "batch_sizes"}


def test_without_a_place_to_write_it_is_for_this_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PACKSHOT_CACHE", str(tmp_path / "file"))
    made = sizes()
    made.limit(request(512), 4)
    assert (made.size(request(512)), sizes().size(request(512))) == (4, 10)


@pytest.mark.parametrize(
    ("family", "room", "references", "most"),
    [
        # klein-9b-kv at 512 x 512: 28 GiB of weights and 1 of the driver; a set of a megapixel takes 2 GiB, its place
        # in the batch 2.75, to decode a picture 0.5; 15 % more of all but the first two.
        ("kv", 80, 1, 10),  # 28.9 + 1.15 x (1.4 + 2 + 27.5 + 5) = 70.3
        ("kv", 52, 1, 5),  # of six 28.9 + 1.15 x (1.4 + 2 + 16.5 + 3) = 55.3, of five 51.5
        ("kv", 40, 1, 1),  # of two 40.9: to encode the reference takes 1.55
        ("kv", 80, 3, 5),  # of five 28.9 + 1.15 x (1.4 + 6 + 33.8 + 3) = 79.7
        ("kv", 79, 3, 4),
        ("klein", 80, 1, 2),  # by tokens
        ("klein", 40, 0, 10),
    ],
)
def test_no_more_than_there_is_room_for(family: str, room: int, references: int, most: int) -> None:
    vae = SimpleNamespace(use_tiling=False)
    parts = replace(PARTS["klein-9b-kv"], family=family)  # type: ignore[arg-type]
    made = sizes(tries=False, family=family, parts=parts, room=room * 2**30, vae=vae)
    asked = replace(request(512), references=tuple(reference("a") for _ in range(references)))
    asked = replace(asked, references=tuple(replace(one, width=1024, height=1024) for one in asked.references))
    assert made.size(asked) == most


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


@pytest.mark.parametrize(
    "kept",
    ['"four"', "null", "[2]", "{}", "NaN", "Infinity", "-3", "1e300", "1" + 400 * "0", '"2"', "[" * 100_000],
)
def test_what_is_no_size_in_the_file_is_ignored(tmp_path: Path, kept: str) -> None:
    key = sizes(tries=False).key(request(512))
    before = sizes(tries=False).size(request(512))
    (tmp_path / "batch-sizes.json").write_text(f'{{"format": 2, "batch_sizes": {{{json.dumps(key)}: {kept}}}}}')
    made = sizes(tries=False)
    assert made.size(request(512)) == before
    made.limit(request(512), 3)
    assert sizes(tries=False).size(request(512)) == 3
