"""The page that Prometheus reads: what killed processes leave behind, and that its text is what Prometheus takes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from catalogs.errors import OptionError
from flows import schedule_numbers
from flows.metrics_page import METRICS, metrics_page
from tasks import metrics
from tasks.metrics import (
    ASSETS,
    KILLED,
    LEASE,
    RUNS,
    SETTING,
    WAITING,
    Meter,
    Metric,
    NumberFile,
    key_of,
    process_name,
)
from tests.flows.commands import run
from tests.servers import free_ports, require

# Counts, then says so, and ends as it is told to.
RUN = """
import sys
from tasks.metrics import ASSETS, WAITING, Meter
meter = Meter("spring", "proof")
with meter.run():
    meter.beat()
    meter.put(WAITING, 30)
    meter.count(ASSETS, 7, state="delivered")
    print("counted", flush=True)
    sys.stdin.readline()
meter.count(ASSETS, 5, state="failed", reason="moderated")
"""
Page = dict[tuple[str, tuple[str, ...]], float]


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Of a page that asks no server."""
    monkeypatch.setattr(schedule_numbers, "numbers", dict)
    monkeypatch.setattr(metrics, "files", metrics._Files())
    [port] = free_ports(1)
    with metrics_page("127.0.0.1", port, lambda line: None):
        yield port
        metrics.files.close()


