"""packshot against a plain diffusers loop: the same requests, the same weights, one process a case.

    python -m tests.gpu.bench                                  every case for a GPU, each in a process of its own
    python -m tests.gpu.bench --only klein-4b-1 --out FOLDER   one of them
    python -m tests.gpu.bench --list                           the cases
    python -m tests.gpu.bench --only tiny-3 --device cpu       a tiny checkpoint, on a CPU

The loop opens each photo, calls the stock pipeline and saves a PNG. packshot renders the same plan rows by a shard:
engine, encoding, finishing, hashing, storing, commit. No speed is told of a run that did not deliver all it was asked
for, or whose pictures are not the loop's. Each line is on disk the moment it is known.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

LIMIT = 540
"""Seconds of a case, after which it is ended."""
SECONDS = 500
"""That a case plans for."""
COLUMNS = (
    "case",
    "run",
    "images",
    "images/s",
    "with warm-up",
    "ratio",
    "ratio beside",
    "dense",
    "stages",
    "peak GiB",
    "warm-up s",
    "paid back after",
    "idle",
    "delivered",
    "largest",
    "mean",
    "goals",
    "left out",
    "error",
)


def main(arguments: Sequence[str] | None = None) -> int:
    given = _parser().parse_args(arguments)
    os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    if given.list:
        return _list()
    with tempfile.TemporaryDirectory() as folder:
        # Batch sizes and kernels of earlier runs are not this one's: its warm-up is a cold one.
        os.environ["PACKSHOT_CACHE"] = f"{folder}/cache"
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = f"{folder}/inductor"
        return _one(given, Path(folder, "work")) if given.only else _all(given)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", metavar="CASE", help="one case only")
    parser.add_argument("--list", action="store_true", help="name the cases")
    parser.add_argument("--out", help="folder of the rows; without, one named by date in the working directory")
    parser.add_argument("--device", choices=["cuda", "cpu"], help="without, the GPU")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of a case (%(default)g)")
    parser.add_argument("--threads", type=int, help="of torch, on a CPU")
    return parser


def _list() -> int:
    from tests.gpu.cases import BENCHES

    for bench in BENCHES:
        case = bench.case
        what = f"{case.model}, {case.references} references, {case.size}x{case.size}"
        print(f"{bench.name:18} {what}{', for a CPU' if bench.on_cpu else ''}")
    return 0


def _all(given: argparse.Namespace) -> int:
    from tests.gpu.cases import BENCHES
    from tests.gpu.record import new_folder, run_each

    folder = new_folder(given.out, "bench")
    rest = ["--seconds", str(given.seconds), *(["--device", given.device] if given.device else [])]
    rest += ["--threads", str(given.threads)] if given.threads else []
    names = [["--only", bench.name] for bench in BENCHES if bench.on_cpu == (given.device == "cpu")]
    return _verdict(run_each("tests.gpu.bench", names, folder, rest, given.seconds + LIMIT - SECONDS), folder)


def _one(given: argparse.Namespace, work: Path) -> int:
    import torch

    from tests.gpu.cases import BY_NAME, goal_lines
    from tests.gpu.devices import asked_device
    from tests.gpu.measure import rows
    from tests.gpu.record import Record, header_lines, new_folder

    if given.only not in BY_NAME:
        raise SystemExit(f"--only {given.only}: no such case; --list names them")
    device = asked_device(given.device)
    if given.threads:
        torch.set_num_threads(given.threads)
    folder = new_folder(given.out, "bench")
    record, problems = Record(folder, COLUMNS, header_lines("Benchmark", goal_lines())), []
    work.mkdir()
    try:
        for row in rows(BY_NAME[given.only], given.seconds, work, device):
            record.add(row)
    except Exception as error:
        said = f"{type(error).__name__}: {' '.join(str(error).split())[:400]}"
        record.add({"case": given.only, "error": said})
        problems.append(f"{given.only}: {said}")
    return _verdict(problems, folder)


def _verdict(problems: Sequence[str], folder: Path) -> int:
    for problem in problems:
        print(problem)
    print(f"{'all was delivered and compared' if not problems else 'NOT all held'}: {folder}")
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
