"""Tiny checkpoints of every family, with an engine of ours and the stock pipeline on each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from catalogs.references.book import InvalidReference
from catalogs.requests import Reference, RenderRequest
from inference.engine import EngineOptions, Rendered, Result
from inference.local.batching import batches
from inference.local.checkpoints import load_checkpoint
from inference.local.engine import DiffusersEngine
from inference.local.loading import Source
from inference.local.tiny import TINY_REVISION, Family, build_tiny

WIDTH, HEIGHT = 96, 64
SIZES = {
    "a": (64, 96),
    "b": (96, 64),
    "c": (70, 90),
    "d": (64, 96),
    "e": (64, 96),
    "big": (1300, 1000),
    "thin": (12, 40),
}
STOCK = {
    "klein": "Flux2KleinPipeline",
    "base": "Flux2KleinPipeline",
    "kv": "Flux2KleinKVPipeline",
    "dev": "Flux2Pipeline",
}
GUIDANCE = {"klein": None, "base": 4.0, "kv": None, "dev": 2.5}


def picture(name: str) -> Image.Image:
    width, height = SIZES[name]
    random = np.random.default_rng(ord(name[0]))
    small = random.integers(0, 256, (height // 8, max(1, width // 8), 3), dtype=np.uint8)
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
