"""200 kills of the real command line at drawn instants, on disk and on S3; see README.md for how to run them all.

PACKSHOT_TRIALS_FILE     results, a line a trial; what is in it is not tried again (default: a new file)
PACKSHOT_TRIALS_SEED     default 20261121
PACKSHOT_TRIALS_PIECE    at most so many trials of each store (default 5)
PACKSHOT_TRIALS_SECONDS  no round begins after so many seconds (default 480)
"""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.flows.projects import Project
from tests.servers import S3Server
from tests.trials.kill_results import A_ROUND, append, keep, left, read_results, table
from tests.trials.kills import CHANNELS, PRODUCTS, Round, dated_moto

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
SEED = int(os.environ.get("PACKSHOT_TRIALS_SEED", "20261121"))
PIECE = int(os.environ.get("PACKSHOT_TRIALS_PIECE", "5"))
SECONDS = float(os.environ.get("PACKSHOT_TRIALS_SECONDS", "480"))


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return Path(os.environ.get("PACKSHOT_TRIALS_FILE", str(tmp_path / "results.jsonl")))


@pytest.fixture(scope="module")
def dated_s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[S3Server, Path]]:
    folder = tmp_path_factory.mktemp("dated-moto")
    with dated_moto(folder) as server:
        yield server, folder / "clock"


def try_rounds(
    store: str,
    results: Path,
    folder: Path,
    environment: Mapping[str, str],
    output: Callable[[], str],
    set_clock: Callable[[float], None] | None = None,
) -> None:
    began = time.monotonic()
    for trials in left(results, store, SEED)[: -(-PIECE // A_ROUND)]:
        if time.monotonic() - began > SECONDS:
            break
        place = folder / f"{store}-{trials[0].round}"
        project = Project.of(place, PRODUCTS, channels=CHANNELS, output=output())
        try:
            Round(project, environment, trials, set_clock).run()
        except BaseException:
            keep(place, results, trials, traceback.format_exc())
            raise
        append(results, trials)
    print(table(read_results(results, SEED)))


def test_kills_on_disk(tmp_path: Path, results: Path, prefect_server: dict[str, str]) -> None:
    try_rounds("disk", results, tmp_path, prefect_server, lambda: "output")


def test_kills_on_s3(
    tmp_path: Path,
    results: Path,
    prefect_server: dict[str, str],
    dated_s3: tuple[S3Server, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server, clock = dated_s3
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)

    def set_clock(seconds: float) -> None:
        new = clock.with_suffix(".new")
        new.write_text(str(seconds))
        new.replace(clock)

    output = lambda: f"s3://{server.bucket()}/out"  # noqa: E731
    try_rounds("s3", results, tmp_path, {**prefect_server, **server.environment}, output, set_clock)
