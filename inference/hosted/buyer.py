"""What the purchases of an engine, and those of one `render`, share; and how a request is put to the API."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any

from catalogs.journal.purse import Short
from catalogs.journal.records import Ending, PaidTask, Purpose
from catalogs.journal.spend import Journal
from catalogs.money import Micro, micro, micro_up
from catalogs.requests import RenderRequest
from inference.hosted.account import Account
from inference.hosted.collection import Collection
from inference.hosted.settings import HostedSettings
from inference.hosted.till import Till
from inference.models.estimates import estimate_cost
from inference.models.specs import ModelSpec
from inference.remote.pictures import EncodedReferences

Slot = Callable[[], AbstractAsyncContextManager[Any]]


@dataclass(frozen=True)
class Buyer:
    """What all purchases of one engine share.

    Attributes:
        slot: a limit beyond this process's own, around every task.
    """

    spec: ModelSpec
    settings: HostedSettings
    account: Account
    journal: Journal
    references: EncodedReferences
    till: Till
    slot: Slot

    def price(self, request: RenderRequest) -> tuple[Micro, Micro]:
        """The lowest and the highest price of a picture as published."""
        pixels = [reference.width * reference.height for reference in request.references]
        low, high = estimate_cost(self.spec, request.width, request.height, pixels)
        return micro(low), micro_up(high)

    def collection(
        self, fingerprint: str, number: int, task: PaidTask, age: float = 0.0, before: Ending | None = None
    ) -> Collection:
        """The way from a task to its picture; arguments as `Collection` has them."""
        return Collection(self.spec, self.settings, self.account, self.journal, fingerprint, number, task, age, before)

    def body(self, request: RenderRequest, seed: int) -> dict[str, Any]:
        """What the API is asked, only fields that the model has.

        Raises:
            ReferenceImageError: a reference cannot be loaded.
        """
        settings, fields = self.settings, self.spec.fields
        body: dict[str, Any] = {
            "prompt": request.prompt,
            "seed": seed,
            "width": request.width,
            "height": request.height,
            "safety_tolerance": settings.safety_tolerance,
            "output_format": settings.output_format,
        }
        if "disable_pup" in fields:
            body["disable_pup"] = not settings.prompt_upsampling
        if "prompt_upsampling" in fields:
            body["prompt_upsampling"] = settings.prompt_upsampling
        if "steps" in fields:
            body |= {"steps": request.steps, "guidance": request.guidance}
        for number, reference in enumerate(request.references, start=1):
            body["input_image" if number == 1 else f"input_image_{number}"] = base64.b64encode(
                self.references.get(reference)
            ).decode()
        return body


@dataclass
class Order:
    """What the purchases of one `render` share.

    Attributes:
        is_ending: whether nothing new may be sent any more.
        to_come: what the pictures that are not yet sent for may cost.
        short: the budget holds no more; what it was reserved for is bought.
        leaves: what is under way is left when it ends: nothing is submitted, and nothing lost.
        submits: on their way.
    """

    is_ending: Callable[[], bool]
    to_come: Micro = 0
    short: Short | None = None
    leaves: bool = False
    submits: set[asyncio.Task[Any]] = field(default_factory=set)

    def watch(self, submit: asyncio.Task[Any]) -> None:
        """Know of a submit until it is over."""
        self.submits.add(submit)
        submit.add_done_callback(self._over)

    def _over(self, submit: asyncio.Task[Any]) -> None:
        self.submits.discard(submit)
        if not submit.cancelled():
            submit.exception()  # asked for, as whoever waited for it may be gone

    async def settled(self) -> None:
        """Let the submits on their way be journaled; their tasks are the next start's to collect."""
        while self.submits:
            await asyncio.wait(set(self.submits))


def purpose_of(request: RenderRequest) -> Purpose:
    """What an intent says of a request."""
    return Purpose(
        brand_id=request.brand_id,
        shot=request.shot,
        width=request.width,
        height=request.height,
        prompt_sha256=prompt_sha256(request.prompt),
        model_revision=request.model_revision,
    )


def prompt_sha256(prompt: str) -> str:
    """Hex digest that stands for a prompt in the journal."""
    return hashlib.sha256(prompt.encode()).hexdigest()
