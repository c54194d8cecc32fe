"""What the parts weigh, against the real classes on the meta device, in full size and in others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKLFlux2
from transformers import Mistral3Config, MistralConfig, MistralModel, Qwen3Config, Qwen3Model

from inference.local.language_model import TEXT_LAYERS
from inference.local.tiny import Family, build_tiny
from inference.models.parts import PARTS, Parts, TextShape, VaeShape


def weights(model: Any) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(
    "sizes",
    [
        {},
        {"decoder_block_out_channels": (96, 192, 384, 384)},
        {"block_out_channels": (64, 128, 256), "down_block_types": ("DownEncoderBlock2D",) * 3}
        | {"up_block_types": ("UpDecoderBlock2D",) * 3},
        {"latent_channels": 16, "layers_per_block": 1},
    ],
)
def test_a_vae_of_any_sizes_is_weighed_exactly(sizes: dict[str, Any]) -> None:
    with torch.device("meta"):
        vae = AutoencoderKLFlux2(**sizes)
    assert VaeShape.of(vae.config).parameters == weights(vae)


def language_model(config_class: Any, model_class: Any, text: TextShape) -> Any:
    config = config_class(
        vocab_size=text.vocabulary,
        hidden_size=text.width,
        intermediate_size=text.inner,
        num_hidden_layers=text.layers,
        num_attention_heads=text.heads,
        num_key_value_heads=text.key_heads,
        head_dim=text.head,
    )
    with torch.device("meta"):
        return model_class(config)


@pytest.mark.parametrize(
    ("name", "config_class", "model_class"),
    [
        ("klein-4b", Qwen3Config, Qwen3Model),
        ("klein-9b", Qwen3Config, Qwen3Model),
        ("dev", MistralConfig, MistralModel),
    ],
)
def test_the_text_encoders_have_so_many_weights(name: str, config_class: Any, model_class: Any) -> None:
    text = PARTS[name].text
    model = language_model(config_class, model_class, text)
    assert text.parameters == pytest.approx(weights(model), rel=1e-3)
    assert TextShape.of(model.config.to_dict(), text.layers) == text


def test_of_a_text_encoder_only_the_layers_that_are_read_count() -> None:
    config = {**Qwen3Config(num_hidden_layers=36).to_dict()}
    assert TextShape.of(config, 27).layers == 27
    assert TextShape.of(Mistral3Config().to_dict(), 30) == PARTS["dev"].text


@pytest.mark.parametrize("family", ["klein", "base", "kv", "dev"])
def test_a_folder_of_other_sizes_is_weighed_by_its_own_configurations(family: Family, tmp_path: Path) -> None:
    import diffusers

    folder = build_tiny(tmp_path, family)
    texts = {part: json.loads((folder / part / "config.json").read_text("utf-8")) for part in PIECES}
    parts = Parts.of(family, texts["transformer"], texts["text_encoder"], texts["vae"], max(TEXT_LAYERS[family]))
    transformer = diffusers.Flux2Transformer2DModel.from_pretrained(folder / "transformer")
    vae = diffusers.AutoencoderKLFlux2.from_pretrained(folder / "vae")
    assert parts.transformer.parameters == pytest.approx(weights(transformer), rel=0.01)
    assert parts.vae.parameters == weights(vae)
    assert parts.text.layers == max(TEXT_LAYERS[family])


PIECES = ("transformer", "text_encoder", "vae")
