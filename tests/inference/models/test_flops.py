"""The formulas against torch's own counter and the real classes, on the meta device at full size."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import Flux2Transformer2DModel
from diffusers.models.transformers.transformer_flux2 import Flux2KVAttnProcessor, Flux2KVParallelSelfAttnProcessor
from torch.utils.flop_counter import FlopCounterMode

from inference.models.flops import TransformerShape, forward_flops, tokens
from inference.models.parts import PARTS

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
    shape = PARTS[name].transformer
    model = built(shape)
    assert TransformerShape.of(model.config) == shape
    assert shape.parameters == pytest.approx(sum(p.numel() for p in model.parameters()), rel=1e-4)
    for target, references in ((4096, 0), (1024, 4096), (4096, 3 * 4096)):
        flops, _ = counted(model, inputs(shape, target + references))
        assert forward_flops(shape, target, references) == pytest.approx(flops, rel=2e-3)


def test_operations_with_shared_keys_and_values() -> None:
    shape = PARTS["klein-9b-kv"].transformer
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
