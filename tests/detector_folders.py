"""Folders of small object detectors with random weights, as transformers saves them, for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import (
    DetrConfig,
    DetrForObjectDetection,
    DFineConfig,
    DFineForObjectDetection,
    HGNetV2Config,
    ResNetConfig,
    RTDetrConfig,
    RTDetrForObjectDetection,
    RTDetrResNetConfig,
    RTDetrV2Config,
    RTDetrV2ForObjectDetection,
    YolosConfig,
    YolosForObjectDetection,
)

from tests.vision_folders import IMAGENET, prepare

LABELS = {0: "bicycle", 1: "Person", 2: "car"}
PERSON = 1
QUERIES = 10
_STAGES = {"embedding_size": 8, "hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1]}
_BLOCKS = {**_STAGES, "layer_type": "basic"}
_HEADS = {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "num_queries": QUERIES, "d_model": 16}
_DECODER: dict[str, Any] = {
    **_HEADS,
    "encoder_hidden_dim": 16,
    "encoder_in_channels": [8, 16, 16],
    "encoder_ffn_dim": 16,
    "decoder_in_channels": [16, 16, 16],
    "decoder_ffn_dim": 16,
    "decoder_layers": 2,
}
_THREE = ["stage2", "stage3", "stage4"]

_EXACT = {
    "image_processor_type": "RTDetrImageProcessor",
    "do_normalize": False,
    "do_resize": True,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "resample": 2,
    "size": {"height": 64, "width": 96},
    **IMAGENET,
}
_EDGES = {
    "do_normalize": True,
    "do_pad": True,
    "do_resize": True,
    "do_rescale": True,
    "resample": 2,
    "size": {"shortest_edge": 48, "longest_edge": 90},
    **IMAGENET,
}
PREPARES: dict[str, dict[str, Any]] = {
    "rt_detr": _EXACT,
    "rt_detr_v2": _EXACT,
    "d_fine": _EXACT,
    "yolos": {"image_processor_type": "YolosImageProcessor", **_EDGES},
    # As older files have it.
    "detr": {"feature_extractor_type": "DetrFeatureExtractor", **_EDGES, "size": 48, "max_size": 90},
}
KINDS = tuple(PREPARES)


def detector_folder(folder: Path, kind: str = "rt_detr", bias: float = 0.0, labels: Any = LABELS) -> Path:
    """Save a detector of a kind.

    Args:
        bias: of its class 1: the larger, the surer it is of it in any picture.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = _model(kind, labels)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
    with torch.no_grad():
        for head in _class_heads(model):
            head.bias[PERSON] = bias
    model.save_pretrained(folder)
    prepare(folder, PREPARES[kind])
    return folder


def _class_heads(model: Any) -> list[Any]:
    """What a query's classes are told by, of each layer."""
    layers = {name: one for name, one in model.named_modules() if "class" in name and isinstance(one, torch.nn.Linear)}
    return [one for one in layers.values() if one.out_features in (len(LABELS), len(LABELS) + 1)]


def _model(kind: str, labels: Any) -> Any:
    if kind == "yolos":
        small = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
        config = YolosConfig(**small, image_size=[64, 64], num_detection_tokens=QUERIES, id2label=labels)
        return YolosForObjectDetection(config)
    if kind == "detr":
        blocks = ResNetConfig(**_BLOCKS, out_features=["stage4"])
        small = {"encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16}
        return DetrForObjectDetection(DetrConfig(backbone_config=blocks, **_HEADS, **small, id2label=labels))
    if kind == "d_fine":
        return DFineForObjectDetection(DFineConfig(backbone_config=_hgnet(), **_DECODER, id2label=labels))
    blocks = RTDetrResNetConfig(**_BLOCKS, out_features=_THREE)
    if kind == "rt_detr_v2":
        return RTDetrV2ForObjectDetection(RTDetrV2Config(backbone_config=blocks, **_DECODER, id2label=labels))
    return RTDetrForObjectDetection(RTDetrConfig(backbone_config=blocks, **_DECODER, id2label=labels))


def _hgnet() -> HGNetV2Config:
    return HGNetV2Config(
        **_STAGES,
        out_features=_THREE,
        stem_channels=[3, 8, 8],
        stage_in_channels=[8, 8, 8, 16],
        stage_mid_channels=[8, 8, 8, 8],
        stage_out_channels=[8, 8, 16, 16],
        stage_num_blocks=[1, 1, 1, 1],
        stage_numb_of_layers=[1, 1, 1, 1],
        stage_downsample=[False, True, True, True],
        stage_light_block=[False] * 4,
        stage_kernel_size=[3] * 4,
    )
