from __future__ import annotations

import pytest

from tests.flows.commands import Packshot, Said, run
from tests.flows.pruned import Later, clock_of_prune


@pytest.fixture
def packshot(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Packshot:
    """`packshot ARGUMENTS` in this process, which may not show a traceback."""

    def call(*arguments: str) -> Said:
        capsys.readouterr()
        code = run(monkeypatch, *arguments)
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return Said(code, out, err)

    return call


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Later:
    """Puts the clock of `packshot prune` forward by some days."""
    return clock_of_prune(monkeypatch)
