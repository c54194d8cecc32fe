"""A stand-in for Docker, for try.sh: `docker compose ...` with real processes in place of containers.

    python -m tests.deployments.stand_in compose --project-name packshot-try ... up --detach --wait

What compose.yaml says of a service is what runs: its command, its environment with the file of --env-file filled in.
The server, the store and the workers are processes of this machine, found by files in $STAND_IN; paths of containers
and names of services are replaced by those of this machine. It knows what try.sh uses, and refuses all else.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import yaml

from tests.deployments.seaweed import COMPOSE, arguments
from tests.servers import program

HERE = Path(os.environ.get("STAND_IN", "/nonexistent"))
PORTS: dict[str, Any] = json.loads((HERE / "ports.json").read_text()) if HERE.exists() else {}
PACKSHOT = "from flows.cli import main; main()"
SERVICES: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())["services"]
UNNAMED = ("worker-gpu", "images-a", "images-b", "deploy")
"""What a profile starts, which nobody has asked for."""


def main(words: Sequence[str]) -> None:
    options, rest = _options(words)
    given = _file(Path(options["--env-file"])) | dict(os.environ)
    with (HERE / "calls.log").open("a") as log:
        log.write(json.dumps(rest) + "\n")
    kind, rest = rest[0], rest[1:]
    {"build": _build, "up": _up, "run": _run, "exec": _exec, "kill": _kill, "logs": _logs, "down": _down}[kind](
        rest, given
    )


def _options(words: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    assert words[0] == "compose"
    rest, found = list(words[1:]), {}
    while rest[0].startswith("--"):
        found[rest[0]] = rest[1]
        rest = rest[2:]
    return found, rest


def _file(path: Path) -> dict[str, str]:
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def _filled(text: str, given: Mapping[str, str]) -> str:
    """A word of compose.yaml, its variables filled in as compose does it."""

    def value(match: re.Match[str]) -> str:
        name, sign, other = match.groups()
        if given.get(name) or not sign:
            return given.get(name, "")
        assert sign == ":-", f"{name} {other}"
        return other

    return re.sub(r"(?<!\$)\$\{(\w+)(?:(:[-?])([^}]*))?\}", value, str(text)).replace("$$", "$")


def _here(text: str, given: Mapping[str, str]) -> str:
    """A word for a container, as it is here."""
    places = {
        "http://server:4200": f"http://127.0.0.1:{PORTS['server']}",
        "http://store:9000": f"http://127.0.0.1:{PORTS['store']}",
        "/srv/campaigns": given["CAMPAIGNS"],
        "/try/": f"{Path(given['CAMPAIGNS']).parent}/",
    }
    return re.sub("|".join(map(re.escape, places)), lambda match: places[match[0]], text)


def _environment(name: str, given: Mapping[str, str]) -> dict[str, str]:
    own = {key: _here(_filled(value, given), given) for key, value in SERVICES[name].get("environment", {}).items()}
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "PREFECT_API"))}
    python = os.path.dirname(sys.executable)
    more = {"PACKSHOT_CACHE": str(HERE / f"cache-{name}"), "PREFECT_HOME": str(HERE / "home")}
    # A dead run is known sooner, and the worker looks for work more often.
    more |= {"PACKSHOT_BEAT_SECONDS": "2", "PREFECT_WORKER_QUERY_SECONDS": "1"}
    return {**kept, **own, **more, "PATH": f"{python}{os.pathsep}{os.environ['PATH']}"}


def _build(rest: Sequence[str], given: Mapping[str, str]) -> None:
    assert not rest, "all that has no profile"


def _up(rest: Sequence[str], given: Mapping[str, str]) -> None:
    assert {"--detach", "--wait"} <= set(rest)
    named = [word for word in rest if word in SERVICES] or [name for name in SERVICES if name not in UNNAMED]
    for name in named:
        _start(name, given)
    for name in named:
        _wait(name)


def _start(name: str, given: Mapping[str, str]) -> None:
    if name in ("passwords", "bucket"):
        if name == "bucket":
            _wait("store")
        words = [sys.executable, *SERVICES[name]["command"][1:]] if name == "bucket" else ["sh", "check-env.sh"]
        subprocess.run(words, env=_environment(name, given), check=True)
        return
    command = _command(name, given)
    if command and not (HERE / f"{name}.pid").exists():
        with (HERE / f"{name}.log").open("ab") as log:
            started = subprocess.Popen(
                command, env=_environment(name, given), stdout=log, stderr=log, start_new_session=True, cwd=HERE
            )
        (HERE / f"{name}.pid").write_text(str(started.pid))


def _command(name: str, given: Mapping[str, str]) -> list[str]:
    if name == "store":
        (HERE / "data").mkdir(exist_ok=True)
        return [program("weed"), *arguments(HERE / "data", PORTS["store"], PORTS["others"])]
    if name == "worker-cpu":  # what worker.Dockerfile starts, but for its page, whose port is another's here
        return [sys.executable, "-c", PACKSHOT, "worker", "--pool", "cpu", "--limit", "2"]
    if name == "watch":
        words = [_here(word, given) for word in SERVICES[name]["command"]]
        return [sys.executable, "-c", PACKSHOT, *words[1:]]
    assert name in ("server", "database"), name  # the test has started one
    return []


def _wait(name: str) -> None:
    page = {"store": "/healthz", "server": "/api/health"}.get(name)
    deadline = time.monotonic() + 60
    while page and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{PORTS[name]}{page}", timeout=2):
                return
        except OSError:
            time.sleep(0.2)
    assert not page, f"{name} is not well"


def _run(rest: Sequence[str], given: Mapping[str, str]) -> None:
    name = next(word for word in rest if word in SERVICES)
    words = list(rest[rest.index(name) + 1 :]) or [_filled(word, given) for word in SERVICES[name]["command"]]
    _in_container(name, words, given)


def _exec(rest: Sequence[str], given: Mapping[str, str]) -> None:
    name = next(word for word in rest if word in SERVICES)
    assert (HERE / f"{name}.pid").exists(), f"{name} does not run"
    _in_container(name, rest[rest.index(name) + 1 :], given)


def _in_container(name: str, words: Sequence[str], given: Mapping[str, str]) -> None:
    """Become a command of a container: it starts with packshot, or prefect."""
    command = [sys.executable, *({"packshot": ["-c", PACKSHOT], "prefect": ["-m", "prefect"]}[words[0]])]
    own = [_here(word, given) for word in words[1:]]
    os.execve(sys.executable, [*command, *own], _environment(name, given))


def _kill(rest: Sequence[str], given: Mapping[str, str]) -> None:
    """As the end of a container: nothing that it started is left."""
    [name] = rest
    file = HERE / f"{name}.pid"
    with suppress(psutil.NoSuchProcess):
        started = psutil.Process(int(file.read_text()))
        for process in [*started.children(recursive=True), started]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
    file.unlink()


def _logs(rest: Sequence[str], given: Mapping[str, str]) -> None:
    for log in sorted(HERE.glob("*.log")):
        print(log.name, log.read_text(errors="replace")[-3000:])


def _down(rest: Sequence[str], given: Mapping[str, str]) -> None:
    assert "--volumes" in rest
    for file in HERE.glob("*.pid"):
        _kill([file.stem], given)


if __name__ == "__main__":
    main(sys.argv[1:])
