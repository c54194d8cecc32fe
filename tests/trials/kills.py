"""Trials of SIGKILL: a start of the command line is killed at a drawn instant, and what is left is judged.

Trials come in rounds of five on one output; a round ends with a render that is left alone, and its lines are written
when all of it was right. `python -m tests.trials.kills FILE` prints the table of a file of results.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import pyarrow.parquet as pq

from catalogs.assets.commits import Status, Step
from catalogs.assets.masters import LEAST_GRACE
from catalogs.columns import IDENTITY
from catalogs.storage.store import Store
from tasks.finishers import DEPTH
from tests.flows.drawn import check_output
from tests.flows.projects import Project, plan_rows
from tests.servers import Processes, S3Server, free_ports, started

ROOT = Path(__file__).parents[2]
WATCHED = Path(__file__).with_name("watched.py")
A_ROUND = 5
PRODUCTS = 24  # 48 assets of two shots, and 24 masters that others build on: three batches a stage
CHANNELS = [{"name": "square", "width": 48, "height": 48, "format": "jpeg"}]
SECONDS_A_PROOF = 0.03
BATCH = 8
LONG_AGO = 2 * 86_400.0
WAIT = 120.0
PHASES = ("plan", "render", "commit", "verify", "sweep")
# How often each phase is to be hit.
WANTED = {
    "disk": {"plan": 24, "render": 48, "commit": 42, "verify": 18, "sweep": 18},
    "s3": {"plan": 7, "render": 18, "commit": 14, "verify": 6, "sweep": 5},
}
TYPICAL = {"plan": 0.1, "commit": 0.005, "verify": 0.04, "sweep": 0.02, "render": SECONDS_A_PROOF, "store": 0.005}

Pair = tuple[tuple[Any, ...], str]


class Start:
    """One start of the command line, with the log of what it did."""

    def __init__(self, folder: Path, number: int, environment: Mapping[str, str], *arguments: str) -> None:
        folder.mkdir(exist_ok=True)
        self.command, self._log = arguments[0], folder / f"{number:03}.log"
        self._out, self._err = folder / f"{number:03}.out", folder / f"{number:03}.err"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, str(WATCHED), str(self._log), str(SECONDS_A_PROOF), *arguments],
                env={**os.environ, **environment, "PYTHONPATH": str(ROOT)},
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    def lines(self) -> list[list[str]]:
        """(moment, enter or leave, what, fingerprint) of every whole line."""
        text = self._log.read_text() if self._log.exists() else ""
        return [line.split(" ") for line in text.splitlines()]

    def count(self, edge: str, what: str) -> int:
        return sum(line[1:3] == [edge, what] for line in self.lines())

    def inside(self) -> set[str]:
        """What was entered and not left."""
        balance: Counter[str] = Counter()
        for _, edge, what, *_ in self.lines():
            balance[what] += 1 if edge == "enter" else -1
        return {what for what, depth in balance.items() if depth}

    def rendered(self) -> list[str]:
        """Fingerprints of the renders begun."""
        return [line[3] for line in self.lines() if line[1:3] == ["enter", "render"]]

    def wait(self, edge: str, what: str, count: int) -> bool:
        """Until it did that so often; False if it ended before."""
        until, seen = time.monotonic() + WAIT, -1
        while self.process.poll() is None and time.monotonic() < until:
            size = self._log.stat().st_size if self._log.exists() else 0
            if size != seen and self.count(edge, what) >= count:
                return True
            seen = size
            time.sleep(0.0003)
        return self.count(edge, what) >= count and self.process.poll() is None

    def kill(self) -> bool:
        """SIGKILL; False if it had ended already."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        return self.process.wait() == -signal.SIGKILL

    def end(self, *allowed: int) -> None:
        """Wait for its end with one of these exit codes."""
        assert self.process.wait(WAIT) in allowed, f"{self.command}: {self.process.returncode}\n{self.error()}"

    def answer(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._out.read_text())
        return found

    def error(self) -> str:
        return self._err.read_text()[-3000:]

    def durations(self) -> dict[str, list[float]]:
        """Seconds of what was entered and left, by what."""
        begun: dict[tuple[str, str], float] = {}
        found: dict[str, list[float]] = defaultdict(list)
        for moment, edge, what, about in self.lines():
            if edge == "enter":
                begun[what, about] = float(moment)
            elif (what, about) in begun:
                found[what].append(float(moment) - begun.pop((what, about)))
        return found


