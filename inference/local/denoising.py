"""The denoising loop of every FLUX.2 family, over diffusers' transformer and scheduler.

Each family does what its stock pipeline does (diffusers 0.42): `klein` one forward a step, `base` two with true
classifier-free guidance, `dev` one with the scale embedded, `kv` one that reads its references from a cache.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from catalogs.errors import EngineError
from catalogs.requests import RenderRequest
from inference.local.checkpoints import Checkpoint
from inference.local.device import on_device
from inference.models.flops import Mode, forward_flops, tokens

if TYPE_CHECKING:
    import torch


_CHANGING = ("text", "unconditional", "references")


@dataclass(frozen=True)
class Conditions:
    """What steers a batch; of one geometry.

    Attributes:
        text: (batch, 512, context).
        unconditional: (1, 512, context) of the empty prompt, for guided base models.
        references: (batch, tokens, channels), packed, or None.
        image_ids: (tokens, 4) of the picture and of what follows it.
        text_ids: (512, 4).
        keys_values: of the references of each sample, for the KV family; `references` is None then.
    """

    text: torch.Tensor
    image_ids: torch.Tensor
    text_ids: torch.Tensor
    unconditional: torch.Tensor | None = None
    references: torch.Tensor | None = None
    keys_values: Any = None

    @property
    def places(self) -> tuple[int, ...]:
        """Where on the device the keys and values lie, which are laid out anew for each batch."""
        if self.keys_values is None:
            return ()
        layers = [*self.keys_values.double_block_caches, *self.keys_values.single_block_caches]
        return tuple(tensor.data_ptr() for layer in layers for tensor in (layer.keys, layer.values))

    def copied(self) -> Conditions:
        """The same with memory of its own, for all but ids, keys and values."""
        own = {name: tensor.clone() for name in _CHANGING if (tensor := getattr(self, name)) is not None}
        return replace(self, **own)

    def take(self, other: Conditions) -> None:
        """Have what another says, in the memory of this."""
        for name in _CHANGING:
            if (mine := getattr(self, name)) is not None:
                mine.copy_(getattr(other, name))


def is_guided(checkpoint: Checkpoint, request: RenderRequest) -> bool:
    """Whether a step takes a second forward without the prompt."""
    return checkpoint.family == "base" and (request.guidance or 0.0) > 1


def noise(checkpoint: Checkpoint, requests: Sequence[RenderRequest]) -> torch.Tensor:
    """(batch, channels, h/16, w/16), each sample from a generator of its own seed, on the device its request names.

    Raises:
        EngineError: a request wants noise of a CUDA generator, and there is none.
    """
    import torch

    transformer, side = checkpoint.transformer, checkpoint.pipe.vae_scale_factor * 2
    shape = (1, transformer.config.in_channels, requests[0].height // side, requests[0].width // side)
    made = [_drawn(checkpoint, shape, request) for request in requests]
    if any(request.seed_device != "cpu" for request in requests):
        made = [on_device(sample, checkpoint.device) for sample in made]
    return on_device(torch.cat(made), checkpoint.device)


def _drawn(checkpoint: Checkpoint, shape: tuple[int, ...], request: RenderRequest) -> torch.Tensor:
    """Noise of one sample, on the device of its generator: as `diffusers.utils.torch_utils.randn_tensor` draws it."""
    import torch

    check_seed_device(request.seed_device)
    device = checkpoint.device if request.seed_device == "cuda" else torch.device("cpu")
    generator = torch.Generator(device).manual_seed(request.seed)
    return torch.randn(shape, generator=generator, device=device, dtype=_compute_dtype(checkpoint))


def check_seed_device(name: str) -> None:
    """Raise EngineError where noise is to come from a CUDA generator and this machine has none."""
    if name != "cuda":
        return
    import torch

    if not torch.cuda.is_available():
        raise EngineError(
            "seed_device: cuda needs a GPU that torch can use, and this machine has none; render where there is one, "
            "or leave seed_device out, which makes other pictures"
        )


def _compute_dtype(checkpoint: Checkpoint) -> Any:
    """Of activations; weights may be stored in 8 bits."""
    return checkpoint.vae.dtype


def denoise(checkpoint: Checkpoint, request: RenderRequest, start: torch.Tensor, conditions: Conditions) -> Any:
    """(batch, target tokens, channels) of the final latents.

    Args:
        request: any of the batch: size, steps and guidance are those of its bucket.
        start: noise of shape (batch, channels, rows, columns).
    """
    pipe = checkpoint.pipe
    latents = pipe._pack_latents(start)
    velocity = _velocity(checkpoint, request, start, conditions)
    scheduler = _scheduler(checkpoint, request.steps, latents.shape[1])
    for timestep in scheduler.timesteps:
        latents = scheduler.step(velocity(latents, timestep), timestep, latents, return_dict=False)[0]
    return latents


def first_forward(checkpoint: Checkpoint, request: RenderRequest, start: torch.Tensor, conditions: Conditions) -> Any:
    """What the transformer predicts for the noise of a batch: (batch, target tokens, channels)."""
    latents = checkpoint.pipe._pack_latents(start)
    scheduler = _scheduler(checkpoint, request.steps, latents.shape[1])
    return _velocity(checkpoint, request, start, conditions)(latents, scheduler.timesteps[0])


def _scheduler(checkpoint: Checkpoint, steps: int, count: int) -> Any:
    """A scheduler before its first step, for pictures of so many tokens.

    Its timesteps are computed on the host: kept, so that no batch waits for them to reach the device.
    """
    key = (steps, count)
    if key not in checkpoint.schedulers:
        checkpoint.schedulers[key] = _new_scheduler(checkpoint, steps, count)
    return copy.copy(checkpoint.schedulers[key])


def _new_scheduler(checkpoint: Checkpoint, steps: int, count: int) -> Any:
    from diffusers.pipelines.flux2.pipeline_flux2_klein import compute_empirical_mu, retrieve_timesteps

    scheduler = copy.deepcopy(checkpoint.pipe.scheduler)
    sigmas = np.linspace(1.0, 1 / steps, steps)
    mu = compute_empirical_mu(image_seq_len=count, num_steps=steps)
    retrieve_timesteps(scheduler, steps, checkpoint.device, sigmas=sigmas, mu=mu)
    scheduler.set_begin_index(0)
    return scheduler


def _velocity(
    checkpoint: Checkpoint, request: RenderRequest, start: torch.Tensor, conditions: Conditions
) -> Callable[[Any, Any], Any]:
    """What the transformer predicts for latents at a timestep."""
    import torch

    dtype, device = _compute_dtype(checkpoint), checkpoint.device
    batch = len(start)
    guidance = None
    if checkpoint.family == "dev":
        guidance = torch.full([batch], request.guidance or 0.0, device=device, dtype=torch.float32)
    cached: dict[str, Any] = {}
    if conditions.keys_values is not None:
        cached = {"kv_cache": conditions.keys_values, "kv_cache_mode": "cached"}

    def predict(latents: Any, timestep: Any, text: Any) -> Any:
        hidden = latents
        if conditions.references is not None:
            hidden = torch.cat([latents, conditions.references], dim=1)
        predicted = checkpoint.transformer(
            hidden_states=hidden.to(dtype),
            timestep=timestep.expand(batch).to(latents.dtype) / 1000,
            guidance=guidance,
            encoder_hidden_states=text,
            txt_ids=conditions.text_ids,
            img_ids=conditions.image_ids,
            return_dict=False,
            **cached,
        )[0]
        return predicted[:, : latents.shape[1]]

    text = conditions.text.to(dtype)
    if conditions.unconditional is None:
        return lambda latents, timestep: predict(latents, timestep, text)
    nothing, scale = conditions.unconditional.to(dtype).expand(batch, -1, -1), request.guidance

    def guided(latents: Any, timestep: Any) -> Any:
        with_prompt, without = predict(latents, timestep, text), predict(latents, timestep, nothing)
        return without + scale * (with_prompt - without)

    return guided


def flops_of(checkpoint: Checkpoint, request: RenderRequest, reference_tokens: int) -> float:
    """Operations of the transformer for all steps of one picture."""
    mode: Mode = "cached" if checkpoint.family == "kv" and reference_tokens else "full"
    forwards = 2 if is_guided(checkpoint, request) else 1
    target = tokens(request.width, request.height)
    return request.steps * forwards * forward_flops(checkpoint.shape, target, reference_tokens, mode)
