from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from catalogs.campaigns.campaign import check_campaign
from catalogs.campaigns.schedule import Schedule, Standing
from catalogs.errors import CampaignError
from tests.catalogs.campaigns.test_campaign import VALID

ADVENT = {"valid_from": "2026-11-29", "valid_to": "2026-12-24", "time_zone": "Europe/Berlin"}


@pytest.mark.parametrize(
    ("now", "standing"),
    [
        ("2026-11-28T22:59:59+00:00", Standing.EARLY),
        ("2026-11-28T23:00:00+00:00", Standing.DUE),  # midnight in Berlin
        ("2026-12-24T22:59:59+00:00", Standing.DUE),  # the last day counts to its end
        ("2026-12-24T23:00:00+00:00", Standing.OVER),
    ],
)
def test_days_are_whole_days_of_their_time_zone(now: str, standing: Standing) -> None:
    assert Schedule(**ADVENT).standing(datetime.fromisoformat(now)) is standing


def test_a_moment_is_exact_and_may_carry_its_own_offset() -> None:
    schedule = Schedule(valid_to=datetime.fromisoformat("2026-12-24T18:00:00+01:00"))
    assert schedule.standing(datetime(2026, 12, 24, 16, 59, 59, tzinfo=UTC)) is Standing.DUE
    assert schedule.standing(datetime(2026, 12, 24, 17, tzinfo=UTC)) is Standing.OVER
    assert Schedule().standing(datetime.now(UTC)) is Standing.DUE


def test_validity_for_people() -> None:
    assert Schedule(**ADVENT).describe() == "from 2026-11-29 to 2026-12-24 Europe/Berlin"
    assert Schedule().describe() == "always"


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        ({"valid_from": "2026-12-01"}, ["schedule", "time zone", "time_zone:"]),
        ({"valid_from": "soon", "time_zone": "UTC"}, ["schedule.valid_from", "2026-12-24"]),
        ({"time_zone": "Berlin"}, ["schedule.time_zone", "Europe/Berlin"]),
        ({**ADVENT, "valid_to": "2026-11-01"}, ["valid_to lies before valid_from"]),
        ({"priority": 101}, ["schedule.priority", "use 100 or less"]),
        ({"valid_until": "2026-12-01"}, ["schedule.valid_until", "did you mean"]),
    ],
)
def test_a_wrong_schedule_is_said_in_one_line(schedule: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(CampaignError) as caught:
        check_campaign({**VALID, "schedule": schedule}, "campaign.yaml")
    line = str(caught.value)
    assert "\n" not in line
    assert all(word in line for word in words), line


def test_a_schedule_is_frozen() -> None:
    with pytest.raises(ValidationError):
        Schedule().priority = 3  # type: ignore[misc]
