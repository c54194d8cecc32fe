"""The spend journal: what was asked of a paid API, before it was asked, so that nothing is paid for twice.

    spend/<render_fingerprint>/0000.json                               intent, created exclusively before the submit
    spend/<render_fingerprint>/0000.task.<campaign>.<micro USD>.json   id and polling URL, before the first poll
    spend/<render_fingerprint>/0000.end.<ending>.json                  how it ended, where no picture came of it

Nothing is ever changed or deleted; a further try is attempt 0001. The price stands in the key, so that a sum over
all runs reads one listing. An intent with neither task nor end may have been billed: nobody knows.

Whether a writer may still wait for the answer to a submit is judged by the store's clock, and by the process itself
where it runs on this machine: clocks of other machines are never asked.
"""

from __future__ import annotations

import os
import platform
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import sleep

from catalogs.errors import SpendError, StorageError
from catalogs.journal.lease import boot_name, is_alive
from catalogs.journal.records import (
    PUT_BACK,
    SPEND,
    Attempt,
    Ending,
    Intent,
    Names,
    PaidTask,
    Purpose,
    attempts,
    encode_end,
    ending_of,
    read_intent,
    read_record,
    read_task,
    record_key,
    task_key,
)
from catalogs.money import Micro
from catalogs.storage.clock import StoreClock
from catalogs.storage.store import Store

SUBMIT_GRACE = 90.0
"""Seconds after which nobody waits any more for the answer to a submit, or writes down what it was."""
_WRITE_RETRIES = (0.2, 1.0, 5.0)

# Nonces of this process's own submits that wait for their answer, by journal key.
_in_the_air: dict[str, str] = {}


@dataclass(frozen=True)
class Journal:
    """The journal of one run in an output store; safe to share between threads.

    Attributes:
        paid: called with the price of a task once it is written down.
    """

    store: Store
    campaign: str
    run_id: str
    paid: Callable[[Micro], object] = field(default=lambda amount: None, compare=False)
    clock: StoreClock = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "clock", StoreClock(self.store, SPEND))

    def begin(
        self,
        fingerprint: str,
        number: int,
        model: str,
        seed: int,
        cost_high: Micro,
        hold: str = "",
        purpose: Purpose = Purpose(),  # noqa: B008 - frozen
        published_high: Micro = 0,
    ) -> bool:
        """Write an intent; False when somebody else's stands there: his is the attempt.

        Exclusive wherever `Store.create` is. On OpenStack Swift two writers whose PUTs overlap for long may
        both get True; both then pay.
        """
        intent = Intent(
            campaign=self.campaign,
            model=model,
            seed=seed,
            cost_high=cost_high,
            run_id=self.run_id,
            at=_now(),
            host=platform.node(),
            boot=boot_name(),
            pid=os.getpid(),
            nonce=uuid.uuid4().hex,
            hold=hold,
            purpose=purpose,
            published_high=published_high,
        )
        # The nonce makes "the same bytes are there" mean that they are ours and only the answer was lost.
        key = record_key(fingerprint, number)
        _in_the_air[self.store.uri(key)] = intent.nonce
        if self.store.commit(key, intent.encode()) != "exists-other":
            return True
        self.answered(fingerprint, number)
        return False

    def answered(self, fingerprint: str, number: int) -> None:
        """This process waits no longer for the answer to a submit, whatever came of it."""
        _in_the_air.pop(self.store.uri(record_key(fingerprint, number)), None)

    def submitted(self, fingerprint: str, number: int, task: PaidTask) -> None:
        """Record a task. Tried again and again: without it, its money is lost."""
        key, data = task_key(fingerprint, number, self.campaign, task.cost), task.encode(_now())
        _insist(lambda: self.store.write(key, data))
        self.paid(task.cost)

    def end(self, fingerprint: str, number: int, ending: Ending, detail: str = "") -> None:
        key, data = record_key(fingerprint, number, f"end.{ending}"), encode_end(detail, _now(), self.run_id)
        _insist(lambda: self.store.write(key, data))

    def last(self, fingerprint: str) -> Attempt | None:
        """The latest attempt at a picture, or None where there was none.

        Raises:
            SpendError: a record is newer, or none: what was spent cannot be known.
        """
        found = attempts(self.store.list(f"{SPEND}/{fingerprint}"))
        if not found:
            return None
        number = max(number for _, number in found)
        errors = sum(names.task is not None and names.ending == Ending.ERROR for names in found.values())
        return read_attempt(self.store, fingerprint, number, found[fingerprint, number], errors)

    def patience(self, attempt: Attempt) -> float:
        """Seconds that the writer of an open intent may still wait for its answer; 0.0 when nobody does."""
        intent = attempt.intent
        if intent.boot and intent.boot == boot_name():
            if intent.pid == os.getpid():
                return SUBMIT_GRACE if intent.nonce in _in_the_air.values() else 0.0
            if not is_alive(intent.pid):
                return 0.0
        age = (self.clock.now() - attempt.intent_at).total_seconds()
        return min(SUBMIT_GRACE, max(0.0, SUBMIT_GRACE - age))

    def age(self, attempt: Attempt) -> float:
        """Seconds since the task of an attempt was written down, by the store's clock."""
        return (self.clock.now() - (attempt.task_at or attempt.intent_at)).total_seconds()


def read_attempt(store: Store, fingerprint: str, number: int, names: Names, errors: int = 0) -> Attempt:
    """An attempt from its keys.

    Raises:
        SpendError: a record is newer, none, or gone: what was spent cannot be known.
    """
    if names.intent is None:
        problem = f"attempt {number} has no intent: what was spent cannot be known"
        raise SpendError(store.uri(record_key(fingerprint, number)), "", problem, PUT_BACK)
    end = names.end
    ended = read_record(store, end) if end else {}
    return Attempt(
        number=number,
        intent=read_intent(store, names.intent),
        intent_at=names.intent.modified,
        task=read_task(store, names.task) if names.task else None,
        task_at=names.task.modified if names.task else None,
        ending=ending_of(store, end) if end else None,
        detail=str(ended.get("detail", "")),
        errors=errors,
        ended_by=str(ended.get("run_id", "")),
    )


def _now() -> str:
    return datetime.now(UTC).isoformat()


def _insist(write: Callable[[], None], delays: Iterable[float] = _WRITE_RETRIES) -> None:
    for delay in delays:
        try:
            return write()
        except StorageError:
            sleep(delay)
    write()