def text_of(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        return str(answer.read().decode())


def page_of(port: int) -> Page:
    """Samples by name and labels in the order of the metric's own."""
    named = {metric.name: metric for metric in METRICS}
    return {
        (sample.name, tuple(sample.labels[name] for name in named[sample.name].labels)): sample.value
        for family in text_string_to_metric_families(text_of(port))
        for sample in family.samples
    }


def started() -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", RUN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "counted\n"
    return process


DELIVERED = (ASSETS.name, ("spring", "proof", "delivered", ""))
MODERATED = (ASSETS.name, ("spring", "proof", "failed", "moderated"))


def of_run(page: Page, metric: Metric) -> float | None:
    return page.get((metric.name, ("spring", "proof")))


def test_a_killed_run_leaves_its_counters_and_no_gauge(port: int) -> None:
    first, second = started(), started()
    page = page_of(port)
    assert (page[DELIVERED], page[MODERATED], of_run(page, RUNS), of_run(page, WAITING)) == (14, 0, 2, 60)
    assert time.time() - float(of_run(page, LEASE) or 0) < 30
    assert of_run(page, KILLED) == 0
    first.kill()
    until = time.monotonic() + 20
    # Nobody has taken note of its end, as of a run whose worker was killed with it.
    while of_run(page := page_of(port), RUNS) != 1 and time.monotonic() < until:
        time.sleep(0.05)
    assert (page[DELIVERED], of_run(page, RUNS), of_run(page, WAITING), of_run(page, KILLED)) == (14, 1, 30, 1)
    first.communicate()
    second.communicate("\n")
    page = page_of(port)
    assert (page[DELIVERED], page[MODERATED], of_run(page, KILLED)) == (14, 5, 1)
    assert not any(of_run(page, metric) for metric in (RUNS, WAITING))
    assert of_run(page, LEASE) is None
    third = started()
    third.communicate("\n")
    for _ in range(2):
        assert (page_of(port)[DELIVERED], page_of(port)[MODERATED]) == (21, 10)
    left = list(Path(os.environ[SETTING]).iterdir())
    assert [path.name for path in left] == ["counter_ended.db"], "what ended takes no room"


def test_an_id_that_is_given_again_is_another_process(port: int) -> None:
    """The gauge of a process of this very id, begun at another time, is not shown."""
    file = NumberFile(Path(os.environ[SETTING], f"gauge_livesum_{os.getpid()}-17.db"))
    file.put(key_of(RUNS, ("spring", "proof")), 1.0)
    file.close()
    page = page_of(port)
    assert (of_run(page, RUNS), of_run(page, KILLED)) == (None, 1)


def test_a_file_that_is_not_whole_breaks_no_page(port: int) -> None:
    """One that is being made, and one whose process died while it made it."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    folder = Path(os.environ[SETTING])
    for name in (process_name(), f"{gone.pid}-17"):
        (folder / f"counter_{name}.db").touch()
    assert page_of(port)
    assert {path.name for path in folder.iterdir()} == {"counter_ended.db", f"counter_{process_name()}.db"}


def test_a_run_that_ends_while_the_page_is_read_is_counted_once(port: int) -> None:
    process = started()
    process.kill()
    process.communicate()
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as pool:
        pages = list(pool.map(page_of, [port] * 24))
    assert {page[DELIVERED] for page in pages} == {7}
    assert {of_run(page, KILLED) for page in pages} == {1}


def test_prometheus_takes_the_page(port: int) -> None:
    """Its own linter finds nothing to say of names, kinds and help."""
    meter = Meter('spring & "Söhne"\n', "proof")
    with meter.run():
        meter.beat()
        for metric in metrics.OF_RUNS:
            meter.count(metric, 1.0, **dict.fromkeys(set(metric.labels) - {"campaign", "engine"}, "x"))
        text = text_of(port)
    named = {family.name for family in text_string_to_metric_families(text)}
    assert named == {metric.family for metric in METRICS}
    done = subprocess.run([require("promtool"), "check", "metrics"], input=text, capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    broken = text.replace("packshot_assets_total", "packshotAssets")
    done = subprocess.run([require("promtool"), "check", "metrics"], input=broken, capture_output=True, text=True)
    assert done.returncode != 0


def test_names_and_labels_are_of_the_field(port: int) -> None:
    for metric in METRICS:
        assert metric.name.startswith("packshot_")
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        assert bool(metric.mode) == (metric.kind == "gauge" and metric in metrics.OF_RUNS)
        assert not {"pid", "instance", "job"} & set(metric.labels), "Prometheus has those"
    assert "python_info" not in text_of(port)


def test_a_page_leaves_nothing_behind_and_sweeps_what_killed_ones_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule_numbers, "numbers", dict)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    gone = subprocess.Popen([sys.executable, "-c", ""])
    name = f"{gone.pid}-17"
    gone.wait()
    (tmp_path / f"packshot-metrics-{name}-abc").mkdir()
    (tmp_path / f"packshot-metrics-{process_name()}-abc").mkdir()
    (tmp_path / "packshot-metrics-").mkdir()
    said: list[str] = []
    [port] = free_ports(1)
    with metrics_page("127.0.0.1", port, said.append):
        assert Path(os.environ[SETTING]).parent == tmp_path
        assert Path(os.environ[SETTING]).stat().st_mode & 0o77 == 0
        assert len(list(tmp_path.iterdir())) == 3
    assert said == [f"metrics      http://127.0.0.1:{port}/metrics"]
    assert SETTING not in os.environ
    assert {path.name for path in tmp_path.iterdir()} == {
        f"packshot-metrics-{process_name()}-abc",
        "packshot-metrics-",
    }
    with pytest.raises(OSError, match="refused"):
        text_of(port)


def test_no_port_is_no_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SETTING, raising=False)
    with metrics_page("127.0.0.1", None, pytest.fail):
        assert SETTING not in os.environ


def test_a_port_that_is_taken_is_refused_in_one_line() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(OptionError, match=rf"^--metrics-port: 127.0.0.1:{port}: .*\(Address already in use\); "):
            metrics_page("127.0.0.1", port, lambda line: None).__enter__()
    with pytest.raises(OptionError, match=r"no-such-host\.invalid:9: cannot be listened on"):
        metrics_page("no-such-host.invalid", 9, lambda line: None).__enter__()
    assert SETTING not in os.environ


@pytest.mark.parametrize("command", [("serve", "nowhere"), ("worker",)])
@pytest.mark.parametrize("value", ["0", "65536", "9464x", "-1"])
def test_what_is_no_port_is_refused_in_one_line(
    command: tuple[str, ...], value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, *command, "--metrics-port", value) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "--metrics-port" in line
    monkeypatch.setenv("PACKSHOT_METRICS_PORT", value)
    assert run(monkeypatch, *command) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "PACKSHOT_METRICS_PORT" in line


def test_sigterm_is_no_death(port: int) -> None:
    """Who is told to end, and does, was not killed."""
    script = RUN.replace("import sys", "import signal, sys\nsignal.signal(15, lambda *_: sys.exit(1))")
    process = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    process.communicate()
    assert of_run(page_of(port), KILLED) == 0
