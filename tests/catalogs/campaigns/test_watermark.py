"""`watermark:` of a campaign: what it may say, and that a campaign without it keeps its fingerprints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from catalogs.campaigns.campaign import load_campaign
from catalogs.campaigns.channels import Channel
from catalogs.campaigns.watermark import Mark, Watermark
from catalogs.errors import CampaignError
from catalogs.plans.finished import finished_fingerprint
from tests.catalogs.campaigns.test_metadata import CAMPAIGN

WEB = Channel(name="web", width=64, height=64)


def loaded(tmp_path: Path, text: str) -> Any:
    (tmp_path / "campaign.yaml").write_text(CAMPAIGN + text)
    return load_campaign(str(tmp_path / "campaign.yaml")).watermark


def test_as_it_is_written(tmp_path: Path) -> None:
    assert [loaded(tmp_path, text) for text in ("", "watermark: off", "watermark:")] == [None] * 3
    assert loaded(tmp_path, "watermark: corner") == Watermark(plugin="corner")
    text = "watermark: {plugin: corner, settings: {side: 8, from: 2026-11-23, of: [a, 1.5]}}"
    assert loaded(tmp_path, text).settings == {"side": 8, "from": "2026-11-23", "of": ["a", 1.5]}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("watermark: on", "watermark: write the name of an installed plug-in"),
        ("watermark: [a]", "watermark: write the name of an installed plug-in"),
        ("watermark: os:system", "watermark: write the name of an installed plug-in"),
        ("watermark: ../marks.py", "watermark: write the name of an installed plug-in"),
        ("watermark: {settings: {}}", "watermark.plugin: is missing"),
        ("watermark: {plugin: corner, key: 5}", "watermark.key: unknown key"),
        ("watermark: {plugin: corner, version: '1'}", "watermark.version: unknown key"),
        ("watermark: {plugin: corner, settings: {side: .nan}}", "watermark.settings: write plain values"),
        (f"watermark: {{plugin: corner, settings: {{a: {'x' * 10_001}}}}}", "watermark.settings: write at most 10,000"),
    ],
)
def test_mistakes(tmp_path: Path, text: str, line: str) -> None:
    with pytest.raises(CampaignError) as caught:
        loaded(tmp_path, text)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_name_version_and_settings_are_hashed() -> None:
    def fingerprint(mark: Mark | None) -> str:
        return finished_fingerprint("00" * 32, WEB, "(c)", mark=mark)

    marks = [
        Mark(plugin="corner", version="1"),
        Mark(plugin="corner", version="2"),
        Mark(plugin="other", version="1"),
        Mark(plugin="corner", version="1", settings={"side": 8}),
    ]
    assert fingerprint(None) == finished_fingerprint("00" * 32, WEB, "(c)")
    assert len({fingerprint(None), *map(fingerprint, marks)}) == 5
    assert fingerprint(marks[0]) == "183792121bc8bffdbb16dac0d1d382bf2c4381de494da81408aaa77fa4ec559d"
