"""Folders of small vision models with random weights, as transformers saves them, for tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPVisionConfig,
    CLIPVisionModel,
    Dinov2Config,
    Dinov2Model,
    SiglipVisionConfig,
    SiglipVisionModel,
)

SIDE = 56
_SMALL: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": SIDE}
_PATCHES = {**_SMALL, "patch_size": 14, "intermediate_size": 64}
_TEXT = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}

IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
# Numbers of both sides, of the shorter side, and as older files have them.
PREPARES: dict[str, dict[str, Any]] = {
    "dinov2": {
        "image_processor_type": "BitImageProcessor",
        "size": {"shortest_edge": 64},
        "crop_size": {"height": SIDE, "width": SIDE},
        "do_center_crop": True,
        "do_resize": True,
        "do_rescale": True,
        "do_normalize": True,
        "rescale_factor": 1 / 255,
        "resample": 3,
        **IMAGENET,
    },
    "clip": {
        "feature_extractor_type": "CLIPFeatureExtractor",
        "size": SIDE,
        "crop_size": SIDE,
        "do_center_crop": True,
        "do_normalize": True,
        "do_resize": True,
        "resample": 3,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
    },
    "siglip": {
        "image_processor_type": "SiglipImageProcessor",
        "size": {"height": SIDE, "width": SIDE},
        "do_resize": True,
        "do_rescale": True,
        "do_normalize": True,
        "rescale_factor": 1 / 255,
        "resample": 3,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
    },
}


def vision_folder(folder: Path, kind: str = "dinov2") -> Path:
    """Save a model of a kind: dinov2, clip_vision_model, clip (with its text model), siglip_vision_model."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = _model(kind)
        for parameter in model.parameters():  # biases are 0 as they are made, and tokens all alike
            torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(folder)
    prepare(folder, PREPARES[kind.split("_")[0]])
    return folder


def prepare(folder: Path, config: object) -> None:
    """Write how pictures are prepared."""
    (folder / "preprocessor_config.json").write_text(json.dumps(config))


def change_config(folder: Path, **changes: Any) -> None:
    """Change what a folder's configuration says."""
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def _model(kind: str) -> Any:
    if kind == "dinov2":
        return Dinov2Model(Dinov2Config(**_SMALL, patch_size=14, mlp_ratio=2))
    if kind == "clip_vision_model":
        return CLIPVisionModel(CLIPVisionConfig(**_PATCHES))
    if kind == "clip":
        return CLIPModel(CLIPConfig(vision_config=_PATCHES, text_config={**_TEXT, "vocab_size": 100}))
    return SiglipVisionModel(SiglipVisionConfig(**_PATCHES))
