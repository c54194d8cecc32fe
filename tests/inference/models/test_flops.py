"""The formulas against torch's own counter and the real classes, on the meta device at full size."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import AutoencoderKLFlux2, Flux2Transformer2DModel
from diffusers.models.transformers.transformer_flux2 import Flux2KVAttnProcessor, Flux2KVParallelSelfAttnProcessor
from torch.utils.flop_counter import FlopCounterMode

from inference.models.flops import TransformerShape, forward_flops, tokens
from inference.models.memory import _PARTS, _VAE_WEIGHTS, WORKING_BYTES, Machine, fitting_mode, need_of
from inference.models.table import MODELS

KV_TOKENS = 1024


def built(shape: TransformerShape, kv: bool = False) -> Any:
    with torch.device("meta"):
        model = Flux2Transformer2DModel(
            num_layers=shape.double_blocks,
            num_single_layers=shape.single_blocks,
            num_attention_heads=shape.width // 128,
            joint_attention_dim=shape.context,
            guidance_embeds=shape.guided,
        )
    if kv:
        for block in model.transformer_blocks:
            block.attn.set_processor(Flux2KVAttnProcessor())
        for block in model.single_transformer_blocks:
            block.attn.set_processor(Flux2KVParallelSelfAttnProcessor())
    return model


def inputs(shape: TransformerShape, count: int) -> dict[str, Any]:
    with torch.device("meta"):
        return {
            "hidden_states": torch.empty(1, count, 128),
            "encoder_hidden_states": torch.empty(1, 512, shape.context),
            "timestep": torch.empty(1),
            "img_ids": torch.empty(1, count, 4),
            "txt_ids": torch.empty(1, 512, 4),
            "guidance": torch.empty(1) if shape.guided else None,
            "return_dict": False,
        }


def counted(model: Any, arguments: dict[str, Any]) -> tuple[float, Any]:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        result = model(**arguments)
    return float(counter.get_total_flops()), result


@pytest.mark.parametrize("name", ["klein-4b", "klein-9b", "dev"])
def test_weights_and_operations_of_the_published_models(name: str) -> None:
    shape = _PARTS[name][0]
    model = built(shape)
    assert TransformerShape.of(model.config) == shape
    assert shape.parameters == pytest.approx(sum(p.numel() for p in model.parameters()), rel=1e-4)
    for target, references in ((4096, 0), (1024, 4096), (4096, 3 * 4096)):
        flops, _ = counted(model, inputs(shape, target + references))
        assert forward_flops(shape, target, references) == pytest.approx(flops, rel=2e-3)


def test_operations_with_shared_keys_and_values() -> None:
    shape = _PARTS["klein-9b-kv"][0]
    model = built(shape, kv=True)
    extract = {
        **inputs(shape, 4096 + KV_TOKENS),
        "kv_cache_mode": "extract",
        "num_ref_tokens": KV_TOKENS,
    }
    flops, (_, kept) = counted(model, extract)
    assert forward_flops(shape, 4096, KV_TOKENS, "extract") == pytest.approx(flops, rel=2e-3)
    layer = kept.single_block_caches[0].k_ref
    layers = shape.blocks * 2
    assert shape.keys_values_bytes(KV_TOKENS) == layer.numel() * layers * 2
    flops, _ = counted(model, {**inputs(shape, 4096), "kv_cache": kept, "kv_cache_mode": "cached"})
    assert forward_flops(shape, 4096, KV_TOKENS, "cached") == pytest.approx(flops, rel=2e-3)


def test_tokens_are_squares_of_sixteen_pixels() -> None:
    assert tokens(1024, 1024) == 4096
    assert tokens(1280, 720) == 80 * 45


def test_the_vae_has_so_many_weights() -> None:
    with torch.device("meta"):
        vae = AutoencoderKLFlux2()
    assert pytest.approx(sum(p.numel() for p in vae.parameters()), rel=1e-4) == _VAE_WEIGHTS


def test_the_text_encoders_have_so_many_weights() -> None:
    from transformers import MistralConfig, MistralModel, Qwen3Config, Qwen3Model

    for name, config_class, model_class in (
        ("klein-4b", Qwen3Config, Qwen3Model),
        ("klein-9b", Qwen3Config, Qwen3Model),
        ("dev", MistralConfig, MistralModel),
    ):
        text = _PARTS[name][1]
        with torch.device("meta"):
            model = model_class(
                config_class(
                    vocab_size=text.vocabulary,
                    hidden_size=text.width,
                    intermediate_size=text.inner,
                    num_hidden_layers=text.layers,
                    num_attention_heads=text.heads,
                    num_key_value_heads=text.key_heads,
                    head_dim=text.head,
                )
            )
        assert text.parameters == pytest.approx(sum(p.numel() for p in model.parameters()), rel=1e-3)


@pytest.mark.parametrize(
    ("name", "gibibytes", "host", "mode"),
    [
        ("klein-4b", 24, 64, "resident"),
        ("klein-4b", 16, 64, "two-phase"),
        ("klein-4b", 8, 64, "offload"),
        ("klein-4b", 8, 8, None),
        ("klein-4b", 4, 64, None),
        ("klein-9b", 80, 128, "resident"),
        ("klein-9b", 24, 128, "two-phase"),
        ("dev", 141, 256, "resident"),
        ("dev", 80, 256, "two-phase"),
        ("dev", 48, 256, "offload"),
    ],
)
def test_the_fastest_mode_that_fits(name: str, gibibytes: int, host: int, mode: str | None) -> None:
    need = need_of(MODELS[name])
    assert need is not None
    assert need.offload > WORKING_BYTES
    assert fitting_mode(need, Machine("a GPU", gibibytes * 2**30, host * 2**30)) == mode


def test_hosted_models_need_nothing_here() -> None:
    assert need_of(MODELS["bfl/pro"]) is None
