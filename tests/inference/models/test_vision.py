"""Folders of vision models: which are taken, and what is said of the others."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from catalogs.errors import ModelError
from inference.models.vision import read_vision_folder, vision_hash
from tests.vision_folders import change_config, vision_folder

KEY = "quality.likeness_model"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return vision_folder(tmp_path_factory.mktemp("saved") / "model")


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "model"))


@pytest.mark.parametrize("kind", ["dinov2", "clip_vision_model", "clip", "siglip_vision_model"])
def test_a_folder_that_transformers_saved_is_taken(kind: str, tmp_path: Path) -> None:
    config, prepares = read_vision_folder(str(vision_folder(tmp_path, kind)), "c.yaml", KEY)
    assert (config["model_type"], config["image_size"]) == (kind, 56)
    assert prepares["image_mean"]


def test_other_weights_are_another_model(folder: Path) -> None:
    before = vision_hash(str(folder))
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "model.safetensors").write_bytes(data)
    assert len(before) == 64
    assert vision_hash(str(folder)) != before


def _cut(folder: Path) -> None:
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[:-100])


def _pickle(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")


def _other_name(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "weights.safetensors")


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (shutil.rmtree, "there is no folder"),
    "empty": (lambda f: [path.unlink() for path in f.iterdir()], "holds no readable config.json"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "holds no model.safetensors"),
    "other name": (_other_name, "holds no model.safetensors"),
    "pickle": (_pickle, "holds no model.safetensors"),
    "cut off": (_cut, "ends too early"),
    "a page": (lambda f: (f / "model.safetensors").write_text("<html>"), "is no safetensors file"),
    "text": (lambda f: change_config(f, model_type="bert"), "of type 'bert', which embeds no pictures"),
    "no type": (lambda f: (f / "config.json").write_text("{}"), "of type 'None'"),
    "odd type": (lambda f: change_config(f, model_type=["dinov2"]), "embeds no pictures"),
    "garbage": (lambda f: (f / "config.json").write_bytes(b"\xff\x00{"), "holds no readable config.json"),
    "list": (lambda f: (f / "config.json").write_text("[]"), "holds no readable config.json"),
    "deep": (lambda f: (f / "config.json").write_text("[" * 100_000), "holds no readable config.json"),
    "quantized": (lambda f: change_config(f, quantization_config={"a": 1}), "quantized"),
    "adapter": (lambda f: (f / "adapter_config.json").write_text("{}"), "holds an adapter"),
    "no preprocessor": (lambda f: (f / "preprocessor_config.json").unlink(), "readable preprocessor_config.json"),
    "shards": (lambda f: (f / "model.safetensors.index.json").write_text("{}"), "no readable model.safetensors.index"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_folder_that_cannot_be_used_is_said_in_a_line(name: str, folder: Path) -> None:
    spoil, said = BAD[name]
    spoil(folder)
    with pytest.raises(ModelError) as raised:
        read_vision_folder(str(folder), "c.yaml", KEY)
    line = str(raised.value)
    assert said in line
    assert line.startswith(f"c.yaml: {KEY}")
    assert "\n" not in line


@pytest.mark.parametrize("name", ["a\0b", "/dev/null", "x" * 5000])
def test_what_no_folder_can_be_called(name: str) -> None:
    with pytest.raises(ModelError, match="there is no folder"):
        read_vision_folder(name, "c.yaml", KEY)


def test_shards_of_weights_are_taken_with_their_index(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")
    index = {"weight_map": {"layernorm.weight": "model-00001-of-00001.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    read_vision_folder(str(folder), "c.yaml", KEY)
