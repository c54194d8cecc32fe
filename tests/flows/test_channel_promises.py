"""Channels made from one of the table, against what its platform takes, before anything is rendered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.flows.commands import Packshot
from tests.flows.projects import Project

BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "format": ({"base": "amazon-main", "format": "webp"}, "amazon-main wants JPEG, PNG, TIFF or GIF (format; source"),
    "ratio": ({"base": "zalando", "width": 800, "height": 1200}, "zalando wants 1:1.44 within 1 % (ratio; source"),
    "size": ({"base": "google-merchant", "width": 64, "height": 64}, "google-merchant wants width 500 px or more"),
    "bytes": ({"base": "amazon-main", "max_bytes": "900MB"}, "(bytes; source"),
    "text": ({"base": "amazon-main", "text": True}, "wants no text, logo or graphics (text; source"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_plan_tells_what_its_platform_does_not_take(case: str, tmp_path: Path) -> None:
    entry, said = BROKEN[case]
    warnings = Project.of(tmp_path, 2, channels=[{**entry, "name": "mine"}]).plan().summary["warnings"]
    assert [said in line for line in warnings if line.startswith("channel mine: ")] == [True]


@pytest.mark.parametrize("case", sorted(BROKEN.keys() - {"bytes", "text"}))
def test_a_channel_that_files_are_finished_for_is_refused(case: str, tmp_path: Path, packshot: Packshot) -> None:
    entry, said = BROKEN[case]
    project = Project.of(tmp_path, 2, channels=[{**entry, "crop": "subject"}])
    told = packshot("plan", project.path)
    assert (told.code, len(told.err.strip().splitlines()), said in told.err) == (2, 1, True)
    assert not (project.folder / "output").exists()


@pytest.mark.parametrize("entry", ["amazon-main", {"base": "amazon-main", "crop": "subject"}, {"base": "shopify"}])
def test_of_what_the_table_has_nothing_is_said(entry: Any, tmp_path: Path) -> None:
    warnings = Project.of(tmp_path, 2, channels=[entry]).plan().summary["warnings"]
    assert not [line for line in warnings if line.startswith("channel ")]
