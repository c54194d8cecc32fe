"""What runs count for Prometheus, and what each number means: `packshot serve` and `packshot worker` show it.

A run is a process of its own, so its numbers lie in files that outlive it, in the format of prometheus_client's
multiprocess mode: a counter as it stood when its process was killed, a gauge for as long as its process lives. Where
`PACKSHOT_METRICS_FOLDER` is not set, nothing is counted. Numbers are for people who watch: one that cannot be written
is told once and costs a run nothing.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from catalogs.columns import Row, is_master
from catalogs.journal.lease import is_alive, started
from catalogs.plans.file import PlanFile
from catalogs.requests import Reason
from catalogs.storage.store import Store
from tasks.stopping import closing

SETTING = "PACKSHOT_METRICS_FOLDER"
"""Set by who shows the numbers, for the processes that it starts."""
# Written before it is mapped: on a full disk a page of a hole in a mapped file would kill the run.
FILE_BYTES = 1 << 19
ENDED = "ended"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Metric:
    """A metric as Prometheus knows it.

    Attributes:
        kind: a counter never falls while the page that shows it is up.
        mode: how a gauge's values of several processes become one.
    """

    name: str
    kind: Literal["counter", "gauge"]
    labels: tuple[str, ...]
    meaning: str
    mode: Literal["livesum", "livemax", ""] = ""

    @property
    def family(self) -> str:
        """Its name without what the text format adds to it."""
        return self.name.removesuffix("_total") if self.kind == "counter" else self.name


_RUN = ("campaign", "engine")
ASSETS = Metric(
    "packshot_assets_total",
    "counter",
    (*_RUN, "state", "reason"),
    "Assets by what became of them, once committed: delivered, failed (by reason), withdrawn (a right has ended), "
    "retired (wanted no longer); and unchanged, which a plan left as they are.",
)
PICTURES = Metric(
    "packshot_pictures_total",
    "counter",
    (*_RUN, "source"),
    "Pictures that assets were made of: rendered by the engine, or adopted from what an earlier start had stored.",
)
ENGINE_SECONDS = Metric(
    "packshot_engine_seconds_total",
    "counter",
    _RUN,
    "Seconds that shards waited for pictures of their engine, added as each picture comes.",
)
STAGE_SECONDS = Metric(
    "packshot_stage_seconds_total",
    "counter",
    (*_RUN, "on", "stage"),
    "Seconds by stage, added when a shard ends: on the device (of the local engine), and on the host in the threads "
    "behind the engine, all together; blocked is the engine's wait for them.",
)
COST = Metric(
    "packshot_cost_usd_total",
    "counter",
    _RUN,
    "USD paid for tasks that a hosted API has taken, as the spend journal has it.",
)
RUNS = Metric(
    "packshot_runs_rendering",
    "gauge",
    _RUN,
    "Runs at work whose process lives, from their plan to their gallery.",
    "livesum",
)
SHARDS = Metric("packshot_shards_rendering", "gauge", _RUN, "Shards at work in processes that live.", "livesum")
WAITING = Metric(
    "packshot_assets_waiting", "gauge", _RUN, "Assets of runs at work that are neither made nor failed yet.", "livesum"
)
LEASE = Metric(
    "packshot_lease_renewed_timestamp_seconds",
    "gauge",
    _RUN,
    "When a run at work has last renewed its lease; absent where none holds one. It renews every 15 s.",
    "livemax",
)
KILLED = Metric(
    "packshot_runs_killed_total",
    "counter",
    _RUN,
    "Runs whose process ended without coming to its own end: killed, or out of memory.",
)
OF_RUNS = (ASSETS, PICTURES, ENGINE_SECONDS, STAGE_SECONDS, COST, RUNS, SHARDS, WAITING, LEASE, KILLED)

# A counter that begins with its first value hides that value from increase() and rate().
_FROM_ZERO: tuple[tuple[Metric, dict[str, str]], ...] = (
    *((ASSETS, {"state": state}) for state in ("delivered", "unchanged", "withdrawn", "retired")),
    *((ASSETS, {"state": "failed", "reason": reason.value}) for reason in Reason),
    *((PICTURES, {"source": source}) for source in ("rendered", "adopted")),
    (ENGINE_SECONDS, {}),
    (COST, {}),
    (KILLED, {}),
)


class NumberFile:
    """Values of one process.

    Raises:
        OSError: the disk does not take it.
    """

    def __init__(self, path: Path) -> None:
        # Only where numbers are shown: what renders on a GPU alone has no such library.
        from prometheus_client.mmap_dict import MmapedDict

        if not path.exists():
            path.write_bytes(bytes(FILE_BYTES))
        self._values: Any = MmapedDict(str(path))  # type: ignore[no-untyped-call]
        self._lock = threading.Lock()

    def add(self, key: str, amount: float) -> None:
        with self._lock:
            self._values.write_value(key, self._values.read_value(key)[0] + amount, 0.0)

    def put(self, key: str, value: float) -> None:
        with self._lock:
            self._values.write_value(key, value, 0.0)

    def close(self) -> None:
        self._values.close()


@cache
def key_of(metric: Metric, labels: tuple[str, ...]) -> str:
    """What a value is kept under."""
    from prometheus_client.mmap_dict import mmap_key

    return str(mmap_key(metric.family, metric.name, list(metric.labels), list(labels), metric.meaning))


def process_name(pid: int | None = None) -> str:
    """A process, told from a later one of its id."""
    pid = os.getpid() if pid is None else pid
    return f"{pid}-{started(pid)}"


def is_running(process: str) -> bool:
    """Whether the process of a name runs still."""
    pid = int(process.partition("-")[0])
    return is_alive(pid) and process_name(pid) == process


class _Files:
    """The files of this process, made when first there is something to write."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, str, int], NumberFile] = {}
        self._lock = threading.Lock()
        self._is_broken = False

    def write(self, metric: Metric, labels: Mapping[str, str], value: float, is_added: bool) -> None:
        folder = os.environ.get(SETTING)
        if not folder or self._is_broken:
            return
        try:
            key = key_of(metric, tuple(labels.get(name, "") for name in metric.labels))
            file = self._file(folder, metric)
            (file.add if is_added else file.put)(key, value)
        except OSError as error:
            self._is_broken = True
            _log.warning("numbers for Prometheus are not written any more: %s", error)

    def close(self) -> None:
        """Let go of the files, which stay."""
        with self._lock:
            for file in self._open.values():
                file.close()
            self._open.clear()

    def _file(self, folder: str, metric: Metric) -> NumberFile:
        kind = "_".join(filter(None, (metric.kind, metric.mode)))
        place = folder, kind, os.getpid()  # a process that was forked has files of its own
        with self._lock:
            if place not in self._open:
                self._open[place] = NumberFile(Path(folder, f"{kind}_{process_name()}.db"))
            return self._open[place]


