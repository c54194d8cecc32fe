"""Damaged pictures before `packshot channels --check`; see README.md for what came of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.flows.drawn import ROOT

SEED, TOTAL = 20261122, int(os.environ.get("PACKSHOT_PICTURES", "1000"))
MOST_MIB = 1024


def tried(folder: Path, first: int, end: int) -> list[dict[str, Any]]:
    """All of them in one process of their own, so that its memory is theirs; warnings are errors there."""
    command = [sys.executable, "-W", "error", "-m", "tests.mutations.damaged_pictures"]
    given = [str(SEED), str(first), str(end), str(folder)]
    done = subprocess.run([*command, *given], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_what_pillow_logs_stays_with_it(tmp_path: Path) -> None:
    """Number 223, a TIFF of 18,692 samples a pixel, had a second line on stderr."""
    [line] = tried(tmp_path, 223, 224)
    assert (line["kind"], line["code"], line["fault"]) == ("TIFF", 2, "")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_each_ends_with_a_verdict_or_one_line(tmp_path: Path) -> None:
    lines = tried(tmp_path, 0, TOTAL)
    codes = Counter(line["code"] for line in lines)
    most, longest = max(line["mib"] for line in lines), max(line["seconds"] for line in lines)
    print(f"{len(lines):,} pictures, {codes[0]:,} verdicts, {codes[2]:,} lines, {longest:.1f} s, {most:,} MiB")
    assert [line for line in lines if line["fault"]] == []
    assert len(lines) == TOTAL
    assert most < MOST_MIB
    assert TOTAL < 1000 or (codes[0] > 100 and codes[2] > 300), "both ends are tried"
