"""Part 2: every mode and option of the engine on one model, beside the same engine with none of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from dataclasses import replace as changed
from functools import partial
from typing import Any

import torch

from catalogs.requests import RenderRequest
from inference.engine import EngineOptions, Rendered
from inference.local.float8 import LEAST_CAPABILITY
from tests.gpu.checks import Check, Found, Setting, skipped
from tests.gpu.pictures import delivered, engine_of, furthest, request, tolerance
from tests.gpu.weights import Subject, build, forget, least_layers

Made = dict[RenderRequest, Rendered]


@dataclass(frozen=True)
class Variant:
    """One way to render.

    Attributes:
        change: of the requests.
        is_other: by what it is, its pictures are others; their difference is reported only.
    """

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    precision: str = ""
    change: dict[str, Any] = field(default_factory=dict)
    is_other: bool = False
    only_on_gpu: str = ""


ROUNDS, ROUND = 8, 4
_CARD = "needs a GPU"
VARIANTS = (
    Variant("two-phase", {"memory": "two-phase"}),
    Variant("offload", {"memory": "offload"}, only_on_gpu="tests/inference has it for the CPU"),
    Variant("decoder folded", {"decoder": "folded"}),
    Variant("attention native", {"attention": "native"}),
    Variant("attention _native_math", {"attention": "_native_math"}),
    Variant("attention _native_flash", {"attention": "_native_flash"}, only_on_gpu=_CARD),
    Variant("attention _native_efficient", {"attention": "_native_efficient"}, only_on_gpu=_CARD),
    Variant("attention _native_cudnn", {"attention": "_native_cudnn"}, only_on_gpu=_CARD),
    Variant("compile", {"compile": "on"}, only_on_gpu="compiling on a CPU takes minutes: the slow suite has it"),
    Variant(
        "compile, cuDNN attention, folded",
        {"compile": "on", "attention": "_native_cudnn", "decoder": "folded"},
        only_on_gpu=_CARD,
    ),
    Variant("float8", precision="float8", is_other=True),
    Variant("float8-dynamic", precision="float8-dynamic", is_other=True),
    Variant("seed_device cuda", change={"seed_device": "cuda"}, is_other=True, only_on_gpu=_CARD),
)


def checks(setting: Setting) -> Iterator[Check]:
    subject = Subject("tiny") if setting.tiny else Subject("klein-4b", text_layers=least_layers("klein"))
    asked = [request(subject, number, photos) for number, photos in enumerate(((), (), (1,), (2,)))]
    plain: Made = {}
    yield "resident", partial(_plain, subject, setting, asked, plain)
    forget()
    for variant in VARIANTS:
        yield variant.name, partial(_variant, variant, subject, setting, asked, plain)
        forget()
    yield f"{ROUNDS} rounds of small pictures", partial(_replayed, subject, setting)


def _replayed(subject: Subject, setting: Setting) -> Found:
    """Small pictures, whose loop is recorded and replayed where that is quicker: the last round is as the first."""
    engine = engine_of(build(subject, setting.device), subject, setting.device)
    asked = [request(subject, number, side=64 if subject.is_tiny else 512) for number in range(ROUND)]
    rounds = [delivered(engine, asked, at_once=True) for _ in range(ROUNDS)]
    profile = engine.take_profile()
    most, mean = furthest([(rounds[0][one].pixels, rounds[-1][one].pixels) for one in asked])
    allowed = tolerance(subject.precision)
    return {
        "holds": mean <= allowed,
        "delivered": f"{sum(map(len, rounds))} of {ROUNDS * ROUND}",
        "replayed": profile.counts.get("pictures_replayed", 0),
        "notes": "; ".join(profile.notes),
        "largest": most,
        "mean": round(mean, 3),
        "allowed_mean": allowed,
    }


def _made(subject: Subject, setting: Setting, asked: list[RenderRequest], variant: Variant) -> Made:
    options = EngineOptions(**{"memory": "resident", "compile": "off", "tune": False, **variant.options})
    pipe = build(subject, setting.device)
    if variant.precision and subject.is_tiny:
        pipe.to(torch.bfloat16)  # 8 bits are computed with in bfloat16
    engine = engine_of(pipe, subject, setting.device, options, variant.precision)
    return delivered(engine, asked)


def _plain(subject: Subject, setting: Setting, asked: list[RenderRequest], plain: Made) -> Found:
    plain |= _made(subject, setting, asked, Variant("resident"))
    return {"holds": True, "delivered": f"{len(plain)} of {len(asked)}"}


def _variant(variant: Variant, subject: Subject, setting: Setting, asked: list[RenderRequest], plain: Made) -> Found:
    if variant.only_on_gpu and not setting.is_gpu:
        return skipped(variant.only_on_gpu)
    if variant.precision == "float8-dynamic" and setting.is_gpu:
        has = torch.cuda.get_device_capability(setting.device)
        if has < LEAST_CAPABILITY:
            return skipped(f"the card is of capability {has}")
    assert plain, "the plain pictures, to which these are compared, were not made"
    wanted = {one: changed(one, **variant.change) for one in asked}
    made = _made(subject, setting, list(wanted.values()), variant)
    most, mean = furthest([(made[wanted[one]].pixels, plain[one].pixels) for one in asked])
    allowed = None if variant.is_other else tolerance(subject.precision)
    return {
        # A seed of another generator that gives the same picture was not used.
        "holds": mean > 1 if variant.change else allowed is None or mean <= allowed,
        "delivered": f"{len(made)} of {len(asked)}",
        "largest": most,
        "mean": round(mean, 3),
        "allowed_mean": allowed,
    }
