"""The engine's batches, memory and failures: what may change a picture, and what may fail with it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from catalogs.errors import DeviceError, EngineError
from catalogs.requests import Reason, RenderRequest
from inference.engine import EngineOptions, Failed, Rendered
from inference.local.engine import DiffusersEngine, load_engine
from inference.local.loading import Source
from inference.local.tiny import TINY_REVISION
from tests.inference.local.engines import Model, all_pixels, all_results, load, new_engine, reference, request

pytestmark = pytest.mark.usefixtures("one_thread")


def ours(engine: DiffusersEngine, batch: Sequence[RenderRequest]) -> list[np.ndarray[Any, Any]]:
    results = list(engine.render(batch))
    assert all(isinstance(result, Rendered) for result in results), results
    return [result.pixels.astype(int) for result in results if isinstance(result, Rendered)]


def module_of(engine: DiffusersEngine, part: str) -> Any:
    """A module of the real model, to break."""
    return (
        engine._checkpoint.transformer if part == "transformer" else engine._checkpoint.language_model._model.layers[3]
    )


def test_any_order_and_batch_size_gives_the_same_pictures(model: Model) -> None:
    asked = [model.request(f"p{i % 3}", ["a", "b"] if i % 2 else ["d"], i) for i in range(8)]
    there = all_pixels(model.engine, asked)
    # An engine that has seen nothing, and the plan cut into other shards.
    fresh = new_engine(model.folder)
    back = all_pixels(fresh, asked[:3:-1]) | all_pixels(fresh, asked[3::-1])
    alone = {one: all_pixels(fresh, [one])[one] for one in asked}
    for one in asked:
        assert np.abs(there[one] - back[one]).max() <= 1
        assert np.abs(there[one] - alone[one]).max() <= 1


def test_the_same_batch_sizes_give_the_same_bytes(model: Model) -> None:
    # four of a kind either way: another order, other neighbours, other prompts encoded with them
    asked = [model.request(f"p{i % 5}", ["a", "b"], i) for i in range(8)]
    there = new_engine(model.folder)
    back = new_engine(model.folder)
    for engine in (there, back):
        engine._sizes._limits = {engine._sizes.key(asked[0]): 4}
    one, other = all_pixels(there, asked), all_pixels(back, asked[::-1])
    assert all((one[each] == other[each]).all() for each in asked)


def test_what_was_done_is_told_in_numbers(klein: Model) -> None:
    engine = new_engine(klein.folder)
    all_pixels(engine, [request("p", ["a"], seed) for seed in range(3)])
    profile = engine.take_profile()
    assert profile.images == 3
    assert set(profile.seconds) == {"text", "references", "denoise", "decode", "wait"}
    assert profile.counts["references_encoded"] == profile.counts["prompts_encoded"] == 1
    assert profile.counts["reference_hits"] == 2
    assert 0 < profile.flops / profile.seconds["denoise"] < 2 * profile.limit_flops
    assert profile.peak_bytes > 2**20
    assert engine.take_profile().images == 0


def test_the_order_of_a_batch_changes_nothing(engine: DiffusersEngine) -> None:
    batch = [request("one", ["a"], 3), request("two", ["d"], 4), request("three", ["e"], 5)]
    there, back = ours(engine, batch), ours(engine, batch[::-1])[::-1]
    assert all(np.abs(one - other).max() <= 1 for one, other in zip(there, back, strict=True))


def test_mixed_geometry_is_refused(engine: DiffusersEngine) -> None:
    # 64x96 and 96x64 have the same number of tokens: the transformer alone would not notice
    with pytest.raises(EngineError, match="one bucket"):
        engine.render([request(references=["a"]), request(references=["b"])])


def test_out_of_memory_halves_the_batch_and_remembers(klein: Model, monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.setenv("PACKSHOT_CACHE", str(tmp_path))
    engine, sizes = new_engine(klein.folder), []
    forward = engine._checkpoint.transformer.forward

    def small_card(hidden_states: Any, **rest: Any) -> Any:
        sizes.append(len(hidden_states))
        if len(hidden_states) > 1:
            raise torch.OutOfMemoryError("no memory")
        return forward(hidden_states=hidden_states, **rest)

    monkeypatch.setattr(engine._checkpoint.transformer, "forward", small_card)
    batch = [request(seed=seed, height=80) for seed in range(4)]
    assert all(isinstance(result, Rendered) for result in engine.render(batch))
    assert max(sizes) == 4
    assert engine.batch_size(batch[0]) == 1
    # and the next process of this machine need not learn it again
    assert new_engine(klein.folder).batch_size(batch[0]) == 1


def test_full_caches_cost_no_batch_size(klein: Model, monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.setenv("PACKSHOT_CACHE", str(tmp_path))
    engine, sizes = new_engine(klein.folder), []
    forward = engine._checkpoint.transformer.forward
    references = engine._conditioning.references
    references.latents(reference("a"))
    assert len(references._on_device) == 1

    def full_once(hidden_states: Any, **rest: Any) -> Any:
        sizes.append(len(hidden_states))
        if references._on_device:
            raise torch.OutOfMemoryError("no memory")
        return forward(hidden_states=hidden_states, **rest)

    monkeypatch.setattr(engine._checkpoint.transformer, "forward", full_once)
    batch = [request(seed=seed, height=80) for seed in range(3)]
    before = engine.batch_size(batch[0])
    assert all(isinstance(result, Rendered) for result in engine.render(batch))
    assert sizes[:2] == [3, 3]
    assert engine.batch_size(batch[0]) == before


def test_prompts_that_never_fit_are_typed_failures(klein: Model, monkeypatch: Any) -> None:
    engine, calls = new_engine(klein.folder), []

    def full(*_: Any, **__: Any) -> Any:
        calls.append(1)
        raise torch.OutOfMemoryError("no memory")

    monkeypatch.setattr(module_of(engine, "text_encoder"), "forward", full)
    results = list(engine.render([request(seed=1), request("other", seed=2)]))
    assert [isinstance(one, Failed) and one.reason for one in results] == [Reason.OUT_OF_MEMORY] * 2
    assert len(calls) == 6  # together and one by one, each once more with empty caches


@pytest.mark.parametrize("part", ["transformer", "text_encoder"])
def test_a_lost_device_is_no_fault_of_a_request(klein: Model, monkeypatch: Any, part: str) -> None:
    engine = new_engine(klein.folder)

    def lost(*_: Any, **__: Any) -> Any:
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(module_of(engine, part), "forward", lost)
    with pytest.raises(DeviceError, match="the device failed"):
        list(engine.render([request()]))


def test_one_that_never_fits_fails_alone(klein: Model, monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.setenv("PACKSHOT_CACHE", str(tmp_path))
    engine = new_engine(klein.folder)
    decode = engine._checkpoint.vae.decode

    def full(latents: Any, **rest: Any) -> Any:
        if latents.shape[-1] > 8:
            raise torch.OutOfMemoryError("no memory")
        return decode(latents, **rest)

    monkeypatch.setattr(engine._checkpoint.vae, "decode", full)
    small, large = request(width=64), request(width=96)
    results = all_results(engine, [small, large])
    assert isinstance(results[small], Rendered)
    failed = results[large]
    assert isinstance(failed, Failed)
    assert (failed.reason, failed.final) == (Reason.OUT_OF_MEMORY, False)
    assert "one 96x64 image does not fit" in failed.detail


@pytest.mark.parametrize(
    ("poison", "reason"),
    [
        (lambda image: image * float("nan"), Reason.NON_FINITE),
        (lambda image: image * 0, Reason.BLANK_IMAGE),
    ],
)
def test_bad_pictures_are_typed_failures_after_one_more_try(
    klein: Model, monkeypatch: Any, poison: Any, reason: Reason
) -> None:
    engine = new_engine(klein.folder)
    decode, bad = engine._checkpoint.vae.decode, [True, True]
    monkeypatch.setattr(
        engine._checkpoint.vae,
        "decode",
        lambda *args, **rest: (poison(decode(*args, **rest)[0]) if bad.pop() else decode(*args, **rest)[0],),
    )
    result = next(iter(engine.render([request()])))
    assert isinstance(result, Failed)
    assert (result.reason, bad) == (reason, [])
    bad[:] = [False, True]
    assert isinstance(next(iter(engine.render([request()]))), Rendered)
    assert engine.take_profile().counts["retries"] == 2


def test_one_that_breaks_fails_alone(klein: Model, monkeypatch: Any) -> None:
    from inference.local import engine as engine_module

    noise = engine_module.noise

    def broken(checkpoint: Any, requests: Sequence[RenderRequest]) -> Any:
        if any(asked.seed == 13 for asked in requests):
            raise RuntimeError("CUDA error: illegal\naddress")
        return noise(checkpoint, requests)

    monkeypatch.setattr(engine_module, "noise", broken)
    asked = [request(seed=12), request(seed=13), request(seed=14)]
    results = {result.request: result for result in klein.engine.render(asked)}
    assert [type(results[one]) for one in asked] == [Rendered, Failed, Rendered]
    failed = results[asked[1]]
    assert isinstance(failed, Failed)
    assert failed.reason == Reason.ENGINE_ERROR
    assert "\n" not in failed.detail


@pytest.mark.parametrize("poison", [{"references": ["thin"]}, {"prompt": "a \ud800 shoe"}], ids=["photo", "prompt"])
def test_what_cannot_be_encoded_fails_alone(klein: Model, poison: dict[str, Any]) -> None:
    good, bad = request(references=["a"]), request(**{"references": ["a"], **poison})
    results = all_results(klein.engine, [good, bad, request("other", ["a"])])
    failed = results[bad]
    assert isinstance(failed, Failed)
    assert (failed.reason, failed.final) == (Reason.ENGINE_ERROR, False)
    assert "\n" not in failed.detail
    assert sum(isinstance(result, Rendered) for result in results.values()) == 2


def test_what_breaks_every_request_is_no_fault_of_theirs(klein: Model, monkeypatch: Any) -> None:
    engine = new_engine(klein.folder, EngineOptions(decoder="folded"))
    module = module_of(engine, "transformer")
    forward = module.forward

    def broken(**_: Any) -> Any:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(module, "forward", broken)
    # seeds and variations of one prompt say nothing about the others
    assert all(isinstance(one, Failed) for one in engine.render([request(seed=seed) for seed in range(5)]))
    assert isinstance(next(iter(engine.render([request("two")]))), Failed)
    monkeypatch.setattr(module, "forward", forward)
    assert isinstance(next(iter(engine.render([request("three")]))), Rendered)
    monkeypatch.setattr(module, "forward", broken)
    two = [request("four"), request("five")]
    assert all(isinstance(one, Failed) for one in engine.render(two))
    with pytest.raises(EngineError, match=r"3 requests in a row.*mat1 and mat2.*without --decoder folded") as caught:
        list(engine.render([request("six")]))
    assert "\n" not in str(caught.value)


def test_the_engine_is_loaded_once_and_safe_between_threads(engine: DiffusersEngine) -> None:
    assert load_engine(Source("tiny", TINY_REVISION, "float32"), load, EngineOptions()) is engine
    results: list[Any] = []
    threads = [threading.Thread(target=lambda: results.extend(engine.render([request()]))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 3
    assert all((result.pixels == results[0].pixels).all() for result in results)
