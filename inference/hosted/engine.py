"""The hosted engine: many requests in flight, each journaled before it is paid for.

One event loop in one background thread a process, shared by all shards with the account's slots and the money;
`render` is a generator that hands answers over as they come. Per request: look into the journal; collect what is
paid for already; else take a slot, reserve the price, write the intent, submit, write the task, wait, download.
"""

from __future__ import annotations

import asyncio
import atexit
import base64
import hashlib
import io
import os
import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx
import numpy as np
from PIL import Image

from catalogs.errors import EngineError, OptionError, PackshotError, ReferenceImageError, SpendError
from catalogs.identity import render_fingerprint
from catalogs.journal.spend import Attempt, Ending, Journal, PaidTask
from catalogs.requests import Reason, Reference, RenderRequest
from inference.engine import Engine, Failed, LoadReference, Rendered, failed_reference
from inference.hosted.client import (
    CREDIT,
    KEY_VARIABLE,
    ApiKey,
    BadKey,
    BflClient,
    Gone,
    NotMade,
    NotReady,
    OutOfCredits,
    Pace,
    Refused,
    Sample,
    TaskFailed,
    Unanswered,
    backoff,
)
from inference.models.estimates import estimate_cost
from inference.models.limits import HOSTED_INPUT_PIXELS
from inference.models.specs import ModelSpec
from inference.models.table import MODELS

SUBMIT_TRIES = 12
JOURNAL_THREADS = 12
# Pictures that may be finished and not taken over yet, beside those in flight.
AHEAD = 12
PNG_LIMIT = 4 * 2**20
REFERENCE_CACHE = 64
FOREIGN_INTENT_POLL = 1.0

Slot = Callable[[], AbstractAsyncContextManager[Any]]
Result = TypeVar("Result")


@dataclass(frozen=True)
class HostedSettings:
    """How a run uses the hosted API.

    Attributes:
        in_flight: tasks at once in this process.
        max_cost: USD the campaign may cost over all its runs, None without a limit.
        machines: processes that share the run; each then keeps to the estimate of its own shards.
        deadline: seconds a task may take, None for the model's own.
        run: what the money of this process is counted under.
    """

    base_url: str
    in_flight: int
    safety_tolerance: int = 2
    output_format: str = "png"
    prompt_upsampling: bool = False
    retry_moderated: bool = False
    retry_failed: bool = False
    resubmit: bool = False
    max_cost: float | None = None
    machines: int = 1
    deadline: float | None = None
    run: str = ""


class Ledger:
    """Money of a run in this process: nothing is submitted that might pass the limit.

    Args:
        limit: USD, None for no limit.
        spent: USD that the journal had when it began.
    """

    def __init__(self, limit: float | None, spent: float) -> None:
        self.limit, self.spent, self._reserved = limit, spent, 0.0

    def reserve(self, high: float) -> bool:
        if self.limit is not None and self.spent + self._reserved + high > self.limit + 1e-9:
            return False
        self._reserved += high
        return True

    def settle(self, high: float, cost: float) -> None:
        self._reserved -= high
        self.spent += cost


