"""Names of starts sort as history does, whatever the clocks said."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from catalogs.assets.starts import latest_start, new_start, ordered_at
from catalogs.storage.store import Store

OLD = "20261121T120000Z-abcdef"


def test_the_name_of_a_start_tells_its_moment_to_the_microsecond(tmp_path: Path) -> None:
    before = datetime.now(UTC)
    run_id = new_start(Store.at(str(tmp_path)), None)
    assert before <= ordered_at(run_id) <= datetime.now(UTC)
    assert run_id.startswith(f"{ordered_at(run_id):%Y%m%dT%H%M%S.%fZ}-")


def test_a_start_comes_after_all_that_the_output_has_seen(tmp_path: Path) -> None:
    store = Store.at(str(tmp_path))
    ahead = datetime.now(UTC) + timedelta(days=400)
    first = new_start(store, ahead)
    assert ordered_at(first) == ahead + timedelta(microseconds=1)
    store.write(f"runs/{first}/plan.parquet", b"")
    second = new_start(store, None)
    assert second > first
    assert ordered_at(second) > ordered_at(first)


def test_a_name_of_before_stands_for_the_end_of_its_second() -> None:
    assert ordered_at(OLD) == datetime(2026, 11, 21, 12, 0, 0, 999_999, UTC)
    assert latest_start([OLD, "20261121T115959Z-ffffff", "notes"]) == ordered_at(OLD)


def test_what_is_no_name_of_a_start_is_refused() -> None:
    for name in ("", "notes", "20269921T120000Z-abcdef"):
        with pytest.raises(ValueError, match="no name of a start"):
            ordered_at(name)
