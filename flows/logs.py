"""Logs of runs without noise: what is said once is not said again with a traceback."""

from __future__ import annotations

import logging

from catalogs.errors import PackshotError
from tasks.log_lines import set_up

_SAID_BY_THE_SHARD = "Finished in state Completed"
_SAID_BY_THE_STATE = "Unexpected result for failed state"  # a Failed state that carries a summary, no exception


def quiet() -> None:
    """Install the filter on Prefect's run loggers of this process, and JSON where asked for; again is harmless."""
    set_up()
    for name in ("prefect.flow_runs", "prefect.task_runs"):
        logging.getLogger(name).addFilter(says_something)


def says_something(record: logging.LogRecord) -> bool:
    """Keep a record; an error of our own, which is one line that says all, loses its traceback."""
    if record.name.startswith("prefect.task_runs") and str(record.msg).startswith(_SAID_BY_THE_SHARD):
        return False
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, TypeError) and str(error).startswith(_SAID_BY_THE_STATE):
        return False
    if isinstance(error, PackshotError):
        record.exc_info = record.exc_text = None
    return True
