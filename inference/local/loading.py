"""From the files of a checkpoint to a pipeline's parts, each loaded straight to where it will lie."""

from __future__ import annotations

import json
import os
import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catalogs.errors import EngineError, ModelError
from inference.local.language_model import TEXT_LAYERS
from inference.models.parts import Parts
from inference.models.specs import FAMILIES, Family
from inference.models.table import MODELS
from inference.models.weights import cache_folder

_READ = re.compile(r"^(?!.*vision).*\b(layers\.|embed_tokens)")
FLOAT8 = "float8"
FLOAT8_DYNAMIC = "float8-dynamic"


@dataclass(frozen=True)
class Source:
    """Which weights to load.

    Attributes:
        model: name in the model table or absolute path of a folder saved by diffusers.
        weight_precision: `bfloat16`, `float32`, `float8` (weights stored in 8 bits, computed in bfloat16) or
            `float8-dynamic` (stored and computed in 8 bits).
        lora: (path, scale) of each LoRA file, in order.
    """

    model: str
    revision: str
    weight_precision: str
    lora: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Files:
    """Where a checkpoint's files are and what its configurations say: read before any weight is.

    Attributes:
        place: folder or repository.
        pretrained: what every `from_pretrained` must be told of it.
        text: transformers' configuration of the text encoder, cut to the layers that are read.
    """

    place: str
    pretrained: dict[str, Any]
    parts: Parts
    text: Any


def find_files(source: Source, place: str, pretrained: dict[str, Any]) -> Files:
    """What the configurations of a source say; on the hub they are fetched as they are read.

    Raises:
        ModelError: it is none of this engine's.
    """
    from diffusers import AutoencoderKLFlux2, Flux2Transformer2DModel
    from transformers import AutoConfig

    family = _family(source.model, place)
    transformer = Flux2Transformer2DModel.load_config(place, subfolder="transformer", **pretrained)
    vae = AutoencoderKLFlux2.load_config(place, subfolder="vae", **pretrained)
    text = AutoConfig.from_pretrained(place, subfolder="text_encoder", **pretrained)
    _cut(text.get_text_config(), max(TEXT_LAYERS[family]), source.model)
    parts = Parts.of(family, transformer, text.to_dict(), vae, max(TEXT_LAYERS[family]))
    return Files(place, pretrained, parts, text)


def _cut(config: Any, layers: int, model: str) -> None:
    if config.num_hidden_layers < layers:
        problem = f"its text encoder has {config.num_hidden_layers} layers, of which FLUX.2 reads number {layers}"
        raise ModelError(model, "", problem, "name the folder of a whole checkpoint")
    config.num_hidden_layers = layers
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:layers]


def load_pipeline(files: Files, source: Source, transformer_on: Any, encoder_on: Any) -> Any:
    """The pipeline with its parts on the devices named, its LoRAs merged; the VAE lies beside the transformer."""
    import diffusers
    import torch

    precision = "bfloat16" if source.weight_precision in (FLOAT8, FLOAT8_DYNAMIC) else source.weight_precision
    dtype, options = getattr(torch, precision), files.pretrained
    parts = {
        "text_encoder": _text_encoder(files, dtype, encoder_on),
        "transformer": _part(files, diffusers.Flux2Transformer2DModel, "transformer", dtype, transformer_on),
        "vae": _part(files, diffusers.AutoencoderKLFlux2, "vae", dtype, transformer_on),
    }
    # dev names a PixtralProcessor, which needs torchvision for pictures the text encoder never gets: its tokenizer
    # with its chat template is all that is used of it.
    if files.parts.family == "dev":
        from transformers import AutoTokenizer

        parts["tokenizer"] = AutoTokenizer.from_pretrained(files.place, subfolder="tokenizer", **options)
    names = {"klein": "Flux2KleinPipeline", "base": "Flux2KleinPipeline", "kv": "Flux2KleinKVPipeline"}
    pipe: Any = getattr(diffusers, names.get(files.parts.family, "Flux2Pipeline")).from_pretrained(
        files.place,
        dtype=dtype,
        **{name: part for name, part in parts.items() if name != "tokenizer"},
        **({"tokenizer": None} if "tokenizer" in parts else {}),
        **options,
    )
    pipe.tokenizer = parts.get("tokenizer", pipe.tokenizer)
    for path, scale in source.lora:
        _merge_lora(pipe, path, scale)
    return pipe


