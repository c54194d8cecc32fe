"""A PostgreSQL of its own for a test, on a free port of 127.0.0.1."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers import free_ports, missing

START_SECONDS = 60


@contextmanager
def postgres() -> Iterator[str]:
    """URL of an empty database `prefect`, as Prefect wants it, while the block runs."""
    folder = Path(tempfile.mkdtemp(prefix="postgres-", dir="/tmp"))
    if os.geteuid() == 0:  # it refuses to run as root
        account = _account()
        os.chown(folder, account.pw_uid, account.pw_gid)
    port = free_ports(1)[0]
    data = folder / "data"
    try:
        _run("initdb", "-D", str(data), "--auth=trust", "--username=postgres", "--no-sync")
        server = _start(data, port, folder)
        try:
            _ready(port, server, folder / "log")
            _run("createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "postgres", "prefect")
            yield f"postgresql+asyncpg://postgres@127.0.0.1:{port}/prefect"
        finally:
            server.terminate()
            server.wait(30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _account() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        missing("PostgreSQL has no account here: apt-get install postgresql")


def _command(name: str, *arguments: str) -> list[str]:
    # Debian keeps them off the path, a folder a version.
    found = [str(path) for path in sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)]
    program = found[0] if found else shutil.which(name)
    if program is None:
        missing(f"{name} is not installed: apt-get install postgresql")
    return [program, *arguments]


def _as_postgres() -> dict[str, int]:
    if os.geteuid() != 0:
        return {}
    account = _account()
    return {"user": account.pw_uid, "group": account.pw_gid}


def _run(name: str, *arguments: str) -> None:
    command = _command(name, *arguments)
    done = subprocess.run(command, capture_output=True, text=True, cwd="/tmp", **_as_postgres())  # type: ignore[call-overload]
    assert done.returncode == 0, done.stderr


def _start(data: Path, port: int, folder: Path) -> subprocess.Popen[bytes]:
    command = _command("postgres", "-D", str(data), "-p", str(port), "-k", str(folder), "-c", "fsync=off")
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(  # type: ignore[call-overload, no-any-return]
            [*command, "-c", "listen_addresses=127.0.0.1"], stdout=log, stderr=log, cwd="/tmp", **_as_postgres()
        )


def _ready(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    check = _command("pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port))
    while subprocess.run(check).returncode != 0:
        if server.poll() is not None or time.monotonic() > until:
            raise RuntimeError(f"PostgreSQL did not start:\n{log.read_text()[-3000:]}")
        time.sleep(0.1)
