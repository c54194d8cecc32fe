"""What SIGKILLs cost: a run of a hosted model is killed again and again while it submits.

    python -m tests.trials.paid_kills [KILLS] [PICTURES] [SEED] [UNANSWERED]

For as many unanswered submits as slots, as it was once, and for four at most: how many pictures the account paid for
that nobody has, or can ask for. A kill comes at a drawn moment within 2.5 s after a start's first submit:
thousands of times as often as in any bad week. A round of pictures that is bought up is followed by another.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import astuple, dataclass
from pathlib import Path

from catalogs.journal.sums import read_spent
from catalogs.storage.store import Store
from tests.ledger.running import LedgerApi, ledger_api
from tests.trials.paying import SLOTS

PRICE = 14_000
RULES = {"seconds": 1.0, "slow": 0.5, "slow_seconds": 2.0, "answer_after": 0.1}
"""Of the API: seconds of a task, of half of them longer, and from a submit to its answer."""


@dataclass
class Killed:
    """What came of it; pictures.

    Attributes:
        lost: billed, and neither had nor to be had: the account paid, and the journal only says that it may have.
        refused: never billed, but bought only at a word.
    """

    unanswered: int
    kills: int = 0
    billed: int = 0
    had: int = 0
    lost: int = 0
    refused: int = 0

    def add(self, store: Store, api: LedgerApi) -> None:
        """Count a round that has come to its end."""
        spent, billed = read_spent(store, "trial"), api.billed()
        lost, had = billed - spent.tasks, len(store.list("renders"))
        # The law: what the account was billed is written down, as paid or as what it may have been.
        assert 0 <= lost <= spent.possible
        assert had * PRICE == spent.tasks, "a task that was written down was not collected"
        self.billed += billed // PRICE
        self.had += had
        self.lost += lost // PRICE
        self.refused += (spent.possible - lost) // PRICE

    def row(self) -> str:
        rates = f"{self.lost / self.billed:.1%} | {self.lost / self.kills:.2f}"
        return f"| {' | '.join(map(str, astuple(self)))} | {rates} |"


HEAD = """\
| unanswered at most | kills | billed | had | lost | not billed, refused | share lost | lost a kill |
|---:|---:|---:|---:|---:|---:|---:|---:|"""


def run(folder: Path, unanswered: int, kills: int, pictures: int, seed: int) -> Killed:
    """Kill runs so often; each round of pictures is brought to its end by one that is not killed."""
    chance, killed, rounds = random.Random(seed), Killed(unanswered), 0
    with ledger_api(folder / f"server-{unanswered}.log", **RULES) as api:
        while killed.kills < kills:
            store, starts = Store.at(str(folder / f"out-{unanswered}-{rounds}")), 0
            while killed.kills < kills and _killed(api, store, unanswered, pictures, starts, chance):
                killed.kills, starts = killed.kills + 1, starts + 1
            assert _start(api, store, unanswered, pictures, starts).wait(120) == 0
            killed.add(store, api)
            api.forget()
            rounds += 1
    return killed


def _start(api: LedgerApi, store: Store, unanswered: int, pictures: int, number: int) -> subprocess.Popen[bytes]:
    arguments = [store.root, api.url, unanswered, pictures, f"run-{number}"]
    return subprocess.Popen([sys.executable, "-m", "tests.trials.paying", *map(str, arguments)])


def _killed(api: LedgerApi, store: Store, unanswered: int, pictures: int, number: int, chance: random.Random) -> bool:
    """Whether a start was killed before it had bought all there was."""
    before = _submits(store)
    process = _start(api, store, unanswered, pictures, number)
    while process.poll() is None and _submits(store) == before:
        time.sleep(0.02)
    time.sleep(chance.uniform(0.0, 2.5))
    process.send_signal(signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


def _submits(store: Store) -> int:
    return sum(key.count(".") == 1 for key in store.list("spend"))


def main() -> None:
    kills, pictures, seed, *some = map(int, [*sys.argv[1:], *("200", "600", "1")[len(sys.argv) - 1 :]])
    print(HEAD)
    with tempfile.TemporaryDirectory() as folder:
        for unanswered in some or (SLOTS, 4):
            print(run(Path(folder), unanswered, kills, pictures, seed).row(), flush=True)


if __name__ == "__main__":
    main()
