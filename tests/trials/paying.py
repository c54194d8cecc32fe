"""Buys pictures until it is killed: `python -m tests.trials.paying OUTPUT URL UNANSWERED PICTURES RUN`."""

from __future__ import annotations

import sys
import threading
from typing import Any

from catalogs.identity import render_fingerprint
from catalogs.journal.spend import Journal
from catalogs.journal.sums import read_spent
from catalogs.requests import RenderRequest
from catalogs.storage.store import Store
from inference.engine import Rendered
from inference.hosted.client import ApiKey
from inference.hosted.engine import BflEngine
from inference.hosted.settings import HostedSettings

SLOTS = 24


def asked(number: int) -> RenderRequest:
    return RenderRequest(f"mug {number}", (), 64, 64, number, 0, 4, None, "bfl/klein-4b", "")


def keep(store: Store, fingerprint: str) -> None:
    """As a master is: once and for all."""
    store.write(f"renders/{fingerprint}.png", b"a picture")


def main() -> None:
    output, url, unanswered, pictures, run = sys.argv[1:]
    store, settings = Store.at(output), HostedSettings(url, SLOTS, int(unanswered))
    nothing: Any = None
    engine = BflEngine(
        "bfl/klein-4b", settings, Journal(store, "trial", run), nothing, ApiKey("trial-key"), threading.Event()
    )
    kept = {key.removeprefix("renders/").removesuffix(".png") for key in store.list("renders")}
    for collected in engine.collect(sorted(read_spent(store, "trial").uncollected - kept)):
        keep(store, collected.fingerprint)
        kept.add(collected.fingerprint)
    wanted = [request for request in map(asked, range(int(pictures))) if render_fingerprint(request) not in kept]
    for result in engine.render(wanted):
        if isinstance(result, Rendered):
            keep(store, render_fingerprint(result.request))


if __name__ == "__main__":
    main()
