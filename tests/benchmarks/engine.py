"""packshot against a plain diffusers loop: the same requests, the same weights, one process.

    python -m tests.benchmarks.engine                                      the tiny checkpoint, on a CPU
    python -m tests.benchmarks.engine --model tiny-kv                      shared reference keys and values
    python -m tests.benchmarks.engine --model klein-4b --size 1024 --photo 4000x3000 --compile --decoder folded

The loop opens each reference, calls the stock pipeline and saves a PNG, one request after the other. packshot renders
the same plan rows through a shard: engine, encoding, finishing, hashing, storing, commit. Full-size models get random
weights: they run as fast as real ones. Prints one JSON line a case.
"""

from __future__ import annotations

import argparse
import gc
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from PIL import Image

from catalogs.plans.file import PlanFile
from catalogs.plans.rows import request_of
from catalogs.plans.sharding import cut_shards
from catalogs.requests import Reference, RenderRequest
from inference.engine import EngineOptions, LoadReference
from inference.local.checkpoints import placed
from inference.local.engine import DiffusersEngine
from inference.local.tiny import build_tiny
from inference.models.parts import PARTS
from inference.models.specs import Family
from inference.models.table import MODELS
from tasks.prepare import Prepared
from tasks.profile import profile_of
from tasks.shard import run_shard
from tasks.shard_job import ShardJob
from tests.flows.projects import Project, plan_rows

TINY_KV = "tiny-kv"
VARIATIONS = 4
"""Pictures that share their references and their prompt."""


@dataclass(frozen=True)
class Case:
    """What is rendered.

    Attributes:
        photo: size of the reference photos as they lie on disk.
        first: number of the first product; others have other photos and prompts.
    """

    model: str
    references: int
    images: int
    size: int
    photo: tuple[int, int]
    first: int = 0


