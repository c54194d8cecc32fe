"""What the spend journal writes down of an attempt at a paid picture, and how it is read back.

Each record carries the version of its format; one without is of the first. Of a newer one nobody here knows what was
spent, and so nothing more is. What keys say is said so in every format. Costs are USD in the files.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from catalogs.errors import NewerFormat, SpendError
from catalogs.money import Micro, micro, usd
from catalogs.storage.store import Entry, Store

SPEND = "spend"
JOURNAL_FORMAT = 2
"""Since the second an intent says what it is for; see `Purpose`."""
MOST: Micro = 10**18
"""Below it is every price that can be one, and fits the columns of the view."""
PUT_BACK = "put back what was written there; to delete the folder is to pay for the picture again"
_KEY = re.compile(r"(\d{4})(?:\.(task|end)\.(.+))?\.json")


class Ending(StrEnum):
    """How an attempt ended without a picture; of two of one attempt the later in this order counts."""

    VOID = "void"  # no task was made
    UNANSWERED = "unanswered"  # what was answered does not say whether one was
    ERROR = "error"
    UNUSABLE = "unusable"  # a picture came that is not what was asked for; its bytes are kept
    REQUEST_MODERATED = "request-moderated"
    CONTENT_MODERATED = "content-moderated"
    EXPIRED = "expired"  # not to be had any more, as far as one run saw
    GONE = "gone"  # nor when it was asked for again
    RESUBMITTED = "resubmitted"  # given up by the user's own word


_LATER = tuple(Ending)
COLLECTABLE = frozenset((None, Ending.EXPIRED))
"""How an attempt stands whose task a run still asks for."""


@dataclass(frozen=True, slots=True)
class Purpose:
    """What a picture is for, and what is needed to take it up without its plan.

    Attributes:
        width: pixels asked for; 0 in records of before, as the rest is "".
        prompt_sha256: hex digest of the prompt sent.
    """

    brand_id: str = ""
    shot: str = ""
    width: int = 0
    height: int = 0
    prompt_sha256: str = ""
    model_revision: str = ""


@dataclass(frozen=True, slots=True)
class Intent:
    """What is about to be paid for.

    Attributes:
        seed: the one sent, which is not the request's own after a moderated picture.
        cost_high: the most it may cost, in the light of what others were billed at; `published_high` by the published
            prices, 0 in records of before.
        nonce: tells this writer's bytes from another's.
        boot: where its process id means something, see `catalogs.journal.lease`; "" in records of before.
        hold: the hold of the budget that it is paid from, "" in records of before.
    """

    campaign: str
    model: str
    seed: int
    cost_high: Micro
    run_id: str
    at: str
    host: str
    pid: int
    nonce: str
    boot: str = ""
    hold: str = ""
    purpose: Purpose = Purpose()
    published_high: Micro = 0

    def encode(self) -> bytes:
        prices = {"cost_high": usd(self.cost_high), "published_high": usd(self.published_high)}
        return _encode({**asdict(self), **prices})

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Intent:
        purpose = Purpose(**content.get("purpose", {}))
        prices = {"cost_high": micro(content["cost_high"]), "published_high": micro(content.get("published_high", 0))}
        intent = cls(**{**content, **prices, "purpose": purpose})
        for text in (intent.campaign, intent.model, intent.run_id, intent.hold, purpose.brand_id, purpose.shot):
            _check_text(text)
        if not 0 <= intent.cost_high < MOST:
            raise ValueError(f"{content['cost_high']} is no price")
        return intent


@dataclass(frozen=True, slots=True)
class PaidTask:
    """A task the API has taken.

    Attributes:
        cost: as answered; the highest price where it answered none.
    """

    id: str
    polling_url: str
    cost: Micro
    input_mp: float | None = None
    output_mp: float | None = None
    at: str = ""

    def encode(self, at: str) -> bytes:
        return _encode({**asdict(self), "cost": usd(self.cost), "at": at})

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> PaidTask:
        task = cls(**{**content, "cost": micro(content["cost"])})
        for text in (task.id, task.polling_url):
            _check_text(text)
        return task


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at a picture as the journal has it.

    Attributes:
        intent_at: when the store took its intent, by the store's clock; `task_at` its task.
        errors: how many attempts at this picture, this one included, were paid for an error.
        ended_by: the run that saw its end, "" in records of before.
    """

    number: int
    intent: Intent
    intent_at: datetime
    task: PaidTask | None = None
    task_at: datetime | None = None
    ending: Ending | None = None
    detail: str = ""
    errors: int = 0
    ended_by: str = ""


