"""Real workers and servers: what their pages say is what runs do, while they work, when they are killed, and after."""

from __future__ import annotations

import json
import os
import signal
import time
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from catalogs.assets.tallies import read_tallies
from flows.metrics_page import METRICS, RunNumbers
from tasks.metrics import SETTING
from tests.deployments.test_scheduled import process
from tests.deployments.test_stops import DEPLOYMENT, wait_until
from tests.flows.drawn import Drawn
from tests.flows.prefect_client import call, flow_runs, wait_for_state
from tests.flows.projects import Project
from tests.flows.test_render import packshot
from tests.servers import free_ports

WORKER = ("-c", "from flows.cli import main; main()", "worker", "--pool", "cpu")
ASSETS = "packshot_assets_total"
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


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.of(tmp_path / "project", products=48, name="measured")


OF_RUN = {"campaign": "measured", "engine": "proof"}


def begin(environment: dict[str, str], project: Project) -> None:
    """A run of a few shards."""
    asked = {"campaign": project.path, "options": {"workers": 1, "shard_assets": 64}}
    deployment = call(environment, f"/deployments/name/{DEPLOYMENT}")["id"]
    call(environment, f"/deployments/{deployment}/create_flow_run", {"parameters": asked})


def kill_in_a_shard(page: Page, drawn: Drawn) -> float:
    """Kill the run when a shard has been committed and the next is being drawn; what it had delivered."""
    until, before = time.monotonic() + 90, page(ASSETS, **OF_RUN, state="delivered") or 0
    while (delivered := page(ASSETS, **OF_RUN, state="delivered") or 0) == before and time.monotonic() < until:
        time.sleep(0.02)
    drawn.wait_for(len(drawn.lines()) + 2)
    os.kill(drawn.lines()[0][0], signal.SIGKILL)
    assert delivered > before
    return delivered


@pytest.mark.timeout(240)
def test_a_worker_shows_its_run_as_it_works_and_when_it_is_killed(
    tmp_path: Path, prefect_server: dict[str, str], project: Project
) -> None:
    drawn = Drawn(tmp_path / "drawn.log", 0.1)
    environment = {**prefect_server, **drawn.environment}
    assert packshot(environment, "deploy", str(project.folder), "--cron", "0 5 * * *").returncode == 0
    [port] = free_ports(1)
    log, page = tmp_path / "worker.log", Page(port)
    begin(environment, project)
    with process({**environment, "PACKSHOT_METRICS_PORT": str(port)}, log, *WORKER) as worker:
        wait_until(lambda: f"metrics      http://127.0.0.1:{port}/metrics" in log.read_text(), 30, log)
        wait_until(lambda: (page("packshot_prefect_runs", deployment=DEPLOYMENT) or 0) >= 1, 10, log)
        due = page("packshot_schedule_next_run_timestamp_seconds", deployment="marketing-run/campaigns-cpu") or 0
        assert 0 < due - time.time() <= 86_400
        assert datetime.fromtimestamp(due, UTC).hour == 5
        assert page("packshot_schedule_longest_pause_seconds", deployment="marketing-run/campaigns-cpu") == 86_400
        assert page("packshot_prefect_up") == 1
        wait_until(lambda: 0 < (page("packshot_assets_waiting", **OF_RUN) or 0) < 192, 60, log)
        assert page("packshot_runs_rendering", **OF_RUN) == 1
        wait_until(lambda: page("packshot_shards_rendering", **OF_RUN) == 1, 5, log)  # none between two of them
        assert time.time() - (page("packshot_lease_renewed_timestamp_seconds", **OF_RUN) or 0) < 30
        assert (page("packshot_engine_seconds_total", **OF_RUN) or 0) > 0.5
        assert page("packshot_pictures_total", **OF_RUN, source="rendered")
        delivered = kill_in_a_shard(page, drawn)
        wait_until(lambda: page("packshot_runs_killed_total", **OF_RUN) == 1, 40, log)
        for gauge in ("packshot_runs_rendering", "packshot_shards_rendering", "packshot_assets_waiting"):
            assert not page(gauge, **OF_RUN), gauge
        assert page("packshot_lease_renewed_timestamp_seconds", **OF_RUN) is None
        assert page(ASSETS, **OF_RUN, state="delivered") == delivered == gained(project)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(60) == 0, log.read_text()
    assert "Traceback" not in log.read_text()


