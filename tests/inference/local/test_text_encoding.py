"""Prompts: encoded a window at a time where memory is low, and never cut."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
import torch

from inference.engine import EngineOptions, Failed, Rendered
from inference.local.batching import batches
from inference.local.engine import DiffusersEngine
from inference.local.layer_stream import LayerStream
from inference.models.memory import TEXT_HELD, TEXT_WINDOW
from tests.inference.local.engines import Model, all_pixels, all_results, made_model, new_engine, request

pytestmark = pytest.mark.usefixtures("one_thread")


def test_two_phase_encodes_a_window_of_prompts_at_once(klein: Model) -> None:
    engine = new_engine(klein.folder, EngineOptions(memory="two-phase"))
    asked = [request(f"p{i}", [], seed) for i in range(TEXT_WINDOW + 20) for seed in range(4)]
    calls: list[int] = []
    encode = engine._conditioning.text._encode
    engine._conditioning.text._encode = lambda missing: calls.append(len(missing)) or encode(missing)  # type: ignore[method-assign,func-returns-value]
    for batch, upcoming in batches(asked, engine):
        engine.prepare(upcoming)
        engine._conditioning.text.embeddings([one.prompt for one in batch])
    assert calls == [TEXT_WINDOW, 20]
    assert len(engine._conditioning.text._embeddings) <= TEXT_HELD


def test_a_prompt_alone_pays_for_no_other(klein: Model) -> None:
    engine = new_engine(klein.folder)
    engine.prepare([request(f"p{i}") for i in range(8)])
    engine._conditioning.text.embeddings(["p0", "p1"])
    assert engine._conditioning.text.encoded == 2


def test_an_embedding_depends_on_no_neighbour(model: Model) -> None:
    prompts = [f"a cup number {i}" for i in range(5)]
    alone = {prompt: new_engine(model.folder)._conditioning.text.embeddings([prompt])[prompt] for prompt in prompts[:2]}
    memories: tuple[Literal["resident", "two-phase", "offload"], ...] = ("resident", "two-phase", "offload")
    for memory in memories:
        together = new_engine(model.folder, EngineOptions(memory=memory))._conditioning.text.embeddings(prompts)
        for prompt, one in alone.items():
            assert torch.equal(one, together[prompt])


def test_layers_are_streamed_again_after_a_walk_that_was_broken_off(klein: Model) -> None:
    engine = new_engine(klein.folder, EngineOptions(memory="two-phase"))
    expected = klein.engine._conditioning.text.embeddings(["p"], alone=True)["p"]
    stream = engine._checkpoint.language_model._layers
    for broken_off in (1, 2, 5):
        walk = iter(stream)
        for _ in range(broken_off):
            next(walk)
        del walk
        engine._conditioning.text._embeddings.clear()
        assert torch.equal(engine._conditioning.text.embeddings(["p"], alone=True)["p"], expected)


def test_a_walk_holds_two_layers_and_leaves_the_weights_where_they_are(klein: Model) -> None:
    stream = new_engine(klein.folder, EngineOptions(memory="two-phase"))._checkpoint.language_model._layers
    assert isinstance(stream, LayerStream)
    kept = [parameter.data_ptr() for layer in stream._layers for parameter in layer.parameters()]
    for _ in range(2):
        visited = [next(layer.parameters()).data_ptr() for layer in stream]
        assert len(visited) == 27
        assert len(set(visited)) == 2
        assert not set(visited) & set(kept)
    assert kept == [parameter.data_ptr() for layer in stream._layers for parameter in layer.parameters()]


def test_the_empty_prompt_of_guidance_is_encoded_once(tmp_path: Path) -> None:
    base = made_model("base", tmp_path)
    engine = new_engine(base.folder, EngineOptions(memory="two-phase"))
    asked = [base.request(f"p{i}", [], i, steps=1) for i in range(3)]
    assert len(all_pixels(engine, asked)) == 3
    for number in range(TEXT_WINDOW + 20):
        engine._conditioning.text.embeddings([f"other {number}"], alone=True)
    encoded = engine._conditioning.text.encoded
    engine._conditioning.text.embeddings([""])
    assert engine._conditioning.text.encoded == encoded


def test_a_prompt_the_model_would_cut_is_refused(engine: DiffusersEngine) -> None:
    long = request("word " * 2000)
    results = all_results(engine, [long, request()])
    failed = results[long]
    assert isinstance(failed, Failed)
    assert "the model reads 512" in failed.detail
    assert isinstance(results[request()], Rendered)
