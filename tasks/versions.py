"""One version of packshot on all machines of a run: how a plan is read and its pictures are made goes with it."""

from __future__ import annotations

import socket
from importlib.metadata import version

from catalogs.errors import OptionError

NAME = "packshot"
_FIX = "install one version on every machine, then repeat `packshot deploy`"


def installed() -> str:
    """The version of packshot that runs here."""
    return version(NAME)


def check_version(other: str | None, whose: str) -> None:
    """Refuse work that another version sent.

    Args:
        other: None where nobody said, which is no other one.
        whose: what is of that version, for the message.

    Raises:
        OptionError: it is not the version that runs here; both are named.
    """
    if other and other != installed():
        raise OptionError(f"packshot {installed()} on {socket.gethostname()}", "", f"{whose} is of {other}", _FIX)


def check_deployment(said: str | None) -> None:
    """Refuse a run of a deployment that another version registered; others than `packshot deploy` makes say nothing.

    Raises:
        OptionError: see `check_version`.
    """
    name, _, number = (said or "").partition(" ")
    if name == NAME:
        check_version(number, "the deployment that started this run")
