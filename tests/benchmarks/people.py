"""What looking for people costs: RT-DETR r18 in full size with random weights, in the process that checks use.

The numbers say nothing of how often a model is right: that is a matter of its weights.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import torch
from PIL import Image
from transformers import RTDetrConfig, RTDetrForObjectDetection, RTDetrResNetConfig

from inference.models.vision import read_detector_folder
from inference.quality.detector import Detector
from inference.quality.vision_input import detector_preparation_of, model_input
from tests.vision_folders import prepare

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


def main() -> None:
    """Print one line."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--pictures", type=int, default=20)
    count = arguments.parse_args().pictures
    with tempfile.TemporaryDirectory() as folder:
        model = full_size()
        model.save_pretrained(folder)
        prepare(Path(folder), {"image_processor_type": "RTDetrImageProcessor"})
        measure(folder, count, sum(one.numel() for one in model.parameters()))


def measure(folder: str, count: int, parameters: int) -> None:
    """Wall time and processor time of pictures of 2048 x 2048, one at a time."""
    found = read_detector_folder(folder, "benchmark", "model")
    preparation, detects = detector_preparation_of(found.prepares, found.model_type), Detector(folder, found.person)
    pixels = np.random.default_rng(0).integers(0, 256, (2048, 2048, 3), np.uint8)
    picture = Image.fromarray(pixels)
    begun = time.perf_counter()
    score = detects.score(model_input(picture, preparation))
    started, child = time.perf_counter() - begun, psutil.Process(detects.pid)
    assert 0 < score < 1
    before, prepared, looked = sum(child.cpu_times()[:2]), [], []
    for _ in range(count):
        begun = time.perf_counter()
        values = model_input(picture, preparation)
        prepared.append(time.perf_counter() - begun)
        assert detects.score(values) == score
        looked.append(time.perf_counter() - begun - prepared[-1])
    worked = (sum(child.cpu_times()[:2]) - before) / count
    ready, least, median = (1000 * one for one in (statistics.median(prepared), min(looked), statistics.median(looked)))
    print(
        f"{parameters / 1e6:.1f} million parameters, {detects.threads} threads, {child.memory_info().rss / 1e6:.0f} MB"
    )
    print(f"{started:.1f} s to start; then a picture: {ready:.0f} ms to prepare, {median:.0f} ms to look at")
    print(f"(at best {least:.0f}), with {1000 * worked:.0f} ms of processor time")
    detects.close()


if __name__ == "__main__":
    main()
