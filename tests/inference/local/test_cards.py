"""Processes of one machine take different cards."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from inference.local.cards import choose_card

NAMES = ["GPU-a", "GPU-b", "GPU-c"]
TAKE = """
import sys
from inference.local.cards import choose_card
print(choose_card(["GPU-a", "GPU-b", "GPU-c"], {"GPU-b": 80, "GPU-c": 40}), flush=True)
sys.stdin.readline()
"""


@pytest.fixture(autouse=True)
def own_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACKSHOT_CACHE", str(tmp_path))


def taken() -> tuple[subprocess.Popen[str], int]:
    running = subprocess.Popen([sys.executable, "-c", TAKE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert running.stdout
    return running, int(running.stdout.readline())


def test_each_process_takes_a_card_of_its_own_the_emptiest_first() -> None:
    running = [taken() for _ in range(4)]
    assert [place for _, place in running] == [1, 2, 0, 1]  # a fourth must share: the emptiest
    running[1][0].kill()
    running[1][0].wait()
    again = taken()
    assert again[1] == 2  # a killed process holds nothing
    for process, _ in [*running, again]:
        process.kill()
        process.communicate()


def test_one_card_needs_no_lock(tmp_path: Path) -> None:
    assert choose_card(["GPU-a"], {}) == 0
    assert list(tmp_path.iterdir()) == []


def test_without_a_place_for_locks_the_emptiest_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PACKSHOT_CACHE", str(tmp_path / "file"))
    assert choose_card(NAMES, {"GPU-c": 40}) == 2
