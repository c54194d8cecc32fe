"""Prompts: encoded a window at a time where memory is low, and never cut."""

from __future__ import annotations

import pytest

from inference.engine import EngineOptions, Failed, Rendered
from inference.local.engine import DiffusersEngine
from tests.inference.local.engines import Model, all_pixels, all_results, new_engine, request

pytestmark = pytest.mark.usefixtures("one_thread")


def test_two_phase_encodes_a_window_of_prompts_at_once(klein: Model) -> None:
    engine = new_engine(klein.folder, EngineOptions(memory="two-phase"))
    asked = [request(f"p{i}", [], i) for i in range(12)]
    calls: list[int] = []
    encode = engine._text._encode
    engine._text._encode = lambda missing: calls.append(len(missing)) or encode(missing)  # type: ignore[method-assign,func-returns-value]
    engine._sizes._limits = {engine._sizes._key(asked[0]): 1}
    all_pixels(engine, asked)
    assert calls[0] + calls[-1] >= 12
    assert len(calls) <= 2


def test_a_prompt_the_model_would_cut_is_refused(engine: DiffusersEngine) -> None:
    long = request("word " * 2000)
    results = all_results(engine, [long, request()])
    failed = results[long]
    assert isinstance(failed, Failed)
    assert "the model reads 512" in failed.detail
    assert isinstance(results[request()], Rendered)
