"""Local FLUX.2 klein through diffusers' modules, with a loop of our own around them.

The stock pipeline gives one set of references to a whole batch, encodes everything again at each call and cuts
long prompts without a word. Here every sample has its own references and its own generator, prompts and
references are encoded once, and the pictures are those of the stock pipeline called once a request.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from catalogs.errors import EngineError, ModelError, ReferenceImageError
from catalogs.identity import PIXEL_RECIPE
from catalogs.requests import Reason, Reference, RenderRequest
from inference.batching import MAX_REFERENCE_AREA, TOKEN_BUDGET, batch_size_for, bucket_key, reference_geometry
from inference.engine import Failed, LoadReference, Rendered, failed_reference

if TYPE_CHECKING:
    import torch

TEXT_TOKENS = 512
# Hidden layers klein reads of its text encoder (Flux2KleinPipeline's default).
TEXT_LAYERS = (9, 18, 27)
TEXT_CACHE = 64
REFERENCE_CACHE = 256

Result = Rendered | Failed
Value = TypeVar("Value")


class _Cache(OrderedDict[Hashable, Any]):
    """The last `size` values used."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size

    def get_or(self, key: Hashable, make: Callable[[], Value]) -> Value:
        if key not in self:
            self[key] = make()
            if len(self) > self._size:
                self.popitem(last=False)
        self.move_to_end(key)
        value: Value = self[key]
        return value


class PromptTooLong(Exception):
    """The model would read only the beginning of this prompt."""


@dataclass(frozen=True)
class _Sample:
    """One request with everything encoded.

    Attributes:
        text: (1, 512, context).
        references: packed latents (1, tokens, channels) of each reference, in order.
        reference_grids: (1, channels, h/16, w/16) views that the position ids are made from.
    """

    request: RenderRequest
    text: Any
    references: tuple[Any, ...]
    reference_grids: tuple[Any, ...]