@dataclass(frozen=True, slots=True)
class Name:
    """What a journal key says by itself.

    Attributes:
        kind: `intent`, `task` or `end`.
        rest: of a task "<campaign>.<millionths of a USD>", of an end its `Ending`.
        modified: when it was written, by the store's clock.
    """

    key: str
    fingerprint: str
    number: int
    kind: str
    rest: str
    modified: datetime

    @property
    def campaign(self) -> str:
        return self.rest.rpartition(".")[0]

    @property
    def cost(self) -> Micro:
        return int(self.rest.rpartition(".")[2])


@dataclass(slots=True)
class Names:
    """The keys of one attempt."""

    intent: Name | None = None
    task: Name | None = None
    ends: list[Name] = field(default_factory=list)

    def add(self, name: Name) -> None:
        if name.kind == "intent":
            self.intent = name
        elif name.kind == "task":
            self.task = name
        else:
            self.ends.append(name)

    @property
    def end(self) -> Name | None:
        """The end that counts."""
        return max(self.ends, key=lambda name: _place(name.rest), default=None)

    @property
    def ending(self) -> str | None:
        return self.end.rest if self.end else None


def _place(ending: str) -> int:
    # One that is not known here is of a newer packshot, and stands above all.
    return _LATER.index(Ending(ending)) if ending in _LATER else len(_LATER)


def parse(key: str, entry: Entry) -> Name | None:
    """What a key under spend/ says; None for another's."""
    folder, _, name = key.rpartition("/")
    match = _KEY.fullmatch(name)
    if not match:
        return None
    kind, rest = match[2] or "intent", match[3] or ""
    price = rest.rpartition(".")[2]
    if kind == "task" and not (price.isdecimal() and int(price) < MOST):
        return None
    return Name(key, folder.rpartition("/")[2], int(match[1]), kind, rest, entry.modified)


def attempts(entries: Mapping[str, Entry]) -> dict[tuple[str, int], Names]:
    """Listed keys by fingerprint and number of the attempt."""
    found: dict[tuple[str, int], Names] = {}
    for name in (parse(key, entry) for key, entry in entries.items()):
        if name:
            found.setdefault((name.fingerprint, name.number), Names()).add(name)
    return found


def record_key(fingerprint: str, number: int, rest: str = "") -> str:
    """Key of an intent, or of what `rest` says."""
    return f"{SPEND}/{fingerprint}/{number:04}{'.' + rest if rest else ''}.json"


def task_key(fingerprint: str, number: int, campaign: str, cost: Micro) -> str:
    """Key of a task, which says what it cost whom."""
    return record_key(fingerprint, number, f"task.{campaign}.{cost}")


def encode_end(detail: str, at: str, run_id: str) -> bytes:
    """The record of an end, and which run saw it."""
    return _encode({"detail": detail, "at": at, "run_id": run_id})


def read_intent(store: Store, name: Name) -> Intent:
    """Raises SpendError: the record is newer, or none, so that what was spent cannot be known."""
    try:
        return Intent.of(read_record(store, name))
    except (TypeError, KeyError, ValueError, ArithmeticError):
        raise _unreadable(store, name) from None


def read_task(store: Store, name: Name) -> PaidTask:
    """Raises SpendError: as `read_intent`."""
    try:
        return PaidTask.of(read_record(store, name))
    except (TypeError, KeyError, ValueError, ArithmeticError):
        raise _unreadable(store, name) from None


def read_record(store: Store, name: Name) -> dict[str, Any]:
    """What a record says, without its format; raises SpendError as `read_intent`."""
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


def ending_of(store: Store, name: Name) -> Ending:
    """Raises SpendError: the ending is none that is known here."""
    try:
        return Ending(name.rest)
    except ValueError:
        raise _unreadable(store, name) from None


def _check_text(value: object) -> None:
    """Raises ValueError: it is no text, or one that no file can hold."""
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no text")
    value.encode()


def _unreadable(store: Store, name: Name) -> SpendError:
    problem = "is no journal record that can be read: what was spent cannot be known"
    return SpendError(store.uri(name.key), "", problem, PUT_BACK)


def _encode(content: Mapping[str, object]) -> bytes:
    return json.dumps({**content, "format": JOURNAL_FORMAT}, sort_keys=True).encode()
