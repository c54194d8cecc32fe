"""Part 4: an allocator that is too small. Batches halve, what fits nowhere fails alone, what follows is delivered."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch

from catalogs.requests import Reason, RenderRequest
from inference.engine import EngineOptions, Failed, Rendered
from inference.local.checkpoints import Checkpoint, placed
from inference.local.device import empty_cache
from inference.local.engine import DiffusersEngine
from tests.gpu.checks import Check, Found, Setting
from tests.gpu.pictures import delivered, load, rendered, request
from tests.gpu.weights import Subject, build, least_layers

PICTURES = 6
OPTIONS = EngineOptions(memory="resident", compile="off", tune=False)


def checks(setting: Setting) -> Iterator[Check]:
    subject = Subject("tiny") if setting.tiny else Subject("klein-4b", text_layers=least_layers("klein"))
    pipe = build(subject, setting.device)
    checkpoint = placed(pipe, subject.family, subject.precision, OPTIONS, setting.device)
    room = partial(_room_for_two, checkpoint, subject)
    yield "a batch that does not fit is halved", partial(_halved, checkpoint, subject, room)
    yield "a picture that fits nowhere fails alone", partial(_alone, checkpoint, subject, room)
    yield "with all its memory back the engine takes whole batches", partial(_whole, checkpoint, subject)


def _side(subject: Subject) -> int:
    return 64 if subject.is_tiny else 1024


def _asked(subject: Subject, first: int) -> list[RenderRequest]:
    return [request(subject, first + number, side=_side(subject)) for number in range(PICTURES)]


def _engine(checkpoint: Checkpoint) -> DiffusersEngine:
    """Of its own: what one learned of batch sizes is not for the next."""
    return DiffusersEngine(checkpoint, load, OPTIONS)


@contextmanager
def _room_for_two(checkpoint: Checkpoint, subject: Subject) -> Iterator[None]:
    """Memory for two pictures at once, not for three: of torch's allocator, or of one that is played on a CPU."""
    if checkpoint.device.type != "cuda":
        with _played(checkpoint, 2 * (_side(subject) // 16) ** 2):
            yield
        return
    one, three = (_held(checkpoint, subject, count) for count in (1, 3))
    empty_cache()
    total = torch.cuda.get_device_properties(checkpoint.device).total_memory
    torch.cuda.set_per_process_memory_fraction((one + three) / 2 / total, checkpoint.device)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, checkpoint.device)


def _held(checkpoint: Checkpoint, subject: Subject, count: int) -> int:
    """Bytes that the allocator takes from the card for so many pictures at once."""
    empty_cache()
    torch.cuda.reset_peak_memory_stats(checkpoint.device)
    delivered(_engine(checkpoint), _asked(subject, 100)[:count], at_once=True)
    return int(torch.cuda.max_memory_reserved(checkpoint.device))


@contextmanager
def _played(checkpoint: Checkpoint, tokens: int) -> Iterator[None]:
    def refuse(module: Any, arguments: Any, given: dict[str, Any]) -> None:
        batch, length, _ = given["hidden_states"].shape
        if batch * length > tokens:
            raise torch.OutOfMemoryError(f"out of memory: {batch * length} tokens where {tokens} fit")

    handle = checkpoint.transformer.register_forward_pre_hook(refuse, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def _halved(checkpoint: Checkpoint, subject: Subject, room: Any) -> Found:
    with room():
        engine, asked = _engine(checkpoint), _asked(subject, 0)
        wanted = min(PICTURES, engine.batch_size(asked[0]))
        made = delivered(engine, asked)
    sizes = sorted({result.batch_size for result in made.values()})
    return {
        "holds": max(sizes) <= 2 < wanted,
        "delivered": f"{len(made)} of {len(asked)}",
        "asked_at_once": wanted,
        "made_at_once": sizes,
    }


def _alone(checkpoint: Checkpoint, subject: Subject, room: Any) -> Found:
    huge = request(subject, 50, side=2 * _side(subject))
    with room():
        engine = _engine(checkpoint)
        answer = rendered(engine, [huge])[huge]
        after = delivered(engine, [request(subject, n, side=_side(subject)) for n in (51, 52)])
        mixed = rendered(engine, [request(subject, 53, side=_side(subject)), huge])
    failed = [result for result in (answer, *mixed.values()) if isinstance(result, Failed)]
    others = [result for result in mixed.values() if isinstance(result, Rendered)]
    return {
        "holds": len(failed) == 2
        and all(one.request == huge and one.reason == Reason.OUT_OF_MEMORY for one in failed)
        and len(after) == 2
        and len(others) == 1,
        "said": failed[0].detail if failed else "nothing failed",
        "delivered_after": len(after) + len(others),
    }


def _whole(checkpoint: Checkpoint, subject: Subject) -> Found:
    made = delivered(_engine(checkpoint), _asked(subject, 200)[:3], at_once=True)
    return {"holds": {result.batch_size for result in made.values()} == {3}, "delivered": f"{len(made)} of 3"}
