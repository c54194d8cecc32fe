"""One request from the journal to a picture: collect what is paid for, refuse what may be lost, else pay.

The order that keeps money safe: reserve the price, write the intent, submit, write the task, wait, download.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any

from catalogs.errors import OptionError, ReferenceImageError, SpendError
from catalogs.identity import render_fingerprint
from catalogs.journal.spend import Attempt, Ending, Journal, PaidTask
from catalogs.requests import Reason, RenderRequest
from inference.engine import Failed, failed_reference
from inference.hosted.account import Account
from inference.hosted.client import (
    CREDIT,
    KEY_VARIABLE,
    BadKey,
    Gone,
    NotMade,
    NotReady,
    OutOfCredits,
    Refused,
    Sample,
    TaskFailed,
    Unanswered,
    backoff,
)
from inference.hosted.money_limit import MoneyLimit
from inference.hosted.pictures import EncodedReferences, Picture
from inference.hosted.settings import HostedSettings
from inference.models.estimates import estimate_cost
from inference.models.specs import ModelSpec

SUBMIT_TRIES = 12
FOREIGN_INTENT_POLL = 1.0

Slot = Callable[[], AbstractAsyncContextManager[Any]]
Answer = Picture | Failed


class JournalChanged(Exception):
    """What stands in the journal is no longer what was decided on: look again."""


class RunEnding(Exception):
    """The run ends before this request was sent."""


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
    slot: Slot

    def price(self, request: RenderRequest) -> float:
        """The highest price of a picture, USD."""
        pixels = [reference.width * reference.height for reference in request.references]
        return estimate_cost(self.spec, request.width, request.height, pixels)[1]

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
            body["input_image" if number == 1 else f"input_image_{number}"] = self.references.get(reference)
        return body


@dataclass
class Till:
    """The money of one `render`, and the submits that are on their way.

    Attributes:
        is_ending: whether anything new may still be sent.
    """

    money: MoneyLimit
    is_ending: Callable[[], bool]
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


class Purchase:
    """One request of one `render`."""

    def __init__(self, buyer: Buyer, till: Till, request: RenderRequest) -> None:
        self._buyer, self._till, self._request = buyer, till, request
        self._settings, self._account, self._journal = buyer.settings, buyer.account, buyer.journal
        self._fingerprint = render_fingerprint(request)

    async def answer(self) -> Answer | None:
        """The journal decides: collect, refuse, wait for another process, or pay. None: the run is ending.

        Raises:
            SpendError: credits or budget are at their end.
            OptionError: the key is not accepted.
            StorageError: the journal could not be written.
        """
        mine: int | None = None
        while True:
            last = await self._account.thread(self._journal.last, self._fingerprint)
            fresh = last is not None and mine is not None and last.number >= mine
            if last is not None and last.ending is None and last.task is not None:
                answer = await self._collect(last, last.task)
                if fresh or not self._may_pay_again(answer):
                    return answer
                continue
            if last is not None and (refused := await self._refused(last, fresh)):
                return refused
            if last is not None and last.ending is None:
                if not last.may_be_running:
                    continue  # resubmitted just now: read the end that was written
                await asyncio.sleep(FOREIGN_INTENT_POLL)
                continue
            number = 0 if last is None else last.number + 1
            mine = number if mine is None else mine
            try:
                return await self._pay(number, self._seed(last))
            except JournalChanged:
                continue
            except RunEnding:
                return None

    def _may_pay_again(self, answer: Answer) -> bool:
        """A picture of an earlier start that is gone, and that somebody asked to buy again."""
        is_gone = isinstance(answer, Failed) and answer.reason is Reason.PAID_EXPIRED
        return is_gone and self._settings.resubmit

    async def _refused(self, last: Attempt, fresh: bool) -> Failed | None:
        """Why this attempt, as it ended, is not to be followed by another; None when it is."""
        request, settings = self._request, self._settings
        if last.ending is None:
            if last.may_be_running:
                return None
            if not settings.resubmit or fresh:
                return _possibly_billed(request, "a submit was never answered", last.intent.cost_high)
            await self._end(last.number, Ending.RESUBMITTED)
            return None
        if last.ending == Ending.EXPIRED and (fresh or not settings.resubmit):
            return Failed(request, Reason.PAID_EXPIRED, _with_advice(last.detail), final=True, cost=_paid(last))
        if last.ending in (Ending.REQUEST_MODERATED, Ending.CONTENT_MODERATED):
            if not fresh and settings.retry_failed:
                return None
            if self._may_reseed(last):
                return None
            return Failed(request, Reason.MODERATED, last.detail, final=True, cost=_paid(last) if fresh else 0.0)
        if last.ending == Ending.ERROR and fresh:
            return Failed(request, Reason.ENGINE_ERROR, last.detail, final=False, cost=_paid(last))
        return None

    def _may_reseed(self, last: Attempt) -> bool:
        asked = self._settings.retry_moderated and last.ending == Ending.CONTENT_MODERATED
        return asked and last.intent.seed == self._request.seed

    def _seed(self, last: Attempt | None) -> int:
        if last is None:
            return self._request.seed
        return other_seed(self._request.seed) if self._may_reseed(last) else self._request.seed

    async def _end(self, number: int, ending: Ending, detail: str = "") -> None:
        await self._account.thread(self._journal.end, self._fingerprint, number, ending, detail)

    async def _collect(self, attempt: Attempt, task: PaidTask) -> Answer:
        """Wait for a task of an earlier start, or of another process, that is paid for already."""
        async with self._account.slots, self._buyer.slot():
            started = time.monotonic()
            sample = await self._wait(attempt.number, task, started)
        return await self._fetch(attempt.number, task, sample, started, attempt.intent.seed)

    async def _pay(self, number: int, seed: int) -> Answer:
        """Submit and see it through.

        Raises:
            JournalChanged: another process was first, or a moderated picture may have another seed.
            RunEnding: nothing was sent.
        """
        request = self._request
        try:
            body = await self._account.thread(self._buyer.body, request, seed)
        except ReferenceImageError as error:
            return failed_reference(request, error)
        async with self._account.slots, self._buyer.slot():
            submitting = asyncio.create_task(self._submit(number, seed, body))
            self._till.watch(submitting)
            started = time.monotonic()
            taken = await asyncio.shield(submitting)
            if isinstance(taken, Failed):
                return taken
            attempt, task = taken
            sample = await self._wait(attempt, task, started)
        answer = await self._fetch(attempt, task, sample, started, seed)
        moderated = isinstance(answer, Failed) and answer.reason == Reason.MODERATED
        if moderated and self._settings.retry_moderated and seed == request.seed:
            raise JournalChanged
        return answer

    async def _submit(self, number: int, seed: int, body: Mapping[str, Any]) -> tuple[int, PaidTask] | Failed:
        """Intent, submit, task; again after answers that say that no task was made."""
        request, fingerprint, spec = self._request, self._fingerprint, self._buyer.spec
        thread, journal, money = self._account.thread, self._journal, self._till.money
        high, detail = self._buyer.price(request), ""
        for tries in range(SUBMIT_TRIES):
            if self._till.is_ending():
                raise RunEnding
            money.reserve(high)
            cost = 0.0
            try:
                if not await thread(journal.begin, fingerprint, number, spec.name, seed, high):
                    raise JournalChanged
                cost = high  # until it is known that no task was made
                taken = await self._account.client.submit(spec.repository, body)
                cost = high if taken.cost is None else taken.cost * CREDIT
                task = PaidTask(taken.id, taken.polling_url, cost, taken.input_mp, taken.output_mp)
                await thread(journal.submitted, fingerprint, number, task)
                return number, task
            except Unanswered as error:
                return _possibly_billed(request, str(error), high)
            except (NotMade, Refused, OutOfCredits, BadKey) as error:
                cost, detail = 0.0, str(error)
                await self._end(number, Ending.VOID, detail)
                if not isinstance(error, NotMade):
                    return _turned_down(request, error)
                delay = error.delay
            finally:
                money.settle(high, cost)
                journal.answered(fingerprint, number)
            number += 1
            await asyncio.sleep(backoff(tries, delay))
        return Failed(request, Reason.ENGINE_ERROR, f"not taken in {SUBMIT_TRIES} tries: {detail}", final=False)

    async def _wait(self, number: int, task: PaidTask, started: float) -> Sample | Failed:
        spec = self._buyer.spec
        deadline = self._settings.deadline or spec.deadline
        try:
            return await self._account.client.wait(task.polling_url, started, deadline, self._account.pace(spec))
        except TaskFailed as error:
            return await self._failed(number, task, error)
        except Gone as error:
            return await self._expired(number, task, str(error))
        except NotReady as error:
            return Failed(self._request, Reason.NOT_READY, str(error), final=False)

    async def _failed(self, number: int, task: PaidTask, error: TaskFailed) -> Failed:
        endings = {
            "Request Moderated": Ending.REQUEST_MODERATED,
            "Content Moderated": Ending.CONTENT_MODERATED,
        }
        ending = endings.get(error.status, Ending.ERROR)
        await self._end(number, ending, str(error))
        if ending == Ending.ERROR:
            return Failed(self._request, Reason.ENGINE_ERROR, str(error), final=False, cost=task.cost)
        return Failed(self._request, Reason.MODERATED, str(error), final=True, cost=task.cost)

    async def _expired(self, number: int, task: PaidTask, detail: str) -> Failed:
        text = f"task {task.id} is gone ({detail})"
        await self._end(number, Ending.EXPIRED, text)
        return Failed(self._request, Reason.PAID_EXPIRED, _with_advice(text), final=True, cost=task.cost)

    async def _fetch(self, number: int, task: PaidTask, sample: Sample | Failed, started: float, seed: int) -> Answer:
        """Download at once; a dead link is asked for anew, once."""
        if isinstance(sample, Failed):
            return sample
        request, client = self._request, self._account.client
        seconds = time.monotonic() - started
        try:
            try:
                data = await client.download(sample.url)
            except Gone:
                renewed = await self._wait(number, task, time.monotonic())
                if isinstance(renewed, Failed):
                    return renewed
                data = await client.download(renewed.url)
        except Gone as error:
            return await self._expired(number, task, str(error))
        except NotReady as error:
            return Failed(request, Reason.NOT_READY, str(error), final=False)
        used = seed if sample.seed is None else sample.seed
        return Picture(request, data, sample.prompt, used, task.cost, seconds)


def other_seed(seed: int) -> int:
    """The seed of the second try after a moderated picture: the same one on every machine."""
    return int.from_bytes(hashlib.sha256(f"moderated {seed}".encode()).digest()[:4], "big") & 0x7FFFFFFF


def _turned_down(request: RenderRequest, error: Exception) -> Failed:
    """What a submit that made no task, and never will, means.

    Raises:
        SpendError: the account is out of credits.
        OptionError: its key is not known.
    """
    if isinstance(error, OutOfCredits):
        raise SpendError("bfl", "credits", f"the account is out of credits ({error})", "buy credits and run again")
    if isinstance(error, BadKey):
        raise OptionError(KEY_VARIABLE, "", f"the API does not accept the key ({error})", "correct it")
    return Failed(request, Reason.REFUSED, str(error), final=True)


def _possibly_billed(request: RenderRequest, detail: str, cost: float) -> Failed:
    text = f"{detail}; it may have been billed, up to {cost:.3f} USD; --resubmit sends it again"
    return Failed(request, Reason.POSSIBLY_BILLED, text, final=True)


def _with_advice(detail: str) -> str:
    return f"{detail}; it was paid for; --resubmit pays again"


def _paid(attempt: Attempt) -> float:
    return attempt.task.cost if attempt.task else 0.0
