"""One request from the journal to a picture: collect what is paid for, refuse what may be lost, else pay.

The order that keeps money safe: reserve the price, write the intent, submit, write the task, wait, download. From the
intent to the task's record few submits are under way at once: so many pictures a kill can leave unknown.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Mapping
from typing import Any, TypeVar

from catalogs.errors import OptionError, ReferenceImageError, SpendError
from catalogs.identity import render_fingerprint
from catalogs.journal.purse import Share, Short
from catalogs.journal.records import Attempt, Ending, PaidTask
from catalogs.money import Micro, shown, usd
from catalogs.requests import Reason, RenderRequest
from inference.engine import Failed, failed_reference
from inference.hosted.buyer import Buyer, Order, purpose_of
from inference.hosted.client import (
    KEY_VARIABLE,
    BadKey,
    Gone,
    NotMade,
    NotReady,
    OutOfCredits,
    Refused,
    TaskFailed,
    Unanswered,
)
from inference.hosted.collection import Collection, is_collectable
from inference.hosted.download import Download
from inference.remote.backoff import backoff

SUBMIT_TRIES = 12
UNKNOWN_TRIES = 3
"""Sends of a request whose answers tell nothing, where the user wants it sent again."""
LOOK_AGAIN = 1.0
MONEY_PATIENCE = 60.0
"""Seconds to wait for money that other runs at work have set aside and may give back."""

INTENT_SECONDS = 20.0
"""An intent that took longer to write is not followed by its submit; see `SUBMIT_SECONDS` and `SUBMIT_GRACE`."""

Answer = Download | Failed
Found = TypeVar("Found")


class JournalChanged(Exception):
    """What stands in the journal is no longer what was decided on: look again."""


class RunEnding(Exception):
    """The run ends before this request was sent."""


class Purchase:
    """One request of one `render`."""

    def __init__(self, buyer: Buyer, order: Order, request: RenderRequest) -> None:
        self._buyer, self._order, self.request, self.label = buyer, order, request, request.label
        self._settings, self._account, self._journal = buyer.settings, buyer.account, buyer.journal
        self._till, self.fingerprint = buyer.till, render_fingerprint(request)
        self._low, self._high = buyer.price(request)

    async def answer(self) -> Answer | None:
        """The journal decides: collect, refuse, wait for another process, or pay. None: the run is ending.

        Raises:
            SpendError: credits or budget are at their end.
            OptionError: the key is not accepted.
            StorageError: the journal could not be written.
        """
        try:
            return await self._answer()
        finally:
            self._order.to_come = max(0, self._order.to_come - self._high)

    async def _answer(self) -> Answer | None:
        mine: int | None = None
        asked = 0
        while True:
            try:
                last = await self._account.thread(self._journal.last, self.fingerprint)
            except SpendError as error:  # nobody knows whether this one was paid for, but of the others
                return Failed(self.request, Reason.ENGINE_ERROR, str(error), final=False)
            fresh = last is not None and mine is not None and last.number >= mine
            if last is not None and last.task is not None and self._is_asked_for(last, fresh, asked):
                asked += 1
                answer = await self._collect(last, last.task)
                if fresh or not self._may_pay_again(answer):
                    return answer
                continue
            if last is not None and last.ending is None and await self._is_foreign(last):
                continue
            if last is not None and (refused := self._refused(last, fresh)):
                return refused
            if last is not None and last.ending is None:
                await self._end(last.number, Ending.RESUBMITTED)
            number = 0 if last is None else last.number + 1
            mine = number if mine is None else mine
            try:
                return await self._pay(number, self._seed(last), last.errors if last else 0)
            except JournalChanged:
                continue
            except RunEnding:
                return None

    def _is_asked_for(self, last: Attempt, fresh: bool, asked: int) -> bool:
        """Whether a task is asked for its picture: once a run, and once more before another is bought in its place."""
        if last.ending is None:
            return True
        return is_collectable(last) and not fresh and asked < (2 if self._settings.resubmit else 1)

    def _may_pay_again(self, answer: Answer) -> bool:
        """A picture of an earlier start that is gone, and that somebody asked to buy again."""
        is_gone = isinstance(answer, Failed) and answer.reason is Reason.PAID_EXPIRED
        return is_gone and self._settings.resubmit

    async def _is_foreign(self, last: Attempt) -> bool:
        """Wait a moment where another process may still write what became of an intent."""
        patience = await self._account.thread(self._journal.patience, last)
        if not patience:
            return False
        intent = last.intent
        if intent.run_id != self._journal.run_id:
            whom = f"run {intent.run_id} on {intent.host} (process {intent.pid})"
            self._till.say_once(f"waits up to {patience:.0f} s for {whom}, whose submits may still be answered")
        await asyncio.sleep(min(LOOK_AGAIN, patience))
        return True

    def _refused(self, last: Attempt, fresh: bool) -> Failed | None:
        """Why this attempt, as it ended, is not to be followed by another; None when it is."""
        request, settings, ending = self.request, self._settings, last.ending
        again = settings.resubmit and not fresh
        seen_now = fresh or last.ended_by == self._journal.run_id
        if ending in (None, Ending.UNANSWERED):
            if again or (settings.resend_unknown and ending is not None and not fresh):
                return None
            detail = last.detail or "a submit was never answered"
            return _possibly_billed(request, detail, last.intent.cost_high)
        if ending in (Ending.EXPIRED, Ending.GONE) and not again:
            return _expired(request, last.detail, _paid(last), is_believed=ending is Ending.GONE)
        if ending in (Ending.REQUEST_MODERATED, Ending.CONTENT_MODERATED):
            if (not seen_now and settings.retry_failed) or self._may_reseed(last):
                return None
            return Failed(request, Reason.MODERATED, last.detail, final=True, cost=usd(_paid(last)) if fresh else 0.0)
        if ending in (Ending.ERROR, Ending.UNUSABLE) and last.task is not None:
            is_final = ending is Ending.UNUSABLE or last.errors >= settings.tries
            if seen_now or (is_final and not settings.retry_failed):
                return Failed(request, Reason.ENGINE_ERROR, last.detail, final=is_final, cost=usd(_paid(last)))
        return None

    def _may_reseed(self, last: Attempt) -> bool:
        asked = self._settings.retry_moderated and last.ending == Ending.CONTENT_MODERATED
        return asked and last.intent.seed == self.request.seed

    def _seed(self, last: Attempt | None) -> int:
        if last is None:
            return self.request.seed
        return other_seed(self.request.seed) if self._may_reseed(last) else self.request.seed

    async def _end(self, number: int, ending: Ending, detail: str = "") -> None:
        await self._account.thread(self._journal.end, self.fingerprint, number, ending, detail)

    async def _collect(self, attempt: Attempt, task: PaidTask) -> Answer:
        """Wait for a task of an earlier start, or of another process, that is paid for already."""
        age = await self._account.thread(self._journal.age, attempt)
        errors = attempt.errors if attempt.ending is Ending.ERROR else attempt.errors + 1
        async with self._account.slots, self._buyer.slot():
            collection = self._buyer.collection(self.fingerprint, attempt.number, task, age, attempt.ending)
            sample = await self._tried(collection.sample(), collection, task, errors)
        if isinstance(sample, Failed):
            return sample
        return await self._tried(collection.picture(sample, attempt.intent.seed), collection, task, errors)

    async def _tried(
        self, work: Awaitable[Found], collection: Collection, task: PaidTask, errors: int
    ) -> Found | Failed:
        """What a task has to give, or why it has not.

        Args:
            errors: tasks of this request that ended in an error, if this one does.
        """
        request, paid = self.request, usd(task.cost)
        try:
            return await work
        except NotReady as error:
            return Failed(request, Reason.NOT_READY, str(error), final=False)
        except Gone as error:
            return _expired(request, f"task {task.id} is gone ({error})", task.cost, collection.is_believed)
        except TaskFailed as error:
            if error.is_moderated:
                return Failed(request, Reason.MODERATED, str(error), final=True, cost=paid)
            return Failed(request, Reason.ENGINE_ERROR, str(error), errors >= self._settings.tries, cost=paid)

    async def _pay(self, number: int, seed: int, errors: int) -> Answer:
        """Submit and see it through.

        Raises:
            JournalChanged: another process was first, or a moderated picture may have another seed.
            RunEnding: nothing was sent.
        """
        request = self.request
        try:
            body = await self._account.thread(self._buyer.body, request, seed)
        except ReferenceImageError as error:
            return failed_reference(request, error)
        async with self._account.slots, self._buyer.slot():
            submitting = asyncio.create_task(self._submit(number, seed, body))
            self._order.watch(submitting)
            taken = await asyncio.shield(submitting)
            if isinstance(taken, Failed):
                return taken
            collection = self._buyer.collection(self.fingerprint, *taken)
            sample = await self._tried(collection.sample(), collection, taken[1], errors + 1)
        moderated = isinstance(sample, Failed) and sample.reason == Reason.MODERATED
        if moderated and self._settings.retry_moderated and seed == request.seed:
            raise JournalChanged
        if isinstance(sample, Failed):
            return sample
        return await self._tried(collection.picture(sample, seed), collection, taken[1], errors + 1)

    async def _submit(self, number: int, seed: int, body: Mapping[str, Any]) -> tuple[int, PaidTask] | Failed:
        """Intent, submit, task; again after answers that say that no task was made."""
        detail, unknown = "", 0
        for tries in range(SUBMIT_TRIES):
            try:
                return number, await self._send(number, seed, body)
            except Unanswered as error:
                unknown, detail, delay = unknown + 1, str(error), None
                if not self._settings.resend_unknown or unknown >= UNKNOWN_TRIES:
                    return _possibly_billed(self.request, detail, self._high)
            except NotMade as error:
                detail, delay = str(error), error.delay
            except (Refused, OutOfCredits, BadKey) as error:
                return _turned_down(self.request, error)
            number += 1
            await asyncio.sleep(backoff(tries, delay))
        text = f"not taken in {SUBMIT_TRIES} tries: {detail}"
        return Failed(self.request, Reason.NOT_READY, text, final=False)

    async def _send(self, number: int, seed: int, body: Mapping[str, Any]) -> PaidTask:
        """One submit, paid from the purse, when it is its turn: by then it is known what those before it were billed.

        Raises:
            RunEnding, JournalChanged: nothing was sent.
            BflError: as `BflClient.submit`.
        """
        async with self._account.submits:
            high = self._till.expected(self._high)
            share = await self._reserved(high)
            cost = high  # until it is known what it was
            try:
                task = await self._asked(number, seed, body, share.hold.id, high)
                cost = task.cost
            except (NotMade, Refused, OutOfCredits, BadKey, JournalChanged):
                cost = 0
                raise
            finally:
                await self._account.thread(self._till.purse.settle, share, high, cost)
        return task

    async def _reserved(self, high: Micro) -> Share:
        """Money for one more picture; waits a while for what other runs may give back.

        Raises:
            RunEnding: there is none, or the run ends.
        """
        until = time.monotonic() + MONEY_PATIENCE
        while not (self._order.short or self._order.is_ending()):
            try:
                return await self._account.thread(self._till.purse.reserve, high, self._order.to_come)
            except Short as error:
                if not error.others or time.monotonic() > until:
                    self._order.short = error
                    break
                self._till.say_once(f"waits up to {MONEY_PATIENCE:.0f} s for money of the budget: {error.problem}")
            await asyncio.sleep(LOOK_AGAIN)
        raise RunEnding

    async def _asked(self, number: int, seed: int, body: Mapping[str, Any], hold: str, high: Micro) -> PaidTask:
        """Intent, submit, task."""
        thread, journal, fingerprint = self._account.thread, self._journal, self.fingerprint
        name, purpose, begun = self._buyer.spec.name, purpose_of(self.request), time.monotonic()
        if not await thread(journal.begin, fingerprint, number, name, seed, high, hold, purpose, self._high):
            raise JournalChanged
        try:
            if time.monotonic() - begun > INTENT_SECONDS:
                # Others may take it for one that nobody waits for by the time its answer comes.
                await self._end(number, Ending.VOID, "the store was slow")
                raise JournalChanged
            taken = await self._account.client.submit(self._buyer.spec.repository, body)
            cost = high if taken.cost is None else taken.cost
            # Before anybody else's turn: what is wrong with a price, or with who answers, stops the next submit.
            self._till.was_answered(self._low, self._high, cost, taken.odd_cost)
            task = PaidTask(taken.id, taken.polling_url, cost, taken.input_mp, taken.output_mp)
            await thread(journal.submitted, fingerprint, number, task)
        except Unanswered as error:
            self._till.was_not_answered(str(error))
            await self._end(number, Ending.UNANSWERED, str(error))
            raise
        except (NotMade, Refused, OutOfCredits, BadKey) as error:
            await self._end(number, Ending.VOID, str(error))
            raise
        finally:
            journal.answered(fingerprint, number)
        return task


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


def _possibly_billed(request: RenderRequest, detail: str, high: Micro) -> Failed:
    text = f"{detail}; it may have been billed, up to {shown(high)} USD; --resubmit sends it again"
    return Failed(request, Reason.POSSIBLY_BILLED, text, final=True)


def _expired(request: RenderRequest, detail: str, cost: Micro, is_believed: bool) -> Failed:
    advice = "--resubmit buys it again" if is_believed else "the next run asks for it once more"
    text = f"{detail}; {shown(cost)} USD were paid for it; {advice}"
    return Failed(request, Reason.PAID_EXPIRED, text, final=is_believed, cost=usd(cost))


def _paid(attempt: Attempt) -> Micro:
    return attempt.task.cost if attempt.task else 0
