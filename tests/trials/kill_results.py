"""Which kills are to be tried, and those that were; `python -m tests.trials.kill_results FILE` prints its table."""

from __future__ import annotations

import json
import random
import shutil
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

A_ROUND = 5
PHASES = ("plan", "render", "commit", "verify", "sweep")
# How often each phase is to be hit.
WANTED = {
    "disk": {"plan": 24, "render": 48, "commit": 42, "verify": 18, "sweep": 18},
    "s3": {"plan": 7, "render": 18, "commit": 14, "verify": 6, "sweep": 5},
}


@dataclass
class Trial:
    """A kill that counted, and what became of it."""

    trial: int
    store: str
    round: int
    seed: int
    wanted: str
    killed: str = ""
    command: str = ""
    inside: list[str] = field(default_factory=list)
    workers: int = 1
    shard: int = 0
    beside: str = ""
    aged: bool = False
    taken: int = 0
    draws: int = 0
    stored_uncommitted: int = 0
    whole_uncommitted: int = 0
    unstored: int = 0
    again: int = 0
    again_swept: int = 0
    lost: int = 0
    twice: int = 0
    seconds: float = 0.0


def rounds(store: str, seed: int) -> list[list[Trial]]:
    """All trials of a store in rounds, the same for one seed."""
    wanted = [phase for phase, count in WANTED[store].items() for _ in range(count)]
    random.Random(f"{seed} {store}").shuffle(wanted)
    trials = [Trial(number, store, number // A_ROUND, seed, phase) for number, phase in enumerate(wanted)]
    return [trials[place : place + A_ROUND] for place in range(0, len(trials), A_ROUND)]


def read_results(file: Path, seed: int | None = None) -> list[dict[str, Any]]:
    lines = file.read_text().splitlines() if file.exists() else []
    found = [json.loads(line) for line in lines]
    return [line for line in found if seed is None or line["seed"] == seed]


def left(file: Path, store: str, seed: int) -> list[list[Trial]]:
    """The rounds that are not in the file of results."""
    done = {line["trial"] for line in read_results(file, seed) if line["store"] == store}
    return [trials for trials in rounds(store, seed) if not {trial.trial for trial in trials} <= done]


def append(file: Path, trials: Iterable[Trial]) -> None:
    with file.open("a") as lines:
        lines.write("".join(json.dumps(asdict(trial)) + "\n" for trial in trials))


def keep(folder: Path, file: Path, trials: Sequence[Trial], problem: str) -> None:
    """Put a round that went wrong aside, for somebody to look at."""
    place = file.with_name(f"{file.name}.fault-{trials[0].store}-{trials[0].round}-{int(time.time())}")
    shutil.copytree(folder, place)
    (place / "problem.txt").write_text(problem + "\n".join(str(trial) for trial in trials))


def table(lines: Sequence[Mapping[str, Any]]) -> str:
    """The table of results, a line a store and phase."""
    head = (
        "store | killed in | kills that counted | stored and uncommitted at the kill (of how many kills) | "
        "renders made twice (most at one kill; since swept later) | assets lost | assets twice"
    )
    rows = [f"| {head} |", "|" + " --- |" * 7]
    for store in sorted({x["store"] for x in lines}):
        for phase in (*PHASES, "all"):
            some = [x for x in lines if x["store"] == store and phase in (x["killed"], "all")]
            stored, again = [x["stored_uncommitted"] for x in some], [x["again"] for x in some]
            cells = [
                store,
                phase,
                len(some),
                f"{sum(stored)} ({sum(map(bool, stored))})",
                f"{sum(again)} ({max(again, default=0)}; {sum(x['again_swept'] for x in some)})",
                sum(x["lost"] for x in some),
                sum(x["twice"] for x in some),
            ]
            rows.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(rows)


if __name__ == "__main__":
    print(table(read_results(Path(sys.argv[1]))))
