"""Log lines as JSON, an object a line on stderr, where `PACKSHOT_LOG=json` asks for it.

Each has `time` (UTC), `level` and `message`; `run`, `campaign` and `shard` where they are known; `logger` where it is
not a command that speaks, and `error` where an exception is told with its traceback.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TextIO

from catalogs.errors import OptionError

SETTING = "PACKSHOT_LOG"
JSON = "json"
_HANDLER = "tasks.log_lines.JsonHandler"
_KNOWN = ("run", "campaign", "shard")
_OF_SHARD = re.compile(r"shard (\d+),")
_process: dict[str, Any] = {}
_here: ContextVar[dict[str, Any]] = ContextVar("packshot_log_lines", default={})  # noqa: B039 - never changed
_writing = threading.Lock()


def is_json() -> bool:
    """Whether lines are to be JSON."""
    return os.environ.get(SETTING) == JSON


def check_log_setting() -> None:
    """Raises OptionError where `PACKSHOT_LOG` holds what it cannot."""
    value = os.environ.get(SETTING, "")
    if value not in ("", JSON):
        raise OptionError(SETTING, repr(value), "is no form of log lines", f"set it to {JSON}, or leave it out")


def know(**names: Any) -> None:
    """Tell what all later lines of this process are about: `run` or `campaign`; None for what is over."""
    _process.update(names)


@contextmanager
def knowing(**names: Any) -> Iterator[None]:
    """Tell what lines of this block are about, also beside others in other threads."""
    token = _here.set({**_here.get(), **names})
    try:
        yield
    finally:
        _here.reset(token)


def say(line: str, stream: TextIO | None = None) -> None:
    """Write a line for people, or its JSON; what begins with `error: ` or `warning: ` is of that level."""
    stream = sys.stderr if stream is None else stream
    if is_json():
        start, _, rest = line.partition(": ")
        level, message = (start, rest) if start in ("error", "warning") and rest else ("info", line)
        line = _object(level, message.strip())
    with _writing:
        stream.write(f"{line}\n")
        stream.flush()


def set_up() -> None:
    """Let loggers and warnings of this process, and of those that it starts, write JSON; again is harmless."""
    if not is_json():
        return
    # Prefect sets up its own handlers when it is imported, and again when its server starts here.
    for name in ("CONSOLE", "DEBUG"):
        os.environ.setdefault(f"PREFECT_LOGGING_HANDLERS_{name}_CLASS", _HANDLER)
    logging.captureWarnings(True)
    sys.excepthook = _told
    for logger in map(logging.getLogger, [None, *logging.root.manager.loggerDict]):
        for handler in logger.handlers[:]:
            if type(handler).__name__ in ("PrefectConsoleHandler", "_SafeStreamHandler"):
                logger.removeHandler(handler)
                logger.addHandler(JsonHandler(level=handler.level))
    if not logging.root.handlers:
        logging.root.addHandler(JsonHandler())


class JsonHandler(logging.Handler):
    """Writes records to stderr as JSON; takes and ignores what Prefect's configuration gives its own handler."""

    def __init__(self, stream: object = None, styles: object = None, level: int | str = logging.NOTSET) -> None:
        super().__init__(level)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            more: dict[str, Any] = {"logger": record.name}
            # Prefect tells of a task before it begins and after it has ended.
            if found := _OF_SHARD.match(str(getattr(record, "task_run_name", ""))):
                more["shard"] = int(found[1])
            if record.exc_info and record.exc_info[0]:
                more["error"] = logging.Formatter().formatException(record.exc_info)
            line = _object(record.levelname.lower(), record.getMessage(), record.created, **more)
            with _writing:
                sys.stderr.write(f"{line}\n")
                sys.stderr.flush()
        except RecursionError:
            raise
        except Exception:  # a line that cannot be told must end nothing
            self.handleError(record)


def _object(level: str, message: str, created: float | None = None, **more: Any) -> str:
    moment = datetime.now(UTC) if created is None else datetime.fromtimestamp(created, UTC)
    known = {**_process, **_here.get()}
    told = {name: known[name] for name in _KNOWN if known.get(name) is not None}
    begin = {"time": moment.isoformat(timespec="milliseconds"), "level": level, "message": message}
    return json.dumps({**begin, **told, **more}, default=str)


def _told(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """An error that nobody has caught."""
    logging.getLogger("packshot").critical("%s: %s", kind.__name__, error, exc_info=(kind, error, trace))