def photo(size: tuple[int, int], seed: int) -> Image.Image:
    """Something between a flat packshot and noise, so that encoders work as hard as on a photo."""
    random = np.random.default_rng(seed)
    small = Image.fromarray(random.integers(0, 256, (24, 32, 3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)
    grain = random.integers(-6, 7, (size[1], size[0], 3), dtype=np.int16)
    return Image.fromarray(np.clip(np.asarray(small).astype(np.int16) + grain, 0, 255).astype(np.uint8))


def planned(case: Case, folder: Path) -> Prepared:
    """A campaign of so many pictures, planned."""
    roles = [f"photo{number}" for number in range(case.references)]
    size = f"{case.size}x{case.size}"
    shot = {
        "size": size,
        "references": [f"product.{role}" for role in roles],
        "prompt": {"scene": "{{ product.title }}"},
    }
    channel = {"name": "master", "width": case.size, "height": case.size, "format": "png"}
    project = Project.of(
        folder,
        products=-(-case.images // VARIATIONS),
        model=_campaign_model(case.model, folder),
        use="research",
        variations=VARIATIONS,
        shots={"hero": shot},
        channels=[channel],
    )
    for number, product in enumerate(project.products, case.first):
        product["title"] = f"Mug {number}"
        names = [f"{product['product_id']}-{role}.jpg" for role in roles]
        for place, name in enumerate(names):
            photo(case.photo, 100 * number + place).save(folder / name, quality=92)
        product["reference_images"] = [{"uri": name, "role": role} for name, role in zip(names, roles, strict=True)]
    project.write()
    return project.plan()


def _campaign_model(model: str, folder: Path) -> Any:
    if model != TINY_KV:
        return model
    build_tiny(folder / "model", "kv")
    return {"name": "./model", "weight_precision": "float32"}


def pipeline(model: str) -> tuple[Any, Family]:
    """A stock pipeline on the GPU if there is one: the tiny checkpoint, or the full size with random weights."""
    import diffusers

    device = "cuda" if torch.cuda.is_available() else "cpu"
    if model in ("tiny", TINY_KV):
        family: Family = "klein" if model == "tiny" else "kv"
        with tempfile.TemporaryDirectory() as folder:
            classes = {"klein": diffusers.Flux2KleinPipeline, "kv": diffusers.Flux2KleinKVPipeline}
            pipe = classes[family].from_pretrained(build_tiny(Path(folder), family), local_files_only=True)
        pipe.set_progress_bar_config(disable=True)
        return pipe.to(device), family
    family = MODELS[model].family or "klein"
    assert family in ("klein", "base", "kv"), "dev has a text encoder of 24 billion weights: not benchmarked"
    parts = _random_parts(model, device)
    if family == "kv":
        pipe = diffusers.Flux2KleinKVPipeline(**parts)
    else:
        pipe = diffusers.Flux2KleinPipeline(**parts, is_distilled=family == "klein")
    pipe.set_progress_bar_config(disable=True)
    return pipe, family


def _random_parts(model: str, device: str) -> dict[str, Any]:
    from diffusers import AutoencoderKLFlux2, FlowMatchEulerDiscreteScheduler, Flux2Transformer2DModel
    from transformers import Qwen3Config, Qwen3ForCausalLM

    from inference.local.tiny import _qwen_tokenizer

    shape, text = PARTS[model].transformer, PARTS[model].text
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device(device):
            transformer = Flux2Transformer2DModel(
                num_layers=shape.double_blocks,
                num_single_layers=shape.single_blocks,
                num_attention_heads=shape.width // 128,
                joint_attention_dim=shape.context,
                guidance_embeds=False,
            ).eval()
            vae = AutoencoderKLFlux2().eval()
            encoder = Qwen3ForCausalLM(
                Qwen3Config(
                    vocab_size=text.vocabulary,
                    hidden_size=text.width,
                    intermediate_size=text.inner,
                    num_hidden_layers=36,
                    num_attention_heads=text.heads,
                    num_key_value_heads=text.key_heads,
                    head_dim=text.head,
                )
            ).eval()
    finally:
        torch.set_default_dtype(torch.float32)
    return {
        "scheduler": FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, shift=3.0),
        "vae": vae,
        "text_encoder": encoder,
        "tokenizer": _qwen_tokenizer(),
        "transformer": transformer,
    }


def plain_loop(pipe: Any, family: Family, requests: Sequence[RenderRequest], folder: Path) -> float:
    """Seconds of a loop as the documentation of diffusers shows it."""
    folder.mkdir()
    _one(pipe, family, requests[0], folder / "warm-up.png")
    _synchronise()
    started = perf_counter()
    for number, request in enumerate(requests):
        _one(pipe, family, request, folder / f"{number}.png")
    return perf_counter() - started


def _one(pipe: Any, family: Family, request: RenderRequest, path: Path) -> None:
    images = [Image.open(reference.uri).convert("RGB") for reference in request.references]
    scale = {} if family == "kv" else {"guidance_scale": request.guidance or 1.0}
    picture = pipe(
        prompt=request.prompt,
        image=images or None,
        height=request.height,
        width=request.width,
        num_inference_steps=request.steps,
        generator=torch.Generator().manual_seed(request.seed),
        **scale,
    ).images[0]
    picture.save(path)


def _nothing(reference: Reference) -> Image.Image:
    raise AssertionError("each shard brings its own way to load")


def _synchronise() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def packshot(prepared: Prepared, engine: DiffusersEngine) -> tuple[float, dict[str, Any]]:
    """Seconds of all shards and the numbers of the run."""

    def made(load: LoadReference) -> DiffusersEngine:
        engine.load_with(load)
        return engine

    started, reports = perf_counter(), []
    for stage in cut_shards(PlanFile(prepared.store, prepared.plan_key), 1e9, 10_000):
        for shard in stage:
            job = ShardJob(prepared.plan_key, prepared.store, prepared.run_id, shard)
            reports.append(run_shard(job, made, lambda delivered, failed: None).as_dict())
    seconds = perf_counter() - started
    return seconds, profile_of(reports, seconds)


def largest_difference(prepared: Prepared, requests: Sequence[RenderRequest], folder: Path) -> int:
    """Between the loop's pictures and the stored masters, in 1/255."""
    from catalogs.assets.history import read_current

    rows = read_current(prepared.store).to_pylist()
    masters = {(row["seed"], row["prompt"]): row["asset_key"] for row in rows}
    worst = 0
    for number, request in enumerate(requests):
        with Image.open(folder / f"{number}.png") as expected:
            one = np.asarray(expected).astype(int)
        data = prepared.store.read(masters[request.seed, request.prompt])
        path = folder / "master.png"
        path.write_bytes(data)
        with Image.open(path) as made:
            worst = max(worst, int(np.abs(one - np.asarray(made).astype(int)).max()))
    return worst


def measure(case: Case, options: EngineOptions, loop_model: str, folder: Path) -> dict[str, Any]:
    """One case, both ways."""
    prepared = planned(case, folder)
    requests = [request_of(row) for row in plan_rows(prepared)]
    pipe, family = pipeline(loop_model)
    plain = plain_loop(pipe, family, requests, folder / "loop")
    if loop_model != case.model:
        del pipe
        gc.collect()
        torch.cuda.empty_cache()
        pipe, family = pipeline(case.model)
    precision = "float32" if case.model in ("tiny", TINY_KV) else MODELS[case.model].weight_precision
    engine = DiffusersEngine(placed(pipe, family, precision, options), _nothing, options)
    if options.compile or torch.cuda.is_available():
        # Compiled and tuned before it is measured, on other photos and prompts: a run of thousands pays for it once.
        warm = planned(replace(case, images=48 if torch.cuda.is_available() else 4, first=1_000), folder / "warm")
        packshot(warm, engine)
    ours, profile = packshot(prepared, engine)
    return {
        "model": case.model,
        "loop_model": loop_model,
        "references": case.references,
        "images": len(requests),
        "size": case.size,
        "photo": "x".join(map(str, case.photo)),
        "loop_images_per_second": round(len(requests) / plain, 3),
        "packshot_images_per_second": round(len(requests) / ours, 3),
        "ratio": round(plain / ours, 2),
        "difference": largest_difference(prepared, requests, folder / "loop") if loop_model == case.model else None,
        "profile": profile,
    }


def main(arguments: Sequence[str] | None = None) -> list[dict[str, Any]]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--loop-model", help="what the plain loop renders with; the same model unless said")
    parser.add_argument("--references", type=int, nargs="+", default=[0, 1, 3])
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--photo", default="800x600")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--attention", default="")
    parser.add_argument("--decoder", default="stock", choices=["stock", "folded"])
    given = parser.parse_args(arguments)
    options = EngineOptions(compile=given.compile, attention=given.attention, decoder=given.decoder)
    width, _, height = given.photo.partition("x")
    results = []
    for references in given.references:
        case = Case(given.model, references, given.images, given.size, (int(width), int(height)))
        with tempfile.TemporaryDirectory() as folder:
            result = measure(case, options, given.loop_model or given.model, Path(folder))
        print(json.dumps(result))
        results.append(result)
    return results


if __name__ == "__main__":
    main()
