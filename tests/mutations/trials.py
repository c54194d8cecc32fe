"""Many mutations one after the other: each by its number, so that a piece can go on where another ended."""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.mutations.cages import Cages
from tests.mutations.subjects import SUBJECTS, base

SHARES = {
    "campaigns": 20,
    "catalogs": 20,
    "templates": 20,
    "references": 20,
    "commits": 8,
    "plans": 7,
    "pictures": 5,
}
"""Percent of all mutations: those of the last three take seconds, or four commands, each."""


@dataclass
class Listener:
    """A server that answers nobody and counts who asks."""

    port: int
    asked: list[str] = field(default_factory=list)


@contextmanager
def listener() -> Iterator[Listener]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        made = Listener(server.getsockname()[1])
        threading.Thread(target=_accept, args=(server, made), daemon=True).start()
        yield made
        server.shutdown(socket.SHUT_RDWR)  # closing alone would not wake the thread


def _accept(server: socket.socket, made: Listener) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        with connection:
            connection.settimeout(1)
            try:
                made.asked.append(repr(connection.recv(200)))
            except OSError as error:
                made.asked.append(repr(error))


@dataclass
class Trials:
    """Mutations of one seed.

    Args:
        folder: for the project they start from, and for each in turn.
        seed: the same one draws the same mutations.
    """

    folder: Path
    cages: Cages
    server: Listener
    seed: int

    def __post_init__(self) -> None:
        base(self.folder / "base")

    def run(self, subject: str, number: int) -> list[dict[str, object]]:
        """Make mutation `number` of a subject and let commands meet it; one line a command."""
        place = self.folder / "place"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(self.folder / "base", place)
        rng = random.Random(f"{self.seed} {subject} {number}")
        lines: list[dict[str, object]] = []
        for arguments in SUBJECTS[subject](rng, place, self.server.port):
            before = len(self.server.asked)
            ended = self.cages.run(place, arguments)
            fault = ended.fault() or ("asks a server" if len(self.server.asked) > before else "")
            line = {"subject": subject, "number": number, "command": " ".join(arguments), "code": ended.code}
            line |= {"seconds": round(ended.seconds, 2), "mib": ended.peak // 2**20, "fault": fault}
            if fault:
                line["output"] = ended.output[-3000:]
            lines.append(line)
        return lines


def table(lines: list[dict[str, object]]) -> str:
    """What came of all trials, a row a subject."""
    rows = ["| what | mutations | commands | exit codes | longest | most memory | faults |", "| --- " * 7 + "|"]
    for subject in SUBJECTS:
        of = [line for line in lines if line["subject"] == subject]
        if not of:
            continue
        codes = Counter(line["code"] for line in of)
        told = ", ".join(f"{code}: {count:,}" for code, count in sorted(codes.items(), key=lambda item: str(item[0])))
        mutations = len({line["number"] for line in of})
        longest, most = max(float(str(x["seconds"])) for x in of), max(int(str(x["mib"])) for x in of)
        faults = sum(bool(line["fault"]) for line in of)
        rows.append(f"| {subject} | {mutations:,} | {len(of):,} | {told} | {longest:.1f} s | {most} MiB | {faults} |")
    return "\n".join(rows)


def read(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def piece(folder: Path, results: Path, seed: int, total: int, seconds: float) -> list[dict[str, object]]:
    """Go on with what is not in the results, subject by subject in turn, for so many seconds at most.

    Args:
        total: mutations of all subjects, shared out by `SHARES`.
    """
    began = time.monotonic()
    done = {(line["subject"], line["number"]) for line in read(results)}
    with listener() as server, Cages(folder / "cache") as cages, results.open("a") as file:
        trials = Trials(folder, cages, server, seed)
        for number in range(total):
            for subject in SUBJECTS:
                if number * 100 >= SHARES[subject] * total or (subject, number) in done:
                    continue
                if time.monotonic() - began > seconds:
                    return read(results)
                for line in trials.run(subject, number):
                    file.write(json.dumps(line) + "\n")
                file.flush()
    return read(results)


if __name__ == "__main__":
    print(table(read(Path(sys.argv[1]))))
    os._exit(0)
