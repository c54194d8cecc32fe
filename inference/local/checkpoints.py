"""Loads a FLUX.2 checkpoint and lays it out on the machine: memory mode and precision."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from catalogs.errors import EngineError, ModelError, OptionError, PackshotError, nearest
from inference.engine import EngineOptions
from inference.local.cards import own_device
from inference.local.decoding import tile
from inference.local.device import current, dense_flops, empty_cache
from inference.local.language_model import TEXT_LAYERS, LanguageModel
from inference.local.layer_stream import LayerStream
from inference.local.loading import FLOAT8, FLOAT8_DYNAMIC, Source, find_files, load_pipeline, place_of, quieten
from inference.models.choice import Choice, choose
from inference.models.flops import TransformerShape
from inference.models.machine import free_host_bytes
from inference.models.memory import MODES, Mode, compute_bytes, need
from inference.models.parts import Parts
from inference.models.specs import Family
from inference.models.weights import cache_folder
from inference.models.workload import Workload

if TYPE_CHECKING:
    import torch


@dataclass
class Checkpoint:
    """The parts of a pipeline, ready to run.

    Attributes:
        family: which loop the weights were trained for.
        pipe: the diffusers pipeline; its packing and position ids are used, never its `__call__`.
        language_model: the text encoder, cut off after the last layer that is read.
        memory: how the parts share the device.
        parts: their sizes.
        weight_precision: of the transformer.
        room: bytes the device had free before anything was loaded.
        schedulers: by (steps, tokens of the picture), set up and before their first step.
        is_hooked: weights are cast or fetched as each layer of the transformer is called.
    """

    family: Family
    pipe: Any
    language_model: LanguageModel
    device: torch.device
    memory: Mode
    parts: Parts
    weight_precision: str
    room: int = 0
    schedulers: dict[tuple[int, int], Any] = field(default_factory=dict)
    is_hooked: bool = False

    @property
    def shape(self) -> TransformerShape:
        return self.parts.transformer

    @property
    def transformer(self) -> Any:
        return self.pipe.transformer

    @property
    def vae(self) -> Any:
        return self.pipe.vae


def load_checkpoint(source: Source, options: EngineOptions, largest: Workload | None = None) -> Checkpoint:
    """Load weights onto a free GPU if there is one, else the CPU.

    Args:
        largest: of what will be asked of it.

    Raises:
        EngineError: diffusers is not installed, the weights cannot be loaded, not even one picture would fit, or the
            GPU cannot compute as asked.
        ModelError: the model is none of this engine's, or its weights are not to be had.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    _keep_compiled()
    quieten()
    if source.weight_precision == FLOAT8_DYNAMIC:
        from inference.local.float8 import check_device

        check_device()
    place, pretrained = place_of(source)
    try:
        with current(own_device()):
            return _loaded(source, place, pretrained, options, largest or Workload())
    except PackshotError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and not os.path.isdir(place):
            raise _not_to_be_had(source, place) from error
        raise EngineError(f"{source.model}: cannot be loaded: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """What the libraries say, where it is of use; the sizes they speak of they show on another stream."""
    if "ignore_mismatched_sizes" in str(error):
        return "its weights have not the sizes that its config.json names; fetch its files again"
    said = " ".join(str(error).split())[:300]
    return f"{type(error).__name__}: {said}; if its files may be damaged, fetch them again"


def _keep_compiled() -> None:
    """Keep compiled kernels: a second process of the same machine does not wait for them.

    Where the cache folder cannot be written, torch has a folder of its own: it makes one as it is imported, and fails.
    """
    folder = cache_folder() / "inductor"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    if os.access(folder, os.W_OK):
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(folder))


def _loaded(
    source: Source, place: str, pretrained: dict[str, Any], options: EngineOptions, workload: Workload
) -> Checkpoint:
    import torch

    device, host = own_device(), torch.device("cpu")
    _measure(device)
    files = find_files(source, place, pretrained)
    free = (_free(device), free_host_bytes())
    layout = _layout(files.parts, source.weight_precision, device, options, workload, free)
    # In two-phase mode the language model stays on the host, and its layers visit the device.
    encoder_on = device if layout.mode == "resident" else host
    as_read = _bytes_as_read(files.parts, source.weight_precision, with_encoder=layout.mode == "resident")
    whole = layout.mode != "offload" and as_read <= free[0]
    pipe = load_pipeline(files, source, device if whole else host, encoder_on)
    return placed(pipe, files.parts.family, source.weight_precision, options, device, layout, free[0])


def _bytes_as_read(parts: Parts, weight_precision: str, with_encoder: bool) -> int:
    """Of weights on the device before any is made smaller."""
    count = parts.transformer.parameters + parts.vae.parameters + with_encoder * parts.text.parameters
    return count * compute_bytes(weight_precision)


def _measure(device: torch.device) -> None:
    """How fast the device is, while it is empty: the matrices take 384 MiB."""
    import torch

    if device.type == "cuda":
        dense_flops(device, torch.bfloat16)
        empty_cache()


def _not_to_be_had(source: Source, repository: str) -> ModelError:
    """Weights that are not on this machine, and that the hub does not give: to try again would not help."""
    offline = " (HF_HUB_OFFLINE is set)" if os.environ.get("HF_HUB_OFFLINE") else ""
    fix = f"run `hf download {repository} --revision {source.revision}`, or name a folder that holds them as the model"
    return ModelError(source.model, "", f"its weights are not on this machine and cannot be fetched{offline}", fix)


def placed(
    pipe: Any,
    family: Family,
    weight_precision: str,
    options: EngineOptions,
    device: torch.device | None = None,
    layout: Choice | None = None,
    room: int = 0,
) -> Checkpoint:
    """Lay a loaded pipeline out on a device; it gives up its text encoder.

    Args:
        layout: that was chosen before its parts were loaded; without, they are laid out for an ordinary picture.
        room: bytes the device had free then.
    """
    device = device or own_device()
    model = _bare(pipe, family)
    parts = Parts.of(family, pipe.transformer.config, model.config.to_dict(), pipe.vae.config, len(model.layers))
    if layout is None:
        free = _free_without(pipe, model, device)
        layout, room = _layout(parts, weight_precision, device, options, Workload(), free), free[0]
    if layout.tiled:
        tile(pipe.vae)
    layers = None
    if layout.mode == "resident":
        model.to(device)
    else:
        layers = LayerStream(model.layers, device)
    language_model = LanguageModel(model, family, device, layers)
    checkpoint = Checkpoint(family, pipe, language_model, device, layout.mode, parts, weight_precision, room)
    _store_in_float8(checkpoint, weight_precision)
    _lay_out(checkpoint)
    return checkpoint


def _bare(pipe: Any, family: Family) -> Any:
    """The language model without head, vision tower and the layers nobody reads; the pipeline is left without."""
    model = pipe.text_encoder.model
    model = getattr(model, "language_model", model)
    model.layers = model.layers[: max(TEXT_LAYERS[family])]
    pipe.text_encoder = None
    return model


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


def check_attention_here(name: str) -> None:
    """Raise OptionError for a backend whose package this machine lacks, as far as diffusers can tell."""
    if not name:
        return
    try:
        from diffusers.models import attention_dispatch
    except ImportError:
        return
    check = getattr(attention_dispatch, "_check_attention_backend_requirements", None)
    try:
        if check is not None:
            check(attention_dispatch.AttentionBackendName(name.lower()))
    except RuntimeError as error:
        raise lacking_attention(name, error) from None


def lacking_attention(name: str, error: Exception) -> OptionError:
    """What diffusers says of a package or a kernel that is not here."""
    reason = " ".join(str(error).split())[:300].rstrip(".")
    return OptionError("--attention", name, reason, "choose another, or leave it out")


def _layout(
    parts: Parts,
    weight_precision: str,
    device: torch.device,
    options: EngineOptions,
    workload: Workload,
    free: tuple[int, int],
) -> Choice:
    """The asked mode, or the fastest there is room for; in either the VAE takes tiles where nothing else fits.

    Args:
        free: bytes of the device and of the host, without the weights.

    Raises:
        EngineError: not even one picture fits.
    """
    asked = None if options.memory == "auto" else options.memory
    if device.type != "cuda":
        return Choice(asked or "resident", 1)
    choice = choose(parts, weight_precision, workload, *free, MODES if asked is None else (asked,))
    if isinstance(choice, Choice):
        return choice
    if asked is None:
        raise EngineError(f"the model does not fit: {choice}")
    return Choice(asked, 1)  # an estimate does not overrule what was asked for


def is_laid_out_for(checkpoint: Checkpoint, options: EngineOptions, workload: Workload) -> bool:
    """Whether the parts would be laid out as they are if they were loaded for this.

    Raises:
        EngineError: not even one picture fits.
    """
    host = need(checkpoint.parts, checkpoint.weight_precision, checkpoint.memory, workload).host
    free = checkpoint.room, free_host_bytes() + host
    choice = _layout(checkpoint.parts, checkpoint.weight_precision, checkpoint.device, options, workload, free)
    return (choice.mode, choice.tiled) == (checkpoint.memory, bool(checkpoint.vae.use_tiling))


def _free_without(pipe: Any, model: Any, device: torch.device) -> tuple[int, int]:
    """Bytes of the device and of the host that would be free without these weights; 0 of the device on a CPU."""
    if device.type != "cuda":
        return 0, free_host_bytes()
    weights = [tensor for part in (pipe.transformer, pipe.vae, model) for tensor in part.parameters()]
    there = sum(tensor.nbytes for tensor in weights if tensor.device.type == device.type)
    return _free(device) + there, free_host_bytes() + sum(tensor.nbytes for tensor in weights) - there


def _free(device: torch.device) -> int:
    import torch

    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0


def _store_in_float8(checkpoint: Checkpoint, weight_precision: str) -> None:
    import torch

    if weight_precision == FLOAT8:
        checkpoint.is_hooked = True
        checkpoint.transformer.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=torch.bfloat16)
    if weight_precision == FLOAT8_DYNAMIC:
        from inference.local.float8 import compute_in_float8

        compute_in_float8(checkpoint.transformer)


def _lay_out(checkpoint: Checkpoint) -> None:
    checkpoint.vae.to(checkpoint.device)
    if checkpoint.memory != "offload":
        checkpoint.transformer.to(checkpoint.device)
        return
    checkpoint.is_hooked = True
    _stream_blocks(checkpoint)


def _stream_blocks(checkpoint: Checkpoint) -> None:
    """Keep the transformer's weights on the host and bring each layer's to the device when its turn comes."""
    import torch
    from diffusers.hooks import apply_group_offloading

    apply_group_offloading(
        checkpoint.transformer,
        onload_device=checkpoint.device,
        offload_device=torch.device("cpu"),
        offload_type="leaf_level",
        use_stream=checkpoint.device.type == "cuda",
    )
