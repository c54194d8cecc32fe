from __future__ import annotations

import pytest

from tests.flows.commands import Packshot, Said, run


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
