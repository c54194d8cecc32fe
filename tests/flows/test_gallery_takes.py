"""The gallery of a campaign whose pictures were taken again: every take of the record, and a record without takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from catalogs.assets import attempts
from catalogs.identity import thumbnail_key
from tasks.gallery import make_gallery
from tests.catalogs.gallery.test_gallery import data_of
from tests.flows.projects import CHANNELS, SHOTS, Project

RUN = "r1"


def details_of(project: Project) -> list[dict[str, Any]]:
    make_gallery(project.store, "spring", RUN)
    found: list[dict[str, Any]] = data_of(project.store, "details-0001")
    return found


def test_all_takes_of_a_channel_are_shown(tmp_path: Path) -> None:
    """No picture passes, so that each has all its takes, and the best of them stands."""
    quality = {"review": {"coherence": False}, "reject": {"coherence": 1.0}, "max_attempts": 3, "stop_line": False}
    shots = {"hero": SHOTS["hero"]}
    project = Project.of(tmp_path, 2, model="tiny", shots=shots, channels=CHANNELS, quality=quality)
    for _ in range(4):
        project.render()
    thumbnails = project.store.list("thumbs")
    shown = details_of(project)
    view = {row["fingerprint"]: row for row in project.view().values()}
    assert len(shown) == len(view) == 4
    for row in shown:
        takes = row["takes"]
        assert [take["take"] for take in takes] == [0, 1, 2]
        assert [take["take"] for take in takes if take["stands"]] == [view[row["fingerprint"]]["take"]]
        assert max(takes, key=lambda take: (take["score"], -take["take"]))["stands"]
        assert {take["verdict"] for take in takes} == {"rejected"}
        assert all("coherence" in take["detail"] for take in takes)
        assert all("thumbs/" + take["thumb"] in thumbnails for take in takes)
        channel = view[row["fingerprint"]]["channel"]
        assert all(f"/{channel}-0." in take["asset_key"] for take in takes), "of its own channel"
    lost = next(take for take in shown[0]["takes"] if not take["stands"])
    project.store.delete(["thumbs/" + lost["thumb"]])
    again = details_of(project)
    assert [take["thumb"] for take in again[0]["takes"] if take["take"] == lost["take"]] == [""]
    assert thumbnail_key(view[shown[0]["fingerprint"]]["sha256"]) in project.store.list("thumbs")


def test_a_record_without_verdicts_is_not_read_for_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = Project.of(tmp_path, 2)
    project.render()
    monkeypatch.delattr(attempts.Attempts, "read")
    assert not any("takes" in row for row in details_of(project))
