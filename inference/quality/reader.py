"""Reads the letters in a picture, in one process for all of a machine, which is started when the first is asked for.

Threads of a process take turns on one connection; its processes share the other end (`reader_process.py`).
"""

from __future__ import annotations

import atexit
import fcntl
import hashlib
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple
from unicodedata import normalize

from PIL import Image

from inference.quality.child_answers import answer_of, last_line

EXTRA = "packshot[lettering]"
SIDE = 1024
"""Pixels of the longer side at most: half as many read no worse, twice as many take eight times as long."""

SECOND_SIDE = 640
"""Of another look, where letters are missing: a lone word that one size misses is found at another, as measured."""

SECONDS = 90.0
"""For one picture, its wait for those of other processes with it."""

_NARROWEST = 4  # times its width or height that the other may be
_START_SECONDS = 60.0
_TRIES = 3
_PAUSE = 60.0  # after starts that all failed: each costs a second or more
_PROCESS = Path(__file__).with_name("reader_process.py")
_HEAD = struct.Struct("!II")
_LONGEST_PATH = 100  # bytes: the system's limit for a socket is 107


class ReaderError(Exception):
    """A picture could not be read."""


class Reading(NamedTuple):
    """What stands in a picture.

    Attributes:
        lines: from top to bottom.
        alphabet: every character that can be read at all.
    """

    lines: list[str]
    alphabet: frozenset[str]

    def knows(self, text: str) -> bool:
        """Whether all letters and digits of a text can be read at all."""
        return set(filter(str.isalnum, normalize("NFKC", text))) <= self.alphabet


def can_read() -> bool:
    """Whether what reads is installed."""
    return all(find_spec(name) is not None for name in ("rapidocr", "onnxruntime"))


@cache
def reader() -> Reader:
    """The one of this process."""
    made = Reader(shared_folder())
    atexit.register(made.close)
    return made


def shared_folder() -> Path:
    """A folder of this user's on this machine, where the processes find each other.

    Raises:
        ReaderError: somebody else made it.
    """
    name = f"packshot-reader-{os.getuid()}"
    path = Path(tempfile.gettempdir(), name)
    if len(os.fsencode(path)) > _LONGEST_PATH - 20:
        path = Path("/tmp", name)
    path.mkdir(mode=0o700, exist_ok=True)
    made = path.lstat()
    if not path.is_dir() or path.is_symlink() or made.st_uid != os.getuid() or made.st_mode & 0o077:
        raise ReaderError(f"{path} is not a folder of this user's alone")
    return path


def _not_narrow(picture: Image.Image, side: int) -> Image.Image:
    """An RGB picture within a side, with room beside it where it is a strip.

    What reads enlarges the shorter side to 736 px whatever the longer comes to: 8 x 900 px took it 40 s.
    """
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    least = max(picture.size) // _NARROWEST
    if min(picture.size) >= least:
        return picture.convert("RGB")
    wide = Image.new("RGB", (max(picture.width, least), max(picture.height, least)), "white")
    wide.paste(picture, ((wide.width - picture.width) // 2, (wide.height - picture.height) // 2))
    return wide


class Reader:
    """Reads pictures, from any number of threads.

    Args:
        folder: of the socket and the lock under which it is made.
        process: what is started.
        seconds: for one picture.
    """

    def __init__(self, folder: Path, process: Path = _PROCESS, seconds: float = SECONDS) -> None:
        # Another installation, or another version of it, has a process of its own.
        own = hashlib.sha256(f"{sys.executable}\0{process}".encode() + process.read_bytes()).hexdigest()[:12]
        self._path, self._process, self._seconds = folder / own, process, seconds
        self._turn = threading.Lock()
        self._connection: socket.socket | None = None
        self._owner = 0
        self._alphabet: frozenset[str] = frozenset()
        self._wait_until = 0.0
        self.pid = 0

    def read(self, picture: Image.Image, side: int = SIDE) -> Reading:
        """The lines of an RGB picture. One whose reader dies is read again, by another.

        Args:
            side: pixels of the longer side at which it is looked at, at most.

        Raises:
            ReaderError: it takes too long, or what reads cannot be started, or does not live through it.
        """
        small = _not_narrow(picture.copy(), side)
        with self._turn:
            if time.monotonic() < self._wait_until:
                raise ReaderError("what reads letters ended again and again; it is tried again in a minute")
            for left in reversed(range(_TRIES)):
                try:
                    return self._ask(small)
                except TimeoutError:
                    self.end()
                    raise ReaderError(f"reading its letters took over {self._seconds:g} s") from None
                except OSError as error:
                    self.close()
                    if not left:
                        self._wait_until = time.monotonic() + _PAUSE
                        why = self._last_words(error)
                        raise ReaderError(f"what reads letters ended {_TRIES} times: {why}") from None
        raise AssertionError("unreachable")

    def end(self) -> None:
        """Kill what reads, whoever else it reads for: they start another."""
        if self._connection is not None and self.pid > 1:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        self.close()

    def close(self) -> None:
        """Go; what reads ends with the last who goes."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _ask(self, picture: Image.Image) -> Reading:
        connection = self._connected()
        connection.sendall(_HEAD.pack(*picture.size) + picture.tobytes())
        answer = answer_of(connection)
        if "error" in answer:
            raise ReaderError(answer["error"])
        return Reading(answer["lines"], self._alphabet)

    def _connected(self) -> socket.socket:
        if self._owner != os.getpid():  # a fork: the connection is the parent's
            self._connection = None
        if self._connection is None:
            self._connection, self._owner = self._found_or_started(), os.getpid()
            self._connection.settimeout(self._seconds)
            self.pid = _process_behind(self._connection)
            self._alphabet = frozenset(answer_of(self._connection)["alphabet"])
        return self._connection

    def _found_or_started(self) -> socket.socket:
        with _locked(self._path.with_suffix(".lock")):
            with suppress(OSError):
                return _connection(self._path)
            self._path.unlink(missing_ok=True)
            with self._path.with_suffix(".log").open("wb") as log:
                command = [sys.executable, "-I", str(self._process), str(self._path)]
                # Ctrl-C is for those who ask: they finish what they have, and this ends with them.
                started = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
                )
            threading.Thread(target=started.wait, daemon=True).start()  # leaves no zombie
            until = time.monotonic() + _START_SECONDS
            while time.monotonic() < until and started.poll() is None:
                with suppress(OSError):
                    return _connection(self._path)
                time.sleep(0.05)
            started.kill()
        raise ConnectionError("it does not start")

    def _last_words(self, error: OSError) -> str:
        with suppress(OSError):
            return last_line(self._path.with_suffix(".log").read_text(errors="replace"), error)
        return str(error)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Alone among the processes of this machine; the system lets go for whoever is killed."""
    with path.open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _connection(path: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    try:
        made.connect(str(path))
    except OSError:
        made.close()
        raise
    return made


def _process_behind(connection: socket.socket) -> int:
    """Its id; 0 where the system does not tell."""
    if not hasattr(socket, "SO_PEERCRED"):
        return 0
    return int(struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0])
