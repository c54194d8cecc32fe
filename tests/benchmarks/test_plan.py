from __future__ import annotations

import multiprocessing

import pytest

from tests.benchmarks.plan import ASSETS_A_PRODUCT, LOOP_PRODUCTS, plain_loop, plan


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_planning_is_quicker_than_a_plain_loop_and_flat_in_memory() -> None:
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        loop = LOOP_PRODUCTS * ASSETS_A_PRODUCT / pool.apply(plain_loop, (LOOP_PRODUCTS,))
        seconds, memory = pool.apply(plan, (50_000,))
        _, doubled = pool.apply(plan, (100_000,))
    assert 50_000 * ASSETS_A_PRODUCT / seconds > 3 * loop
    assert doubled < 1.5 * memory
