"""The model a campaign names: a row of the table, or a folder that diffusers saved."""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Any

from catalogs.errors import ModelError
from inference.models.specs import FAMILIES, Family, ModelSpec
from inference.models.table import MODELS, TINY, guided, klein
from inference.models.weights import weights_hash
from inference.models.whole import check_whole, read_object


def resolve_model(name: str, source: str) -> ModelSpec:
    """The model a campaign names: an entry of the table, or a local folder saved by diffusers.

    A relative folder is relative to the campaign file `source`. A folder's revision is the hash of its
    weights; the first call on a large one reads them all.

    Raises:
        ModelError: no such name or folder, or a folder of another pipeline.
    """
    if name in MODELS:
        return MODELS[name]
    folder = Path(source).parent / Path(name).expanduser()
    if os.path.isdir(folder):  # False for what no folder can be called
        return _local_model(folder.resolve(), source)
    raise ModelError(source, "model", f"there is no model {name!r}", _nearest(name))


def _nearest(name: str) -> str:
    for spec in MODELS.values():
        if spec.repository and name.lower() in (
            spec.repository.lower(),
            spec.repository.lower().split("/")[-1],
        ):
            return f"did you mean {spec.name!r}?"
    close = difflib.get_close_matches(name.lower(), MODELS, n=2, cutoff=0.6)
    if close:
        return "did you mean " + " or ".join(map(repr, close)) + "?"
    return "use one of " + ", ".join(MODELS) + " or a folder saved by a FLUX.2 pipeline of diffusers"


def _local_model(folder: Path, source: str) -> ModelSpec:
    index = read_object(folder / "model_index.json")
    if index is None:
        raise ModelError(
            source,
            "model",
            f"{folder} holds no readable model_index.json",
            "name a folder saved by diffusers",
        )
    family = FAMILIES.get((index.get("_class_name", ""), bool(index.get("is_distilled", False))))
    if family is None:
        problem = f"{folder} holds a {index.get('_class_name')}, which is no FLUX.2 pipeline of this engine"
        raise ModelError(source, "model", problem, _usable())
    check_whole(folder)
    common: dict[str, Any] = {
        "name": str(folder),
        "repository": str(folder),
        "revision": weights_hash(folder),
    }
    alike = _same_architecture(folder)
    licence = "that of the folder's weights" if alike.commercial else alike.licence
    common |= {"seconds": _seconds(alike, family), "licence": licence, "commercial": alike.commercial}
    if family in ("klein", "kv"):
        return klein(family=family, **common)
    return guided(family=family, **common)


def _same_architecture(folder: Path) -> ModelSpec:
    """The table's model of the same size: 24 attention heads are the 4B, 32 the 9B, 48 dev."""
    config = read_object(folder / "transformer" / "config.json") or {}
    names = {24: "klein-4b", 32: "klein-9b", 48: "dev"}
    return MODELS[names.get(config.get("num_attention_heads", 0), TINY)]


def _seconds(alike: ModelSpec, family: Family) -> float:
    """Time of a picture under the steps of another family of the same size."""
    times = {"klein-4b": "klein-base-4b", "klein-9b": "klein-base-9b"}
    if family == "base" and alike.name in times:
        return MODELS[times[alike.name]].seconds_per_megapixel
    return alike.seconds_per_megapixel


def _usable() -> str:
    names = [spec.name for spec in MODELS.values() if spec.name != TINY]
    return f"use {', '.join(names)} or a folder saved by a FLUX.2 pipeline"
