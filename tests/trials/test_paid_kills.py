"""A few of the kills of a run that pays; the whole trial is a command, see README.md."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.trials.paid_kills import run


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_kill_costs_four_pictures_at_most(tmp_path: Path) -> None:
    killed = run(tmp_path, unanswered=4, kills=15, pictures=100, seed=3)
    assert killed.kills == 15
    assert killed.had > 100
    assert killed.lost + killed.refused <= 4 * killed.kills
