"""Stock pipelines with random weights: of full size, made on the device that runs them, or tiny.

They run as fast as real ones. The transformer's matrices are scaled so that prompt and references show in the picture
by far more than the rounding of bfloat16: with torch's own start they would not, and pictures would prove nothing.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from inference.local import tiny
from inference.local.language_model import TEXT_LAYERS
from inference.models.parts import PARTS, Parts
from inference.models.specs import Family
from inference.models.table import MODELS

TINY: dict[str, Family] = {"tiny": "klein", "tiny-base": "base", "tiny-kv": "kv", "tiny-dev": "dev"}
CLASSES = {
    "klein": "Flux2KleinPipeline",
    "base": "Flux2KleinPipeline",
    "kv": "Flux2KleinKVPipeline",
    "dev": "Flux2Pipeline",
}
GUIDANCE: dict[Family, float | None] = {"klein": None, "base": 4.0, "kv": None, "dev": 2.5}

_GAIN, _SHARPNESS = 1.0, 3.0
"""Of the matrices, and of queries and keys: less than the tiny checkpoints', since rounding grows with depth."""
_TEXT_LAYERS = {"klein": 36, "base": 36, "kv": 36, "dev": 40}
"""That the published text encoders have; the stock pipelines compute all of them."""
_VOCABULARY_LEAST = 512


@dataclass(frozen=True)
class Subject:
    """What is built.

    Attributes:
        name: in the model table, or one of `TINY`.
        blocks: double and single blocks of the transformer, None for its own.
        text_layers: of the text encoder, None for as many as the published one has.
    """

    name: str
    blocks: tuple[int, int] | None = None
    text_layers: int | None = None

    @property
    def is_tiny(self) -> bool:
        return self.name in TINY

    @property
    def family(self) -> Family:
        return TINY[self.name] if self.is_tiny else PARTS[self.name].family

    @property
    def precision(self) -> str:
        return "float32" if self.is_tiny else MODELS[self.name].weight_precision

    @property
    def stock_bytes(self) -> int:
        """Of the weights of the whole stock pipeline; 0 for a tiny one."""
        if self.is_tiny:
            return 0
        parts = PARTS[self.name]
        layers = self.text_layers or _TEXT_LAYERS[parts.family]
        text = layers * parts.text.layer_parameters + 2 * parts.text.vocabulary * parts.text.width
        return 2 * (parts.transformer.parameters + text + parts.vae.parameters)


def least_layers(family: Family) -> int:
    """One more than is read of the text encoder: the last of a model has passed its norm."""
    return max(TEXT_LAYERS[family]) + 1


def build(subject: Subject, device: torch.device, text_on: torch.device | None = None) -> Any:
    """A stock pipeline, the same weights at each call.

    Args:
        text_on: where the text encoder is left, of which the card may hold no more than this one part.
    """
    import diffusers
    from transformers.utils import logging

    logging.set_verbosity_error()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), torch.no_grad():
        torch.manual_seed(0)
        made = tiny._parts(subject.family) if subject.is_tiny else _full_parts(subject, device, text_on or device)
    kind: Any = getattr(diffusers, CLASSES[subject.family])
    distilled = {"is_distilled": subject.family == "klein"} if subject.family in ("klein", "base") else {}
    # diffusers keeps the backend that was last asked for, for the whole process; this is its default.
    made["transformer"].set_attention_backend("native")
    pipe = kind(**made, **distilled)
    pipe.set_progress_bar_config(disable=True)
    return pipe.to(device) if subject.is_tiny else pipe


def _full_parts(subject: Subject, device: torch.device, text_on: torch.device) -> dict[str, Any]:
    from diffusers import AutoencoderKLFlux2, FlowMatchEulerDiscreteScheduler

    parts = PARTS[subject.name]
    layers = subject.text_layers or _TEXT_LAYERS[parts.family]
    dev = parts.family == "dev"
    # The text encoder first: where it goes back to the host it has the card to itself while it is made.
    encoder = _on(device, lambda: (_mistral if dev else _qwen)(parts, layers)).to(text_on)
    transformer = _on(device, lambda: _transformer(parts, subject.blocks))
    _scale(transformer)
    return {
        "scheduler": FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, shift=3.0),
        "vae": _on(device, AutoencoderKLFlux2),
        "text_encoder": encoder,
        "tokenizer": tiny._mistral_tokenizer() if dev else tiny._qwen_tokenizer(),
        "transformer": transformer,
    }


def _on(device: torch.device, make: Callable[[], Any]) -> Any:
    """A module made in bfloat16 where it will be: neither the host nor a wider type ever holds it."""
    torch.set_default_dtype(torch.bfloat16)
    try:
        with device:
            return make().eval()
    finally:
        torch.set_default_dtype(torch.float32)


def _transformer(parts: Parts, blocks: tuple[int, int] | None) -> Any:
    from diffusers import Flux2Transformer2DModel

    shape = parts.transformer
    double, single = blocks or (shape.double_blocks, shape.single_blocks)
    return Flux2Transformer2DModel(
        num_layers=double,
        num_single_layers=single,
        num_attention_heads=shape.width // 128,
        joint_attention_dim=shape.context,
        guidance_embeds=shape.guided,
    )


def _scale(transformer: Any) -> None:
    for name, parameter in transformer.named_parameters():
        if ".norm_" in name and parameter.ndim == 1:
            parameter.mul_(_SHARPNESS)
        elif parameter.ndim == 2:
            parameter.normal_(0.0, _GAIN / parameter.shape[1] ** 0.5)


def _sizes(parts: Parts, layers: int) -> dict[str, Any]:
    text = parts.text
    return {
        "vocab_size": max(text.vocabulary, _VOCABULARY_LEAST),
        "hidden_size": text.width,
        "intermediate_size": text.inner,
        "num_hidden_layers": layers,
        "num_attention_heads": text.heads,
        "num_key_value_heads": text.key_heads,
        "head_dim": text.head,
    }


def _qwen(parts: Parts, layers: int) -> Any:
    from transformers import Qwen3Config, Qwen3ForCausalLM

    return Qwen3ForCausalLM(Qwen3Config(**_sizes(parts, layers)))


def _mistral(parts: Parts, layers: int) -> Any:
    """Mistral 3 with the least of a vision tower: nobody looks through it."""
    from transformers import Mistral3Config, Mistral3ForConditionalGeneration, MistralConfig, PixtralVisionConfig

    text = MistralConfig(**_sizes(parts, layers), sliding_window=None)
    vision = PixtralVisionConfig(
        hidden_size=64, intermediate_size=64, num_hidden_layers=1, num_attention_heads=1, image_size=64, patch_size=16
    )
    config = Mistral3Config(
        text_config=text.to_dict(), vision_config=vision.to_dict(), image_token_index=7, spatial_merge_size=2
    )
    return Mistral3ForConditionalGeneration(config)


@contextmanager
def lent(pipe: Any) -> Iterator[Any]:
    """A pipeline of the same modules for packshot, which cuts its text encoder; the stock one is whole again after."""
    encoder = pipe.text_encoder
    model = getattr(encoder.model, "language_model", encoder.model)
    layers = model.layers
    copied = type(pipe)(**pipe.components, **_distilled(pipe))
    copied.set_progress_bar_config(disable=True)
    try:
        yield copied
    finally:
        model.layers = layers


def _distilled(pipe: Any) -> dict[str, bool]:
    distilled = pipe.config.get("is_distilled")
    return {} if distilled is None else {"is_distilled": distilled}


def forget() -> None:
    """Give back what the last model held."""
    gc.collect()
    torch._dynamo.reset()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