files = _Files()


def is_on() -> bool:
    """Whether anybody shows what is counted here."""
    return bool(os.environ.get(SETTING))


@dataclass(frozen=True)
class Meter:
    """Counts for the runs of a campaign; as cheap to make as its name, and silent where nobody looks."""

    campaign: str
    engine: str

    def count(self, metric: Metric, amount: float = 1.0, **labels: str) -> None:
        files.write(metric, {**labels, "campaign": self.campaign, "engine": self.engine}, amount, is_added=True)

    def put(self, metric: Metric, value: float) -> None:
        files.write(metric, {"campaign": self.campaign, "engine": self.engine}, value, is_added=False)

    def beat(self) -> None:
        """The lease was renewed."""
        self.put(LEASE, time.time())

    @contextmanager
    def run(self) -> Iterator[None]:
        """A run works while the block runs."""
        for metric, labels in _FROM_ZERO:
            self.count(metric, 0.0, **labels)
        self.put(RUNS, 1.0)
        with closing(self._ended):  # who is told to end and does not in time was not killed
            try:
                yield
            finally:
                self._ended()

    def _ended(self) -> None:
        for metric in (RUNS, SHARDS, WAITING, LEASE):
            self.put(metric, 0.0)

    @contextmanager
    def shard(self, host_seconds: Mapping[str, float]) -> Iterator[None]:
        """A shard works while the block runs.

        Args:
            host_seconds: by stage; read at the end.
        """
        self.count(SHARDS, 1.0)
        try:
            yield
        finally:
            self.count(SHARDS, -1.0)
            self.stages("host", host_seconds)

    def stages(self, where: Literal["device", "host"], seconds: Mapping[str, float]) -> None:
        """Count seconds by stage."""
        for stage, spent in list(seconds.items()):
            self.count(STAGE_SECONDS, spent, on=where, stage=stage)

    def report(self, report: Mapping[str, Any]) -> None:
        """A shard of another machine, which has no files here; what it committed before it was lost is not known."""
        self.count(ASSETS, report["delivered"], state="delivered")
        for reason, count in report["reasons"].items():
            self.count(ASSETS, count, state="failed", reason=reason)
        self.count(PICTURES, report["rendered"], source="rendered")
        self.count(PICTURES, report["adopted"], source="adopted")
        self.count(ENGINE_SECONDS, report["engine_seconds"])
        self.stages("device", report["profile"]["seconds"])
        self.stages("host", report["host_seconds"])


class CommittedRows:
    """Counts the assets of a shard as they are committed, each once however often all are."""

    def __init__(self, meter: Meter) -> None:
        self._meter, self._counted, self._lock = meter, 0, threading.Lock()

    def count(self, rows: Sequence[Row]) -> None:
        """Args:
        rows: of the shard, all that are committed by now; further ones only follow them.
        """
        with self._lock:
            new, self._counted = rows[self._counted :], max(self._counted, len(rows))
        states = Counter((str(row["status"]), str(row["reason"] or "")) for row in new if not is_master(row))
        for (state, reason), count in states.items():
            self._meter.count(ASSETS, count, state=state, reason=reason)


def count_unchanged(store: Store, plan_key: str, summary: Mapping[str, Any]) -> None:
    """Count what a plan leaves as it is.

    Args:
        summary: the plan's; it calls unchanged also what failed for good, and is not tried again.
    """
    if is_on():
        header = PlanFile(store, plan_key).header
        unchanged = max(0, summary["actions"].get("unchanged", 0) - summary["failed_before"])
        Meter(header.campaign, header.engine).count(ASSETS, unchanged, state="unchanged")
