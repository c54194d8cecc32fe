"""What the models of a user cost that look at pictures: of full size, with random weights, in the process of checks.

The numbers say nothing of how often a model is right: that is a matter of its weights.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from PIL import Image
from transformers import Dinov2Config, Dinov2Model, RTDetrConfig, RTDetrForObjectDetection, RTDetrResNetConfig

from inference.models.vision import read_detector_folder, read_vision_folder
from inference.quality.detector import Detector
from inference.quality.embedder import Embedder, cosine
from inference.quality.vision_input import Values, detector_preparation_of, model_input, preparation_of
from inference.quality.vision_model import VisionModel
from tests.vision_folders import PREPARES, prepare

DETECTS = {"image_processor_type": "RTDetrImageProcessor"}
EMBEDS = {**PREPARES["dinov2"], "size": {"shortest_edge": 256}, "crop_size": {"height": 224, "width": 224}}
LABELS = {0: "person", **{number: f"class {number}" for number in range(1, 80)}}


def full_size() -> RTDetrForObjectDetection:
    """RT-DETR on a ResNet of 18 layers, as its authors' r18vd: 80 classes, 300 queries, three decoder layers."""
    blocks = RTDetrResNetConfig(
        layer_type="basic",
        depths=[2, 2, 2, 2],
        hidden_sizes=[64, 128, 256, 512],
        out_features=["stage2", "stage3", "stage4"],
    )
    config = RTDetrConfig(
        backbone_config=blocks,
        encoder_in_channels=[128, 256, 512],
        decoder_layers=3,
        hidden_expansion=0.5,
        id2label=LABELS,
    )
    torch.manual_seed(0)
    return RTDetrForObjectDetection(config)


def base_size() -> Dinov2Model:
    """DINOv2 of base size: 12 layers of width 768, patches of 14."""
    torch.manual_seed(0)
    return Dinov2Model(Dinov2Config())


def main() -> None:
    """Print some lines a model."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--pictures", type=int, default=20)
    count = arguments.parse_args().pictures
    pixels = np.random.default_rng(0).integers(0, 256, (2048, 2048, 3), np.uint8)
    picture = Image.fromarray(pixels)
    with tempfile.TemporaryDirectory() as folder:
        print(f"person model, RT-DETR r18: {saved(full_size(), folder, DETECTS):.1f} million parameters")
        found = read_detector_folder(folder, "benchmark", "model")
        preparation, detects = detector_preparation_of(found.prepares, found.model_type), Detector(folder, found.person)
        measure(detects, partial(model_input, picture, preparation), detects.score, count)
    with tempfile.TemporaryDirectory() as folder:
        print(f"likeness model, DINOv2 base: {saved(base_size(), folder, EMBEDS):.1f} million parameters")
        _, prepares = read_vision_folder(folder, "benchmark", "model")
        embeds = Embedder(folder)
        prepare_one = partial(model_input, picture, preparation_of(prepares, is_square=False))
        measure(embeds, prepare_one, lambda values: cosine(embeds.embed(values), embeds.embed(values)), count, asks=2)


def saved(model: Any, folder: str, prepares: dict[str, Any]) -> float:
    """Millions of parameters of a model that is now in a folder."""
    model.save_pretrained(folder)
    prepare(Path(folder), prepares)
    return float(sum(one.numel() for one in model.parameters()) / 1e6)


def measure(
    model: VisionModel, ready: Callable[[], Values], look: Callable[[Values], float], count: int, asks: int = 1
) -> None:
    """Wall time and processor time of pictures of 2048 x 2048, one at a time; `look` asks the model so many times."""
    begun = time.perf_counter()
    told = look(ready())
    started, child = time.perf_counter() - begun, psutil.Process(model.pid)
    assert 0 < told <= 1 + 1e-9
    before, prepared, looked = sum(child.cpu_times()[:2]), [], []
    for _ in range(count):
        begun = time.perf_counter()
        values = ready()
        prepared.append(time.perf_counter() - begun)
        assert look(values) == told
        looked.append((time.perf_counter() - begun - prepared[-1]) / asks)
    worked = (sum(child.cpu_times()[:2]) - before) / count / asks
    first, least, median = (1000 * one for one in (statistics.median(prepared), min(looked), statistics.median(looked)))
    memory = f"{child.memory_info().rss / 1e6:.0f} MB"
    print(f"  {model.threads} threads, {memory}, {started:.1f} s to start; then a picture: {first:.0f} ms to prepare,")
    print(f"  {median:.0f} ms to look at (at best {least:.0f}), {1000 * worked:.0f} ms of processor time")
    model.close()


if __name__ == "__main__":
    main()
