"""Whether a folder holds a vision model that embeds pictures, or finds people: told from its configuration and the
heads of its files.

Nothing is loaded and no code of the folder is run: only the types that stand here are taken, only safetensors.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catalogs.errors import ModelError
from inference.models.weights import weights_hash
from inference.models.whole import part_problem, read_object

VISION_TYPES = ("clip", "clip_vision_model", "dinov2", "dinov2_with_registers", "siglip", "siglip_vision_model")
"""transformers' `model_type`; of `clip` and `siglip`, which have a text model too, the vision model alone is used."""

DETECTOR_TYPES = ("d_fine", "detr", "rt_detr", "rt_detr_v2", "yolos")

PERSON = "person"
"""The class that is looked for, as COCO calls it."""

_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
_NUMBER = re.compile("[0-9]{1,6}")
_PREPROCESSOR = "preprocessor_config.json"


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a folder is to hold.

    Attributes:
        types: transformers' `model_type`.
        lacks: what one of another type does not do, as "embeds no pictures".
        fix: what to do then.
    """

    types: tuple[str, ...]
    lacks: str
    fix: str


_EMBEDS = _Wanted(
    VISION_TYPES, "embeds no pictures", "name a local folder of a DINOv2, CLIP or SigLIP model of transformers"
)
_DETECTS = _Wanted(
    DETECTOR_TYPES, "finds no people", "name a local folder of an RT-DETR, D-FINE, YOLOS or DETR model of transformers"
)


@dataclass(frozen=True, slots=True)
class DetectorFolder:
    """An object detector.

    Attributes:
        model_type: transformers' name of it.
        person: number of the class that is a person.
        prepares: its `preprocessor_config.json`.
    """

    model_type: str
    person: int
    prepares: dict[str, Any]


def read_vision_folder(folder: str, source: str, key: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The configuration of the vision model in a folder, and how its pictures are prepared.

    Args:
        source: the file that names the folder, and `key` where in it.

    Raises:
        ModelError: one line: no such folder, another model, weights that are missing, cut off or not safetensors.
    """
    config, prepares = _read(folder, source, key, _EMBEDS)
    inner = config.get("vision_config")
    own = inner if isinstance(inner, dict) else {}
    return {**config, **own, "model_type": config["model_type"]}, prepares


def read_detector_folder(folder: str, source: str, key: str) -> DetectorFolder:
    """The object detector in a folder, which has a class "person".

    Args:
        source: the file that names the folder, and `key` where in it.

    Raises:
        ModelError: as `read_vision_folder`, or it has no such class, or more than one, or builds on timm.
    """
    config, prepares = _read(folder, source, key, _DETECTS)
    if problem := _backbone_problem(config):
        fix = "take a copy that transformers saved with its own backbone, or another model"
        raise ModelError(source, key, f"{folder} {problem}", fix)
    labels = config.get("id2label")
    named = labels.items() if isinstance(labels, dict) else ()
    found = [number for number, label in named if str(label).strip().lower() == PERSON and _NUMBER.fullmatch(number)]
    if len(found) != 1:
        problem = f"has {len(found) or 'no'} {'classes' if found else 'class'} {PERSON}"
        raise ModelError(source, key, f"{folder} {problem}", "name a model whose id2label has one, as those of COCO")
    return DetectorFolder(config["model_type"], int(found[0]), prepares)


def vision_hash(folder: str) -> str:
    """Which model a folder holds: the hash of its files, as local models have theirs.

    Raises:
        ModelError: it cannot be read.
    """
    return weights_hash(folder)


def _read(folder: str, source: str, key: str, wanted: _Wanted) -> tuple[dict[str, Any], dict[str, Any]]:
    """Configuration of model and preprocessor."""
    root = Path(folder)
    if not os.path.isdir(root):  # False for what no folder can be called
        raise ModelError(source, key, f"there is no folder {folder}", wanted.fix)
    try:
        problem = _type_problem(root, wanted) or _weights_problem(root)
    except OSError as error:
        raise ModelError(source, key, f"{folder} cannot be read ({error.strerror})", "check its rights") from None
    if problem:
        raise ModelError(source, key, f"{folder} {problem}", wanted.fix)
    prepares = read_object(root / _PREPROCESSOR)
    if prepares is None:
        raise ModelError(source, key, f"{folder} holds no readable {_PREPROCESSOR}", "fetch it from where the model is")
    return read_object(root / "config.json") or {}, prepares


def _type_problem(root: Path, wanted: _Wanted) -> str | None:
    config = read_object(root / "config.json")
    if config is None:
        return "holds no readable config.json"
    kind = config.get("model_type")
    if kind not in wanted.types:
        return f"holds a model of type {str(kind)[:60]!r}, which {wanted.lacks} here"
    if "quantization_config" in config:
        return "holds quantized weights"
    # transformers would load another model, and this on top of it.
    return "holds an adapter" if (root / "adapter_config.json").exists() else None


def _backbone_problem(config: dict[str, Any]) -> str | None:
    """A detector's own backbone is in its folder; one that is only named is timm's, or would be fetched."""
    inner = config.get("backbone_config")
    if config["model_type"] == "yolos" or (isinstance(inner, dict) and inner.get("model_type") != "timm_backbone"):
        return None
    return "builds on a backbone of timm, which is not used here"


def _weights_problem(root: Path) -> str | None:
    if not any((root / name).is_file() for name in _WEIGHTS):
        # A pickle runs the code that is in it.
        return f"holds no {_WEIGHTS[0]}; no other weights are loaded"
    return part_problem(root)
