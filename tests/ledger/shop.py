"""One output and one account of the accounting server: runs of the hosted engine, and what they may have done to both.

A run is what `Run` says, so that another process can start it as well.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image

from catalogs.assets.masters import LEAST_GRACE, MasterRecord, store_master
from catalogs.errors import SpendError
from catalogs.identity import render_fingerprint
from catalogs.journal.book import FOLDER
from catalogs.journal.spend import Journal
from catalogs.journal.sums import read_spent, tasked_renders
from catalogs.money import Micro
from catalogs.requests import RenderRequest
from catalogs.storage.store import Store
from inference.engine import Failed, Pixels, Rendered
from inference.finishing.pixels import encode_master, pixel_sha256
from inference.hosted import purchase
from inference.hosted.client import ApiKey
from inference.hosted.engine import BflEngine
from inference.hosted.settings import HostedSettings
from inference.remote import backoff
from tasks.collect import _store as store_collected
from tasks.leftovers import delete_leftovers, find_leftovers
from tests.inference.hosted.buyers import request
from tests.ledger.running import LedgerApi

KEY = "a-key-of-the-shop"
QUICK = [
    (backoff, "FIRST", 0.02),
    (backoff, "MOST", 0.1),
    (purchase, "LOOK_AGAIN", 0.05),
    (purchase, "MONEY_PATIENCE", 0.2),
]
"""Waits of the engine, and how long they are in a trial."""
CALM = {"seconds": 0.03, "slow_seconds": 1.0, "cap": 24, "price_factor": 1.0, "answer_after": 0.0}


def wanted(number: int) -> RenderRequest:
    return request(number, label=f"mug {number}", brand_id="acme", shot="hero")


@dataclass(frozen=True)
class Run:
    """One start.

    Attributes:
        numbers: of the requests.
        settings: of `HostedSettings`.
        stop: seconds after which it is told to stop.
    """

    url: str
    folder: str
    run_id: str
    campaign: str
    numbers: Sequence[int]
    settings: dict[str, Any] = field(default_factory=dict)
    stop: float | None = None

    def engine(self, stopping: threading.Event) -> BflEngine:
        settings = HostedSettings(self.url, **{"in_flight": 24, "deadline": 0.8, **self.settings})
        journal = Journal(Store.at(self.folder), self.campaign, self.run_id)
        return BflEngine("bfl/klein-4b", settings, journal, no_reference, ApiKey(KEY), stopping)

    def go(self) -> list[Rendered | Failed]:
        """Its answers, as far as it came with its money."""
        stopping, found = threading.Event(), []
        timer = threading.Timer(self.stop or 0.0, stopping.set)
        if self.stop is not None:
            timer.start()
        try:
            for answer in self.engine(stopping).render([wanted(number) for number in self.numbers]):
                found.append(answer)
        except SpendError:
            pass
        finally:
            timer.cancel()
        return found


def no_reference(reference: object) -> Image.Image:
    raise AssertionError("there are none")


class Workshop:
    """A process that starts runs in forks of its own, so that each can be killed and none has to load anything."""

    def __init__(self) -> None:
        command, root = [sys.executable, "-m", "tests.ledger.workshop"], str(Path(__file__).parents[2])
        environment = {**os.environ, "PYTHONPATH": root}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=root, env=environment, text=True
        )

    def kill(self, run: Run, seconds: float) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(asdict(run)), file=self._process.stdin, flush=True)
        pid = int(self._process.stdout.readline())
        time.sleep(seconds)
        with suppress(ProcessLookupError):  # it had done its work
            os.kill(pid, signal.SIGKILL)
        assert self._process.stdout.readline() == "over\n"

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(20)
        self._process.stdout.close()


class Shop:
    """What is judged after every step.

    Attributes:
        runs: by run id.
        pictures: sha256 of the pixels of each picture that ever came, by render fingerprint.
        killed, as_published: as `check_law` has them.
        links_end: links may have come to their own end.
        tampered: when somebody else spent from the account, or filled it up, on the server's clock.
    """

    def __init__(self, api: LedgerApi, folder: Path) -> None:
        api.forget()
        api.rules(**CALM)
        self.api, self.folder, self.store = api, folder, Store.at(str(folder))
        self.runs: dict[str, Run] = {}
        self.pictures: dict[str, str] = {}
        self.killed, self.as_published, self.clock = False, True, 0.0
        self.tampered: list[float] = []
        self.links_end = False

    # What happens

    def run(self, numbers: Iterable[int], campaign: str = "spring", stop: float | None = None, **settings: Any) -> Run:
        """A new run, not yet started."""
        run_id = f"run{len(self.runs)}"
        self.runs[run_id] = Run(self.api.url, str(self.folder), run_id, campaign, list(numbers), settings, stop)
        return self.runs[run_id]

    def start(self, *runs: Run) -> None:
        """Let runs work side by side to their ends; their pictures become masters."""
        with ThreadPoolExecutor(len(runs)) as pool:
            done = list(pool.map(Run.go, runs))
        for answers in done:
            labels = [answer.request.label for answer in answers]
            assert len(labels) == len(set(labels)), labels
            for answer in answers:
                if isinstance(answer, Rendered):
                    self._came(render_fingerprint(answer.request), answer.pixels)
                    self._store(render_fingerprint(answer.request), answer.pixels, answer.cost)

    def kill(self, run: Run, seconds: float, workshop: Workshop) -> None:
        """Start a run in a process of its own, and kill it after a while."""
        self.killed = True
        workshop.kill(run, seconds)
        while any(submit["answered"] is None for submit in self.api.submits()):
            time.sleep(0.01)

    def collect(self, campaign: str = "spring") -> set[str]:
        """Take up what is paid for; the fingerprints of what came."""
        engine, came = self.run([], campaign).engine(threading.Event()), set()
        billed = self.api.billed()
        for picture in engine.collect(sorted(read_spent(self.store, campaign).uncollected)):
            self._came(picture.fingerprint, picture.pixels)
            store_collected(self.store, picture)
            came.add(picture.fingerprint)
        assert self.api.billed() == billed, "a collection bought something"
        return came

    def pass_time(self, seconds: float) -> None:
        """The clocks of server and store go on; what is stored is older by as much."""
        self.clock += seconds
        self.api.rules(clock=self.clock)
        for path in self.folder.rglob("*"):
            if path.is_file():
                stat = path.stat()
                os.utime(path, (stat.st_atime - seconds, stat.st_mtime - seconds))
        for path in (self.folder / FOLDER).rglob("*.json"):
            page, stat = json.loads(path.read_bytes()), path.stat()
            for content in (page, *page.get("holds", ())):
                for name in {"since", "until"} & set(content):
                    moment = datetime.fromisoformat(content[name]) - timedelta(seconds=seconds)
                    content[name] = moment.isoformat()
            path.write_text(json.dumps(page))
            os.utime(path, (stat.st_atime, stat.st_mtime))

    def credit(self, left: Micro) -> None:
        """The account holds so much from now on."""
        self.tampered.append(time.time() + self.clock)
        self.api.rules(credits=left)

    def change(self, rules: dict[str, Any]) -> None:
        """Other rules, calm but for these."""
        usual = {name: 0.0 for name in self.api.rules() if name.startswith(("p_", "poll_", "link_4")) or name == "slow"}
        self.api.rules(**usual | {"link_ttl": 600.0, "task_life": None, "storm": 0} | CALM | rules)
        self.links_end |= rules.get("link_ttl", 600.0) < 600.0
        self.as_published &= rules.get("price_factor", 1.0) <= 1.0

    def sweep(self) -> None:
        """A master that nobody paid for goes, those that somebody did stay."""
        junk = hashlib.sha256(os.urandom(8)).hexdigest()
        self._store(junk, np.zeros((16, 16, 3), np.uint8), 0.0)
        old = (datetime.now(UTC) - 3 * LEAST_GRACE).timestamp()
        for path in (self.folder / "renders").rglob("*.*"):
            os.utime(path, (old, old))
        tasked, before = tasked_renders(self.store), self._masters()
        gone = delete_leftovers(self.store, find_leftovers(self.store, LEAST_GRACE))
        after = self._masters()
        assert {name for name in before if name.partition(".")[0] in tasked} == after
        assert {item.key.rpartition("/")[2].partition(".")[0] for item in gone} >= {junk}

    def can_be_had(self, task: str) -> bool:
        """Whether the server gives the picture of a task, and it is one of the right shape."""
        while (said := httpx.get(f"{self.api.polls}/v1/get_result?id={task}")).status_code == 200:
            if said.json()["status"] not in ("Pending", "Generating"):
                break
            time.sleep(0.05)
        if said.status_code != 200 or said.json()["status"] != "Ready":
            return False
        data = httpx.get(said.json()["result"]["sample"]).content
        try:
            with Image.open(io.BytesIO(data)) as image:
                return image.width / image.height < 1.1
        except OSError:
            return False

    def is_stored(self, number: int) -> bool:
        """Whether its picture is a master, so that no flow would ask for it."""
        return any(name.startswith(render_fingerprint(wanted(number))) for name in self._masters())

    def _masters(self) -> set[str]:
        return {path.name for path in (self.folder / "renders").rglob("*.png")}

    def _came(self, fingerprint: str, pixels: Pixels) -> None:
        seen = hashlib.sha256(pixels.tobytes()).hexdigest()
        assert pixels.shape == (64, 64, 3)
        others = {digest for name, digest in self.pictures.items() if name != fingerprint}
        assert seen not in others, "the picture of another request"
        self.pictures[fingerprint] = seen

    def _store(self, fingerprint: str, pixels: Pixels, cost: float) -> None:
        data = encode_master(pixels)
        record = MasterRecord(
            sha256=hashlib.sha256(data).hexdigest(),
            pixel_sha256=pixel_sha256(pixels),
            width=pixels.shape[1],
            height=pixels.shape[0],
            engine="bfl",
            model="bfl/klein-4b",
            model_revision="",
            seconds=0.0,
            batch_size=1,
            prompt_used="",
            cost=cost,
            versions={},
            seed=0,
        )
        store_master(self.store, fingerprint, data, record)
