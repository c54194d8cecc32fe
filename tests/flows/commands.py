"""The command line in this process."""

from __future__ import annotations

import sys

import pytest

from flows.cli import main


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run `packshot ARGUMENTS`; its exit code."""
    monkeypatch.setattr(sys, "argv", ["packshot", *arguments])
    try:
        main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0
