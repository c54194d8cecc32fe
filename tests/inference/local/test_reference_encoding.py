"""Reference photos: loaded ahead, encoded once a set, refused one by one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from catalogs.references.book import InvalidReference
from catalogs.requests import Reason, Reference
from inference.engine import Failed, Rendered
from inference.local.engine import DiffusersEngine
from inference.local.reference_encoding import levels
from inference.local.tiny import build_tiny
from tests.inference.local.engines import (
    Model,
    all_pixels,
    all_results,
    load,
    made_model,
    new_engine,
    reference,
    request,
)

pytestmark = pytest.mark.usefixtures("one_thread")


def test_reference_keys_and_values_are_made_once_a_set(tmp_path: Path) -> None:
    engine = new_engine(build_tiny(tmp_path, "kv"))
    sizes = [(96, 64), (64, 64), (64, 96)]
    asked = [
        request(f"p{seed}", references, seed, width=width, height=height)
        for references in (["a", "b"], ["b", "a"])
        for width, height in sizes
        for seed in range(3)
    ]
    assert len(all_pixels(engine, asked)) == 18
    counts = engine.take_profile().counts
    assert (counts["sets_encoded"], counts["references_encoded"]) == (2, 2)


def test_samples_of_one_batch_have_sets_of_their_own(tmp_path: Path) -> None:
    kv = made_model("kv", tmp_path)
    # of one geometry, mixed so that neighbours have other sets, and a smaller batch after a larger
    sets = (["a", "d"], ["d", "e"], ["e", "a"], ["a", "d"])
    asked = [kv.request(f"p{seed}", references, seed) for seed, references in enumerate(sets)]
    results = {result.request: result for result in kv.engine.render(asked)}
    results |= {result.request: result for result in kv.engine.render([asked[1], replace(asked[0], seed=9)])}
    sizes = set()
    for one, result in results.items():
        assert isinstance(result, Rendered)
        sizes.add(result.batch_size)
        assert np.abs(result.pixels.astype(int) - kv.stock(one)).max() <= 2
    assert sizes == {4, 2}
    assert kv.engine.take_profile().counts["sets_encoded"] == 3


def test_kept_keys_and_values_are_not_joined_to_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stock pipeline does so at every layer and step."""
    kv = made_model("kv", tmp_path)
    all_pixels(kv.engine, [kv.request("p", ["a"])])  # the set is made: now it is only read
    joined: list[int] = []
    cat = torch.cat

    def watched(tensors: Sequence[torch.Tensor], *rest: Any, **more: Any) -> torch.Tensor:
        made = cat(tensors, *rest, **more)
        if made.ndim == 4:
            joined.append(made.shape[1])
        return made

    monkeypatch.setattr(torch, "cat", watched)
    all_pixels(kv.engine, [kv.request("q", ["a"])])
    assert max(joined) == 512 + 4 * 6  # prompt and picture
    joined.clear()
    kv.stock(kv.request("q", ["a"]))
    assert max(joined) == 512 + 4 * 6 + 4 * 6


def test_positions_are_embedded_once_a_bucket(klein: Model) -> None:
    engine = new_engine(klein.folder)
    embed = engine._checkpoint.transformer.pos_embed.embed
    calls: list[int] = []
    embed.register_forward_hook(lambda *_: calls.append(1))
    all_pixels(engine, [request(f"p{seed}", ["a"], seed) for seed in range(12)])
    assert len(calls) == 2  # of the picture with its reference, and of the text


def test_a_poisoned_reference_fails_alone(engine: DiffusersEngine) -> None:
    good, bad = request(references=["a"]), request(references=["nothing"])
    asked = [good, bad, replace(good, seed=9)]
    results = all_results(engine, asked)
    failed = results[bad]
    assert [type(results[one]) for one in asked] == [Rendered, Failed, Rendered]
    assert isinstance(failed, Failed)
    assert (failed.reason, failed.final) == (Reason.REFERENCE_INVALID, True)


def test_a_copy_of_a_photo_that_is_gone_is_read_all_the_same(klein: Model) -> None:
    """Whichever of the two is met first: they are one content, and one of the files has gone since the plan."""

    def only_a(one: Reference) -> Image.Image:
        if one.uri == "/gone.png":
            raise InvalidReference(one.uri, "", "there is no such file", "put the image there")
        return load(one)

    there = request(references=["a"])
    gone = replace(there, seed=9, references=(replace(reference("a"), uri="/gone.png"),))
    for asked in ([gone, there], [there, gone]):
        engine = new_engine_of(klein, only_a)
        engine.prepare([gone, there])
        results = all_results(engine, asked)
        assert isinstance(results[there], Rendered)
    refused = next(iter(new_engine_of(klein, only_a).render([gone])))
    assert isinstance(refused, Failed)
    assert "/gone.png" in refused.detail


def new_engine_of(klein: Model, read: Callable[[Reference], Image.Image]) -> DiffusersEngine:
    engine = new_engine(klein.folder)
    engine.load_with(read)
    return engine


def test_a_reference_of_another_size_than_planned_is_refused(engine: DiffusersEngine) -> None:
    asked = replace(request(), references=(replace(reference("c"), width=64, height=96),))
    result = next(iter(engine.render([asked])))
    assert isinstance(result, Failed)
    assert "planned as 64x96" in result.detail


def test_references_are_loaded_ahead_by_other_threads(klein: Model) -> None:
    engine, loaded = new_engine(klein.folder), threading.Event()
    names: list[str] = []

    def watched(reference: Reference) -> Image.Image:
        names.append(threading.current_thread().name)
        loaded.set()
        return load(reference)

    engine.load_with(watched)
    engine.prepare([request(references=["a"])])
    assert loaded.wait(10)
    all_pixels(engine, [request(references=["a"])])
    assert len(names) == 1
    assert names[0].startswith("reference")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_all_levels_are_those_of_the_stock_pipeline(klein: Model, dtype: torch.dtype) -> None:
    # 16 x 16 pixels: each level once
    every = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    stock = klein.pipe.image_processor.preprocess(Image.fromarray(every), height=16, width=16, resize_mode="crop")
    ours = levels(dtype)[torch.from_numpy(every).permute(2, 0, 1)[None].int()]
    assert torch.equal(ours, stock.to(dtype))
    assert len(levels(torch.float32).unique()) == 256
