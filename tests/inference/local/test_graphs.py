"""Recorded loops: what steers a batch is copied to where the recording reads it; one that is no gain is dropped.

A CPU records nothing; here a recording runs the loop again, over the very memory it was recorded with.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from inference.local import graphs
from inference.local.engine import DiffusersEngine
from inference.local.graphs import Graphs
from tests.inference.local.engines import Model, all_pixels, new_engine, request

pytestmark = pytest.mark.usefixtures("one_thread")


def again(run: Callable[[], Any]) -> tuple[Callable[[], None], Any]:
    """Record a loop as a function that runs it again and leaves the result where the first one was."""
    result = run()

    def replay() -> None:
        result.copy_(run())

    return replay, result


def recording(model: Model, record: graphs.Record = again) -> DiffusersEngine:
    engine = new_engine(model.folder)
    engine._graphs = Graphs(engine._checkpoint, record)
    return engine


def always_quicker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "GAIN", 1e9)


@pytest.mark.parametrize("references", [[], ["a"], ["a", "d"]], ids=["none", "one", "two"])
def test_a_replay_makes_the_pictures_of_its_own_batch(
    model: Model, references: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    always_quicker(monkeypatch)
    engine = recording(model)
    engine._sizes._limits = {engine._sizes.key(model.request("p", references)): 2}
    names = {"a": "e", "d": "a", "e": "d"}
    asked = []
    for number in range(10):  # other prompts, seeds and photos of the same sizes
        asked.append(model.request(f"p{number}", references, number))
        references = [names[name] for name in references]
    expected = all_pixels(model.engine, asked)
    made = all_pixels(engine, asked)
    assert engine.take_profile().counts["pictures_replayed"] == 6
    assert all(np.abs(made[one] - expected[one]).max() <= 1 for one in asked)


def test_larger_pictures_are_not_recorded(klein: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    always_quicker(monkeypatch)
    monkeypatch.setattr(graphs, "MOST_TOKENS", 4 * 6 - 1)
    engine = recording(klein)
    all_pixels(engine, [request(f"p{number}", [], number) for number in range(24)])
    assert engine.take_profile().counts["pictures_replayed"] == 0


def test_a_replay_that_is_no_gain_is_given_up(klein: Model) -> None:
    def slow(run: Callable[[], Any]) -> tuple[Callable[[], None], Any]:
        replay, result = again(run)
        return lambda: (time.sleep(0.2), replay())[1], result

    engine = recording(klein, slow)
    engine._sizes._limits = {engine._sizes.key(request()): 1}
    all_pixels(engine, [request(f"p{number}", [], number) for number in range(8)])
    assert engine.take_profile().counts["pictures_replayed"] == 3  # two are timed, and one found it out
    assert len(engine._graphs._recorded) == 0


def test_what_cannot_be_recorded_runs_as_before(klein: Model) -> None:
    def never(run: Callable[[], Any]) -> Any:
        raise RuntimeError("operation not permitted when stream is capturing")

    engine = recording(klein, never)
    engine._sizes._limits = {engine._sizes.key(request()): 1}
    assert len(all_pixels(engine, [request(f"p{number}", [], number) for number in range(4)])) == 4
    profile = engine.take_profile()
    assert profile.counts["pictures_replayed"] == 0
    assert "not replayed: RuntimeError: operation not permitted" in profile.notes[0]


def test_few_recordings_are_held(klein: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    always_quicker(monkeypatch)
    engine = recording(klein)
    for width in (64, 80, 96, 112):
        engine._sizes._limits |= {engine._sizes.key(request(width=width)): 1}
        all_pixels(engine, [request(f"p{number}", [], number, width=width) for number in range(4)])
    assert len(engine._graphs._recorded) == graphs.RECORDED
    engine._graphs.clear()
    assert len(engine._graphs._recorded) == 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="records on a GPU")
def test_a_gpu_records(klein: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    always_quicker(monkeypatch)
    engine = new_engine(klein.folder)
    engine._sizes._limits = {engine._sizes.key(request()): 2}
    asked = [request(f"p{number}", ["a"], number) for number in range(10)]
    assert len(all_pixels(engine, asked)) == 10
    assert engine.take_profile().counts["pictures_replayed"] == 6
