"""Part 1: a picture of every model that fits, with 0, 1 and 3 references, large and small."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch

from inference.engine import EngineOptions
from inference.models.choice import Choice, choose
from inference.models.parts import PARTS
from inference.models.table import MODELS
from inference.models.workload import Workload
from tests.gpu.checks import Check, Found, Setting, skipped
from tests.gpu.pictures import delivered, engine_of, request
from tests.gpu.weights import TINY, Subject, build, forget, least_layers

SIDES = (1024, 512)
TINY_SIDES = (96, 64)
PHOTOS = ((), (1,), (1, 2, 3))


def checks(setting: Setting) -> Iterator[Check]:
    names = list(TINY) if setting.tiny else [name for name in MODELS if name in PARTS]
    for name in names:
        yield name, partial(_smoke, name, setting)
        forget()


def _smoke(name: str, setting: Setting) -> Found:
    subject = Subject(name) if setting.tiny else Subject(name, text_layers=least_layers(PARTS[name].family))
    choice = _choice(name, setting)
    if not isinstance(choice, Choice):
        return skipped(choice)
    resident = choice.mode == "resident"
    pipe = build(subject, setting.device, setting.device if resident else torch.device("cpu"))
    options = EngineOptions(memory=choice.mode, compile="off", tune=False)
    engine = engine_of(pipe, subject, setting.device, options)
    sides = TINY_SIDES if setting.tiny else SIDES
    asked = [request(subject, n, photos, side) for n, photos in enumerate(PHOTOS) for side in sides]
    made = delivered(engine, asked)
    profile = engine.take_profile()
    return {
        "holds": True,
        "delivered": f"{len(made)} of {len(asked)}",
        "memory": choice.mode,
        "peak_gib": round(profile.peak_bytes / 2**30, 2),
        "seconds_each": {f"{one.width}px {len(one.references)} refs": made[one].seconds for one in asked},
    }


def _choice(name: str, setting: Setting) -> Choice | str:
    """How a model fits the card with the largest that is asked here, or why it does not."""
    if setting.tiny or not setting.is_gpu:
        return Choice("resident", 1)
    workload = Workload.of(1024, 1024, [(1024, 1024)] * 3, second_forward=PARTS[name].family == "base")
    return choose(PARTS[name], MODELS[name].weight_precision, workload, *setting.free())