@dataclass
class Held:
    """An output when nobody is at work.

    Attributes:
        keys: of assets and masters, with the time of each.
        named: keys of assets and masters that a commit names as delivered.
        whole: masters that are whole, by render fingerprint.
        torn: masters that are not what their key says.
        bare: masters without their record, as a sweep that is killed while it deletes may leave them.
        delivered: how often a render's commit calls an (identity, fingerprint) delivered.
        missing: how often a look called it missing.
        files: the keys that commits name of it.
    """

    keys: dict[str, float] = field(default_factory=dict)
    named: set[str] = field(default_factory=set)
    whole: dict[str, str] = field(default_factory=dict)
    torn: list[str] = field(default_factory=list)
    bare: list[str] = field(default_factory=list)
    delivered: Counter[Pair] = field(default_factory=Counter)
    missing: Counter[Pair] = field(default_factory=Counter)
    files: dict[Pair, set[str]] = field(default_factory=lambda: defaultdict(set))

    @classmethod
    def of(cls, store: Store, read: dict[str, Any]) -> Held:
        """What a store holds; `read` remembers what was read before, by key and tag."""
        held = cls()
        held._read_commits(store, read)
        found = {**store.list("assets"), **store.list("renders")}
        held.keys = {key: entry.modified.timestamp() for key, entry in found.items()}
        for key in (key for key in found if key.startswith("renders/") and key.endswith(".png")):
            fingerprint, content = key.split("/")[-1].split(".")[:2]
            tagged = f"{key} {found[key].tag}"
            if tagged not in read:
                read[tagged] = hashlib.sha256(store.read(key)).hexdigest()[:12]
            if read[tagged] != content:
                held.torn.append(key)
            elif key.removesuffix("png") + "json" in found:
                held.whole[fingerprint] = key
            else:
                held.bare.append(key)
        return held

    def _read_commits(self, store: Store, read: dict[str, Any]) -> None:
        for key in store.list("catalog"):
            if key not in read:
                read[key] = pq.read_table(io.BytesIO(store.read(key))).to_pylist()
            for row in read[key]:
                pair = (tuple(row[name] for name in IDENTITY), row["fingerprint"])
                if row["status"] == Status.MISSING:
                    self.missing[pair] += 1
                elif row["status"] == Status.DELIVERED:
                    self.delivered[pair] += row["step"] == Step.RENDER
                    self.files[pair].add(row["asset_key"])
                    self.named |= {key for key in (row["asset_key"], row["render_key"]) if key}

    @property
    def uncommitted(self) -> set[str]:
        """Keys of assets and masters that no commit names."""
        return {key for key in self.keys if not key.endswith(".json") and key not in self.named}

    def lost(self, taken: Iterable[str]) -> set[str]:
        """What the record names and is not there, but for what somebody took away."""
        return self.named - self.keys.keys() - set(taken)

    def twice(self) -> list[Pair]:
        """Pairs that renders delivered more often than they were found missing and once, or as two files."""
        often = [pair for pair, count in self.delivered.items() if count > 1 + self.missing[pair]]
        return [*often, *(pair for pair, files in self.files.items() if len(files) > 1)]


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


