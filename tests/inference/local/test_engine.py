"""The engine against the stock pipelines, one call a request, on tiny checkpoints of every family."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from catalogs.errors import DeviceError, EngineError, ModelError, OptionError, ReferenceImageError
from catalogs.references.book import InvalidReference
from catalogs.requests import Reason, Reference, RenderRequest
from inference.engine import EngineOptions, Failed, Rendered, Result
from inference.local.batching import batches
from inference.local.checkpoints import Source, load_checkpoint
from inference.local.engine import DiffusersEngine, load_engine
from inference.local.tiny import TINY_REVISION, Family, build_tiny

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


STOCK = {
    "klein": "Flux2KleinPipeline",
    "base": "Flux2KleinPipeline",
    "kv": "Flux2KleinKVPipeline",
    "dev": "Flux2Pipeline",
}
GUIDANCE = {"klein": None, "base": 4.0, "kv": None, "dev": 2.5}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def engine() -> DiffusersEngine:
    return load_engine(Source("tiny", TINY_REVISION, "float32"), load, EngineOptions())


@dataclass(frozen=True)
class Model:
    """A family's tiny checkpoint with our engine and the stock pipeline on it."""

    family: Family
    folder: Path
    engine: DiffusersEngine
    pipe: Any

    def request(self, *arguments: Any, **other: Any) -> RenderRequest:
        return request(*arguments, guidance=GUIDANCE[self.family], **other)

    def stock(self, asked: RenderRequest) -> np.ndarray[Any, Any]:
        """The stock pipeline, one call for one request."""
        images = [picture(reference.sha256) for reference in asked.references]
        scale = {} if self.family == "kv" else {"guidance_scale": asked.guidance or 1.0}
        made = self.pipe(
            prompt=asked.prompt,
            image=images or None,
            height=asked.height,
            width=asked.width,
            num_inference_steps=asked.steps,
            generator=torch.Generator().manual_seed(asked.seed),
            output_type="pil",
            **scale,
        ).images[0]
        return np.asarray(made).astype(int)


@pytest.fixture(scope="module", params=list(STOCK))
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    return made_model(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def klein(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return made_model("klein", tmp_path_factory.mktemp("klein"))


def made_model(family: Family, folder: Path) -> Model:
    build_tiny(folder, family)
    return Model(family, folder, new_engine(folder), stock_pipeline(family, folder))


def new_engine(folder: Path, options: EngineOptions | None = None, **source: Any) -> DiffusersEngine:
    options = options or EngineOptions()
    checkpoint = load_checkpoint(Source(str(folder), "r", **{"weight_precision": "float32", **source}), options)
    return DiffusersEngine(checkpoint, load, options)


def stock_pipeline(family: Family, folder: Path) -> Any:
    import diffusers
    from transformers import AutoTokenizer

    # Without torchvision dev's processor cannot be made; its tokenizer is all that text needs.
    without = {"tokenizer": None} if family == "dev" else {}
    pipe = getattr(diffusers, STOCK[family]).from_pretrained(folder, local_files_only=True, **without)
    if family == "dev":
        pipe.tokenizer = AutoTokenizer.from_pretrained(folder, subfolder="tokenizer")
    pipe.set_progress_bar_config(disable=True)
    return pipe


def all_results(engine: DiffusersEngine, requests: Sequence[RenderRequest]) -> dict[RenderRequest, Result]:
    """Render in the batches the engine asks for."""
    results = {}
    for batch, upcoming in batches(requests, engine):
        engine.prepare(upcoming)
        results |= {result.request: result for result in engine.render(batch)}
    return results


def all_pixels(engine: DiffusersEngine, requests: Sequence[RenderRequest]) -> dict[RenderRequest, Any]:
    results = all_results(engine, requests)
    assert all(isinstance(result, Rendered) for result in results.values()), results
    return {asked: result.pixels.astype(int) for asked, result in results.items() if isinstance(result, Rendered)}


def ours(engine: DiffusersEngine, batch: Sequence[RenderRequest]) -> list[np.ndarray[Any, Any]]:
    results = list(engine.render(batch))
    assert all(isinstance(result, Rendered) for result in results), results
    return [result.pixels.astype(int) for result in results if isinstance(result, Rendered)]


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 2},
        {"references": (reference("d"), reference("b"))},
        {"references": (reference("b"), reference("a"))},
        {"prompt": "a green bag on marble"},
        {"references": ()},
        {"guidance": 7.0},
    ],
    ids=["seed", "reference", "reference order", "prompt", "no reference", "guidance"],
)
def test_control_what_matters_shows_by_far_more_than_the_tolerance(model: Model, change: dict[str, Any]) -> None:
    if "guidance" in change and GUIDANCE[model.family] is None:
        change = {"width": 64}  # these take no guidance: another size instead
    asked = model.request(references=["a", "b"])
    width = min(asked.width, change.get("width", asked.width))
    difference = np.abs(model.stock(asked)[:, :width] - model.stock(replace(asked, **change))[:, :width])
    assert difference.max() > 20
    assert difference.mean() > 2


