"""Whether a folder holds a vision model that embeds pictures: told from its configuration and the heads of its files.

Nothing is loaded and no code of the folder is run: only the types that stand here are taken, only safetensors.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from catalogs.errors import ModelError
from inference.models.weights import weights_hash
from inference.models.whole import part_problem, read_object

VISION_TYPES = ("clip", "clip_vision_model", "dinov2", "dinov2_with_registers", "siglip", "siglip_vision_model")
"""transformers' `model_type`; of `clip` and `siglip`, which have a text model too, the vision model alone is used."""

_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
_PREPROCESSOR = "preprocessor_config.json"
_FIX = "name a local folder of a DINOv2, CLIP or SigLIP model of transformers"


def read_vision_folder(folder: str, source: str, key: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The configuration of the vision model in a folder, and how its pictures are prepared.

    Args:
        source: the file that names the folder, and `key` where in it.

    Raises:
        ModelError: one line: no such folder, another model, weights that are missing, cut off or not safetensors.
    """
    root = Path(folder)
    if not os.path.isdir(root):  # False for what no folder can be called
        raise ModelError(source, key, f"there is no folder {folder}", _FIX)
    try:
        problem = _type_problem(root) or _weights_problem(root)
    except OSError as error:
        raise ModelError(source, key, f"{folder} cannot be read ({error.strerror})", "check its rights") from None
    if problem:
        raise ModelError(source, key, f"{folder} {problem}", _FIX)
    prepares = read_object(root / _PREPROCESSOR)
    if prepares is None:
        raise ModelError(source, key, f"{folder} holds no readable {_PREPROCESSOR}", "fetch it from where the model is")
    config = read_object(root / "config.json") or {}
    inner = config.get("vision_config")
    own = inner if isinstance(inner, dict) else {}
    return {**config, **own, "model_type": config["model_type"]}, prepares


def vision_hash(folder: str) -> str:
    """Which model a folder holds: the hash of its files, as local models have theirs.

    Raises:
        ModelError: it cannot be read.
    """
    return weights_hash(folder)


def _type_problem(root: Path) -> str | None:
    config = read_object(root / "config.json")
    if config is None:
        return "holds no readable config.json"
    kind = config.get("model_type")
    if kind not in VISION_TYPES:
        return f"holds a model of type {str(kind)[:60]!r}, which embeds no pictures here"
    if "quantization_config" in config:
        return "holds quantized weights"
    # transformers would load another model, and this on top of it.
    return "holds an adapter" if (root / "adapter_config.json").exists() else None


def _weights_problem(root: Path) -> str | None:
    if not any((root / name).is_file() for name in _WEIGHTS):
        # A pickle runs the code that is in it.
        return f"holds no {_WEIGHTS[0]}; no other weights are loaded"
    return part_problem(root)