def _on(device: Any) -> dict[str, Any]:
    """What loads weights straight to a device: through the host's memory a large model would need it twice."""
    return {} if device.type == "cpu" else {"device_map": {"": device}}


def _part(files: Files, kind: Any, name: str, dtype: Any, device: Any) -> Any:
    """A model of diffusers."""
    made, told = kind.from_pretrained(
        files.place, subfolder=name, torch_dtype=dtype, output_loading_info=True, **_on(device), **files.pretrained
    )
    _refuse_missing(files, name, told["missing_keys"])
    return made


def _refuse_missing(files: Files, part: str, missing: Iterable[str]) -> None:
    """Raise EngineError for weights that the files do not hold: in their place would be random ones."""
    names = sorted(name for name in missing if not name.endswith(".num_batches_tracked"))  # of training only
    if names:
        raise EngineError(
            f"{files.place}: its {part} lacks {len(names)} weights, {names[0]} first: fetch its files again"
        )


def _text_encoder(files: Files, dtype: Any, device: Any) -> Any:
    """The language model without the layers that nobody reads, of which no weight is read from the disk."""
    import transformers

    model = getattr(transformers, files.text.architectures[0])
    made, told = model.from_pretrained(
        files.place,
        subfolder="text_encoder",
        config=files.text,
        dtype=dtype,
        output_loading_info=True,
        **_on(device),
        **files.pretrained,
    )
    # Its head and its vision tower are not used, nor is the norm after its last layer.
    _refuse_missing(files, "text_encoder", (name for name in told["missing_keys"] if _READ.search(name)))
    return made


def _merge_lora(pipe: Any, path: str, scale: float) -> None:
    """Add a LoRA to the weights themselves: it then costs nothing at each step."""
    folder, name = os.path.split(path)
    pipe.load_lora_weights(folder, weight_name=name, use_safetensors=True)
    if not pipe.get_active_adapters():
        raise EngineError(f"{path}: no weight in it belongs to this model")
    pipe.fuse_lora(lora_scale=scale)
    pipe.unload_lora_weights()


def quieten() -> None:
    """Silence what diffusers and transformers say while they load.

    Raises:
        EngineError: they are not installed.
    """
    try:
        from diffusers.utils import logging as diffusers_logging
        from transformers.utils import logging as transformers_logging
    except ImportError as error:
        message = f"the diffusers engine is not installed ({error.name}): pip install 'packshot[diffusers]'"
        raise EngineError(message) from None
    # Said of an argument that diffusers itself hands over for each configuration it reads from the hub.
    warnings.filterwarnings("ignore", message=".*local_dir_use_symlinks")
    diffusers_logging.set_verbosity_error()
    diffusers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()


def place_of(source: Source) -> tuple[str, dict[str, Any]]:
    """Folder or repository, and what `from_pretrained` must be told of it.

    Raises:
        ModelError: a name that is none of this engine's.
        EngineError: the tiny checkpoint cannot be written.
    """
    from safetensors import SafetensorError

    from inference.local.tiny import TINY_MODEL, tiny_checkpoint

    if source.model == TINY_MODEL:
        try:
            return str(tiny_checkpoint()), {"local_files_only": True}
        except (OSError, SafetensorError) as error:
            problem = f"{TINY_MODEL}: its weights cannot be written to {cache_folder()} ({error})"
            raise EngineError(f"{problem}; set PACKSHOT_CACHE to a folder with room that can be written") from error
    if Path(source.model).is_absolute():
        return source.model, {"local_files_only": True}
    spec = MODELS.get(source.model)
    if spec is None or not spec.repository or spec.engine != "diffusers":
        raise ModelError(source.model, "", "is no model of this engine", "see `packshot models`")
    return spec.repository, {"revision": source.revision}


def _family(model: str, place: str) -> Family:
    if model in MODELS:
        family = MODELS[model].family
    else:
        index = json.loads((Path(place) / "model_index.json").read_text("utf-8"))
        family = FAMILIES.get((index.get("_class_name"), bool(index.get("is_distilled", False))))
    if family is None:
        raise ModelError(model, "", "is no FLUX.2 pipeline of this engine", "see `packshot models`")
    return family
