"""Loads a FLUX.2 checkpoint and lays it out on the machine: class, precision, LoRA, memory mode, compilation."""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from catalogs.errors import EngineError, ModelError, OptionError, PackshotError, nearest
from inference.engine import EngineOptions
from inference.local.decoding import tile
from inference.models.choice import choose
from inference.models.flops import TransformerShape
from inference.models.machine import free_host_bytes
from inference.models.memory import MODES, Mode
from inference.models.parts import Parts
from inference.models.specs import FAMILIES, Family
from inference.models.table import MODELS
from inference.models.weights import cache_folder
from inference.models.workload import Workload

if TYPE_CHECKING:
    import torch

TEXT_LAYERS: dict[Family, tuple[int, ...]] = {
    "klein": (9, 18, 27),
    "base": (9, 18, 27),
    "kv": (9, 18, 27),
    "dev": (10, 20, 30),
}
"""Hidden layers each pipeline reads of its text encoder, by diffusers' defaults."""

FLOAT8 = "float8"
_logger = logging.getLogger(__name__)
# Each new combination of batch and geometry compiles anew up to this often; torch's 8 would then fall back to eager.
_RECOMPILE_LIMIT = 128


@dataclass(frozen=True)
class Source:
    """Which weights to load.

    Attributes:
        model: name in the model table or absolute path of a folder saved by diffusers.
        weight_precision: `bfloat16`, `float32` or `float8` (weights stored in 8 bits, computed in bfloat16).
        lora: (path, scale) of each LoRA file, in order.
    """

    model: str
    revision: str
    weight_precision: str
    lora: tuple[tuple[str, float], ...] = ()


@dataclass
class Checkpoint:
    """The parts of a pipeline, ready to run.

    Attributes:
        family: which loop the weights were trained for.
        pipe: the diffusers pipeline; its packing and position ids are used, never its `__call__`.
        text_encoder: the bare language model, cut off after the last layer that is read.
        memory: how the parts share the device.
        schedulers: by (steps, tokens of the picture), set up and before their first step.
        is_hooked: weights are cast or fetched as each layer of the transformer is called.
    """

    family: Family
    pipe: Any
    text_encoder: Any
    device: torch.device
    memory: Mode
    shape: TransformerShape
    schedulers: dict[tuple[int, int], Any] = field(default_factory=dict)
    is_hooked: bool = False

    @property
    def transformer(self) -> Any:
        return self.pipe.transformer

    @property
    def vae(self) -> Any:
        return self.pipe.vae

    @contextmanager
    def using(self, part: Literal["text_encoder", "transformer"]) -> Iterator[None]:
        """Have a part on the device; in two-phase mode the other one makes room for it."""
        if self.memory == "two-phase":
            other = self.transformer if part == "text_encoder" else self.text_encoder
            wanted = self.text_encoder if part == "text_encoder" else self.transformer
            if _device_of(wanted).type != self.device.type:  # "cuda" and "cuda:0" are not equal
                other.to("cpu")
                wanted.to(self.device)
        yield


def _device_of(module: Any) -> Any:
    return next(module.parameters()).device


