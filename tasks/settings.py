"""Settings of runs in the environment, read in one place and refused in one line."""

from __future__ import annotations

import os

from catalogs.errors import OptionError

STOP_SECONDS = 25.0
"""A Prefect worker gives a cancelled run 30 s before it kills it, and so do Docker and Kubernetes a container."""
BEAT_SECONDS = 30.0


def stop_seconds() -> float:
    """`PACKSHOT_STOP_SECONDS`: how long a run that is told to end may take.

    Raises:
        OptionError: it is no number of seconds.
    """
    return _seconds("PACKSHOT_STOP_SECONDS", STOP_SECONDS, 0.0, 86_400.0)


def beat_seconds() -> float:
    """`PACKSHOT_BEAT_SECONDS`: between two signs of life of a run.

    Raises:
        OptionError: it is no such number.
    """
    return _seconds("PACKSHOT_BEAT_SECONDS", BEAT_SECONDS, 2.0, 3600.0)


def check_settings() -> None:
    """Raise OptionError for what a run would refuse once it has planned."""
    stop_seconds()
    beat_seconds()


def _seconds(name: str, usual: float, least: float, most: float) -> float:
    text = os.environ.get(name, "").strip()
    if not text:
        return usual
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not least <= seconds <= most:
        problem = f"is no number of seconds from {least:g} to {most:g}"
        raise OptionError(name, text, problem, f"write {usual:g}, or unset it")
    return seconds