def test_equals_the_stock_pipeline_one_call_a_request(model: Model) -> None:
    asked = [
        model.request(),
        model.request("one", [], 3),
        model.request("two", [], 4),
        model.request("one", [], 5),
        model.request(references=["a"]),
        model.request(references=["big"]),
        model.request(references=["a", "b", "c"]),
        model.request("two", ["a", "b", "c"], 7),
        model.request("one", ["a", "b"], 3),
        model.request("two", ["d", "b"], 4),
        model.request("three", ["e", "b"], 5),
        model.request("one", ["d", "b"], 6),
        model.request("one", ["d", "b"], 6, width=64, height=128),
    ]
    for one, pixels in all_pixels(model.engine, asked).items():
        assert pixels.shape == (one.height, one.width, 3)
        assert np.abs(pixels - model.stock(one)).max() <= 2, one


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
        engine._sizes._limits = {engine._sizes._key(asked[0]): 4}
    one, other = all_pixels(there, asked), all_pixels(back, asked[::-1])
    assert all((one[each] == other[each]).all() for each in asked)


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


@pytest.mark.parametrize("memory", ["two-phase", "offload"])
def test_low_memory_modes_make_the_same_pictures(model: Model, memory: Any) -> None:
    asked = [model.request(f"p{i}", ["a"] if i % 2 else [], i) for i in range(6)]
    expected = all_pixels(model.engine, asked)
    made = all_pixels(new_engine(model.folder, EngineOptions(memory=memory)), asked)
    assert all(np.abs(made[one] - expected[one]).max() <= 1 for one in asked)


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


def test_the_folded_decoder_differs_by_rounding_only(klein: Model) -> None:
    asked = [request(f"p{i}", ["a"], i) for i in range(2)]
    expected = all_pixels(klein.engine, asked)
    folded = new_engine(klein.folder, EngineOptions(decoder="folded"))
    assert "ConvTranspose2d" in str(folded._checkpoint.vae.decoder.up_blocks[0].upsamplers)
    made = all_pixels(folded, asked)
    assert all(np.abs(made[one] - expected[one]).max() <= 1 for one in asked)


@pytest.mark.parametrize(("precision", "memory"), [("float8", "auto"), ("bfloat16", "offload")])
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.slow
def test_what_cannot_be_compiled_is_left_as_it_is(klein: Model, precision: str, memory: Any) -> None:
    compiled = new_engine(klein.folder, EngineOptions(compile=True, memory=memory), weight_precision=precision)
    assert isinstance(next(iter(compiled.render([request("p", ["a"])]))), Rendered)


def test_an_attention_backend_that_is_not_here_is_told(klein: Model) -> None:
    with pytest.raises(OptionError, match="--attention: flash: "):
        new_engine(klein.folder, EngineOptions(attention="flash"))


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.slow
def test_compiled_blocks_differ_by_rounding_only(model: Model) -> None:
    asked = [model.request(f"p{i}", ["a"] if i % 2 else [], i) for i in range(4)]
    expected = all_pixels(model.engine, asked)
    compiled = new_engine(model.folder, EngineOptions(compile=True))
    made = all_pixels(compiled, asked)
    assert all(np.abs(made[one] - expected[one]).max() <= 2 for one in asked)
    profile = compiled.take_profile()
    assert profile.seconds["warm-up"] > profile.seconds.get("denoise", 0.0)
    assert profile.images == 0


def test_float8_weights_make_other_but_similar_pictures(klein: Model) -> None:
    asked = request("p", ["a"], 1)
    whole = all_pixels(new_engine(klein.folder, weight_precision="bfloat16"), [asked])[asked]
    engine = new_engine(klein.folder, weight_precision="float8")
    dtypes = {parameter.dtype for parameter in engine._checkpoint.transformer.parameters()}
    assert torch.float8_e4m3fn in dtypes
    difference = np.abs(all_pixels(engine, [asked])[asked] - whole)
    assert 0 < difference.mean() < 60
    assert difference.mean() < np.abs(whole - klein.stock(replace(asked, seed=2))).mean()


