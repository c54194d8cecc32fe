"""What all tests share: a closed environment, real servers, and the rule that skips or fails."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from catalogs.storage.store import Store
from tests.flows.postgres import postgres
from tests.ledger.running import LedgerApi, ledger_api
from tests.prefect_servers import CONNECTION, sqlite_server
from tests.prefect_servers import serve as serve_prefect
from tests.servers import FlakyS3, S3Server, flaky, missing, moto, require
from tests.swift_server import swift as run_swift

__all__ = ["missing", "require", "sqlite_server"]

SCRATCH = pytest.StashKey[str]()
LOGS = pytest.StashKey[dict[str, Callable[[], str]]]()


def pytest_configure(config: pytest.Config) -> None:
    """Set the environment before any library reads it: nothing of the user's, nothing to the network."""
    scratch = tempfile.mkdtemp(prefix="packshot-tests-")
    config.stash[SCRATCH] = scratch
    config.stash[LOGS] = {}
    _let_children_hear_ctrl_c()
    for name in [name for name in os.environ if name.startswith(("AWS_", "FSSPEC_"))]:
        del os.environ[name]
    os.environ |= {
        "PACKSHOT_CACHE": f"{scratch}/cache",
        "PREFECT_HOME": f"{scratch}/prefect",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": f"{scratch}/no-aws-config",
        "AWS_SHARED_CREDENTIALS_FILE": f"{scratch}/no-aws-credentials",
    }


def _let_children_hear_ctrl_c() -> None:
    """Under nohup, or in the background of a script, SIGINT is ignored, and every child inherits that.

    A handler is not inherited: children begin with the default, and pytest itself goes on ignoring the signal.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, lambda number, frame: None)


def pytest_unconfigure(config: pytest.Config) -> None:
    shutil.rmtree(config.stash.get(SCRATCH, ""), ignore_errors=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Show the logs of the servers under the failure of a test that used them."""
    report: Any = yield
    if report.failed:
        logs = item.config.stash[LOGS]
        names = " ".join([item.nodeid, *getattr(item, "fixturenames", ())])
        report.sections += [(f"{name} log", tail()) for name, tail in logs.items() if name in names]
    return report


@pytest.fixture(scope="session")
def swift_server(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[S3Server]:
    with run_swift(tmp_path_factory.mktemp("swift")) as server:
        pytestconfig.stash[LOGS]["swift"] = server.tail
        yield server


@pytest.fixture(scope="session")
def moto_server(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[S3Server]:
    with moto(tmp_path_factory.mktemp("moto")) as server:
        pytestconfig.stash[LOGS]["moto"] = server.tail
        yield server


def use(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def swift(swift_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """OpenStack Swift, with AWS_* set for it."""
    use(swift_server.environment, monkeypatch)
    return swift_server


@pytest.fixture
def moto_s3(moto_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """moto's S3, with AWS_* set for it."""
    use(moto_server.environment, monkeypatch)
    return moto_server


@pytest.fixture
def flaky_s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[FlakyS3]:
    """An S3 that fails as told, with AWS_* set for it; any bucket exists."""
    with flaky() as server:
        use(server.environment, monkeypatch)
        yield server


@pytest.fixture(params=["local", "moto", pytest.param("swift", marks=pytest.mark.swift)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty store of each kind."""
    if request.param == "local":
        return Store.at(str(tmp_path / "store"))
    server: S3Server = request.getfixturevalue({"moto": "moto_s3", "swift": "swift"}[request.param])
    return Store.at(f"s3://{server.bucket()}/some/prefix")


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of the browser."""
    return require("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[dict[str, str]]:
    """A real Prefect server on PostgreSQL; the environment that leads to it.

    On SQLite a busy one (3.8.8) answers nobody for up to a minute: its event loop waits in a collected cursor for a
    connection that itself waits for the lock of a transaction which only the event loop would end.
    """
    home = tmp_path_factory.mktemp("prefect")
    with postgres() as url, serve_prefect(home, {CONNECTION: url}) as environment:
        pytestconfig.stash[LOGS]["prefect_server"] = lambda: (home / "server.log").read_text(errors="replace")[-6000:]
        yield environment


@pytest.fixture(scope="session")
def prefect_harness() -> Iterator[None]:
    """A Prefect server of its own on a temporary database, for all tests that run flows."""
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture(scope="module")
def ledger_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LedgerApi]:
    """An account of the hosted API with a ledger; a test begins with `forget`."""
    from inference.hosted.account import close_accounts

    with ledger_api(tmp_path_factory.mktemp("ledger") / "server.log", seconds=0.05) as api:
        yield api
        close_accounts()