def gained(project: Project) -> int:
    """Assets that the asset catalog calls delivered."""
    return int(read_tallies(project.store).delivered.num_rows)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_runs_of_a_worker_add_up_whatever_ends_them(
    tmp_path: Path, prefect_server: dict[str, str], project: Project
) -> None:
    drawn = Drawn(tmp_path / "drawn.log", 0.1)
    environment = {**prefect_server, **drawn.environment}
    assert packshot(environment, "deploy", str(project.folder)).returncode == 0
    [port] = free_ports(1)
    log, page = tmp_path / "worker.log", Page(port)
    with process({**environment, "PACKSHOT_METRICS_PORT": str(port)}, log, *WORKER):
        wait_until(lambda: "metrics  " in log.read_text(), 30, log)
        begin(environment, project)
        kill_in_a_shard(page, drawn)
        wait_until(lambda: page("packshot_runs_killed_total", **OF_RUN) == 1, 40, log)
        before = page("packshot_pictures_total", **OF_RUN) or 0
        killed = flow_runs(environment, project.path)[0]["id"]
        begin(environment, project)
        again = flow_runs(environment, project.path)[0]["id"]
        assert again != killed
        wait_for_state(environment, again, ["Completed"], 120)
        assert page(ASSETS, **OF_RUN, state="delivered") == gained(project) == 192
        assert page(ASSETS, **OF_RUN, state="failed") == 0
        [summary] = [
            json.loads(project.store.read(key)) for key in project.store.list("runs") if key.endswith("summary.json")
        ]
        made = summary["work"]["rendered"] + summary["work"]["adopted"]
        assert (page("packshot_pictures_total", **OF_RUN) or 0) - before == made > 0
        assert page("packshot_pictures_total", **OF_RUN, source="adopted") == summary["work"]["adopted"]
        assert page("packshot_runs_killed_total", **OF_RUN) == 1
        wait_until(lambda: page("packshot_runs_rendering", **OF_RUN) == 0, 40, log)
    assert "Traceback" not in log.read_text()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_shards_on_a_cluster_count_once_by_their_reports(tmp_path: Path, prefect_server: dict[str, str]) -> None:
    """Its processes may be anywhere, and count nothing themselves, though they are here and know the folder."""
    folder, project = tmp_path / "numbers", Project.of(tmp_path / "project", products=6, name="spread")
    folder.mkdir()
    arguments = ("render", project.path, "--runner", "ray", "--shard-assets", "8", "--json")
    done = packshot({**prefect_server, SETTING: str(folder)}, *arguments)
    assert done.returncode == 0, done.stderr
    numbers = RunNumbers(folder)
    found = {(s.name, *sorted(s.labels.items())): s.value for family in numbers.collect() for s in family.samples}
    numbers.close()
    labels = {"campaign": "spread", "engine": "proof"}
    delivered = {**labels, "state": "delivered", "reason": ""}
    assert found[ASSETS, *sorted(delivered.items())] == gained(project) == 24
    rendered = {**labels, "source": "rendered"}
    assert found["packshot_pictures_total", *sorted(rendered.items())] == json.loads(done.stdout)["work"]["rendered"]
    assert found["packshot_runs_killed_total", *sorted(labels.items())] == 0


@pytest.mark.slow
@pytest.mark.timeout(480)
def test_serve_shows_its_schedule_and_a_page_that_starts_again_counts_anew(tmp_path: Path) -> None:
    project = Project.of(tmp_path / "campaigns" / "spring", products=2, name="shown")
    ports = free_ports(2)
    environment = {"PREFECT_HOME": str(tmp_path / "home"), "PACKSHOT_CACHE": str(tmp_path)}
    of_schedule, of_run = {"deployment": "marketing-run/campaigns-cpu"}, {"campaign": "shown", "engine": "proof"}
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
