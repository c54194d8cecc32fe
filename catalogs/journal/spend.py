"""The spend journal: what was asked of a paid API, before it was asked, so that nothing is paid for twice.

    spend/<render_fingerprint>/0000.json                               intent, created exclusively before the submit
    spend/<render_fingerprint>/0000.task.<campaign>.<micro USD>.json   id and polling URL, before the first poll
    spend/<render_fingerprint>/0000.end.<ending>.json                  how it ended, where no picture came of it

Nothing is ever changed or deleted; a further try is attempt 0001. The price stands in the key, so that a sum over
all runs reads one listing. An intent with neither task nor end may have been billed: nobody knows.

Each record carries the version of its format; one without is of the first. Of a newer one nobody here knows what was
spent, and so nothing more is. What keys say is said so in every format.
"""

from __future__ import annotations

import json
import os
import platform
import re
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from time import sleep
from typing import Any, TypeVar

from catalogs.errors import NewerFormat, SpendError, StorageError
from catalogs.journal.lease import is_alive
from catalogs.storage.store import Store

SPEND = "spend"
JOURNAL_FORMAT = 1
_KEY = re.compile(r"(\d{4})(?:\.(task|end)\.(.+))?\.json")
# An intent younger than this may be a live process's that waits for its answer.
SUBMIT_GRACE = timedelta(seconds=90)
_WRITE_RETRIES = (0.2, 1.0, 5.0)


Record = TypeVar("Record")

# Nonces of this process's own submits that wait for their answer, by journal key.
_in_the_air: dict[str, str] = {}


class Ending(StrEnum):
    """How an attempt ended without a picture."""

    VOID = "void"  # no task was made
    ERROR = "error"
    REQUEST_MODERATED = "request-moderated"
    CONTENT_MODERATED = "content-moderated"
    EXPIRED = "expired"
    RESUBMITTED = "resubmitted"  # given up by the user's own word


@dataclass(frozen=True, slots=True)
class Intent:
    """What is about to be paid for.

    Attributes:
        seed: the one sent, which is not the request's own after a moderated picture.
        cost_high: USD it may cost by the published prices.
        nonce: tells this writer's bytes from another's.
    """

    campaign: str
    model: str
    seed: int
    cost_high: float
    run_id: str
    at: str
    host: str
    pid: int
    nonce: str


