"""The engine against the stock pipeline, one call a request, on the tiny checkpoint."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from catalogs.errors import EngineError, ModelError, ReferenceImageError
from catalogs.references import InvalidReference
from catalogs.requests import Reason, Reference, RenderRequest
from inference.diffusers_engine import DiffusersEngine, load_engine
from inference.engine import Failed, Rendered
from inference.tiny import TINY_REVISION

WIDTH, HEIGHT = 96, 64
SIZES = {"a": (64, 96), "b": (96, 64), "c": (70, 90), "d": (64, 96), "e": (64, 96), "big": (1300, 1000)}


def picture(name: str) -> Image.Image:
    width, height = SIZES[name]
    random = np.random.default_rng(ord(name[0]))
    small = random.integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.NEAREST)


def load(reference: Reference) -> Image.Image:
    if reference.sha256 not in SIZES:
        raise InvalidReference(reference.uri, "", "is not an image", "replace it")
    return picture(reference.sha256)


def reference(name: str) -> Reference:
    width, height = SIZES.get(name, (64, 96))
    return Reference(f"/{name}.png", name, "hero", width, height)


def request(prompt: str = "a red shoe", references: Sequence[str] = (), seed: int = 1, **other: Any) -> RenderRequest:
    fields: dict[str, Any] = {
        "prompt": prompt,
        "references": tuple(reference(name) for name in references),
        "width": WIDTH,
        "height": HEIGHT,
        "seed": seed,
        "take": 0,
        "steps": 4,
        "guidance": None,
        "model": "tiny",
        "model_revision": TINY_REVISION,
        "weight_precision": "float32",
    }
    return RenderRequest(**{**fields, **other})


@pytest.fixture(scope="module")
def engine() -> Iterator[DiffusersEngine]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield load_engine("tiny", TINY_REVISION, load, "float32")
    torch.set_num_threads(threads)


def stock(engine: DiffusersEngine, asked: RenderRequest) -> np.ndarray[Any, Any]:
    """The stock pipeline, one call for one request."""
    pipe = engine._pipe
    pipe.set_progress_bar_config(disable=True)
    images = [picture(r.sha256) for r in asked.references]
    made = pipe(
        prompt=asked.prompt,
        image=images or None,
        height=asked.height,
        width=asked.width,
        num_inference_steps=asked.steps,
        guidance_scale=1.0,
        generator=torch.Generator().manual_seed(asked.seed),
        output_type="pil",
    ).images[0]
    return np.asarray(made).astype(int)


def ours(engine: DiffusersEngine, batch: Sequence[RenderRequest]) -> list[np.ndarray[Any, Any]]:
    results = engine.render(batch)
    assert all(isinstance(result, Rendered) for result in results), results
    return [result.pixels.astype(int) for result in results if isinstance(result, Rendered)]


@pytest.mark.parametrize(
    "other",
    [
        request(references=["a", "b"], seed=2),
        request(references=["d", "b"]),
        request(references=["b", "a"]),
        request("a green bag on marble", ["a", "b"]),
        request(),
    ],
    ids=["seed", "reference", "reference order", "prompt", "no reference"],
)
def test_control_what_matters_shows_by_far_more_than_the_tolerance(
    engine: DiffusersEngine, other: RenderRequest
) -> None:
    difference = np.abs(stock(engine, request(references=["a", "b"])) - stock(engine, other))
    assert difference.max() > 20
    assert difference.mean() > 2


@pytest.mark.parametrize(
    "batch",
    [
        [request()],
        [request(references=["a"])],
        [request(references=["big"])],
        [request(references=["a", "b", "c"])],
        [request("one", seed=3), request("two", seed=4), request("one", seed=5)],
        [
            request("one", ["a", "b"], 3),
            request("two", ["d", "b"], 4),
            request("three", ["e", "b"], 5),
            request("one", ["d", "b"], 6),
        ],
    ],
    ids=["text", "one reference", "a reference over 1 MP", "three references", "text batch", "own references"],
)
def test_equals_the_stock_pipeline_one_call_a_request(engine: DiffusersEngine, batch: list[RenderRequest]) -> None:
    for asked, pixels in zip(batch, ours(engine, batch), strict=True):
        assert pixels.shape == (HEIGHT, WIDTH, 3)
        assert np.abs(pixels - stock(engine, asked)).max() <= 2


def test_the_order_of_a_batch_changes_nothing(engine: DiffusersEngine) -> None:
    batch = [request("one", ["a"], 3), request("two", ["d"], 4), request("three", ["e"], 5)]
    there, back = ours(engine, batch), ours(engine, batch[::-1])[::-1]
    assert all(np.abs(one - other).max() <= 1 for one, other in zip(there, back, strict=True))


def test_a_poisoned_reference_fails_alone(engine: DiffusersEngine) -> None:
    good, bad = request(references=["a"]), request(references=["nothing"])
    results = engine.render([good, bad, replace(good, seed=9)])
    assert [type(result) for result in results] == [Rendered, Failed, Rendered]
    assert isinstance(results[1], Failed)
    assert (results[1].reason, results[1].final) == (Reason.REFERENCE_INVALID, True)


def test_a_reference_of_another_size_than_planned_is_refused(engine: DiffusersEngine) -> None:
    asked = replace(request(), references=(replace(reference("c"), width=64, height=96),))
    result = engine.render([asked])[0]
    assert isinstance(result, Failed)
    assert "planned as 64x96" in result.detail


def test_mixed_geometry_is_refused(engine: DiffusersEngine) -> None:
    # 64x96 and 96x64 have the same number of tokens: the transformer alone would not notice
    with pytest.raises(EngineError, match="one geometry"):
        engine.render([request(references=["a"]), request(references=["b"])])


def test_a_prompt_the_model_would_cut_is_refused(engine: DiffusersEngine) -> None:
    results = engine.render([request("word " * 2000), request()])
    assert isinstance(results[0], Failed)
    assert "the model reads 512" in results[0].detail
    assert isinstance(results[1], Rendered)


def test_out_of_memory_halves_the_batch_and_remembers(engine: DiffusersEngine, monkeypatch: Any) -> None:
    transformer, sizes = engine._pipe.transformer, []
    forward = transformer.forward

    def small_card(hidden_states: Any, **rest: Any) -> Any:
        sizes.append(len(hidden_states))
        if len(hidden_states) > 1:
            raise torch.OutOfMemoryError("no memory")
        return forward(hidden_states=hidden_states, **rest)

    monkeypatch.setattr(transformer, "forward", small_card)
    batch = [request(seed=seed, height=80) for seed in range(4)]
    assert all(isinstance(result, Rendered) for result in engine.render(batch))
    assert max(sizes) == 4
    assert engine.batch_size(batch[0]) == 1


@pytest.mark.parametrize(
    ("poison", "reason"),
    [
        (lambda image: image * float("nan"), Reason.NON_FINITE),
        (lambda image: image * 0, Reason.BLANK_IMAGE),
    ],
)
def test_bad_pictures_are_typed_failures(
    engine: DiffusersEngine, monkeypatch: Any, poison: Any, reason: Reason
) -> None:
    decode = engine._pipe.vae.decode
    monkeypatch.setattr(engine._pipe.vae, "decode", lambda *args, **rest: (poison(decode(*args, **rest)[0]),))
    result = engine.render([request()])[0]
    assert isinstance(result, Failed)
    assert result.reason == reason


def test_one_that_never_fits_or_breaks_fails_alone(engine: DiffusersEngine, monkeypatch: Any) -> None:
    latents = engine._latents

    def broken(requests: Sequence[RenderRequest]) -> Any:
        if any(asked.seed == 13 for asked in requests):
            raise RuntimeError("CUDA error: illegal\naddress")
        return latents(requests)

    monkeypatch.setattr(engine, "_latents", broken)
    results = engine.render([request(seed=12), request(seed=13), request(seed=14)])
    assert [type(result) for result in results] == [Rendered, Failed, Rendered]
    assert isinstance(results[1], Failed)
    assert results[1].reason == Reason.ENGINE_ERROR
    assert "\n" not in results[1].detail


def test_the_engine_is_loaded_once_and_safe_between_threads(engine: DiffusersEngine) -> None:
    assert load_engine("tiny", TINY_REVISION, load, "float32") is engine
    results: list[Any] = []
    threads = [threading.Thread(target=lambda: results.extend(engine.render([request()]))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 3
    assert all((result.pixels == results[0].pixels).all() for result in results)


def test_what_cannot_be_loaded_is_said_in_one_line(tmp_path: Path) -> None:
    for model in (str(tmp_path), str(tmp_path / "missing")):
        with pytest.raises((EngineError, ModelError)) as caught:
            load_engine(model, "r", load, "float32")
        assert "\n" not in str(caught.value)
    assert issubclass(InvalidReference, ReferenceImageError)
