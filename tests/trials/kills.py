"""Trials of SIGKILL: a start of the command line is killed at a drawn instant, and what is left is judged.

Trials come in rounds of five on one output; a round ends with a render that is left alone, and its lines are written
when all of it was right.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from statistics import median
from typing import Any

from catalogs.assets.masters import LEAST_GRACE
from catalogs.columns import IDENTITY
from tasks.finishers import DEPTH
from tests.flows.drawn import check_output
from tests.flows.projects import Project, plan_rows
from tests.servers import Processes, S3Server, free_ports, started
from tests.trials.held import Held, Pair
from tests.trials.kill_results import Trial
from tests.trials.watched_start import SECONDS_A_PROOF, Start

PRODUCTS = 24  # 48 assets of two shots, and 24 masters that others build on: three batches a stage
CHANNELS = [{"name": "square", "width": 48, "height": 48, "format": "jpeg"}]
BATCH = 8
LONG_AGO = 2 * 86_400.0
TYPICAL = {"plan": 0.1, "commit": 0.005, "verify": 0.04, "sweep": 0.02, "render": SECONDS_A_PROOF, "store": 0.005}


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
