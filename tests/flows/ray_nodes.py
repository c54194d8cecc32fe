"""A Ray cluster of several nodes on 127.0.0.1, each a tree of processes that can be killed as a machine dies."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

import psutil

from tests.servers import free_ports, missing

START_SECONDS = 90
# Of nodes and drivers alike: Ray on one host makes a token in the user's home, and another start then trips over it.
AUTHENTICATION = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
STORE_BYTES = str(100 * 2**20)


class Node:
    """One `ray start --block` and everything below it."""

    def __init__(self, log: Path, environment: Mapping[str, str], arguments: list[str]) -> None:
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", *arguments]
        command += ["--node-ip-address=127.0.0.1", f"--object-store-memory={STORE_BYTES}"]
        command += [f"--dashboard-agent-listen-port={free_ports(1)[0]}"]
        self.log = log
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                command, env={**os.environ, **environment}, stdout=out, stderr=out, start_new_session=True
            )

    def processes(self) -> list[psutil.Process]:
        with suppress(psutil.NoSuchProcess):
            root = psutil.Process(self._process.pid)
            return [root, *root.children(recursive=True)]
        return []

    @property
    def pids(self) -> set[int]:
        return {process.pid for process in self.processes()}

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    def kill(self) -> None:
        """As a power cut: SIGKILL to all of it at once."""
        for process in self.processes():
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        self._process.wait()


class Cluster:
    """A head and further nodes, `cpus` shards at once on each."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder, self.nodes = folder, list[Node]()
        # Ray keeps sockets in its folder, whose paths may have some 100 characters only.
        self._environment = {"RAY_USAGE_STATS_ENABLED": "0", **AUTHENTICATION, **environment}
        self._port, client = free_ports(2)
        self.address = f"127.0.0.1:{self._port}"
        self._head = ["--head", f"--port={self._port}", f"--ray-client-server-port={client}"]
        self._head += ["--include-dashboard=false", f"--temp-dir={folder}"]

    def start(self, cpus: int = 1, gpus: int = 0) -> Node:
        """Start the head first, then a node at each call; its GPUs are said, and need not be there."""
        joining = self._head if not self.nodes else [f"--address={self.address}"]
        log = self._folder / f"node-{len(self.nodes)}.log"
        node = Node(log, self._environment, [*joining, f"--num-cpus={cpus}", f"--num-gpus={gpus}"])
        self.nodes.append(node)
        until = time.monotonic() + START_SECONDS
        while "Ray runtime started" not in log.read_text():
            if node.ended or time.monotonic() > until:
                raise RuntimeError(f"a Ray node did not start:\n{log.read_text()[-3000:]}")
            time.sleep(0.1)
        return node

    def stop(self) -> None:
        for node in reversed(self.nodes):
            node.kill()


@contextmanager
def cluster(folder: Path, environment: Mapping[str, str], nodes: int = 2) -> Iterator[Cluster]:
    """A cluster that is gone when the block ends."""
    if find_spec("ray") is None:
        missing("Ray is not installed: pip install -e .[dev]")
    made = Cluster(folder, environment)
    try:
        for _ in range(nodes):
            made.start()
        yield made
    finally:
        made.stop()
