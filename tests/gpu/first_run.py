"""The engine's first hour on a GPU: does every model, mode and option do what it does on a CPU.

    python -m tests.gpu.first_run                              all parts, each in a process of its own
    python -m tests.gpu.first_run --part 3 --out FOLDER        one of them
    python -m tests.gpu.first_run --device cpu --tiny          the same with tiny checkpoints

Weights are random and of full size, made on the card. Each check is a row, on disk the moment it is known; one that
fails or breaks is a row too, and the next follows. Exit code 1 says that some row does not hold.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

LIMIT = 540
"""Seconds of a part, after which it is ended."""
COLUMNS = ("part", "check", "holds", "seconds", "found", "detail")


def main(arguments: Sequence[str] | None = None) -> int:
    given = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory() as cache:
        _own_caches(cache)
        return _one(given) if given.part else _all(given)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", type=int, choices=range(1, 6), help="one part only")
    parser.add_argument("--out", help="folder of the rows; without, one named by date in the working directory")
    parser.add_argument("--device", choices=["cuda", "cpu"], help="without, the GPU")
    parser.add_argument("--tiny", action="store_true", help="tiny checkpoints")
    return parser


def _own_caches(folder: str) -> None:
    """What a card has shown before, and kernels compiled before, are not this run's."""
    os.environ["PACKSHOT_CACHE"] = folder
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = f"{folder}/inductor"
    os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


def _all(given: argparse.Namespace) -> int:
    from tests.gpu.record import new_folder, run_each

    folder = new_folder(given.out, "first-run")
    rest = [*(["--device", given.device] if given.device else []), *(["--tiny"] if given.tiny else [])]
    problems = run_each("tests.gpu.first_run", [["--part", str(n)] for n in range(1, 6)], folder, rest, LIMIT)
    return _verdict(problems, folder)


def _one(given: argparse.Namespace) -> int:
    from tests.gpu import equality, exactness, modes, shortage, smoke
    from tests.gpu.checks import Part, Setting, run_part
    from tests.gpu.devices import asked_device
    from tests.gpu.record import Record, header_lines, new_folder

    parts = {
        1: Part(1, "a picture of every model that fits", 6, smoke.checks),
        2: Part(2, "modes and options", 7, modes.checks),
        3: Part(3, "the stock pipelines' pictures", 6, equality.checks),
        4: Part(4, "out of memory", 2, shortage.checks),
        5: Part(5, "exactness, waiting and idling", 3, exactness.checks),
    }
    folder = new_folder(given.out, "first-run")
    setting = Setting(asked_device(given.device, given.tiny), given.tiny)
    about = [f"{part.number}. {part.name}, about {part.minutes:g} minutes" for part in parts.values()]
    record = Record(folder, COLUMNS, header_lines("First run", about))
    good = run_part(parts[given.part], setting, record)
    return _verdict([] if good else [f"part {given.part}: some row does not hold"], folder)


def _verdict(problems: Sequence[str], folder: Path) -> int:
    for problem in problems:
        print(problem)
    print(f"{'all held' if not problems else 'NOT all held'}: {folder}")
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
