"""The process that reads letters: what it reads, and what becomes of those who ask when it dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from PIL import Image

from inference.quality import reader as module
from inference.quality.reader import Reader, ReaderError, shared_folder
from tests.lettered import lettered, own_reader


@pytest.fixture
def folder() -> Iterator[Path]:
    """Of a short path: sockets have no others."""
    with tempfile.TemporaryDirectory(prefix="ps-") as made:
        yield Path(made)


@pytest.fixture
def reader(folder: Path) -> Iterator[Reader]:
    yield from own_reader(folder)


def ended(pid: int, seconds: float = 10) -> bool:
    """Whether a process is gone, waited for."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.05)
    return False


def stub(folder: Path, after_hello: str) -> Path:
    """What listens like the reader, says hello, and then does something else."""
    path = folder / "stub.py"
    path.write_text(
        "import json, os, socket, struct, sys, time\n"
        "door = socket.socket(socket.AF_UNIX)\ndoor.bind(sys.argv[1])\ndoor.listen(8)\n"
        "came, _ = door.accept()\n"
        "body = json.dumps({'alphabet': 'abc'}).encode()\ncame.sendall(struct.pack('!I', len(body)) + body)\n"
        f"{after_hello}\n"
    )
    return path


def test_lines_from_top_to_bottom_and_one_process_for_all_threads(reader: Reader) -> None:
    said: list[list[str]] = []

    def read() -> None:
        said.append(reader.read(lettered("GUTEN", "Morgen")).lines)

    ask = [threading.Thread(target=read) for _ in range(3)]
    for thread in ask:
        thread.start()
    for thread in ask:
        thread.join()
    assert said == [["GUTEN", "Morgen"]] * 3
    assert reader.read(lettered("large", size=(3000, 2000), points=300)).lines == ["large"]
    assert reader.read(Image.new("RGB", (8, 900), "white")).lines == []
    process = psutil.Process(reader.pid)
    assert process.memory_info().rss < 1.5 * 2**30
    reader.close()
    assert ended(process.pid), "nothing outlives those who ask"


def test_what_it_can_read_at_all(reader: Reader) -> None:
    known = reader.read(lettered("x")).knows
    assert known("Größe & Crème 7")
    assert known("あたたかい")
    assert not known("Привет")
    assert not known("مرحبا")


def test_a_picture_whose_reader_is_killed_is_read_by_another(reader: Reader) -> None:
    reader.read(lettered("first"))
    killed = reader.pid
    threading.Timer(0.05, os.kill, (killed, signal.SIGKILL)).start()
    assert reader.read(lettered("second")).lines == ["second"]
    assert reader.read(lettered("third")).lines == ["third"]
    assert reader.pid != killed


def test_processes_share_one_and_it_ends_with_the_last_of_them_however_that_ends(reader: Reader, folder: Path) -> None:
    reader.read(lettered("mine"))
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom inference.quality.reader import Reader\n"
        "from tests.lettered import lettered\nother = Reader(Path(sys.argv[1]))\n"
        "print(other.read(lettered('yours')).lines, other.pid, flush=True)\ntime.sleep(60)\n"
    )
    command = [sys.executable, "-c", script, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": "."}) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == f"['yours'] {reader.pid}\n"
        reader.close()
        time.sleep(1)
        assert psutil.pid_exists(reader.pid), "somebody still asks"
        other.kill()
    assert ended(reader.pid)


@pytest.mark.parametrize("how", ["sys.exit('no such network')", "came.close()\ntime.sleep(5)"])
def test_one_that_does_not_live_is_given_up(folder: Path, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Reader(folder, stub(folder, how))
    with pytest.raises(ReaderError, match="ended 3 times"):
        reader.read(lettered("x"))
    monkeypatch.setattr(module.subprocess, "Popen", None)  # none is started before a minute is over
    with pytest.raises(ReaderError, match="tried again in a minute"):
        reader.read(lettered("x"))
    for process in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):  # it, or one of another test, ends just now
            if str(folder) in " ".join(process.cmdline()):
                process.kill()


def test_one_that_hangs_is_killed(folder: Path) -> None:
    reader = Reader(folder, stub(folder, "time.sleep(60)"), seconds=0.5)
    with pytest.raises(ReaderError, match=r"over 0\.5 s"):
        reader.read(lettered("x"))
    assert ended(reader.pid)


def test_the_shared_folder_is_of_this_user_alone(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    made = shared_folder()
    assert made.parent == folder
    assert made.stat().st_mode & 0o777 == 0o700
    made.chmod(0o777)
    with pytest.raises(ReaderError, match="not a folder of this user's alone"):
        shared_folder()
    long = folder / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    assert len(str(shared_folder())) < 80
