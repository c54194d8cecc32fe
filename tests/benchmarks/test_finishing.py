"""The benchmark of finishing does what it says it times."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks import finishing


def test_every_step_is_done(tmp_path: Path) -> None:
    made = finishing.packshots(1024, 1)
    names = {name for name, step in finishing.steps_of(made, tmp_path) if step(0) is not None}
    assert {"sign, development chain", "overlay: two texts, a logo", "all checks"} < names
    assert len(names) == 12


def test_every_picture_of_a_pace_is_delivered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finishing, "ENGINE_SECONDS", 0.0)
    case = finishing.PACED[1]
    assert case.extra == {"checked", "signed", "overlay"}
    rate, share = finishing.pace(case, 2)
    assert rate > 0 < share
