"""The store of compose.yaml: its command, run here by the program that its image holds."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.servers import Processes, S3Server, free_ports, program, started

COMPOSE = Path(__file__).parents[2] / "deployments" / "compose.yaml"
PORTS = ("-master.port", "-volume.port", "-filer.port")
"""What is not named in compose.yaml, where a container has ports of its own; gRPC is 10000 above each."""


def service() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())["services"]["store"]
    return found


def arguments(folder: Path, port: int, others: Sequence[int]) -> list[str]:
    """The command of compose.yaml, with another folder, and ports that are free here."""
    words = [word.replace("/data", str(folder)).replace("9000", str(port)) for word in service()["command"]]
    given = [f"{name}={number}" for name, number in zip(PORTS, others[::2], strict=True)]
    given += [f"{name}.grpc={number}" for name, number in zip(PORTS, others[1::2], strict=True)]
    return [*words, *given, f"-s3.port.grpc={free_ports(1)[0]}"]


@contextmanager
def seaweed(folder: Path, before: Sequence[str] = ()) -> Iterator[S3Server]:
    """The store while the block runs; `before` are words of a command that starts it."""
    [entrypoint] = service()["entrypoint"]
    script = program(entrypoint)
    user, secret = "packshot", "5ecret-of-a-test"

    def launch(processes: Processes) -> S3Server:
        port, *others = free_ports(7)
        (folder / "data").mkdir(exist_ok=True)
        # The program takes them from its environment, as compose gives them.
        given = {**service()["environment"], "AWS_ACCESS_KEY_ID": user, "AWS_SECRET_ACCESS_KEY": secret}
        command = [*before, "env", *(f"{name}={value}" for name, value in given.items())]
        processes.start("seaweed", [*command, script, *arguments(folder / "data", port, others)])
        return S3Server(f"http://127.0.0.1:{port}", user, secret, processes.tail)

    with started(folder, launch) as server:
        yield server


def image_version() -> str:
    found = re.fullmatch(r"chrislusf/seaweedfs:([\d.]+)", service()["image"])
    assert found
    return found[1]
