"""Ten thousand hostile inputs, each met by real commands with limits of their own; see README.md for how to run all.

PACKSHOT_MUTATIONS_FILE     results, a line a command; what is in it is not tried again (default: a new file)
PACKSHOT_MUTATIONS_SEED     default 20261121
PACKSHOT_MUTATIONS          so many in all (default 500)
PACKSHOT_MUTATIONS_SECONDS  no mutation begins after so many seconds (default 480)
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mutations.cages import Cages
from tests.mutations.subjects import SUBJECTS
from tests.mutations.trials import Trials, listener, piece, table

SEED = int(os.environ.get("PACKSHOT_MUTATIONS_SEED", "20261121"))
TOTAL = int(os.environ.get("PACKSHOT_MUTATIONS", "500"))
SECONDS = float(os.environ.get("PACKSHOT_MUTATIONS_SECONDS", "480"))
NASTIEST: dict[str, list[int]] = json.loads(Path(__file__).with_name("nastiest.json").read_text())


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trials]:
    folder = tmp_path_factory.mktemp("mutations")
    with listener() as server, Cages(folder / "cache") as cages:
        yield Trials(folder, cages, server, 20261121)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("subject", SUBJECTS)
def test_the_nastiest_end_in_order(trials: Trials, subject: str) -> None:
    """Those of the ten thousand that took longest, took most memory or found a fault."""
    faults = [line for number in NASTIEST[subject] for line in trials.run(subject, number) if line["fault"]]
    assert faults == []
    assert sum(map(len, NASTIEST.values())) == 100


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_mutations_end_in_order(tmp_path: Path) -> None:
    results = Path(os.environ.get("PACKSHOT_MUTATIONS_FILE", str(tmp_path / "results.jsonl")))
    lines = piece(tmp_path, results, SEED, TOTAL, SECONDS)
    print(table(lines))
    assert [line for line in lines if line["fault"]] == []