def lora_file(pipe: Any, path: Path, name: str = "transformer_blocks.0.attn.to_q") -> Path:
    from safetensors.torch import save_file

    random = torch.Generator().manual_seed(5)
    linear = pipe.transformer.get_submodule(name)
    weights = {
        f"transformer.{name}.lora_A.weight": torch.randn((4, linear.in_features), generator=random),
        f"transformer.{name}.lora_B.weight": torch.randn((linear.out_features, 4), generator=random),
    }
    save_file(weights, path)
    return path


def test_a_lora_is_merged_with_its_scale(model: Model, tmp_path: Path) -> None:
    path = lora_file(model.pipe, tmp_path / "style.safetensors")
    asked = model.request("p", ["a"], 1)
    made = all_pixels(new_engine(model.folder, lora=((str(path), 0.5),)), [asked])[asked]
    pipe = stock_pipeline(model.family, model.folder)
    pipe.load_lora_weights(str(tmp_path), weight_name=path.name, adapter_name="style")
    pipe.set_adapters(["style"], adapter_weights=[0.5])
    expected = replace(model, pipe=pipe).stock(asked)
    assert np.abs(made - expected).max() <= 2
    assert np.abs(made - model.stock(asked)).max() > 20


def test_a_lora_of_another_model_is_refused(klein: Model, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    path = tmp_path / "other.safetensors"
    save_file({"transformer.nothing.lora_A.weight": torch.zeros(4, 8)}, path)
    with pytest.raises(EngineError) as caught:
        new_engine(klein.folder, lora=((str(path), 1.0),))
    assert "\n" not in str(caught.value)


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


def test_a_poisoned_reference_fails_alone(engine: DiffusersEngine) -> None:
    good, bad = request(references=["a"]), request(references=["nothing"])
    asked = [good, bad, replace(good, seed=9)]
    results = all_results(engine, asked)
    failed = results[bad]
    assert [type(results[one]) for one in asked] == [Rendered, Failed, Rendered]
    assert isinstance(failed, Failed)
    assert (failed.reason, failed.final) == (Reason.REFERENCE_INVALID, True)


def test_a_reference_of_another_size_than_planned_is_refused(engine: DiffusersEngine) -> None:
    asked = replace(request(), references=(replace(reference("c"), width=64, height=96),))
    result = next(iter(engine.render([asked])))
    assert isinstance(result, Failed)
    assert "planned as 64x96" in result.detail


def test_mixed_geometry_is_refused(engine: DiffusersEngine) -> None:
    # 64x96 and 96x64 have the same number of tokens: the transformer alone would not notice
    with pytest.raises(EngineError, match="one bucket"):
        engine.render([request(references=["a"]), request(references=["b"])])


def test_a_prompt_the_model_would_cut_is_refused(engine: DiffusersEngine) -> None:
    long = request("word " * 2000)
    results = all_results(engine, [long, request()])
    failed = results[long]
    assert isinstance(failed, Failed)
    assert "the model reads 512" in failed.detail
    assert isinstance(results[request()], Rendered)


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
    references = engine._references
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

    monkeypatch.setattr(engine._checkpoint.text_encoder, "forward", full)
    results = list(engine.render([request(seed=1), request(seed=2)]))
    assert [isinstance(one, Failed) and one.reason for one in results] == [Reason.OUT_OF_MEMORY] * 2
    assert len(calls) == 2


@pytest.mark.parametrize("part", ["transformer", "text_encoder"])
def test_a_lost_device_is_no_fault_of_a_request(klein: Model, monkeypatch: Any, part: str) -> None:
    engine = new_engine(klein.folder)

    def lost(*_: Any, **__: Any) -> Any:
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(getattr(engine._checkpoint, part), "forward", lost)
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


def test_what_cannot_be_loaded_is_said_in_one_line(tmp_path: Path) -> None:
    for model in (str(tmp_path), str(tmp_path / "missing")):
        with pytest.raises((EngineError, ModelError)) as caught:
            load_engine(Source(model, "r", "float32"), load, EngineOptions())
        assert "\n" not in str(caught.value)
    assert issubclass(InvalidReference, ReferenceImageError)
