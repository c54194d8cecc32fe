"""The one-box way: a server of its own, a schedule, a look for changes, and the end of all of it with one signal."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.flows.prefect_client import call
from tests.flows.projects import Project
from tests.flows.test_marketing import SUMMER
from tests.servers import free_ports


def wait(said: Path, server: subprocess.Popen[bytes], project: Project, title: str, seconds: float) -> None:
    """Until the product is delivered under this title."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and server.poll() is None:
        rows = project.view().values() if (project.folder / "output" / "catalog").exists() else ()
        if any(title in row["prompt"] for row in rows):
            return
        time.sleep(0.5)
    pytest.fail(f"{title} was not delivered\n{said.read_text()[-3000:]}")


def _listening(processes: list[psutil.Process]) -> set[str]:
    """The addresses on which other programs are answered."""
    found = set()
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            found |= {c.laddr.ip for c in process.net_connections("inet") if c.status == psutil.CONN_LISTEN}
    return found


def check_galleries(address: str, api: str) -> None:
    """The list of galleries, and the summary of a run on the Prefect server, lead to a gallery."""
    until, found = time.monotonic() + 60, ""
    while not found and time.monotonic() < until:
        asked = {"artifacts": {"key": {"like_": "summary-"}}, "sort": "CREATED_DESC"}
        summaries = call({"PREFECT_API_URL": api}, "/artifacts/filter", asked)
        found = "".join(re.findall(r"\[open it\]\((.*?)\)", summaries[0]["data"])) if summaries else ""
        time.sleep(0.5)
    assert found.startswith(address)
    with urllib.request.urlopen(found, timeout=20) as page:
        assert b"packshot report" in page.read()
    with urllib.request.urlopen(address, timeout=20) as page:
        assert found.rpartition("/runs/")[0].removeprefix(address) in page.read().decode()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_serve_is_all_it_needs(tmp_path: Path) -> None:
    project = Project.of(tmp_path / "campaigns" / "spring", products=1)
    Project.of(tmp_path / "campaigns" / "summer", products=1, name="summer", schedule=SUMMER)
    port, galleries = free_ports(2)
    environment = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
    environment["PREFECT_HOME"] = str(tmp_path / "home")
    options = ["--cron", "0 5 * * *", "--time-zone", "Europe/Berlin", "--every", "1", "--port", str(port)]
    options += ["--gallery-port", str(galleries)]
    command = [
        sys.executable,
        "-c",
        "from flows.cli import main; main()",
        "serve",
        str(tmp_path / "campaigns"),
        *options,
    ]
    said = tmp_path / "serve.log"
    with said.open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        wait(said, process, project, "Mug 0", 120)
        project.products[0]["title"] = "Bowl 7"
        project.write()
        wait(said, process, project, "Bowl 7", 60)
        check_galleries(f"http://127.0.0.1:{galleries}", f"http://127.0.0.1:{port}/api")
        children = psutil.Process(process.pid).children(recursive=True)
        assert _listening([psutil.Process(process.pid), *children]) == {"127.0.0.1"}
        process.send_signal(signal.SIGINT)
        process.wait(60)
    finally:
        process.kill()
    text = said.read_text()
    assert re.search(r"schedule +0 5 \* \* \* Europe/Berlin", text)
    assert "Traceback" not in text, text[-3000:]
    _, alive = psutil.wait_procs(children, 20)
    assert not alive, f"left running: {alive}"
    assert not (tmp_path / "campaigns" / "summer" / "output").exists()
