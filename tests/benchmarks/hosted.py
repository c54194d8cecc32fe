"""Pictures a second through the hosted engine, beside what the slots allow.

    python tests/benchmarks/hosted.py [TASKS]

Tasks of two seconds, 24 slots, an own server on 127.0.0.1: 12 pictures a second at most. The first wave teaches the
pace of the polls and is not counted; the journal is on a local disk.
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from pathlib import Path

from catalogs.journal.spend import Journal
from catalogs.requests import RenderRequest
from catalogs.storage.store import Store
from inference.engine import Rendered
from inference.hosted.account import close_accounts
from inference.hosted.client import ApiKey
from inference.hosted.engine import BflEngine
from inference.hosted.settings import HostedSettings
from tests.bfl_server import KEY, hosted_api

SECONDS, SLOTS = 2.0, 24


def request(number: int) -> RenderRequest:
    return RenderRequest(f"mug {number}", (), 64, 64, number, 0, 4, None, "bfl/klein-4b", "")


def measure(tasks: int) -> tuple[float, float]:
    """Pictures a second over all, and after the first wave of slots."""
    with tempfile.TemporaryDirectory() as folder, hosted_api(Path(folder) / "log", seconds=SECONDS) as api:
        store, settings = Store.at(f"{folder}/out"), HostedSettings(api.url, SLOTS, run=folder)
        key, stopping = ApiKey(KEY), threading.Event()
        engine = BflEngine("bfl/klein-4b", settings, Journal(store, "bench", "run"), lambda r: None, key, stopping)  # type: ignore[arg-type, return-value]
        started, times = time.monotonic(), []
        for answer in engine.render([request(number) for number in range(tasks)]):
            assert isinstance(answer, Rendered), answer
            times.append(time.monotonic() - started)
        assert api.ledger()["peak"] <= SLOTS
        close_accounts()
    return tasks / times[-1], (tasks - SLOTS) / (times[-1] - times[SLOTS - 1])


def main() -> None:
    tasks = int(sys.argv[1]) if len(sys.argv) > 1 else 480
    overall, steady = measure(tasks)
    bound = SLOTS / SECONDS
    print(f"| {tasks} tasks | {overall:.2f}/s ({overall / bound:.1%}) | {steady:.2f}/s ({steady / bound:.1%}) |")


if __name__ == "__main__":
    main()
