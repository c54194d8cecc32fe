"""The hosted engine: many requests in flight, each journaled before it is paid for.

`render` is a generator that hands answers over as they come from the event loop that all shards of a process share.
What happens to one request is told in `purchase`. `collect` takes up what earlier starts have paid for, whoever wants
it now: it submits nothing.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import httpx

from catalogs.errors import OptionError, PackshotError, SpendError
from catalogs.journal.credits import note_credits
from catalogs.journal.kept import keep_paid
from catalogs.journal.records import Attempt, Ending
from catalogs.journal.spend import Journal
from catalogs.money import usd
from catalogs.requests import Reason, RenderRequest
from inference.engine import Engine, Failed, LoadReference, Pixels, Rendered
from inference.hosted.account import account_of
from inference.hosted.buyer import Buyer, Order, Slot, prompt_sha256
from inference.hosted.client import ApiKey, BflError
from inference.hosted.collection import is_collectable
from inference.hosted.download import Download
from inference.hosted.purchase import Purchase
from inference.hosted.settings import HostedSettings
from inference.models.table import MODELS
from inference.remote.answers import Call, stream
from inference.remote.pictures import EncodedReferences, OtherPicture, pixels_of

# Pictures that may be finished and not taken over yet, beside those in flight.
AHEAD = 12
# Seconds without a picture after which the rest of what is paid is left to the shards that want it, or a later run.
COLLECT_PATIENCE = 45.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Collected:
    """A picture of an earlier start.

    Attributes:
        prompt_used: as in `inference.engine.Rendered`, as `note` is.
    """

    fingerprint: str
    attempt: Attempt
    pixels: Pixels
    prompt_used: str
    seed: int
    seconds: float
    note: str = ""


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
    ) -> None:
        spec = MODELS[model]
        self.versions = {"bfl": spec.repository, "httpx": httpx.__version__}
        self._account = account_of(settings, key)
        self._till = self._account.till(journal, settings)
        references = EncodedReferences(load_reference)
        self._buyer = Buyer(spec, settings, self._account, journal, references, self._till, slot)
        self._settings, self._journal, self._stopping = settings, journal, stopping

    def bucket(self, request: RenderRequest) -> int:
        return 0

    def batch_size(self, request: RenderRequest) -> int:
        """A whole shard: the slots, not the batch, say how many are in flight."""
        return 1_000_000

    def render(self, batch: Sequence[RenderRequest]) -> Iterator[Rendered | Failed]:
        """Render requests, answers in the order they are done; those it did not come to get no answer.

        Raises:
            SpendError: credits or budget are at their end, or something is wrong with what is billed; what was in
                flight has been yielded.
            OptionError: the key is not accepted.
            StorageError: the journal could not be written; nothing more was submitted.
        """
        call = Call(self._settings.in_flight + AHEAD, halted=self._halted)
        order = Order(lambda: self._is_ending(call), sum(self._buyer.price(request)[1] for request in batch))
        call.is_ending = lambda: order.short is not None or order.is_ending()
        # A submit is not cut off where the shard is broken: its task would be paid for and unknown.
        call.settle = order.settled
        asked = {purchase.fingerprint: purchase for purchase in (Purchase(self._buyer, order, r) for r in batch)}
        with self._spending():
            for answer in self._stream(call, asked.values()):
                if isinstance(answer, Failed):
                    yield answer
                else:
                    yield self._rendered(asked[answer.fingerprint].request, answer)
        if error := call.halt or self._till.closed or order.short:
            self._stopping.set()
            raise error

    def collect(self, fingerprints: Iterable[str]) -> Iterator[Collected]:
        """Pictures of tasks that are paid for, as they come; of others nothing, or an end in the journal.

        Raises:
            StorageError, SpendError: the journal failed, or cannot be read.
        """
        call = Call(self._settings.in_flight + AHEAD, leaves=True, halted=self._halted)
        order = Order(lambda: call.closed or self._stopping.is_set(), leaves=True)
        call.is_ending = order.is_ending
        jobs = [_Collecting(self._buyer, fingerprint) for fingerprint in fingerprints]
        found = {job.fingerprint: job for job in jobs}
        for download in self._stream(call, jobs, COLLECT_PATIENCE):
            attempt = found[download.fingerprint].attempt
            if attempt and (collected := self._collected(attempt, download)):
                yield collected
        if call.halt:
            raise call.halt

    def _stream(self, call: Call, jobs: Iterable[Any], patience: float | None = None) -> Iterator[Any]:
        return stream(self._account.loop, call, jobs, self._tell_of_waiting, patience)

    def _tell_of_waiting(self, seconds: float) -> None:
        said = f"; it last answered {self._account.client.trouble}" if self._account.client.trouble else ""
        _log.warning("waits for the hosted API since %.0f s%s", seconds, said)

    def _is_ending(self, call: Call) -> bool:
        ended = call.closed or call.halt is not None or self._till.closed is not None
        return ended or self._stopping.is_set()

    def _halted(self, error: PackshotError) -> None:
        if isinstance(error, SpendError | OptionError):
            self._stopping.set()

    @contextmanager
    def _spending(self) -> Iterator[None]:
        """The purse in use, and what the account holds before and after."""
        self._note_credits()
        self._till.purse.enter()
        try:
            yield
        finally:
            self._till.purse.leave()
            self._note_credits()

    def _note_credits(self) -> None:
        asked = time.monotonic()
        try:
            left = self._account.credits()
        except (BflError, TimeoutError):
            return  # a key that is not known is told by the first submit
        if left is not None:
            seconds = time.monotonic() - asked
            note_credits(self._journal.store, self._account.name, self._journal.run_id, left, seconds)

    def _rendered(self, request: RenderRequest, answer: Download) -> Rendered | Failed:
        try:
            pixels, note = pixels_of(answer.data, request.width, request.height)
        except OtherPicture as error:
            detail = self._kept(answer, error)
            return Failed(request, Reason.ENGINE_ERROR, detail, final=True, cost=usd(answer.cost))
        prompt = "" if answer.prompt == request.prompt else answer.prompt
        return Rendered(request, pixels, answer.seconds, 1, prompt, usd(answer.cost), answer.seed, note)

    def _collected(self, attempt: Attempt, answer: Download) -> Collected | None:
        purpose = attempt.intent.purpose
        try:
            pixels, note = pixels_of(answer.data, purpose.width, purpose.height)
        except OtherPicture as error:
            self._kept(answer, error)
            return None  # the shard that wants it says so in a row
        prompt = "" if prompt_sha256(answer.prompt) == purpose.prompt_sha256 else answer.prompt
        return Collected(answer.fingerprint, attempt, pixels, prompt, answer.seed, answer.seconds, note)

    def _kept(self, answer: Download, error: OtherPicture) -> str:
        """Keep the bytes of a picture that cannot be used, and write down that nothing came of it; what to say."""
        key = keep_paid(self._journal.store, answer.fingerprint, answer.data, str(error))
        detail = f"{error}; it was paid for, and lies in {key}; --retry-failed buys another"
        self._journal.end(answer.fingerprint, answer.number, Ending.UNUSABLE, detail)
        return detail


class _Collecting:
    """One render whose task an earlier start has paid for."""

    def __init__(self, buyer: Buyer, fingerprint: str) -> None:
        self._buyer, self.fingerprint, self.label = buyer, fingerprint, f"render {fingerprint[:12]}"
        self.attempt: Attempt | None = None

    async def answer(self) -> Download | None:
        """Its picture, None where it is not to be had now; the journal says so where it never is."""
        buyer = self._buyer
        account, journal = buyer.account, buyer.journal
        try:
            last = await account.thread(journal.last, self.fingerprint)
        except SpendError:
            return None  # of the others all can be known; the shard that wants this one says why
        if last is None or last.task is None or not is_collectable(last) or not last.intent.purpose.width:
            return None
        if last.intent.model not in MODELS:
            return None  # of a packshot that knows others
        self.attempt, age = last, await account.thread(journal.age, last)
        of_its_model = replace(buyer, spec=MODELS[last.intent.model])
        try:
            async with account.slots, buyer.slot():
                collection = of_its_model.collection(self.fingerprint, last.number, last.task, age, last.ending)
                sample = await collection.sample()
            return await collection.picture(sample, last.intent.seed)
        except BflError:
            return None
