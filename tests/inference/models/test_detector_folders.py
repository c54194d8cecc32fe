"""Folders of object detectors: which are taken, and what is said of the others."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from catalogs.errors import ModelError
from inference.models.vision import read_detector_folder
from tests.detector_folders import KINDS, PERSON, detector_folder
from tests.vision_folders import change_config, vision_folder

KEY = "quality.person_model"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return detector_folder(tmp_path_factory.mktemp("saved") / "model")


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "model"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_that_transformers_saved_is_taken(kind: str, tmp_path: Path) -> None:
    found = read_detector_folder(str(detector_folder(tmp_path, kind)), "c.yaml", KEY)
    assert (found.model_type, found.person) == (kind, PERSON)
    assert found.prepares["resample"] == 2


def _cut(folder: Path) -> None:
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[:-100])


def _pickle(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")


def _embedder(folder: Path) -> None:
    shutil.rmtree(folder)
    vision_folder(folder)


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (shutil.rmtree, "there is no folder"),
    "no config": (lambda f: (f / "config.json").unlink(), "holds no readable config.json"),
    "embedder": (_embedder, "of type 'dinov2', which finds no people here"),
    "other detector": (lambda f: change_config(f, model_type="owlvit"), "of type 'owlvit', which finds no people"),
    "pickle": (_pickle, "holds no model.safetensors"),
    "cut off": (_cut, "ends too early"),
    "a page": (lambda f: (f / "model.safetensors").write_text("<html>"), "is no safetensors file"),
    "quantized": (lambda f: change_config(f, quantization_config={"a": 1}), "quantized"),
    "no preprocessor": (lambda f: (f / "preprocessor_config.json").unlink(), "readable preprocessor_config.json"),
    "no person": (lambda f: change_config(f, id2label={"0": "cat", "1": "personal car"}), "has no class person"),
    "no labels": (lambda f: change_config(f, id2label=None), "has no class person"),
    "list of labels": (lambda f: change_config(f, id2label=["person"]), "has no class person"),
    "odd number": (lambda f: change_config(f, id2label={"x": "person", "9" * 5000: "person"}), "has no class person"),
    "two": (lambda f: change_config(f, id2label={"0": "person", "1": "PERSON"}), "has 2 classes person"),
    "timm": (lambda f: change_config(f, backbone_config=None, backbone="resnet50"), "backbone of timm"),
    "timm inside": (lambda f: change_config(f, backbone_config={"model_type": "timm_backbone"}), "backbone of timm"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_folder_that_cannot_be_used_is_said_in_a_line(name: str, folder: Path) -> None:
    spoil, said = BAD[name]
    spoil(folder)
    with pytest.raises(ModelError) as raised:
        read_detector_folder(str(folder), "c.yaml", KEY)
    line = str(raised.value)
    assert said in line
    assert line.startswith(f"c.yaml: {KEY}")
    assert "\n" not in line