class _Account:
    """What all shards of a process share: loop, client, slots, pace, ledgers."""

    def __init__(self, base_url: str, key: ApiKey, in_flight: int) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread_of_loop = threading.Thread(target=self.loop.run_forever, name="bfl", daemon=True)
        self.thread_of_loop.start()
        self.threads = ThreadPoolExecutor(JOURNAL_THREADS, thread_name_prefix="bfl-journal")
        self.paces: dict[str, Pace] = {}
        self.ledgers: dict[tuple[str, str], Ledger] = {}
        self.client, self.slots = self.call(self._open(base_url, key, in_flight))

    async def _open(self, base_url: str, key: ApiKey, in_flight: int) -> tuple[BflClient, asyncio.Semaphore]:
        return BflClient(base_url, key), asyncio.Semaphore(in_flight)

    def call(self, work: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    async def thread(self, work: Callable[..., Result], *args: Any) -> Result:
        return await self.loop.run_in_executor(self.threads, lambda: work(*args))

    def pace(self, spec: ModelSpec) -> Pace:
        return self.paces.setdefault(spec.name, Pace(spec.first_look))

    async def _close(self) -> None:
        await self.client.close()

    def close(self) -> None:
        self.call(self._close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread_of_loop.join(5)
        self.loop.close()


_accounts: dict[tuple[int, str, str, int], _Account] = {}
_accounts_lock = threading.Lock()


def _account(base_url: str, key: ApiKey, in_flight: int) -> _Account:
    """The process's connection of an account; a fork gets its own."""
    name = (os.getpid(), base_url, hashlib.sha256(key.text.encode()).hexdigest(), in_flight)
    with _accounts_lock:
        if name not in _accounts:
            _accounts[name] = _Account(base_url, key, in_flight)
        return _accounts[name]


def close_accounts() -> None:
    """Close the connections of this process; engines made later open new ones."""
    with _accounts_lock:
        mine = [name for name in _accounts if name[0] == os.getpid()]
        accounts = [_accounts.pop(name) for name in mine]
    for account in accounts:
        account.close()


atexit.register(close_accounts)


@dataclass
class _Picture:
    """A downloaded picture and what is known of its making."""

    request: RenderRequest
    data: bytes
    prompt: str
    seed: int
    cost: float
    seconds: float


_Answer = _Picture | Failed
_DONE = object()


@dataclass
class _Call:
    """One `render`: its answers, its money and how it is brought to an end."""

    ledger: Ledger
    permits: asyncio.Semaphore
    answers: queue.SimpleQueue[Any] = field(default_factory=queue.SimpleQueue)
    halt: PackshotError | None = None
    closed: bool = False
    submits: set[asyncio.Task[Any]] = field(default_factory=set)


class BflEngine(Engine):
    """Renders with a hosted FLUX.2 model; implements `inference.engine.Engine`.

    Args:
        stopping: set by anybody to end the run: nothing new is submitted, what is in flight is collected. The
            engine sets it itself when credits or budget are at their end.
        slot: a limit beyond this process's own, around every task.

    Raises:
        OptionError: no usable key or base URL.
    """

    name = "bfl"

    def __init__(
        self,
        model: str,
        settings: HostedSettings,
        journal: Journal,
        load_reference: LoadReference,
        key: ApiKey,
        stopping: threading.Event,
        slot: Slot = nullcontext,
        spent: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.versions = {"bfl": MODELS[model].repository, "httpx": httpx.__version__}
        self._spec, self._settings, self._journal = MODELS[model], settings, journal
        self._load, self._stopping, self._slot = load_reference, stopping, slot
        self._account = _account(settings.base_url, key, max(1, settings.in_flight // settings.machines))
        self._spent, self._references = spent, OrderedDict[str, str]()

    def bucket(self, request: RenderRequest) -> int:
        return 0

    def batch_size(self, request: RenderRequest) -> int:
        """A whole shard: the slots, not the batch, say how many are in flight."""
        return 1_000_000

    def render(self, batch: Sequence[RenderRequest]) -> Iterator[Rendered | Failed]:
        """Render requests, answers in the order they are done; those it did not come to get no answer.

        Raises:
            SpendError: credits or budget are at their end; what was in flight has been yielded.
            OptionError: the key is not accepted.
            StorageError: the journal could not be written; nothing more was submitted.
        """
        call = _Call(self._ledger(batch), asyncio.Semaphore(self._settings.in_flight + AHEAD))
        loop = self._account.loop
        work = asyncio.run_coroutine_threadsafe(self._run(call, batch), loop)
        try:
            while (answer := call.answers.get()) is not _DONE:
                loop.call_soon_threadsafe(call.permits.release)
                yield answer if isinstance(answer, Failed) else _decode(answer)
        except BaseException:
            # The shard is broken. A submit is not cut off: its task would be paid for and unknown.
            call.closed = True
            asyncio.run_coroutine_threadsafe(_abandon(call), loop).result()
            work.cancel()
            raise
        work.result()
        if call.halt:
            raise call.halt

    def _ledger(self, batch: Sequence[RenderRequest]) -> Ledger:
        limit, ledgers = self._settings.max_cost, self._account.ledgers
        if limit is not None and self._settings.machines > 1:
            # Nobody here sees what the other machines spend: keep to what the plan allowed this shard.
            return Ledger(sum(self._price(request) for request in batch), 0.0)
        with _accounts_lock:
            name = (self._journal.store.root, self._settings.run)
            if name not in ledgers:
                ledgers[name] = Ledger(limit, self._spent() if limit is not None else 0.0)
            return ledgers[name]

    def _price(self, request: RenderRequest) -> float:
        pixels = [reference.width * reference.height for reference in request.references]
        return estimate_cost(self._spec, request.width, request.height, pixels)[1]

    async def _run(self, call: _Call, batch: Sequence[RenderRequest]) -> None:
        tasks: set[asyncio.Task[None]] = set()
        try:
            for request in batch:
                await call.permits.acquire()
                if self._ending(call):
                    break
                task = asyncio.create_task(self._one(call, request))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
            while tasks:
                await asyncio.wait(tasks)
        finally:
            for task in tasks:
                task.cancel()
            call.answers.put(_DONE)

    def _ending(self, call: _Call) -> bool:
        return call.closed or call.halt is not None or self._stopping.is_set()

    async def _one(self, call: _Call, request: RenderRequest) -> None:
        """One request to its answer; what breaks the engine as a whole ends the call."""
        try:
            answer = await self._answer(call, request)
        except PackshotError as error:
            self._end(call, error)
        except Exception as error:
            self._end(call, EngineError(f"{request.label}: {type(error).__name__}: {error}"))
        else:
            if answer is not None:
                call.answers.put(answer)
                return
        call.permits.release()

    def _end(self, call: _Call, error: PackshotError) -> None:
        call.halt = call.halt or error
        if isinstance(error, SpendError | OptionError):
            self._stopping.set()

    async def _answer(self, call: _Call, request: RenderRequest) -> _Answer | None:
        """The journal decides: collect, refuse, wait for another process, or pay."""
        fingerprint = render_fingerprint(request)
        mine: int | None = None
        while True:
            last = await self._account.thread(self._journal.last, fingerprint)
            fresh = last is not None and mine is not None and last.number >= mine
            if last is not None and last.ending is None and last.task is not None:
                return await self._collect(request, fingerprint, last)
            if last is not None and (refused := await self._refused(request, fingerprint, last, fresh)):
                return refused
            if last is not None and last.ending is None:
                if not last.may_be_running:
                    continue  # resubmitted just now: read the end that was written
                await asyncio.sleep(FOREIGN_INTENT_POLL)
                continue
            number = 0 if last is None else last.number + 1
            mine = number if mine is None else mine
            answer = await self._pay(call, request, fingerprint, number, self._seed(request, last))
            if answer is not _AGAIN:
                return answer  # type: ignore[return-value]

    async def _refused(self, request: RenderRequest, fingerprint: str, last: Attempt, fresh: bool) -> Failed | None:
        """Why this attempt, as it ended, is not to be followed by another; None when it is."""
        settings = self._settings
        if last.ending is None:
            if last.may_be_running:
                return None
            if not settings.resubmit or fresh:
                return _possibly_billed(request, "a submit was never answered", last.intent.cost_high)
            await self._close(fingerprint, last.number, Ending.RESUBMITTED)
            return None
        if last.ending == Ending.EXPIRED and (fresh or not settings.resubmit):
            return Failed(request, Reason.PAID_EXPIRED, _with_advice(last.detail), final=True, cost=_paid(last))
        if last.ending in (Ending.REQUEST_MODERATED, Ending.CONTENT_MODERATED):
            if not fresh and settings.retry_failed:
                return None
            if self._may_reseed(request, last):
                return None
            return Failed(request, Reason.MODERATED, last.detail, final=True, cost=_paid(last) if fresh else 0.0)
        if last.ending == Ending.ERROR and fresh:
            return Failed(request, Reason.ENGINE_ERROR, last.detail, final=False, cost=_paid(last))
        return None

    def _may_reseed(self, request: RenderRequest, last: Attempt) -> bool:
        asked = self._settings.retry_moderated and last.ending == Ending.CONTENT_MODERATED
        return asked and last.intent.seed == request.seed

    def _seed(self, request: RenderRequest, last: Attempt | None) -> int:
        if last is None:
            return request.seed
        return other_seed(request.seed) if self._may_reseed(request, last) else request.seed

    async def _close(self, fingerprint: str, number: int, ending: Ending, detail: str = "") -> None:
        await self._account.thread(self._journal.end, fingerprint, number, ending, detail)

    async def _collect(self, request: RenderRequest, fingerprint: str, attempt: Attempt) -> _Answer:
        """Wait for a task of an earlier start, or of another process, that is paid for already."""
        assert attempt.task is not None
        async with self._account.slots, self._slot():
            started = time.monotonic()
            sample = await self._wait(request, fingerprint, attempt.number, attempt.task, started)
        seed = attempt.intent.seed
        return await self._fetch(request, fingerprint, attempt.number, attempt.task, sample, started, seed)

    async def _pay(
        self, call: _Call, request: RenderRequest, fingerprint: str, number: int, seed: int
    ) -> _Answer | object | None:
        """Submit and see it through. `_AGAIN`: the journal has changed, look again. None: the run is ending."""
        try:
            body = await self._account.thread(self._body, request, seed)
        except ReferenceImageError as error:
            return failed_reference(request, error)
        async with self._account.slots, self._slot():
            submitting = asyncio.create_task(self._submit(call, request, fingerprint, number, seed, body))
            call.submits.add(submitting)
            submitting.add_done_callback(call.submits.discard)
            started = time.monotonic()
            task = await asyncio.shield(submitting)
            if not isinstance(task, tuple):
                return task
            attempt, paid = task
            sample = await self._wait(request, fingerprint, attempt, paid, started)
        answer = await self._fetch(request, fingerprint, attempt, paid, sample, started, seed)
        moderated = isinstance(answer, Failed) and answer.reason == Reason.MODERATED
        return _AGAIN if moderated and self._settings.retry_moderated and seed == request.seed else answer

    async def _submit(
        self, call: _Call, request: RenderRequest, fingerprint: str, number: int, seed: int, body: Mapping[str, Any]
    ) -> tuple[int, PaidTask] | Failed | object | None:
        """Intent, submit, task; again after answers that say that no task was made."""
        thread, journal, high, detail = self._account.thread, self._journal, self._price(request), ""
        for tries in range(SUBMIT_TRIES):
            if self._ending(call):
                return None
            if not call.ledger.reserve(high):
                raise _over_budget(call.ledger)
            cost = 0.0
            try:
                if not await thread(journal.begin, fingerprint, number, self._spec.name, seed, high):
                    return _AGAIN
                cost = high  # until it is known that no task was made
                taken = await self._account.client.submit(self._spec.repository, body)
                cost = high if taken.cost is None else taken.cost * CREDIT
                task = PaidTask(taken.id, taken.polling_url, cost, taken.input_mp, taken.output_mp)
                await thread(journal.submitted, fingerprint, number, task)
                return number, task
            except Unanswered as error:
                return _possibly_billed(request, str(error), high)
            except (NotMade, Refused, OutOfCredits, BadKey) as error:
                cost, detail = 0.0, str(error)
                await self._close(fingerprint, number, Ending.VOID, detail)
                if not isinstance(error, NotMade):
                    return _turned_down(request, error)
                delay = error.delay
            finally:
                call.ledger.settle(high, cost)
                journal.answered(fingerprint, number)
            number += 1
            await asyncio.sleep(backoff(tries, delay))
        return Failed(request, Reason.ENGINE_ERROR, f"not taken in {SUBMIT_TRIES} tries: {detail}", final=False)

    async def _wait(
        self, request: RenderRequest, fingerprint: str, number: int, task: PaidTask, started: float
    ) -> Sample | Failed:
        deadline = self._settings.deadline or self._spec.deadline
        try:
            return await self._account.client.wait(task.polling_url, started, deadline, self._account.pace(self._spec))
        except TaskFailed as error:
            return await self._failed(request, fingerprint, number, task, error)
        except Gone as error:
            return await self._expired(request, fingerprint, number, task, str(error))
        except NotReady as error:
            return Failed(request, Reason.NOT_READY, str(error), final=False)

    async def _failed(
        self, request: RenderRequest, fingerprint: str, number: int, task: PaidTask, error: TaskFailed
    ) -> Failed:
        endings = {
            "Request Moderated": Ending.REQUEST_MODERATED,
            "Content Moderated": Ending.CONTENT_MODERATED,
        }
        ending = endings.get(error.status, Ending.ERROR)
        await self._close(fingerprint, number, ending, str(error))
        if ending == Ending.ERROR:
            return Failed(request, Reason.ENGINE_ERROR, str(error), final=False, cost=task.cost)
        return Failed(request, Reason.MODERATED, str(error), final=True, cost=task.cost)

    async def _expired(
        self, request: RenderRequest, fingerprint: str, number: int, task: PaidTask, detail: str
    ) -> Failed:
        text = f"task {task.id} is gone ({detail})"
        await self._close(fingerprint, number, Ending.EXPIRED, text)
        return Failed(request, Reason.PAID_EXPIRED, _with_advice(text), final=True, cost=task.cost)

    async def _fetch(
        self,
        request: RenderRequest,
        fingerprint: str,
        number: int,
        task: PaidTask,
        sample: Sample | Failed,
        started: float,
        seed: int,
    ) -> _Answer:
        """Download at once; a dead link is asked for anew, once."""
        if isinstance(sample, Failed):
            return sample
        seconds = time.monotonic() - started
        try:
            try:
                data = await self._account.client.download(sample.url)
            except Gone:
                renewed = await self._wait(request, fingerprint, number, task, time.monotonic())
                if isinstance(renewed, Failed):
                    return renewed
                data = await self._account.client.download(renewed.url)
        except Gone as error:
            return await self._expired(request, fingerprint, number, task, str(error))
        except NotReady as error:
            return Failed(request, Reason.NOT_READY, str(error), final=False)
        used = seed if sample.seed is None else sample.seed
        return _Picture(request, data, sample.prompt, used, task.cost, seconds)

    def _body(self, request: RenderRequest, seed: int) -> dict[str, Any]:
        """What the API is asked, only fields that the model has."""
        settings, fields = self._settings, self._spec.fields
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
            body["input_image" if number == 1 else f"input_image_{number}"] = self._picture(reference)
        return body

    def _picture(self, reference: Reference) -> str:
        """A reference as base64; the last few are kept, as shots of a product share theirs."""
        known = self._references.get(reference.sha256)
        if known is None:
            known = base64.b64encode(encode_reference(self._load(reference))).decode()
            with _accounts_lock:
                self._references[reference.sha256] = known
                if len(self._references) > REFERENCE_CACHE:
                    self._references.popitem(last=False)
        return known


_AGAIN = object()


async def _abandon(call: _Call) -> None:
    """Let the submits on their way be journaled; their tasks are the next start's to collect."""
    while call.submits:
        await asyncio.wait(set(call.submits))


def encode_reference(image: Image.Image) -> bytes:
    """A reference as it is sent: at most what the API keeps of it, lossless while that stays small."""
    image = image.convert("RGB")
    pixels = image.width * image.height
    if pixels > HOSTED_INPUT_PIXELS:
        scale = (HOSTED_INPUT_PIXELS / pixels) ** 0.5
        image = image.resize((int(image.width * scale), int(image.height * scale)), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    if buffer.tell() > PNG_LIMIT:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=95, subsampling=0)
    return buffer.getvalue()


def other_seed(seed: int) -> int:
    """The seed of the second try after a moderated picture: the same one on every machine."""
    return int.from_bytes(hashlib.sha256(f"moderated {seed}".encode()).digest()[:4], "big") & 0x7FFFFFFF


def _decode(answer: _Picture) -> Rendered | Failed:
    """Pixels of a download, of the size that was asked for."""
    request = answer.request
    try:
        with Image.open(io.BytesIO(answer.data)) as image:
            pixels = np.array(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        return Failed(request, Reason.NOT_READY, f"the picture cannot be read ({type(error).__name__})", final=False)
    height, width = pixels.shape[:2]
    if (width, height) != (request.width, request.height):
        detail = f"the API answered {width}x{height} pixels instead of {request.width}x{request.height}"
        return Failed(request, Reason.ENGINE_ERROR, detail, final=True, cost=answer.cost)
    prompt = "" if answer.prompt == request.prompt else answer.prompt
    return Rendered(request, pixels, answer.seconds, 1, prompt, answer.cost, answer.seed)


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


def _over_budget(ledger: Ledger) -> SpendError:
    problem = f"{ledger.spent:.2f} USD are spent, and one more picture might pass {ledger.limit:.2f}"
    return SpendError("budget", "max_cost", problem, "raise it and run again")


def _possibly_billed(request: RenderRequest, detail: str, cost: float) -> Failed:
    text = f"{detail}; it may have been billed, up to {cost:.3f} USD; --resubmit sends it again"
    return Failed(request, Reason.POSSIBLY_BILLED, text, final=True)


def _with_advice(detail: str) -> str:
    return f"{detail}; it was paid for; --resubmit pays again"


def _paid(attempt: Attempt) -> float:
    return attempt.task.cost if attempt.task else 0.0
