"""Pictures a second through the hosted engine, beside what the slots allow.

    python tests/benchmarks/hosted.py [TASKS] [ANSWER_AFTER]

Tasks of two seconds, 24 slots, an own server on 127.0.0.1: 12 pictures a second at most, for each number of submits
that may wait for their answer. The first wave teaches the pace of the polls and is not counted in what is steady; the
journal is on a local disk. ANSWER_AFTER: seconds from a submit to its answer.
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from pathlib import Path

from catalogs.journal.spend import Journal
from catalogs.journal.sums import read_spent
from catalogs.requests import RenderRequest
from catalogs.storage.store import Store
from inference.engine import Rendered
from inference.hosted.account import close_accounts
from inference.hosted.client import ApiKey
from inference.hosted.engine import BflEngine
from inference.hosted.settings import HostedSettings
from tests.ledger.running import ledger_api

SECONDS, SLOTS = 2.0, 24


def request(number: int) -> RenderRequest:
    return RenderRequest(f"mug {number}", (), 64, 64, number, 0, 4, None, "bfl/klein-4b", "")


def measure(tasks: int, unanswered: int = 4, answer_after: float = 0.0) -> tuple[float, float]:
    """Pictures a second over all, and after the first wave of slots."""
    rules = {"seconds": SECONDS, "answer_after": answer_after}
    with tempfile.TemporaryDirectory() as folder, ledger_api(Path(folder) / "log", **rules) as api:
        store, settings = Store.at(f"{folder}/out"), HostedSettings(api.url, SLOTS, unanswered)
        journal, stopping = Journal(store, "bench", "run"), threading.Event()
        engine = BflEngine("bfl/klein-4b", settings, journal, lambda r: None, ApiKey("bench-key"), stopping)  # type: ignore[arg-type, return-value]
        started, times = time.monotonic(), []
        for answer in engine.render([request(number) for number in range(tasks)]):
            assert isinstance(answer, Rendered), answer
            times.append(time.monotonic() - started)
        totals = api.ledger()["totals"]
        assert totals["peak"] <= SLOTS
        assert totals["unanswered_peak"] <= unanswered
        assert totals["billed"] == read_spent(store, "bench").tasks == tasks * 14_000
        close_accounts()
    return tasks / times[-1], (tasks - SLOTS) / (times[-1] - times[SLOTS - 1])


def main() -> None:
    tasks = int(sys.argv[1]) if len(sys.argv) > 1 else 480
    answer_after = float(sys.argv[2]) if len(sys.argv) > 2 else 0.0
    bound = SLOTS / SECONDS
    print("| tasks | answered after | unanswered at most | pictures/s | steady |")
    print("|---:|---:|---:|---:|---:|")
    for unanswered in (1, 2, 4, SLOTS):
        overall, steady = measure(tasks, unanswered, answer_after)
        rates = f"{overall:.2f} ({overall / bound:.1%}) | {steady:.2f} ({steady / bound:.1%})"
        print(f"| {tasks} | {answer_after:g} s | {unanswered} | {rates} |", flush=True)


if __name__ == "__main__":
    main()