class Round:
    """Five kills on one output, and its end."""

    def __init__(
        self,
        project: Project,
        environment: Mapping[str, str],
        trials: Sequence[Trial],
        set_clock: Callable[[float], None] | None,
    ) -> None:
        self.project, self.trials = project, trials
        self._environment, self._set_clock = environment, set_clock
        self._chance = random.Random(f"{trials[0].seed} {trials[0].store} {trials[0].round}")
        self._typical = {what: [seconds] * 3 for what, seconds in TYPICAL.items()}
        self._starts, self._has_swept = 0, False
        self._read: dict[str, Any] = {}
        self._taken: set[str] = set()
        self._takings: Counter[Pair] = Counter()
        self._renders: list[tuple[Trial | None, set[str], set[str]]] = []

    def run(self) -> None:
        self.project.render()
        for trial in self.trials:
            began = time.monotonic()
            while not self._is_hit(trial):
                assert trial.draws < 25, f"no kill of {trial} counted"
            trial.seconds = round(time.monotonic() - began, 2)
        self._finish()

    def _held(self) -> Held:
        return Held.of(self.project.store, self._read)

    def _start(self, *arguments: str) -> Start:
        self._starts += 1
        return Start(self.project.folder / "starts", self._starts, self._environment, *arguments)

    def _render(self, trial: Trial | None = None) -> Start:
        workers, shard = (trial.workers, trial.shard) if trial else (1, 100)
        how = ("--workers", str(workers), "--shard-assets", str(shard), "--json")
        return self._start("render", self.project.path, *how)

    def _sweep(self) -> Start:
        self._has_swept = True
        hours = f"{LEAST_GRACE.total_seconds() / 3600:g}"
        return self._start("sweep", self.project.path, "--delete", "--json", "--grace-hours", hours)

    def _verify(self) -> Start:
        return self._start("verify", self.project.path, "--json", *(["--deep"] if self._chance.random() < 0.5 else []))

    def _is_hit(self, trial: Trial) -> bool:
        """One draw: a start that is killed, and the judgement of what it left; whether the kill counts."""
        chance = self._chance
        trial.draws += 1
        trial.workers, trial.shard = chance.choice([1, 1, 2]), chance.choice([100, 40, 14])
        trial.beside, trial.aged, trial.taken = "", False, 0
        if trial.wanted in ("verify", "sweep") and chance.random() < 0.75:
            return self._is_hit_command(trial)
        return self._is_hit_render(trial)

    def _is_hit_render(self, trial: Trial) -> bool:
        chance = self._chance
        trial.command = "render"
        trial.beside = chance.choice(["", "", "", "sweep", "sweep", "verify", "verify"])
        trial.aged = trial.beside == "sweep" and chance.random() < 0.7
        if trial.wanted == "sweep":
            trial.beside, trial.aged = "", False
            trial.command = "sweep"
            return self._is_hit_command(trial)
        if trial.wanted == "verify" or chance.random() < 0.2:
            trial.taken = self._take_away()
        if trial.aged:
            self._age()
        missing = self._want_more()
        before = self._held()
        dated = self._set_clock is not None and not trial.beside and chance.random() < 0.5
        if self._set_clock and dated:
            self._set_clock(-LONG_AGO)
        run = self._render(trial)
        beside = self._beside(trial.beside, chance.uniform(0.0, 2.0))
        is_killed = self._kill_render(run, trial.wanted, len(missing))
        if self._set_clock and dated:
            self._set_clock(0.0)
        others = [*beside(), run]
        return self._judge(trial, run, is_killed, before, missing, others)

    def _kill_render(self, run: Start, wanted: str, missing: int) -> bool:
        chance = self._chance
        if wanted == "render":
            if chance.random() < 0.6:
                run.wait("leave", "store", chance.randint(1, max(1, missing - 2)))
                self._pause(chance.uniform(0.0, 0.04))
            else:
                run.wait("enter", "render", chance.randint(min(missing, BATCH + 1), max(missing, 1)))
                self._pause(chance.uniform(0.0, 0.2))
        else:
            count = chance.choice([1, 1, 2, 3]) if wanted == "commit" else 1
            run.wait("enter", wanted, count)
            self._pause(chance.uniform(0.0, 0.8 * self._seconds(wanted)))
        return run.kill()

    def _is_hit_command(self, trial: Trial) -> bool:
        """A look or a sweep is killed, half of them beside a render that goes on to its end."""
        chance = self._chance
        trial.command = trial.wanted
        if trial.wanted == "verify":
            trial.taken = self._take_away()
        elif chance.random() < 0.7:
            trial.aged = True
            self._age()
        run, missing = None, set()
        if chance.random() < 0.5:
            trial.beside, missing = "render", self._want_more()
        before = self._held()
        if trial.beside:
            run = self._render(trial)
            run.wait("enter", chance.choice(["plan", "render"]), 1)
        target = self._verify() if trial.wanted == "verify" else self._sweep()
        target.wait("enter", trial.wanted, 1 if trial.wanted == "verify" else chance.choice([1, 2, 2]))
        self._pause(chance.uniform(0.0, self._seconds(trial.wanted)))
        is_killed = target.kill()
        if not is_killed:
            target.end(0, 1)
        if run:
            # What was taken away after it planned is missing at its end.
            run.end(0, 1) if trial.taken else run.end(0)
        return self._judge(trial, target, is_killed, before, missing, [target, *([run] if run else [])])

    def _beside(self, command: str, delay: float) -> Callable[[], list[Start]]:
        """Start another command in a moment; call what comes back to wait for its end."""
        if not command:
            return list
        time.sleep(delay)
        other = self._sweep() if command == "sweep" else self._verify()

        def ended() -> list[Start]:
            other.end(0, 1) if command == "verify" else other.end(0)
            return [other]

        return ended

    def _judge(
        self, trial: Trial, target: Start, is_killed: bool, before: Held, missing: set[str], all_starts: list[Start]
    ) -> bool:
        for start in all_starts:
            for what, seconds in start.durations().items():
                self._typical[what] += seconds
        after = self._held()
        runs = [start for start in all_starts if start.command == "render"]
        has_swept = any(start.command == "sweep" for start in all_starts)
        new = {key for key in after.uncommitted if before.keys.get(key) != after.keys[key]}
        inside = target.inside()
        is_inside = bool(inside & {"plan", "commit", "verify", "sweep"})
        counts = is_killed and (is_inside or (target.command == "render" and bool(new)))
        assert is_killed or target.process.returncode == 0 or trial.taken, target.error()
        for run in runs:
            self._check_renders(run, before, missing, has_swept)
            unstored = set(run.rendered()) - after.whole.keys()
            assert len(unstored) <= (2 * BATCH + DEPTH) * trial.workers, "more than what was in flight is gone"
            if counts and run is target:
                trial.unstored = len(unstored)
            self._renders.append((trial if counts and run is target else None, set(run.rendered()), unstored))
        self._check_held(after)
        trial.lost, trial.twice = len(after.lost(self._taken)), len(after.twice())
        if not counts:
            return False
        trial.killed, trial.inside = _phase(target, inside), sorted(inside)
        if target.command == "render":
            trial.stored_uncommitted = len(new)
            trial.whole_uncommitted = len(new & set(after.whole.values()))
        return True

    def _check_renders(self, run: Start, before: Held, missing: set[str], has_swept: bool) -> None:
        """Only what is missing was rendered, once, and nothing that was stored whole."""
        made = run.rendered()
        assert len(made) == len(set(made)), "rendered twice by one start"
        assert set(made) <= missing, "rendered what no plan misses"
        old = time.time() - LEAST_GRACE.total_seconds()
        kept = {
            name
            for name, key in before.whole.items()
            if key in before.named or not (has_swept and before.keys[key] < old)
        }
        assert not set(made) & kept, "rendered what was stored whole"

    def _check_held(self, held: Held) -> None:
        assert not held.torn, held.torn
        assert self._has_swept or not held.bare, held.bare
        assert not held.lost(self._taken), "the record names what is gone"
        assert not held.twice(), "delivered twice"
        assert held.missing.keys() <= self._takings.keys(), "called missing and nobody took it"

    def _want_more(self) -> set[str]:
        """New titles for some of the products that are done; render fingerprints that a plan misses after that."""
        open_looks = {row["look"] for row in plan_rows(self.project.plan()) if row["action"] != "unchanged"}
        done = [product for product in self.project.products if product["product_id"] not in open_looks]
        for product in self._chance.sample(done, round(len(done) * self._chance.uniform(0.5, 1.0))):
            product["title"] = f"Mug {product['product_id']} of start {self._starts}"
        self.project.write()
        return self._missing()

    def _missing(self) -> set[str]:
        return {row["render_fingerprint"] for row in plan_rows(self.project.plan()) if row["action"] != "unchanged"}

    def _take_away(self) -> int:
        """Delete the files of a few delivered assets, as a person's mistake does."""
        view = self.project.view()
        some = self._chance.sample(sorted(view), min(len(view), self._chance.randint(1, 3)))
        keys = {view[key]["asset_key"] for key in some}
        self._takings.update((tuple(view[key][name] for name in IDENTITY), view[key]["fingerprint"]) for key in some)
        self._taken |= keys
        self.project.store.delete(keys)
        return len(some)

    def _age(self) -> None:
        """Two days go by; on S3 they have where the server's clock was behind during an earlier kill."""
        store = self.project.store
        if store.is_local:
            for folder in ("assets", "renders", "thumbs"):
                for key, entry in store.list(folder).items():
                    moment = entry.modified.timestamp() - LONG_AGO
                    os.utime(store.path(key), (moment, moment))

    def _seconds(self, what: str) -> float:
        return median(self._typical[what][-15:])

    def _pause(self, seconds: float) -> None:
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            pass

    def _finish(self) -> None:
        """A render that is left alone makes exactly the rest; then everything is as if nobody had been killed."""
        if self._taken:  # what a killed look has not found: the look of every day does
            self._start("verify", self.project.path, "--json").end(0, 1)
        missing, before = self._missing(), self._held()
        run = self._render()
        run.end(0)
        assert run.answer()["complete"]
        assert set(run.rendered()) == missing - before.whole.keys(), "not exactly what was missing"
        self._check_renders(run, before, missing, has_swept=False)
        self._renders.append((None, set(run.rendered()), set()))
        status = self._start("status", self.project.path, "--json")
        status.end(0)
        assert status.answer()["complete"], status.answer()
        assert status.answer()["delivered"] == 2 * PRODUCTS
        held = self._held()
        self._taken -= held.keys.keys()  # made again: may not be gone once more
        self._check_held(held)
        check_output(self.project)
        self._count_again()

    def _count_again(self) -> None:
        """What was rendered again since it was not stored at the kill, and since a sweep took it two days later."""
        for place, (trial, made, unstored) in enumerate(self._renders):
            if trial is not None:
                later = {name for _, names, _ in self._renders[place + 1 :] for name in names}
                trial.again = len(later & unstored)
                trial.again_swept = len(later & (made - unstored))


def _phase(target: Start, inside: set[str]) -> str:
    if target.command != "render":
        return target.command
    return next((phase for phase in ("commit", "verify", "plan") if phase in inside), "render")


MOTO = """
import sys
from datetime import timedelta
clock = sys.argv.pop(1)
import moto.s3.models as models
real = models.utcnow
def utcnow():
    with open(clock) as file:
        return real() + timedelta(seconds=float(file.read() or 0))
models.utcnow = utcnow
from moto.server import main
main()
"""


def dated_moto(folder: Path) -> AbstractContextManager[S3Server]:
    """moto's S3, whose clock is as many seconds off as the file `clock` in the folder says."""
    folder.mkdir(parents=True, exist_ok=True)
    clock = folder / "clock"
    clock.write_text("0")

    def launch(processes: Processes) -> S3Server:
        (port,) = free_ports(1)
        processes.start("moto", [sys.executable, "-c", MOTO, str(clock), "-H", "127.0.0.1", "-p", str(port)])
        return S3Server(f"http://127.0.0.1:{port}", "moto-key", "moto-secret", processes.tail)

    return started(folder, launch)


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
    for store in WANTED:
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
