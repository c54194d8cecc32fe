"""The local models in full size on fake CUDA tensors, and what one batch of them does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch._subclasses.fake_tensor import unset_fake_temporarily

# Here and not where they are made: they take the maker of masks as it is when they are imported.
from transformers import MistralConfig, MistralModel, Qwen3Config, Qwen3Model

from catalogs.requests import Reference, RenderRequest
from inference.engine import EngineOptions
from inference.local.checkpoints import Checkpoint, placed
from inference.local.clock import StageClock
from inference.local.conditioning import Conditioning
from inference.local.decoding import decode
from inference.local.denoising import Conditions, _new_scheduler, denoise, noise
from inference.local.faults import Faults
from inference.local.keys_values import ReferenceSet
from inference.local.language_model import Tokens
from inference.local.started_batches import Sample
from inference.models.choice import Choice
from inference.models.parts import PARTS, Parts
from inference.models.table import MODELS
from inference.models.workload import Workload
from tests.fake_cuda.fake_device import CUDA, NoSync, Peak, put_on

TEXT_TOKENS = 512
PHOTO = (1024, 1024)


@dataclass(frozen=True)
class Case:
    """One batch of one model; `size` is that of a square."""

    model: str
    precision: str
    references: int
    size: int
    batch: int

    @property
    def parts(self) -> Parts:
        return PARTS[self.model]

    @property
    def workload(self) -> Workload:
        return Workload.of(
            self.size, self.size, [PHOTO] * self.references, self.batch, second_forward=self.parts.family == "base"
        )

    def request(self, number: int) -> RenderRequest:
        spec = MODELS[self.model]
        return RenderRequest(
            prompt=f"p{number}",
            references=tuple(Reference("a", f"{n}", "hero", *PHOTO) for n in range(self.references)),
            width=self.size,
            height=self.size,
            seed=number,
            take=0,
            steps=1,
            guidance=spec.default_guidance,
            model=self.model,
            model_revision="r",
            weight_precision=self.precision,
        )


def checkpoint(model: str, precision: str) -> Checkpoint:
    """Resident on the fake device; inside `fake_cuda`."""
    return placed(_pipeline(model), PARTS[model].family, precision, EngineOptions(), CUDA, Choice("resident", 1))


def _pipeline(model: str) -> Any:
    import diffusers
    from diffusers import FlowMatchEulerDiscreteScheduler

    parts = PARTS[model]
    modules = _modules(parts)
    for module in modules.values():
        put_on(module)
    with unset_fake_temporarily():  # it reads its own tables
        scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, shift=3.0)
    common = {"scheduler": scheduler, "tokenizer": None, **modules}
    if parts.family == "dev":
        return diffusers.Flux2Pipeline(**common)
    if parts.family == "kv":
        return diffusers.Flux2KleinKVPipeline(**common)
    return diffusers.Flux2KleinPipeline(**common, is_distilled=parts.family == "klein")


def _modules(parts: Parts) -> dict[str, torch.nn.Module]:
    from diffusers import AutoencoderKLFlux2, Flux2Transformer2DModel

    shape, before = parts.transformer, torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device("meta"):
            transformer = Flux2Transformer2DModel(
                num_layers=shape.double_blocks,
                num_single_layers=shape.single_blocks,
                num_attention_heads=shape.width // 128,
                joint_attention_dim=shape.context,
                guidance_embeds=shape.guided,
            )
            modules = {"transformer": transformer, "vae": AutoencoderKLFlux2(), "text_encoder": _text_encoder(parts)}
    finally:
        torch.set_default_dtype(before)
    return {name: module.eval() for name, module in modules.items()}


def _text_encoder(parts: Parts) -> torch.nn.Module:
    text = parts.text
    config_class, model_class = (MistralConfig, MistralModel) if parts.family == "dev" else (Qwen3Config, Qwen3Model)
    config = config_class(
        vocab_size=text.vocabulary,
        hidden_size=text.width,
        intermediate_size=text.inner,
        num_hidden_layers=text.layers,
        num_attention_heads=text.heads,
        num_key_value_heads=text.key_heads,
        head_dim=text.head,
        **({"sliding_window": None} if parts.family == "dev" else {}),
    )
    model = torch.nn.Module()
    model.model = model_class(config)  # as a model for causal language has it
    return model


class Run:
    """Every phase of one batch; each counts its own memory, and loops may not wait for the device.

    Attributes:
        peaks: bytes of activations by phase, as `inference.models.memory.phases` names them.
    """

    def __init__(self, case: Case, made: Checkpoint) -> None:
        self._case, self._made = case, made
        # Events of a device cannot be faked: the clock is that of the host.
        self._conditioning = Conditioning(made, StageClock(torch.device("cpu")), _never, Faults(EngineOptions()))
        self.peaks: dict[str, int] = {}

    def pictures(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(pixels, verdicts) of the batch."""
        case = self._case
        requests = [case.request(number) for number in range(case.batch)]
        # Encoded once a model is enough: a prompt's embedding is no matter of the batch.
        shape = (1, TEXT_TOKENS, case.parts.transformer.context)
        text = self.texts(1)[0] if case.batch == 1 else torch.empty(shape, device=CUDA, dtype=torch.bfloat16)
        self._conditioning.text._empty = text
        samples = [
            Sample(request, text, references) for request, references in zip(requests, self._sets(), strict=True)
        ]
        start = noise(self._made, requests)
        self._set_up_scheduler(case.workload.picture_tokens)
        there = [text, start, *(sample.references.packed for sample in samples if sample.references)]
        laid = self._laid_out(samples, start, there) if case.references and case.parts.family == "kv" else None
        with self._phase("denoise", [*there, *_tensors(laid)]), NoSync():
            conditions = laid or self._conditioning.conditions(samples, start.shape[-2:])
            final = denoise(self._made, requests[0], start, conditions)
            del conditions
        with self._phase("decode", [final, *there, *_tensors(laid)]), NoSync():
            return decode(self._made.pipe, final, *start.shape[-2:])

    def _laid_out(self, samples: list[Sample], start: torch.Tensor, there: list[torch.Tensor]) -> Conditions:
        """Of the KV family: what the references' keys and values take while they are made, beside themselves."""
        first = samples[0].references
        assert first is not None
        with self._phase("keys and values", there), NoSync():
            kept = self._conditioning.keys_values._made(first)
        layers = (*kept.double_block_caches, *kept.single_block_caches)
        self.peaks["keys and values"] -= sum(layer.k_ref.nbytes + layer.v_ref.nbytes for layer in layers)
        with NoSync():
            return self._conditioning.conditions(samples, start.shape[-2:])

    def _sets(self) -> list[ReferenceSet | None]:
        """Of each sample; of a batch every second has the same."""
        if not self._case.references:
            return [None] * self._case.batch
        pixels = np.zeros((*PHOTO[::-1], 3), dtype=np.uint8)
        with self._phase("references"):
            encode = self._conditioning.references._encode
            latents = [encode(pixels) for _ in range(self._case.references)]
        packed = torch.cat([self._made.pipe._pack_latents(one) for one in latents], dim=1)
        grids = tuple((one.shape[-2], one.shape[-1]) for one in latents)
        return [ReferenceSet(number % 2, packed, grids) for number in range(self._case.batch)]

    def _set_up_scheduler(self, count: int) -> None:
        """Once a bucket, by arithmetic of the host; its tables lie on the device."""
        with unset_fake_temporarily():
            scheduler = _new_scheduler(replace(self._made, device=torch.device("cpu")), 1, count)
        for name in ("timesteps", "sigmas"):
            setattr(scheduler, name, torch.empty(len(getattr(scheduler, name)), device=CUDA))
        self._made.schedulers[1, count] = scheduler

    def texts(self, count: int) -> list[torch.Tensor]:
        with self._phase("text"):
            return self._made.language_model.hidden_states([_prompt(30 + number) for number in range(count)])

    def _set_up_scheduler(self, count: int) -> None:
        """Once a bucket, by arithmetic of the host; its tables lie on the device."""
        with unset_fake_temporarily():
            scheduler = _new_scheduler(replace(self._made, device=torch.device("cpu")), 1, count)
        for name in ("timesteps", "sigmas"):
            setattr(scheduler, name, torch.empty(len(getattr(scheduler, name)), device=CUDA))
        self._made.schedulers[1, count] = scheduler

    @contextmanager
    def _phase(self, name: str, there: Sequence[torch.Tensor] = ()) -> Iterator[None]:
        modules = (self._made.transformer, self._made.vae, self._made.language_model._model)
        # None is held here: weights that are cast are replaced by others.
        weights = chain.from_iterable((*module.parameters(), *module.buffers()) for module in modules)
        with Peak(chain(weights, there)) as peak:
            yield
        self.peaks[name] = peak.bytes


def _tensors(laid: Conditions | None) -> list[torch.Tensor]:
    """The places of keys and values, which their cache holds."""
    if laid is None:
        return []
    layers = [*laid.keys_values.double_block_caches, *laid.keys_values.single_block_caches]
    return [tensor for layer in layers for tensor in (layer.keys, layer.values)]


def _prompt(length: int) -> Tokens:
    """Real, of the host: the mask is read where it is made."""
    with unset_fake_temporarily():
        mask = torch.zeros(1, TEXT_TOKENS, dtype=torch.int64)
        mask[:, :length] = 1
        return Tokens(torch.zeros(1, TEXT_TOKENS, dtype=torch.int64), mask)


def _never(reference: Reference) -> Any:
    raise AssertionError("no photo is loaded")