class DiffusersEngine:
    """Renders with a distilled klein checkpoint on one device."""

    name = "diffusers"

    def __init__(self, pipeline: Any, load_reference: LoadReference, token_budget: int = TOKEN_BUDGET) -> None:
        self._pipe, self.load_reference, self._token_budget = pipeline, load_reference, token_budget
        self._text_cache, self._reference_cache = _Cache(TEXT_CACHE), _Cache(REFERENCE_CACHE)
        self._smaller: dict[Hashable, int] = {}
        self._lock = threading.Lock()
        self.versions = {name: version(name) for name in ("torch", "diffusers", "transformers")}
        self.versions["pixel_recipe"] = str(PIXEL_RECIPE)

    def bucket(self, request: RenderRequest) -> Hashable:
        return bucket_key(request)

    def batch_size(self, request: RenderRequest) -> int:
        size = batch_size_for(request, self._token_budget)
        return min(size, self._smaller.get(bucket_key(request), size))

    def render(self, batch: Sequence[RenderRequest]) -> list[Result]:
        """Render requests of one geometry; see `inference.engine.Engine`.

        Raises:
            EngineError: the batch mixes geometries, of which the transformer would take the first for all.
        """
        if len({bucket_key(request) for request in batch}) > 1:
            raise EngineError("a batch must hold one geometry: size, steps, guidance and reference sizes")
        import torch

        with self._lock, torch.no_grad():
            return self._render(list(batch))

    def _render(self, batch: list[RenderRequest]) -> list[Result]:
        samples, failures = self._prepare(batch)
        rendered = {sample.request: result for sample, result in self._denoise_safely(samples)}
        return [failures[request] if request in failures else rendered[request] for request in batch]

    def _prepare(self, batch: Sequence[RenderRequest]) -> tuple[list[_Sample], dict[RenderRequest, Failed]]:
        """Encode prompts and references; a request whose own inputs are bad fails here, alone."""
        samples, failures = [], {}
        for request in batch:
            try:
                samples.append(self._sample(request))
            except ReferenceImageError as error:
                failures[request] = failed_reference(request, error)
            except PromptTooLong as error:
                failures[request] = Failed(request, Reason.ENGINE_ERROR, str(error), True)
        return samples, failures

    def _sample(self, request: RenderRequest) -> _Sample:
        text = self._text_cache.get_or(request.prompt, lambda: self._encode_text(request.prompt))
        grids = tuple(self._reference(reference) for reference in request.references)
        return _Sample(request, text, tuple(self._pipe._pack_latents(grid) for grid in grids), grids)

    def _encode_text(self, prompt: str) -> Any:
        """(1, 512, context): padded, since the model was trained with its padding; never cut."""
        pipe = self._pipe
        message = [{"role": "user", "content": prompt}]
        text = pipe.tokenizer.apply_chat_template(
            message, tokenize=False, add_generation_prompt=True, enable_thinking=False
        )
        count = len(pipe.tokenizer(text)["input_ids"])
        if count > TEXT_TOKENS:
            raise PromptTooLong(f"the prompt has {count} tokens, the model reads {TEXT_TOKENS}: shorten it")
        inputs = pipe.tokenizer(text, return_tensors="pt", padding="max_length", max_length=TEXT_TOKENS)
        # The bare model, not the language model around it: its head would make 150 MB of unused logits.
        hidden = pipe.text_encoder.model(
            input_ids=inputs["input_ids"].to(pipe.text_encoder.device),
            attention_mask=inputs["attention_mask"].to(pipe.text_encoder.device),
            output_hidden_states=True,
            use_cache=False,
        ).hidden_states
        import torch

        stacked = torch.stack([hidden[layer] for layer in TEXT_LAYERS], dim=1)
        _, layers, length, width = stacked.shape
        return stacked.permute(0, 2, 1, 3).reshape(1, length, layers * width)

    def _reference(self, reference: Reference) -> Any:
        key = (reference.sha256, reference.width, reference.height)
        return self._reference_cache.get_or(key, lambda: self._encode_reference(reference))

    def _encode_reference(self, reference: Reference) -> Any:
        """(1, 4 * latent channels, h/16, w/16), resized and cropped as the stock pipeline does."""
        image, processor = self.load_reference(reference), self._pipe.image_processor
        if (image.width, image.height) != (reference.width, reference.height):
            found = f"is {image.width}x{image.height}, planned as {reference.width}x{reference.height}"
            raise ReferenceImageError(reference.uri, "", found, "plan again")
        if image.width * image.height > MAX_REFERENCE_AREA:
            image = processor._resize_to_target_area(image, MAX_REFERENCE_AREA)
        width, height = reference_geometry(reference.width, reference.height)
        pixels = processor.preprocess(image, height=height, width=width, resize_mode="crop")
        vae = self._pipe.vae
        return self._pipe._encode_vae_image(pixels.to(vae.device, vae.dtype), None)

    def _denoise_safely(self, samples: list[_Sample]) -> list[tuple[_Sample, Result]]:
        """Denoise a batch; halve it when memory runs out, take it apart when something in it breaks."""
        if not samples:
            return []
        import torch

        try:
            return list(zip(samples, self._denoise(samples), strict=True))
        except torch.OutOfMemoryError as error:
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            if len(samples) == 1:
                detail = f"one {samples[0].request.width}x{samples[0].request.height} image does not fit: {error}"
                return [(samples[0], _failed(samples[0], Reason.OUT_OF_MEMORY, detail))]
            half = len(samples) // 2
            self._smaller[bucket_key(samples[0].request)] = half
            return self._denoise_safely(samples[:half]) + self._denoise_safely(samples[half:])
        except Exception as error:
            if len(samples) > 1:
                return [pair for sample in samples for pair in self._denoise_safely([sample])]
            return [(samples[0], _failed(samples[0], Reason.ENGINE_ERROR, f"{type(error).__name__}: {error}"))]

    def _denoise(self, samples: Sequence[_Sample]) -> list[Result]:
        started = perf_counter()
        latents = self._latents([sample.request for sample in samples])
        packed, ids = self._pipe._pack_latents(latents), self._pipe._prepare_latent_ids(latents)
        final = self._steps(samples, packed, ids.to(packed.device))
        pictures = self._decode(final, *latents.shape[-2:])
        seconds = (perf_counter() - started) / len(samples)
        return [
            _checked(sample, picture, finite, seconds, len(samples))
            for sample, (picture, finite) in zip(samples, pictures, strict=True)
        ]

    def _latents(self, requests: Sequence[RenderRequest]) -> torch.Tensor:
        """(batch, channels, h/16, w/16) noise, each sample from a CPU generator of its own seed."""
        import torch

        transformer, side = self._pipe.transformer, self._pipe.vae_scale_factor * 2
        shape = (1, transformer.config.in_channels, requests[0].height // side, requests[0].width // side)
        noise = [
            torch.randn(shape, generator=torch.Generator().manual_seed(r.seed), dtype=transformer.dtype)
            for r in requests
        ]
        return torch.cat(noise).to(transformer.device)

    def _steps(self, samples: Sequence[_Sample], latents: Any, ids: Any) -> Any:
        """The denoised (batch, target tokens, channels); reference tokens follow the target's in every step."""
        import torch

        pipe, request = self._pipe, samples[0].request
        text = torch.cat([sample.text for sample in samples]).to(pipe.transformer.dtype)
        text_ids = pipe._prepare_text_ids(text).to(latents.device)
        references = None
        if request.references:
            references = torch.cat([torch.cat(sample.references, dim=1) for sample in samples]).to(latents.device)
            reference_ids = pipe._prepare_image_ids(list(samples[0].reference_grids)).to(latents.device)
            ids = torch.cat([ids, reference_ids.expand(len(samples), -1, -1)], dim=1)
        for timestep in self._timesteps(request.steps, latents.shape[1]):
            tokens = latents if references is None else torch.cat([latents, references], dim=1)
            predicted = pipe.transformer(
                hidden_states=tokens.to(pipe.transformer.dtype),
                timestep=timestep.expand(len(samples)).to(latents.dtype) / 1000,
                guidance=None,
                encoder_hidden_states=text,
                txt_ids=text_ids,
                img_ids=ids,
                return_dict=False,
            )[0]
            velocity = predicted[:, : latents.shape[1]]
            latents = pipe.scheduler.step(velocity, timestep, latents, return_dict=False)[0]
        return latents

    def _timesteps(self, steps: int, tokens: int) -> Any:
        from diffusers.pipelines.flux2.pipeline_flux2_klein import compute_empirical_mu, retrieve_timesteps

        scheduler = self._pipe.scheduler
        sigmas = np.linspace(1.0, 1 / steps, steps)
        mu = compute_empirical_mu(image_seq_len=tokens, num_steps=steps)
        timesteps, _ = retrieve_timesteps(scheduler, steps, self._pipe.transformer.device, sigmas=sigmas, mu=mu)
        scheduler.set_begin_index(0)
        return timesteps

    def _decode(self, latents: Any, rows: int, columns: int) -> list[tuple[Any, bool]]:
        """uint8 (height, width, 3) of each sample, and whether its values were finite."""
        import torch

        vae = self._pipe.vae
        grid = latents.transpose(1, 2).reshape(len(latents), -1, rows, columns)
        deviation = torch.sqrt(vae.bn.running_var.view(1, -1, 1, 1) + vae.config.batch_norm_eps).to(grid)
        grid = self._pipe._unpatchify_latents(grid * deviation + vae.bn.running_mean.view(1, -1, 1, 1).to(grid))
        image = vae.decode(grid.to(vae.dtype), return_dict=False)[0]
        finite = torch.isfinite(image).flatten(1).all(dim=1).tolist()
        unit = torch.nan_to_num(image * 0.5 + 0.5).clamp(0, 1)
        # Rounded on the device: three bytes a pixel cross to the host.
        pixels = (unit.permute(0, 2, 3, 1).float() * 255).round().to(torch.uint8).cpu().numpy()
        return list(zip(pixels, finite, strict=True))


def _failed(sample: _Sample, reason: Reason, detail: str) -> Failed:
    return Failed(sample.request, reason, " ".join(detail.split())[:500], False)


def _checked(sample: _Sample, pixels: Any, finite: bool, seconds: float, batch_size: int) -> Result:
    if not finite:
        return _failed(sample, Reason.NON_FINITE, "the model's output is not finite")
    if (pixels == pixels[0, 0]).all():
        return _failed(sample, Reason.BLANK_IMAGE, "the picture has one colour")
    return Rendered(sample.request, pixels, seconds, batch_size)


_engines: dict[tuple[str, str, str], DiffusersEngine] = {}
_engines_lock = threading.Lock()


def load_engine(model: str, revision: str, load_reference: LoadReference, weight_precision: str) -> DiffusersEngine:
    """The engine of a model in this process; loaded once and found again by the next shard.

    Args:
        model: name in the model table or absolute path of a local folder.

    Raises:
        EngineError: diffusers is not installed, or the weights cannot be loaded.
    """
    key = (model, revision, weight_precision)
    with _engines_lock:
        if key not in _engines:
            _engines[key] = DiffusersEngine(_load_pipeline(model, revision, weight_precision), load_reference)
        engine = _engines[key]
        engine.load_reference = load_reference
    return engine


def _load_pipeline(model: str, revision: str, weight_precision: str) -> Any:
    """A Flux2KleinPipeline on the GPU if there is one; the one place where loading errors are translated."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        import torch
        from diffusers import Flux2KleinPipeline
        from diffusers.utils import logging as diffusers_logging
        from transformers.utils import logging as transformers_logging
    except ImportError as error:
        message = f"the diffusers engine is not installed ({error.name}): pip install 'packshot[diffusers]'"
        raise EngineError(message) from None
    diffusers_logging.set_verbosity_error()
    diffusers_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()
    source, options = _source_of(model, revision)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        pipeline: Any = Flux2KleinPipeline.from_pretrained(source, dtype=getattr(torch, weight_precision), **options)
        return pipeline.to(device)
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise EngineError(f"{model}: the weights cannot be loaded: {type(error).__name__}: {reason}") from error


def _source_of(model: str, revision: str) -> tuple[str, dict[str, Any]]:
    from inference.models import MODELS
    from inference.tiny import TINY_MODEL, tiny_checkpoint

    if model == TINY_MODEL:
        return str(tiny_checkpoint()), {"local_files_only": True}
    if Path(model).is_absolute():
        return model, {"local_files_only": True}
    if model not in MODELS or not MODELS[model].repository:
        raise ModelError(model, "", "is no model of this engine", "see `packshot models`")
    return MODELS[model].repository, {"revision": revision}
