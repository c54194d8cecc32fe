"""One output, one account with a ledger, and the engines of successive starts on them."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from PIL import Image

from catalogs.errors import SpendError
from catalogs.identity import render_fingerprint
from catalogs.journal.spend import Journal
from catalogs.journal.sums import Spent, read_spent
from catalogs.money import micro
from catalogs.requests import RenderRequest
from catalogs.storage.store import Store
from inference.engine import Failed, Rendered
from inference.hosted.client import ApiKey
from inference.hosted.engine import BflEngine, Collected
from inference.hosted.settings import HostedSettings
from tests.ledger.running import LedgerApi

PRICE = 14_000
"""Micro-USD of a small picture of klein-4b."""


class Buyer:
    """One output and the engines of successive starts on it."""

    def __init__(self, api: LedgerApi, folder: Path) -> None:
        self.api, self.store, self.starts = api, Store.at(str(folder)), 0
        self.stopping = threading.Event()
        self.stopped = ""

    def engine(self, model: str = "bfl/klein-4b", **settings: Any) -> BflEngine:
        """The engine of a new start."""
        self.starts += 1
        self.stopping = threading.Event()
        limit = settings.pop("max_cost", None)
        chosen = {"in_flight": 24, "max_cost": None if limit is None else micro(limit), **settings}
        return BflEngine(
            model,
            HostedSettings(self.api.url, **chosen),
            Journal(self.store, "spring", f"{self.store.root}-{self.starts}"),
            lambda reference: Image.new("RGB", (reference.width, reference.height), "#AA3344"),
            ApiKey("key-for-tests"),
            self.stopping,
        )

    def render(self, requests: list[RenderRequest], **settings: Any) -> list[Rendered | Failed]:
        """A start that renders some requests; `stopped` says why it came to its end before their end."""
        self.stopped, found = "", []
        try:
            for result in self.engine(requests[0].model, **settings).render(requests):
                found.append(result)
        except SpendError as error:
            self.stopped = str(error)
        return found

    def collect(self, requests: list[RenderRequest], **settings: Any) -> list[Collected]:
        return list(self.engine(requests[0].model, **settings).collect(map(render_fingerprint, requests)))

    @property
    def spent(self) -> Spent:
        return read_spent(self.store, "spring")


def request(number: int = 0, model: str = "bfl/klein-4b", **rest: Any) -> RenderRequest:
    """A small picture."""
    fields: dict[str, Any] = {"references": (), "width": 64, "height": 64, "take": 0, "steps": 4, "guidance": None}
    fields |= {"model_revision": "", "weight_precision": "", "options": "{}", **rest}
    return RenderRequest(prompt=f"mug {number}", seed=number, model=model, **fields)


def requests(count: int, first: int = 0) -> list[RenderRequest]:
    return [request(number) for number in range(first, first + count)]


def reasons(results: list[Any]) -> list[Any]:
    """What became of each: `picture`, or why there is none and whether that is final."""
    return [(result.reason, result.final) if isinstance(result, Failed) else "picture" for result in results]