def load_checkpoint(source: Source, options: EngineOptions, largest: Workload | None = None) -> Checkpoint:
    """Load weights onto the GPU if there is one, else the CPU.

    Args:
        largest: of what will be asked of it.

    Raises:
        EngineError: diffusers is not installed, the weights cannot be loaded, or not even one picture would fit.
        ModelError: the model is none of this engine's, or its weights are not to be had.
        OptionError: the attention backend cannot be used here.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # Compiled kernels are kept: a second process of the same machine does not wait for them.
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_folder() / "inductor"))
    _quiet()
    place, pretrained = _place_of(source)
    try:
        family = _family(source.model, place)
        pipe = _pipeline(family, place, source, pretrained)
        return placed(pipe, family, source.weight_precision, options, largest)
    except PackshotError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and not os.path.isdir(place):
            raise _not_to_be_had(source, place) from error
        reason = " ".join(str(error).split())[:300]
        raise EngineError(f"{source.model}: cannot be loaded: {type(error).__name__}: {reason}") from error


def _not_to_be_had(source: Source, repository: str) -> ModelError:
    """Weights that are not on this machine, and that the hub does not give: to try again would not help."""
    offline = " (HF_HUB_OFFLINE is set)" if os.environ.get("HF_HUB_OFFLINE") else ""
    fix = f"run `hf download {repository} --revision {source.revision}`, or name a folder that holds them as the model"
    return ModelError(source.model, "", f"its weights are not on this machine and cannot be fetched{offline}", fix)


def placed(
    pipe: Any, family: Family, weight_precision: str, options: EngineOptions, largest: Workload | None = None
) -> Checkpoint:
    """Lay a loaded pipeline out on the GPU if there is one, else the CPU; it gives up its text encoder."""
    import torch

    checkpoint = Checkpoint(
        family=family,
        pipe=pipe,
        text_encoder=_cut_text_encoder(pipe, family),
        device=torch.device("cuda" if torch.cuda.is_available() else "cpu"),
        memory="resident",
        shape=TransformerShape.of(pipe.transformer.config),
    )
    checkpoint.memory = _memory_mode(checkpoint, weight_precision, options, largest or Workload())
    _store_in_float8(checkpoint, weight_precision)
    _lay_out(checkpoint)
    _speed_up(checkpoint, options)
    return checkpoint


def check_attention(name: str) -> None:
    """Raise OptionError for what diffusers does not know; says nothing where it is not installed."""
    if not name:
        return
    try:
        from diffusers.models.attention_dispatch import AttentionBackendName
    except ImportError:
        return
    known = sorted(backend.value for backend in AttentionBackendName)
    if name.lower() not in known:
        raise OptionError("--attention", name, "is no attention backend of diffusers", nearest(name, known))


def _quiet() -> None:
    """Silence what diffusers and transformers say while they load."""
    try:
        from diffusers.utils import logging as diffusers_logging
        from transformers.utils import logging as transformers_logging
    except ImportError as error:
        message = f"the diffusers engine is not installed ({error.name}): pip install 'packshot[diffusers]'"
        raise EngineError(message) from None
    diffusers_logging.set_verbosity_error()
    diffusers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()


def _place_of(source: Source) -> tuple[str, dict[str, Any]]:
    """Folder or repository, and what `from_pretrained` must be told of it."""
    from inference.local.tiny import TINY_MODEL, tiny_checkpoint

    if source.model == TINY_MODEL:
        return str(tiny_checkpoint()), {"local_files_only": True}
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


def _pipeline(family: Family, place: str, source: Source, pretrained: dict[str, Any]) -> Any:
    import diffusers
    import torch

    precision = "bfloat16" if source.weight_precision == FLOAT8 else source.weight_precision
    names = {"klein": "Flux2KleinPipeline", "base": "Flux2KleinPipeline", "kv": "Flux2KleinKVPipeline"}
    options: dict[str, Any] = {"dtype": getattr(torch, precision), **pretrained}
    # dev names a PixtralProcessor, which needs torchvision for pictures the text encoder never gets: its tokenizer
    # with its chat template is all that is used of it.
    if family == "dev":
        options["tokenizer"] = None
    pipe: Any = getattr(diffusers, names.get(family, "Flux2Pipeline")).from_pretrained(place, **options)
    if family == "dev":
        from transformers import AutoTokenizer

        pipe.tokenizer = AutoTokenizer.from_pretrained(place, subfolder="tokenizer", **pretrained)
    for path, scale in source.lora:
        _merge_lora(pipe, path, scale)
    return pipe


def _merge_lora(pipe: Any, path: str, scale: float) -> None:
    """Add a LoRA to the weights themselves: it then costs nothing at each step."""
    folder, name = os.path.split(path)
    pipe.load_lora_weights(folder, weight_name=name, use_safetensors=True)
    if not pipe.get_active_adapters():
        raise EngineError(f"{path}: no weight in it belongs to this model")
    pipe.fuse_lora(lora_scale=scale)
    pipe.unload_lora_weights()


def _cut_text_encoder(pipe: Any, family: Family) -> Any:
    """The language model without its head, its vision tower and the layers nobody reads."""
    import torch

    model = pipe.text_encoder.model
    model = getattr(model, "language_model", model)
    model.layers = model.layers[: max(TEXT_LAYERS[family])]
    # The last layer that is read is taken before the norm that follows the last layer there is.
    model.norm = torch.nn.Identity()
    pipe.text_encoder = None
    return model


def _memory_mode(checkpoint: Checkpoint, weight_precision: str, options: EngineOptions, workload: Workload) -> Mode:
    """The asked mode, or the fastest that the device has room for; the VAE takes tiles where nothing else fits.

    Raises:
        EngineError: not even one picture fits.
    """
    import torch

    if checkpoint.device.type != "cuda":
        return "resident" if options.memory == "auto" else options.memory
    pipe, encoder = checkpoint.pipe, checkpoint.text_encoder
    layers = len(encoder.layers)
    parts = Parts.of(checkpoint.family, pipe.transformer.config, encoder.config.to_dict(), pipe.vae.config, layers)
    # The weights lie on the host already.
    host = free_host_bytes() + sum(map(_bytes, (encoder, checkpoint.transformer)))
    modes = MODES if options.memory == "auto" else (options.memory,)
    choice = choose(parts, weight_precision, workload, torch.cuda.mem_get_info(checkpoint.device)[0], host, modes)
    if isinstance(choice, str):
        if options.memory != "auto":  # an estimate does not overrule what was asked for
            return options.memory
        raise EngineError(f"the model does not fit: {choice}")
    if choice.tiled:
        tile(checkpoint.vae)
    return choice.mode


def _bytes(module: Any) -> int:
    return sum(parameter.numel() * parameter.element_size() for parameter in module.parameters())


def _store_in_float8(checkpoint: Checkpoint, weight_precision: str) -> None:
    import torch

    if weight_precision == FLOAT8:
        checkpoint.is_hooked = True
        checkpoint.transformer.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=torch.bfloat16)


def _lay_out(checkpoint: Checkpoint) -> None:
    device = checkpoint.device
    checkpoint.vae.to(device)
    if checkpoint.memory == "offload":
        checkpoint.is_hooked = True
        _stream_blocks(checkpoint)
        return
    checkpoint.transformer.to(device)
    if checkpoint.memory == "resident":
        checkpoint.text_encoder.to(device)


def _stream_blocks(checkpoint: Checkpoint) -> None:
    """Keep weights on the host and bring each block to the device when its turn comes."""
    import torch
    from diffusers.hooks import apply_group_offloading

    stream = checkpoint.device.type == "cuda"
    common = {"onload_device": checkpoint.device, "offload_device": torch.device("cpu"), "use_stream": stream}
    apply_group_offloading(checkpoint.text_encoder, offload_type="leaf_level", **common)
    apply_group_offloading(checkpoint.transformer, offload_type="leaf_level", **common)


def _speed_up(checkpoint: Checkpoint, options: EngineOptions) -> None:
    import torch

    if options.decoder == "folded":
        from inference.local.decoding import fold_upsamplers

        fold_upsamplers(checkpoint.vae.decoder)
    if options.attention:
        try:
            checkpoint.transformer.set_attention_backend(options.attention)
        except (ValueError, ImportError, RuntimeError) as error:  # a package or a kernel it needs is not here
            reason = " ".join(str(error).split())[:300]
            raise OptionError("--attention", options.attention, reason, "choose another, or leave it out") from None
    if options.compile:
        import torch._dynamo

        torch._dynamo.config.recompile_limit = _RECOMPILE_LIMIT
        # Said of a version check in diffusers' upsampler; its answer is the same at every call.
        warnings.filterwarnings("ignore", message="Dynamo detected a call to a `functools.lru_cache`")
        if checkpoint.is_hooked:
            _logger.warning("float8 and offloaded blocks cannot be compiled; the decoder is")
        else:
            checkpoint.transformer.compile_repeated_blocks(fullgraph=True)
        # channels_last alone makes the decoder slower; compiled it makes it faster.
        checkpoint.vae.decoder.to(memory_format=torch.channels_last)
        checkpoint.vae.decoder = torch.compile(checkpoint.vae.decoder)