@dataclass(frozen=True, slots=True)
class PaidTask:
    """A task the API has taken.

    Attributes:
        cost: USD, as answered; the estimate where it answered none.
    """

    id: str
    polling_url: str
    cost: float
    input_mp: float | None = None
    output_mp: float | None = None
    at: str = ""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at a picture as the journal has it."""

    number: int
    intent: Intent
    task: PaidTask | None = None
    ending: Ending | None = None
    detail: str = ""

    @property
    def may_be_running(self) -> bool:
        """Whether the writer of an intent may still wait for the answer to its submit."""
        age = datetime.now(UTC) - datetime.fromisoformat(self.intent.at)
        if age > SUBMIT_GRACE:
            return False
        if self.intent.host != platform.node():
            return True
        if self.intent.pid == os.getpid():
            return self.intent.nonce in _in_the_air.values()
        return is_alive(self.intent.pid)


@dataclass(frozen=True)
class Journal:
    """The journal of one run in an output store; safe to share between threads."""

    store: Store
    campaign: str
    run_id: str

    def begin(self, fingerprint: str, number: int, model: str, seed: int, cost_high: float) -> bool:
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
            pid=os.getpid(),
            nonce=uuid.uuid4().hex,
        )
        # The nonce makes "the same bytes are there" mean that they are ours and only the answer was lost.
        key = _key(fingerprint, number)
        _in_the_air[self.store.uri(key)] = intent.nonce
        if self.store.commit(key, _encode(asdict(intent))) != "exists-other":
            return True
        self.answered(fingerprint, number)
        return False

    def answered(self, fingerprint: str, number: int) -> None:
        """This process waits no longer for the answer to a submit, whatever came of it."""
        _in_the_air.pop(self.store.uri(_key(fingerprint, number)), None)

    def submitted(self, fingerprint: str, number: int, task: PaidTask) -> None:
        """Record a task. Tried again and again: without it, its money is lost."""
        micro = round(task.cost * 1_000_000)
        key = _key(fingerprint, number, f"task.{self.campaign}.{micro}")
        data = _encode({**asdict(task), "at": _now()})
        _insist(lambda: self.store.write(key, data))

    def end(self, fingerprint: str, number: int, ending: Ending, detail: str = "") -> None:
        key = _key(fingerprint, number, f"end.{ending}")
        data = _encode({"detail": detail, "at": _now()})
        _insist(lambda: self.store.write(key, data))

    def last(self, fingerprint: str) -> Attempt | None:
        """The latest attempt at a picture, or None where there was none.

        Raises:
            SpendError: a record is newer, or none: what was spent cannot be known.
        """
        prefix = f"{SPEND}/{fingerprint}"
        names = [name for name in map(_parse, self.store.list(prefix)) if name]
        if not names:
            return None
        number = max(name.number for name in names)
        content = {name.kind: (_read(self.store, name), name) for name in names if name.number == number}
        if "intent" not in content:
            raise StorageError(f"{self.store.uri(prefix)}: attempt {number} has no intent")
        intent, task, end = content["intent"], content.get("task"), content.get("end")
        return Attempt(
            number=number,
            intent=_of(Intent, self.store, *intent),
            task=_of(PaidTask, self.store, *task) if task else None,
            ending=_ending(self.store, end[1]) if end else None,
            detail=str(end[0].get("detail", "")) if end else "",
        )


@dataclass(frozen=True, slots=True)
class _Name:
    """What a journal key says by itself."""

    key: str
    fingerprint: str
    number: int
    kind: str
    rest: str


def _parse(key: str) -> _Name | None:
    folder, _, name = key.rpartition("/")
    match = _KEY.fullmatch(name)
    if not match:
        return None
    return _Name(key, folder.rpartition("/")[2], int(match[1]), match[2] or "intent", match[3] or "")


def _key(fingerprint: str, number: int, rest: str = "") -> str:
    return f"{SPEND}/{fingerprint}/{number:04}{'.' + rest if rest else ''}.json"


def _read(store: Store, name: _Name) -> dict[str, Any]:
    """What a record says, without its format."""
    try:
        content = json.loads(store.read(name.key))
        found = content.pop("format", 1)
        is_newer = found > JOURNAL_FORMAT
    except (ValueError, TypeError, AttributeError):
        raise _unreadable(store, name) from None
    if is_newer:
        problem = f"{NewerFormat('journal', found, JOURNAL_FORMAT)}: what was spent cannot be known"
        raise SpendError(store.uri(name.key), "", problem, "upgrade packshot")
    return dict(content)


def _of(kind: type[Record], store: Store, content: Mapping[str, Any], name: _Name) -> Record:
    try:
        return kind(**content)
    except TypeError:
        raise _unreadable(store, name) from None


def _ending(store: Store, name: _Name) -> Ending:
    try:
        return Ending(name.rest)
    except ValueError:
        raise _unreadable(store, name) from None


def _unreadable(store: Store, name: _Name) -> SpendError:
    problem = "is no journal record that can be read: what was spent cannot be known"
    return SpendError(store.uri(name.key), "", problem, "put back what was written there")


@dataclass
class Spent:
    """A campaign's money over all its runs.

    Attributes:
        tasks: USD of the tasks the API has taken, whatever came of them.
        possible: USD of intents that nobody knows the fate of, at their highest price.
        claimed: render fingerprints that a next run collects or refuses, and does not pay for again.
        tasked: those of them that it collects.
    """

    tasks: float = 0.0
    possible: float = 0.0
    claimed: set[str] = field(default_factory=set)
    tasked: set[str] = field(default_factory=set)

    @property
    def total(self) -> float:
        return round(self.tasks + self.possible, 6)


def read_spent(store: Store, campaign: str) -> Spent:
    """Sum the journal of an output for one campaign, from one listing and the few intents left open.

    Raises:
        SpendError: an intent is of a newer format, or none: what was spent cannot be known.
    """
    spent = Spent()
    attempts: dict[tuple[str, int], dict[str, _Name]] = {}
    for name in filter(None, map(_parse, store.list(SPEND))):
        attempts.setdefault((name.fingerprint, name.number), {})[name.kind] = name
    latest: dict[str, int] = {}
    for (fingerprint, number), parts in attempts.items():
        latest[fingerprint] = max(number, latest.get(fingerprint, -1))
        _add(spent, store, campaign, parts)
    spent.claimed = {f for f, number in latest.items() if "end" not in attempts[f, number]}
    spent.tasked = {f for f in spent.claimed if "task" in attempts[f, latest[f]]}
    return spent


def tasked_renders(store: Store) -> frozenset[str]:
    """Render fingerprints that any task of an output was paid for, whatever came of it."""
    names = filter(None, map(_parse, store.list(SPEND)))
    return frozenset(name.fingerprint for name in names if name.kind == "task")


def _add(spent: Spent, store: Store, campaign: str, parts: Mapping[str, _Name]) -> None:
    task, end = parts.get("task"), parts.get("end")
    if task:
        name, _, micro = task.rest.rpartition(".")
        spent.tasks += int(micro) / 1_000_000 if name == campaign else 0.0
    elif "intent" in parts and (end is None or end.rest != Ending.VOID):
        intent = _of(Intent, store, _read(store, parts["intent"]), parts["intent"])
        spent.possible += intent.cost_high if intent.campaign == campaign else 0.0


def _encode(content: Mapping[str, object]) -> bytes:
    return json.dumps({**content, "format": JOURNAL_FORMAT}, sort_keys=True).encode()


def _now() -> str:
    return datetime.now(UTC).isoformat()


def _insist(write: Callable[[], None], delays: Iterable[float] = _WRITE_RETRIES) -> None:
    for delay in delays:
        try:
            return write()
        except StorageError:
            sleep(delay)
    write()
