"""The page that Prometheus reads: numbers of the runs that a worker has started, and of the Prefect server it asks.

The files that runs count into are those of prometheus_client's multiprocess mode, which adds them up. Its one gap is
filled here: of a process that has ended, the counters are kept and added to one file, the gauges are dropped.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from glob import glob
from importlib.metadata import version
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from catalogs.errors import OptionError
from flows.schedule_numbers import OF_THE_SERVER, ScheduleNumbers
from tasks.metrics import (
    ENDED,
    FILE_BYTES,
    KILLED,
    LEASE,
    OF_RUNS,
    RUNS,
    SETTING,
    Metric,
    NumberFile,
    is_running,
    key_of,
    process_name,
)

BUILD = Metric("packshot_build_info", "gauge", ("version", "prefect", "python"), "1, and what runs here in its labels.")
METRICS = (*OF_RUNS, *OF_THE_SERVER, BUILD)
"""All that a page shows."""
_PREFIX = "packshot-metrics-"


@contextmanager
def metrics_page(host: str, port: int | None, say: Callable[[str], None]) -> Iterator[None]:
    """Show numbers while the block runs; processes that it starts count into them.

    Args:
        port: none is shown where it is None.

    Raises:
        OptionError: nobody can listen there.
    """
    if port is None:
        yield
        return
    _sweep()
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{process_name()}-"))
    runs, schedules = RunNumbers(folder), ScheduleNumbers()
    try:
        with _listening(host, port, (runs, schedules, Build())), schedules.asking():
            say(f"metrics      http://{f'[{host}]' if ':' in host else host}:{port}/metrics")
            os.environ[SETTING] = str(folder)
            yield
    finally:
        os.environ.pop(SETTING, None)
        runs.close()
        shutil.rmtree(folder, ignore_errors=True)


def _sweep() -> None:
    """Remove folders of pages that were killed."""
    for folder in glob(os.path.join(tempfile.gettempdir(), f"{_PREFIX}*")):
        process = Path(folder).name.removeprefix(_PREFIX).rpartition("-")[0]
        if process.partition("-")[0].isdigit() and not is_running(process):
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _listening(host: str, port: int, collectors: Iterable[Collector]) -> Iterator[None]:
    registry = CollectorRegistry()
    for collector in collectors:
        registry.register(collector)
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        place, fix = f"{host}:{port}", "choose another --metrics-port or --metrics-host"
        raise OptionError("--metrics-port", place, f"cannot be listened on ({error.strerror or error})", fix) from None
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class RunNumbers(Collector):
    """What the processes of runs have counted into a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._lock = folder, threading.Lock()
        self._ended = NumberFile(folder / f"counter_{ENDED}.db")

    def collect(self) -> Iterable[Family]:
        with self._lock:
            families = MultiProcessCollector.merge(self._files())  # type: ignore[no-untyped-call]
        for family in families:
            if family.name == LEASE.family:  # none is held
                family.samples = [sample for sample in family.samples if sample.value]
            yield family

    def close(self) -> None:
        with self._lock:
            self._ended.close()

    def _files(self) -> list[str]:
        """Files that count, once what processes left behind that have ended is taken over."""
        counting = []
        for path in sorted(self._folder.glob("*.db")):
            kind, process = path.stem.split("_")[0], path.stem.rpartition("_")[2]
            is_whole = path.stat().st_size >= FILE_BYTES  # else it is about to be, or its process died before
            if process == ENDED or is_running(process):
                counting += [str(path)] if is_whole else []
                continue
            if is_whole:
                self._take_over(kind, path)
            path.unlink()
        return counting

    def _take_over(self, kind: str, path: Path) -> None:
        values: Any = MmapedDict.read_all_values_from_file(str(path))  # type: ignore[no-untyped-call]
        for key, value, *_ in values:
            if kind == "counter":
                self._ended.add(key, value)
                continue
            family, _, labels, _ = json.loads(key)
            if family == RUNS.family and value:
                self._ended.add(key_of(KILLED, tuple(labels[name] for name in KILLED.labels)), value)


class Build(Collector):
    """What runs here."""

    def collect(self) -> Iterable[Family]:
        family = GaugeMetricFamily(BUILD.name, BUILD.meaning, labels=BUILD.labels)
        family.add_metric([version("packshot"), version("prefect"), platform.python_version()], 1.0)
        yield family
