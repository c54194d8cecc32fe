"""A vision model in a process of its own, which is started when the model is asked first.

Threads take turns on it (`vision_process.py` says why it is another process).
"""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

import numpy as np

from inference.quality.child_answers import answer_of, last_line
from inference.quality.vision_input import Values

EXTRA = "packshot[diffusers]"
PROCESS = Path(__file__).with_name("vision_process.py")
SECONDS = 120.0
"""For one picture, once the model is loaded."""

_START_SECONDS = 300.0
_TRIES = 2
_PAUSE = 60.0  # after starts that failed: each costs seconds
_HEAD = struct.Struct("!II")


class VisionError(Exception):
    """A vision model could not look at a picture."""


@dataclass(frozen=True, slots=True)
class Words:
    """How what goes wrong is told.

    Attributes:
        model: what it is called, as "the likeness model".
        asked: what the process does, as "what embeds pictures".
        doing: as "embedding it".
        refused: of a picture, as "it cannot be embedded".
    """

    model: str
    asked: str
    doing: str
    refused: str


def can_load() -> bool:
    """Whether what loads such models is installed."""
    return all(find_spec(name) is not None for name in ("torch", "transformers", "safetensors"))


class VisionModel:
    """Answers for pictures, from any number of threads.

    Args:
        arguments: of the process: the folder of the model, and what it is to do.
        words: for what goes wrong.
        failure: what is raised then.
        process: what is started.
        seconds: for one picture.

    Attributes:
        threads: that the model uses, 0 before it is loaded.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        words: Words,
        failure: type[VisionError],
        process: Path = PROCESS,
        seconds: float = SECONDS,
    ) -> None:
        self._arguments, self._words, self._failure = tuple(arguments), words, failure
        self._file, self._seconds = process, seconds
        self._turn = threading.Lock()
        self._connection: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._said: IO[bytes] | None = None
        self._owner = 0
        self._refused, self._wait_until = "", 0.0
        self.threads = 0

    @property
    def pid(self) -> int:
        """Of its process, 0 where none was started."""
        return self._process.pid if self._process else 0

    def answer(self, values: Values) -> dict[str, Any]:
        """What the process says of a picture. One whose process dies is shown to another.

        Args:
            values: float32 of shape (3, height, width).

        Raises:
            VisionError: the model cannot be loaded or does not take it, or takes too long or does not live through.
        """
        with self._turn:
            if time.monotonic() < self._wait_until:
                raise self._failure(self._refused)
            for left in reversed(range(_TRIES)):
                try:
                    return self._ask(values)
                except TimeoutError:
                    self._end()
                    raise self._failure(f"{self._words.doing} took over {self._seconds:g} s") from None
                except OSError as error:
                    said = self._last_words(error)
                    self._end()
                    if not left:
                        raise self._pausing(f"{self._words.asked} ended {_TRIES} times: {said}") from None
        raise AssertionError("unreachable")

    def close(self) -> None:
        """Go; the process ends with its connection."""
        for held in (self._connection, self._said):
            if held is not None:
                held.close()
        self._connection, self._said, self.threads = None, None, 0

    def _end(self) -> None:
        if self._process is not None and self._owner == os.getpid():
            self._process.kill()
        self.close()

    def _ask(self, values: Values) -> dict[str, Any]:
        connection = self._connected()
        connection.sendall(_HEAD.pack(*values.shape[1:]) + np.ascontiguousarray(values, np.float32).tobytes())
        answer = answer_of(connection)
        if "error" in answer:
            raise self._failure(f"{self._words.refused}: {answer['error']}")
        return answer

    def _connected(self) -> socket.socket:
        if self._owner != os.getpid():  # a fork: the connection is the parent's, and this closes only our end of it
            self.close()
        if self._connection is None:
            self._start()
        assert self._connection is not None
        return self._connection

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._said = tempfile.TemporaryFile()  # noqa: SIM115 - read when it has ended
            command = [sys.executable, "-I", str(self._file), str(theirs.fileno()), *self._arguments]
            # Ctrl-C is for those who ask: they finish what they have, and this ends with them.
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=self._said,
                stderr=self._said,
                start_new_session=True,
                pass_fds=[theirs.fileno()],
                env=_environment(),
            )
        threading.Thread(target=self._process.wait, daemon=True).start()  # leaves no zombie
        self._connection, self._owner = ours, os.getpid()
        ours.settimeout(_START_SECONDS)
        try:
            loaded = answer_of(ours)
        except TimeoutError:
            self._end()
            raise self._pausing(f"{self._words.model} took over {_START_SECONDS:g} s to load") from None
        if "error" in loaded:
            self.close()
            raise self._pausing(f"{self._words.model} cannot be loaded: {loaded['error']}")
        self.threads = loaded["threads"]
        ours.settimeout(self._seconds)

    def _pausing(self, said: str) -> VisionError:
        self._refused, self._wait_until = said, time.monotonic() + _PAUSE
        return self._failure(said)

    def _last_words(self, error: OSError) -> str:
        with suppress(OSError, ValueError):
            assert self._said is not None
            self._said.seek(0)
            return last_line(self._said.read().decode(errors="replace"), error)
        return str(error)


def _environment() -> dict[str, str]:
    """No device, no network, and threads that sleep while they wait."""
    own = {"CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1", "OMP_WAIT_POLICY": "passive"}
    return {**os.environ, **own}
