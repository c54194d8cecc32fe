"""The process that finds objects: what it says beside transformers itself, and what becomes of it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoModelForObjectDetection

from inference.quality.detector import Detector, DetectorError
from inference.quality.vision_input import detector_preparation_of, model_input
from tests.detector_folders import KINDS, PERSON, PREPARES, detector_folder
from tests.drawn_packshots import drawn_packshot
from tests.inference.quality.test_detector_input import PROCESSORS, stock
from tests.inference.quality.test_embedder import ended, stub
from tests.vision_folders import change_config

PICTURES = [drawn_packshot((640, 480), colour=colour).picture for colour in ((170, 51, 68), (40, 80, 190))]
BLANK = Image.new("RGB", (200, 300), "white")


def values_of(picture: Image.Image, kind: str = "rt_detr") -> np.ndarray[Any, np.dtype[np.float32]]:
    return model_input(picture, detector_preparation_of(PREPARES[kind], kind))


@pytest.fixture
def detects(tmp_path: Path) -> Iterator[Detector]:
    made = Detector(str(detector_folder(tmp_path / "model")), PERSON)
    yield made
    made.close()


def stock_scores(folder: Path, kind: str, picture: Image.Image) -> list[float]:
    """Of every box that transformers calls a person, by its own pre- and postprocessing."""
    processor = stock(kind)
    model: Any = AutoModelForObjectDetection.from_pretrained(folder, use_safetensors=True).eval()
    with torch.inference_mode():
        made = model(**processor(picture, return_tensors="pt"))
    found = processor.post_process_object_detection(made, threshold=0.0)[0]
    return [float(score) for score, label in zip(found["scores"], found["labels"], strict=True) if label == PERSON]


@pytest.mark.parametrize("bias", [3.0, pytest.param(1.5, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", KINDS)
def test_it_is_the_best_score_of_transformers_own_postprocessing(kind: str, bias: float, tmp_path: Path) -> None:
    folder = detector_folder(tmp_path, kind, bias)
    detects = Detector(str(folder), PERSON)
    for picture in (*PICTURES, BLANK):
        wanted = max(stock_scores(folder, kind, picture))
        assert detects.score(values_of(picture, kind)) == pytest.approx(wanted, abs=1e-5)
    detects.close()


FEW = ("rt_detr", "yolos")  # a head with a sigmoid, one with a softmax


@pytest.mark.parametrize(
    "kind", [*FEW, *(pytest.param(one, marks=pytest.mark.slow) for one in KINDS if one not in FEW)]
)
def test_the_class_head_decides(kind: str, tmp_path: Path) -> None:
    scores = []
    for bias in (-9.0, 9.0):
        detects = Detector(str(detector_folder(tmp_path / str(bias), kind, bias)), PERSON)
        scores.append(detects.score(values_of(PICTURES[0], kind)))
        detects.close()
    assert scores[0] < 0.05
    assert scores[1] > 0.95


def test_pictures_differ(detects: Detector) -> None:
    assert len({detects.score(values_of(picture)) for picture in (*PICTURES, BLANK)}) == 3


def test_it_takes_two_threads(detects: Detector) -> None:
    before = torch.get_num_threads()
    detects.score(values_of(BLANK))
    assert detects.threads == min(2, os.cpu_count() or 1)
    assert torch.get_num_threads() == before


def test_nothing_is_lost_when_it_is_killed(detects: Detector) -> None:
    first, pid = detects.score(values_of(PICTURES[0])), detects.pid
    os.kill(pid, signal.SIGKILL)
    assert detects.score(values_of(PICTURES[0])) == first
    assert detects.pid != pid
    assert ended(pid)


def test_one_that_is_killed_at_each_picture_is_said(tmp_path: Path) -> None:
    dies = stub(tmp_path, "send({'threads': 1})\ncame.recv(100)\nos.kill(os.getpid(), 9)")
    detects = Detector(str(tmp_path / "starts"), PERSON, dies)
    for _ in range(3):
        with pytest.raises(DetectorError, match="what looks for people ended 2 times"):
            detects.score(np.zeros((3, 4, 4), np.float32))
    assert (tmp_path / "starts").read_text() == "xx", "it is not started for every picture"


def test_a_picture_that_it_does_not_take_is_said_and_the_next_one_taken(detects: Detector) -> None:
    with pytest.raises(DetectorError, match="it cannot be looked at: RuntimeError"):
        detects.score(np.zeros((3, 80, 48), np.float32))  # its feature maps do not fit together
    assert 0 <= detects.score(values_of(BLANK)) <= 1


def test_weights_that_are_missing_are_refused_and_not_made_up(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = detector_folder(tmp_path / "model", "yolos")
    weights = load_file(folder / "model.safetensors")
    del weights["class_labels_classifier.layers.2.bias"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    detects = Detector(str(folder), PERSON)
    with pytest.raises(DetectorError, match=r"the person model cannot be loaded: .*classifier\.layers\.2\.bias"):
        detects.score(values_of(BLANK, "yolos"))
    detects.close()


def test_labels_for_other_classes_than_it_tells_are_refused(tmp_path: Path) -> None:
    folder = detector_folder(tmp_path)
    change_config(folder, id2label={"0": "person"})
    detects = Detector(str(folder), 0)
    with pytest.raises(DetectorError, match="cannot be loaded"):
        detects.score(values_of(BLANK))
    detects.close()


def test_no_code_of_a_folder_is_run(tmp_path: Path) -> None:
    folder, ran = detector_folder(tmp_path / "model"), tmp_path / "ran"
    (folder / "evil.py").write_text(f"open({str(ran)!r}, 'w')\n")
    change_config(folder, auto_map={"AutoConfig": "evil.C", "AutoModelForObjectDetection": "evil.M"})
    detects = Detector(str(folder), PERSON)
    assert 0 <= detects.score(values_of(BLANK)) <= 1
    detects.close()
    assert not ran.exists()


def test_a_score_that_is_no_number_is_said(tmp_path: Path) -> None:
    answers = stub(tmp_path, "send({'threads': 1})\ncame.recv(100)\nsend({'score': float('nan')})\ntime.sleep(9)")
    detects = Detector(str(tmp_path / "starts"), PERSON, answers)
    with pytest.raises(DetectorError, match="no number"):
        detects.score(np.zeros((3, 2, 2), np.float32))
    detects.close()


def test_its_processors_need_no_torchvision() -> None:
    for module, name in PROCESSORS.values():
        assert hasattr(import_module(f"transformers.models.{module}.image_processing_pil_{module}"), name)
