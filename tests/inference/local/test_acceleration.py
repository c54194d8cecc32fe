"""When a bucket goes over to the quick way, that it computes the same, and what is said of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from catalogs.errors import OptionError
from catalogs.requests import RenderRequest
from inference.engine import EngineOptions, Rendered
from inference.local.acceleration import Way
from inference.local.engine import DiffusersEngine
from inference.local.measured import recall, remember
from tests.inference.local.engines import Model, all_pixels, all_results, new_engine, request

pytestmark = pytest.mark.usefixtures("one_thread")

FOLDED = Way(folded=True)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACKSHOT_CACHE", str(tmp_path / "cache"))


def quick_engine(model: Model, quick: Way = FOLDED, warm_up: float = 1e-9, **options: Any) -> DiffusersEngine:
    """On a CPU, told to go over to a quick way as it does on a GPU."""
    engine = new_engine(model.folder, EngineOptions(**options))
    acceleration = engine._acceleration
    acceleration.quick = quick
    remember("warm_ups", {acceleration._model: warm_up})
    return engine


def shard(engine: DiffusersEngine, requests: Sequence[RenderRequest]) -> set[str]:
    """How the pictures of one shard were made."""
    engine.begin(requests)
    results = all_results(engine, requests)
    assert all(isinstance(result, Rendered) for result in results.values()), results
    return {result.how for result in results.values() if isinstance(result, Rendered)}


def test_a_cpu_stays_as_it_is(klein: Model) -> None:
    engine = new_engine(klein.folder)
    assert engine._acceleration.quick is None
    assert shard(engine, [request(f"p{i}") for i in range(3)]) == {""}


def test_a_bucket_that_pays_for_the_warm_up_goes_over(klein: Model) -> None:
    engine = quick_engine(klein)
    asked = [request(f"p{i}", ["a"], i) for i in range(3)]
    assert shard(engine, asked) == {"folded"}
    profile = engine.take_profile()
    assert profile.counts["pictures_accelerated"] == 3
    assert profile.seconds["warm-up"] > 0  # what shows that it computes the same
    assert profile.notes == []


def test_a_bucket_that_does_not_pay_stays(klein: Model) -> None:
    engine = quick_engine(klein, warm_up=1e9)
    assert shard(engine, [request(f"p{i}") for i in range(3)]) == {""}
    assert "pictures_accelerated" not in engine.take_profile().counts


def test_pictures_of_earlier_shards_speak_for_more(klein: Model) -> None:
    engine = quick_engine(klein)
    engine._acceleration._eager = {}
    each = engine._estimated_seconds(request())
    remember("warm_ups", {engine._acceleration._model: 6 * each * (1 - 0.45 / 0.65)})
    engine._acceleration.measured = lambda *_: None  # type: ignore[method-assign]  # the estimate decides alone
    four = [request(f"p{i}") for i in range(4)]
    assert [shard(engine, four), shard(engine, four)] == [{""}, {"folded"}]


def test_inside_a_shard_a_bucket_keeps_its_way(klein: Model) -> None:
    engine = quick_engine(klein, warm_up=1e9)
    asked = [request(f"p{i}") for i in range(4)]
    engine.begin(asked)
    first = next(iter(engine.render(asked[:2])))
    remember("warm_ups", {engine._acceleration._model: 1e-9})
    second = next(iter(engine.render(asked[2:])))
    assert [isinstance(one, Rendered) and one.how for one in (first, second)] == ["", ""]
    assert shard(engine, asked) == {"folded"}


def test_buckets_are_judged_apart(klein: Model) -> None:
    engine = quick_engine(klein)
    each = engine._estimated_seconds(request())
    remember("warm_ups", {engine._acceleration._model: 4 * each * (1 - 0.45 / 0.65)})
    many, few = [request(f"p{i}") for i in range(6)], [request("q", width=64)]
    engine.begin([*many, *few])
    results = all_results(engine, [*many, *few])
    ways = {(one.width, result.how) for one, result in results.items() if isinstance(result, Rendered)}
    assert ways == {(96, "folded"), (64, "")}


def test_an_output_that_differs_is_not_gone_with(klein: Model, monkeypatch: Any) -> None:
    engine = quick_engine(klein, Way(attention="native"))
    transformer = engine._checkpoint.transformer
    forward = transformer.forward

    def other(**rest: Any) -> Any:
        (predicted,) = forward(**rest)
        return (predicted * (1.2 if engine._acceleration._now.attention else 1.0),)

    monkeypatch.setattr(transformer, "forward", other)
    asked = [request(f"p{i}") for i in range(3)]
    assert shard(engine, asked) == {""}
    (note,) = engine.take_profile().notes
    assert "not accelerated (native): its output differs by 20.0%" in note
    assert engine._acceleration._now == Way()
    assert shard(engine, asked) == {""}


def test_a_kernel_that_fails_is_not_gone_with(klein: Model, monkeypatch: Any) -> None:
    engine = quick_engine(klein)
    decoder = engine._acceleration._decoder(True, False)

    def missing(*_: Any, **__: Any) -> Any:
        raise RuntimeError("no kernel image is available for execution on the device")

    monkeypatch.setattr(decoder, "forward", missing)
    assert shard(engine, [request(f"p{i}") for i in range(3)]) == {""}
    assert "no kernel image" in engine.take_profile().notes[0]


def test_a_warm_up_is_remembered(klein: Model) -> None:
    engine = quick_engine(klein, warm_up=1e-9)
    shard(engine, [request(f"p{i}") for i in range(3)])
    assert recall("warm_ups")[engine._acceleration._model] > 1e-9


def test_going_over_and_back_changes_pictures_by_rounding_only(model: Model) -> None:
    asked = [model.request(f"p{i}", ["a", "b"], i) for i in range(4)]
    expected = all_pixels(model.engine, asked)
    engine = quick_engine(model, Way(attention="native", folded=True))
    quick = engine._acceleration.quick
    for way in (quick, None, quick):
        engine._acceleration.quick = way
        engine.begin(asked)
        made = all_results(engine, asked)
        for one, result in made.items():
            assert isinstance(result, Rendered)
            assert result.how == ("native folded" if way else "")
            assert np.abs(result.pixels.astype(int) - expected[one]).max() <= 1


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_compiled_blocks_are_gone_to_and_back(model: Model) -> None:
    asked = [model.request(f"p{i}", ["a", "b"], i) for i in range(3)]
    expected = all_pixels(model.engine, asked)
    engine = quick_engine(model, Way(compile=True, folded=True))
    engine.begin(asked)
    made = all_results(engine, asked)
    assert all(isinstance(one, Rendered) and one.how == "compile folded" for one in made.values())
    assert all(np.abs(one.pixels.astype(int) - expected[asked]).max() <= 2 for asked, one in made.items())  # type: ignore[union-attr]
    compiled = torch._dynamo.utils.counters["stats"]["calls_captured"]
    engine._acceleration.quick = None
    other = [model.request("another size", [], 1, width=64)]
    engine.begin(other)
    assert all_pixels(engine, other)
    assert torch._dynamo.utils.counters["stats"]["calls_captured"] == compiled  # eager again


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.parametrize(
    ("options", "way"),
    [
        ({}, ""),
        ({"compile": "on"}, "compile"),
        ({"compile": "off"}, ""),
        ({"decoder": "folded"}, "folded"),
        ({"decoder": "stock"}, ""),
        ({"attention": "native"}, "native"),
        ({"attention": "native", "decoder": "folded", "compile": "on"}, "compile native folded"),
    ],
)
def test_what_is_asked_for_is_done_from_the_first_picture(klein: Model, options: Any, way: str) -> None:
    assert str(new_engine(klein.folder, EngineOptions(**options))._acceleration.asked) == way


def test_an_unknown_backend_is_told(klein: Model) -> None:
    with pytest.raises(OptionError, match=r"--attention: .*choose another"):
        new_engine(klein.folder, EngineOptions(attention="flash"))
