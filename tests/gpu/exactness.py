"""Part 5: numbers that must be those of the host, no waiting inside a batch, and a device that is kept busy."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils._python_dispatch import TorchDispatchMode

from catalogs.requests import Reference
from inference.engine import EngineOptions
from inference.local.checkpoints import Checkpoint, placed
from inference.local.decoding import decode
from inference.local.denoising import denoise, noise
from inference.local.engine import DiffusersEngine
from inference.local.reference_encoding import levels
from tests.gpu.campaign import Case, planned, run
from tests.gpu.checks import Check, Found, Setting
from tests.gpu.idle import idle_share
from tests.gpu.pictures import drawn, load, request
from tests.gpu.weights import Subject, build, least_layers

OPTIONS = EngineOptions(memory="resident", compile="off", tune=False)
IDLE_GOAL = 0.03
LATENTS = 3e-2
"""Largest relative difference (of the norms) of latents made in bfloat16 on the device and in float32 on the host."""


def checks(setting: Setting) -> Iterator[Check]:
    subject = Subject("tiny") if setting.tiny else Subject("klein-4b", text_layers=least_layers("klein"))
    pipe = build(subject, setting.device)
    checkpoint = placed(pipe, subject.family, subject.precision, OPTIONS, setting.device)
    engine = DiffusersEngine(checkpoint, load, OPTIONS)
    for dtype in (torch.float32, torch.bfloat16):
        yield f"256 levels of a photo, {dtype}", partial(_levels, checkpoint, dtype)
    yield "noise of a seed", partial(_noise, checkpoint, subject)
    yield "latents of a reference", partial(_latents, engine, subject)
    for photos in ((), (1, 2)):
        name = f"no waiting in denoise and decode, {len(photos)} references"
        yield name, partial(_no_waiting, engine, subject, photos)
    yield "the device is idle for less than 3 % of 32 pictures", partial(_idle, engine, subject, setting)


def _levels(checkpoint: Checkpoint, dtype: torch.dtype) -> Found:
    """What stands for each level on the device, beside what the stock pipelines make of a photo on the host."""
    picture = np.arange(256, dtype=np.uint8).reshape(16, 16)
    photo = Image.fromarray(np.stack([picture] * 3, axis=-1))
    expected = checkpoint.pipe.image_processor.preprocess(photo, height=16, width=16, resize_mode="crop").to(dtype)
    taken = levels(dtype).to(checkpoint.device)[torch.from_numpy(picture).to(checkpoint.device).int()]
    differ = int((taken.cpu() != expected[0, 0]).sum())
    return {"holds": differ == 0, "levels_that_differ": differ}


def _noise(checkpoint: Checkpoint, subject: Subject) -> Found:
    asked = [request(subject, number) for number in (1, 2, 3)]
    made = noise(checkpoint, asked).cpu()
    shape = (1, *made.shape[1:])
    expected = torch.cat(
        [torch.randn(shape, generator=torch.Generator().manual_seed(one.seed), dtype=made.dtype) for one in asked]
    )
    return {"holds": torch.equal(made, expected), "dtype": str(made.dtype), "shape": list(made.shape)}


def _latents(engine: DiffusersEngine, subject: Subject) -> Found:
    pipe = engine._checkpoint.pipe
    size = (96, 64) if subject.is_tiny else (384, 256)
    with torch.no_grad():
        made = engine._conditioning.references.latents(Reference("/7.jpg", "7", "hero", *size)).float().cpu()
        photo = pipe.image_processor.preprocess(drawn(size, 7), height=size[1], width=size[0], resize_mode="crop")
        on_device, pipe.vae = pipe.vae, copy.deepcopy(pipe.vae).to("cpu", torch.float32)
        try:
            expected = pipe._encode_vae_image(photo, None)
        finally:
            pipe.vae = on_device
    relative = float((made - expected).norm() / expected.norm())
    return {"holds": relative <= LATENTS, "relative_difference": relative, "allowed": LATENTS}


def _no_waiting(engine: DiffusersEngine, subject: Subject, photos: tuple[int, ...]) -> Found:
    checkpoint = engine._checkpoint
    asked = [request(subject, 70 + number, photos) for number in range(2)]
    with torch.no_grad():
        samples, failures = engine._conditioning.encoded(asked)
        assert not failures, failures
        start = noise(checkpoint, asked)
        conditions = engine._conditioning.conditions(samples, start.shape[-2:])

        def make() -> Any:
            final = denoise(checkpoint, asked[0], start, conditions)
            return decode(checkpoint.pipe, final, *start.shape[-2:])

        make()  # kernels are chosen and timesteps laid down
        with _waiting_refused(checkpoint.device):
            pixels, verdicts = make()
    return {"holds": bool(verdicts.all()), "pictures": len(pixels)}


class _NoScalars(TorchDispatchMode):
    """Refuses what would wait for a device if this were one: a number taken out of a tensor."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func is not torch.ops.aten._local_scalar_dense.default, "a number was taken out of a tensor"
        return func(*args, **(kwargs or {}))


@contextmanager
def _waiting_refused(device: torch.device) -> Iterator[None]:
    """Make it an error that the host waits for the device."""
    if device.type != "cuda":
        with _NoScalars():
            yield
        return
    torch.cuda.synchronize(device)
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def _idle(engine: DiffusersEngine, subject: Subject, setting: Setting) -> Found:
    side = 64 if subject.is_tiny else 1024
    case = Case(subject.name, 1, 4 if subject.is_tiny else 32, side, (96, 72) if subject.is_tiny else (4000, 3000))
    with tempfile.TemporaryDirectory() as folder:
        warm = run(planned(case.after(1000), Path(folder, "warm")), engine)
        prepared = planned(case, Path(folder, "run"))
        ran, share = idle_share(lambda: run(prepared, engine), setting.device)
    ran.check(case.images)
    warm.check(case.images)
    found = {"pictures": ran.delivered, "seconds": round(ran.seconds, 2), "profile": ran.profile["stages"]}
    if share is None:
        return {"holds": None, "detail": "idle: not measured, no GPU", **found}
    return {"holds": share <= IDLE_GOAL, "idle": round(share, 4), "goal": IDLE_GOAL, **found}
