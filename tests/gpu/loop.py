"""A plain diffusers loop, as its documentation shows it: open the photos, call the pipeline, save a PNG.

One request a call, or as many as the stock pipeline can take: those that share their references.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from catalogs.requests import Reference, RenderRequest
from inference.finishing.encode import FAST_PNG
from inference.local.acceleration import _RECOMPILE_LIMIT
from inference.local.batching import contents
from inference.local.clock import StageClock
from inference.local.decoding import fold_upsamplers
from inference.models.flops import TransformerShape, forward_flops, tokens
from inference.models.specs import Family
from tests.gpu.pictures import called

Key = tuple[int, str]
Pictures = dict[Key, npt.NDArray[np.uint8]]


def key_of(request: RenderRequest) -> Key:
    """What names a picture in each campaign that asks for it: its photos lie in another folder every time."""
    return request.seed, request.prompt


@dataclass
class Looped:
    """What a loop did.

    Attributes:
        seconds: without the first call.
        images: made in them.
        first: seconds of the first call, in which kernels are chosen or compiled.
        first_images: made in it.
        stages: seconds of the device by stage, without the first call.
    """

    seconds: float = 0.0
    images: int = 0
    first: float = 0.0
    first_images: int = 0
    stages: dict[str, float] = field(default_factory=dict)
    pictures: Pictures = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Pictures a second without the first call; of the first where there was no other."""
        if self.images:
            return self.images / self.seconds
        return self.first_images / self.first


class Loop:
    """Calls one stock pipeline, with stages counted around its parts."""

    def __init__(self, pipe: Any, family: Family, folder: Path, device: torch.device) -> None:
        self.pipe, self.family, self._folder, self._device = pipe, family, folder, device
        self._clock, self._png = StageClock(device), dict[str, Any]()
        folder.mkdir(parents=True, exist_ok=True)
        self.timed: list[tuple[Any, str]] = []
        for part, name, stage in (
            (pipe.text_encoder, "forward", "text"),
            (pipe.transformer, "forward", "denoise"),
            (pipe.vae, "encode", "references"),
            (pipe.vae, "decode", "decode"),
        ):
            setattr(part, name, self._staged(stage, getattr(part, name)))
            self.timed.append((part, name))

    def release(self) -> None:
        """Take the clocks off the pipeline's parts."""
        for part, name in self.timed:
            vars(part).pop(name, None)
        self.timed.clear()

    def _staged(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def staged(*arguments: Any, **given: Any) -> Any:
            with self._clock.stage(stage):
                return function(*arguments, **given)

        return staged

    def quicken(self, attention: str) -> None:
        """packshot's own flags and PNG level: compiled blocks and decoder, an attention backend, a folded decoder."""
        import torch._dynamo

        torch._dynamo.config.recompile_limit = _RECOMPILE_LIMIT
        if attention:
            self.pipe.transformer.set_attention_backend(attention)
        self.pipe.transformer.compile_repeated_blocks(fullgraph=True)
        decoder = self.pipe.vae.decoder
        fold_upsamplers(decoder)
        self.pipe.vae.decoder = torch.compile(decoder.to(memory_format=torch.channels_last))
        self._png = FAST_PNG

    def run(self, requests: Sequence[RenderRequest], batch: int, seconds: float, least: int = 1) -> Looped:
        """Make some requests in calls of up to `batch`, until they are all made or the time is over.

        Args:
            least: calls after the first that are made in any case.
        """
        looped = Looped()
        self._clock.take()
        for number, group in enumerate(calls(requests, batch)):
            if number > least and looped.seconds >= seconds:
                break
            spent = self._one(group, looped.pictures)
            if number == 0:
                looped.first, looped.first_images = spent, len(group)
                self._clock.take()
            else:
                looped.seconds += spent
                looped.images += len(group)
        looped.stages = self._clock.take()
        return looped

    def _one(self, group: list[RenderRequest], pictures: Pictures) -> float:
        self._synchronise()
        started = perf_counter()
        made = called(self.pipe, self.family, group, _opened)
        for request, picture in zip(group, made, strict=True):
            picture.save(self._folder / f"{len(pictures)}.png", **self._png)
            pictures[key_of(request)] = np.asarray(picture)
        self._synchronise()
        return perf_counter() - started

    def _synchronise(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


def calls(requests: Sequence[RenderRequest], batch: int) -> Iterator[list[RenderRequest]]:
    """Requests in calls of a stock pipeline, which gives one list of references to all of a call.

    Whole calls come first: two of one size can then be compared.
    """
    rest = []
    for _, shared in groupby(requests, key=contents):
        group = list(shared)
        for start in range(0, len(group), batch):
            some = group[start : start + batch]
            if len(some) == batch:
                yield some
            else:
                rest.append(some)
    yield from rest


def flops_each(pipe: Any, family: Family, request: RenderRequest, reference_tokens: int) -> float:
    """Operations of the transformer for one picture of the stock pipeline."""
    shape = TransformerShape.of(pipe.transformer.config)
    target = tokens(request.width, request.height)
    if family == "kv" and reference_tokens:
        extract = forward_flops(shape, target, reference_tokens, "extract")
        return extract + (request.steps - 1) * forward_flops(shape, target, reference_tokens, "cached")
    forwards = 2 if family == "base" and (request.guidance or 0) > 1 else 1
    return request.steps * forwards * forward_flops(shape, target, reference_tokens)


def _opened(reference: Reference) -> Image.Image:
    return Image.open(reference.uri).convert("RGB")
