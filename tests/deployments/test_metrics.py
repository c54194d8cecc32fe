"""Real workers and servers: what their pages say is what runs do, while they work, when they are killed, and after."""

from __future__ import annotations

import os
import signal
import time
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from catalogs.assets.tallies import read_tallies
from flows.metrics_page import METRICS
from tests.deployments.test_scheduled import process
from tests.deployments.test_stops import DEPLOYMENT, start_run, wait_until
from tests.flows.drawn import Drawn
from tests.flows.prefect_client import call, flow_runs, wait_for_state
from tests.flows.projects import Project
from tests.flows.test_render import packshot
from tests.servers import free_ports

WORKER = ("-c", "from flows.cli import main; main()", "worker", "--pool", "cpu")
NAMED = {metric.name: metric for metric in METRICS}


class Page:
    """What Prometheus would read."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/metrics"

    def __call__(self, name: str, **labels: str) -> float | None:
        """The sum of the samples with these labels, None where there is none."""
        assert set(labels) <= set(NAMED[name].labels)
        with urllib.request.urlopen(self._url, timeout=10) as answer:
            text = answer.read().decode()
        found = [
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]
        return sum(found) if found else None


@pytest.mark.timeout(240)
def test_a_worker_shows_its_runs_as_they_work_are_killed_and_end(
    tmp_path: Path, prefect_server: dict[str, str]
) -> None:
    drawn = Drawn(tmp_path / "drawn.log", 0.05)
    project = Project.of(tmp_path / "project", products=48, name="measured")
    environment = {**prefect_server, **drawn.environment, "PREFECT_LOGGING_LEVEL": "INFO"}
    assert packshot(environment, "deploy", str(project.folder), "--cron", "0 5 * * *").returncode == 0
    [port] = free_ports(1)
    log, page = tmp_path / "worker.log", Page(port)
    of_run = {"campaign": "measured", "engine": "proof"}
    start_run(environment, project)
    with process({**environment, "PACKSHOT_METRICS_PORT": str(port)}, log, *WORKER) as worker:
        wait_until(lambda: "metrics  " in log.read_text(), 30, log)
        wait_until(lambda: page("packshot_prefect_runs", deployment=DEPLOYMENT) == 1, 10, log)
        drawn.wait_for(24)
        assert f"metrics      http://127.0.0.1:{port}/metrics" in log.read_text()
        assert page("packshot_runs_rendering", **of_run) == 1
        assert page("packshot_shards_rendering", **of_run) == 1
        waiting = page("packshot_assets_waiting", **of_run) or 0
        assert 0 < waiting < 192
        assert time.time() - (page("packshot_lease_renewed_timestamp_seconds", **of_run) or 0) < 30
        assert (page("packshot_engine_seconds_total", **of_run) or 0) > 0.3
        rendered = page("packshot_pictures_total", **of_run, source="rendered") or 0
        assert rendered > 0
        assert page("packshot_assets_total", **of_run, state="delivered") == 0, "nothing is committed yet"
        os.kill(drawn.lines()[0][0], signal.SIGKILL)
        wait_until(lambda: page("packshot_runs_killed_total", **of_run) == 1, 40, log)
        for gauge in ("packshot_runs_rendering", "packshot_shards_rendering", "packshot_assets_waiting"):
            assert not page(gauge, **of_run), gauge
        assert page("packshot_lease_renewed_timestamp_seconds", **of_run) is None
        seen = page("packshot_pictures_total", **of_run, source="rendered") or 0
        assert seen >= rendered
        run = flow_runs(environment, project.path)[0]["id"]
        start_run(environment, project)
        wait_until(lambda: flow_runs(environment, project.path)[0]["id"] != run, 40, log)
        again = flow_runs(environment, project.path)[0]["id"]
        wait_for_state(environment, again, ["Completed"], 90)
        delivered = read_tallies(project.store).delivered.num_rows
        assert page("packshot_assets_total", **of_run, state="delivered") == delivered == 192
        assert page("packshot_assets_total", **of_run, state="failed") == 0
        made = page("packshot_pictures_total", **of_run) or 0
        assert made - seen == 96, "what the killed run had stored is taken over, the rest is rendered"
        assert page("packshot_pictures_total", **of_run, source="adopted") != 0
        assert page("packshot_runs_killed_total", **of_run) == 1
        wait_until(lambda: page("packshot_runs_rendering", **of_run) == 0, 40, log)
        due = page("packshot_schedule_next_run_timestamp_seconds", deployment="marketing-run/cpu") or 0
        assert 0 < due - time.time() <= 86_400
        assert datetime.fromtimestamp(due, UTC).hour == 5
        assert page("packshot_schedule_longest_pause_seconds", deployment="marketing-run/cpu") == 86_400
        assert page("packshot_schedule_last_run_timestamp_seconds", deployment="marketing-run/cpu") is None
        assert page("packshot_prefect_up") == 1
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(60) == 0, log.read_text()
    assert "Traceback" not in log.read_text()
    assert call(environment, f"/flow_runs/{again}")["state"]["name"] == "Completed"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_serve_shows_its_schedule_and_a_page_that_starts_again_counts_anew(tmp_path: Path) -> None:
    project = Project.of(tmp_path / "campaigns" / "spring", products=2, name="shown")
    ports = free_ports(2)
    environment = {"PREFECT_HOME": str(tmp_path / "home"), "PACKSHOT_CACHE": str(tmp_path)}
    of_schedule, of_run = {"deployment": "marketing-run/cpu"}, {"campaign": "shown", "engine": "proof"}
    asked = ["serve", str(tmp_path / "campaigns"), "--every", "0", "--cron", "* * * * *"]
    asked += ["--port", str(ports[0]), "--metrics-port", str(ports[1])]
    page, command = Page(ports[1]), ("-c", "from flows.cli import main; main()", *asked)
    log = tmp_path / "serve.log"
    with process(environment, log, *command) as served:
        wait_until(lambda: "are taken up" in log.read_text(), 120, log)
        wait_until(lambda: page("packshot_assets_total", **of_run, state="delivered") == 8, 120, log)
        assert read_tallies(project.store).delivered.num_rows == 8
        wait_until(lambda: page("packshot_schedule_last_run_timestamp_seconds", **of_schedule) is not None, 60, log)
        last = page("packshot_schedule_last_run_timestamp_seconds", **of_schedule) or 0
        assert 0 <= time.time() - last < 120
        assert page("packshot_schedule_longest_pause_seconds", **of_schedule) == 60
        wait_until(lambda: (page("packshot_assets_total", **of_run, state="unchanged") or 0) >= 8, 120, log)
        assert page("packshot_assets_total", **of_run, state="delivered") == 8
        served.send_signal(signal.SIGTERM)
        assert served.wait(60) == 0, log.read_text()
    with process(environment, log, *command) as served:
        wait_until(lambda: "are taken up" in log.read_text(), 120, log)
        assert not page("packshot_assets_total", **of_run, state="delivered")
        served.send_signal(signal.SIGTERM)
        assert served.wait(60) == 0, log.read_text()
    assert "Traceback" not in log.read_text()
