from __future__ import annotations

import multiprocessing

import pytest

from tests.benchmarks.imports import imported, scripted


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_importing_keeps_pace_with_a_plain_script_and_is_flat_in_memory() -> None:
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        script, _ = pool.apply(scripted, (100_000,))
        seconds, memory = pool.apply(imported, (100_000,))
        _, of_four_times = pool.apply(imported, (400_000,))
    assert seconds < 2.5 * script
    assert of_four_times < 1.25 * memory  # the smaller one does not yet fill SQLite's cache of 64 MiB
