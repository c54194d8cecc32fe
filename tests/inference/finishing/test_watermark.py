"""The seam for a watermark: what is loaded, what is called with what, and what a faulty plug-in ends in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from catalogs.campaigns.channels import Channel
from catalogs.campaigns.watermark import Mark, Watermark
from catalogs.requests import Reason
from inference.finishing.finish import finish
from inference.finishing.metadata import AssetMetadata
from inference.finishing.watermark import BadPlugin, MarkedAsset, WatermarkFailed, load_marker
from inference.finishing.white import BackgroundNotWhite
from tests.drawn_packshots import drawn_packshot
from tests.flows.marks import POINTS, install

ASSET = MarkedAsset("7f" * 32, "square", "jpeg")


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch)


def marker(plugin: str, **settings: Any) -> Any:
    return load_marker(Watermark(plugin=plugin, settings=settings))


def test_the_plug_in_of_the_page_marks_a_copy() -> None:
    found = marker("corner", side=8)
    assert found.planned == Mark(plugin="corner", version="1", settings={"side": 8})
    picture = Image.new("RGB", (32, 24), "#808080")
    marked = np.asarray(found.marked(picture, ASSET))
    assert marked.shape == (24, 32, 3)
    assert (marked[-8:, -8:] == 0x83).all()
    assert (marked[:-8] == 0x80).all()
    assert np.asarray(picture).max() == 0x80
    edit = found.of(ASSET).edit
    assert (edit.step, edit.parameters) == ("watermark", {"plugin": "corner", "version": "1"})


@pytest.mark.parametrize(
    ("plugin", "settings", "key", "line"),
    [
        ("cornr", {}, "plugin", "no plug-in 'cornr' is installed here; did you mean 'corner'?"),
        ("corner", {"side": "wide"}, "settings", "side must be a whole number of pixels"),
        ("gone", {}, "plugin", "'gone' cannot be loaded (ModuleNotFoundError: No module named 'no_such_module')"),
        ("broken", {}, "plugin", "'broken' cannot be loaded (OSError: weights are missing)"),
        ("nothing", {}, "plugin", "'nothing' is nothing that can be called"),
        ("unversioned", {}, "plugin", "'unversioned' says no version of itself"),
        ("markless", {}, "plugin", "'markless' has no method `mark`"),
    ],
)
def test_what_cannot_be_used_is_one_line(plugin: str, settings: dict[str, Any], key: str, line: str) -> None:
    with pytest.raises(BadPlugin) as caught:
        marker(plugin, **settings)
    assert caught.value.key == key
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("plugin", "line"),
    [
        ("raising", "watermark 'raising': RuntimeError: no licence left"),
        ("floating", "it gave float64 of shape (24, 32, 3), not uint8 of shape (24, 32, 3)"),
        ("smaller", "it gave uint8 of shape (23, 32, 3), not uint8 of shape (24, 32, 3)"),
        ("silent", "it gave NoneType, not an array of pixels"),
    ],
)
def test_a_fault_is_told(plugin: str, line: str) -> None:
    with pytest.raises(WatermarkFailed) as caught:
        marker(plugin).marked(Image.new("RGB", (32, 24)), ASSET)
    assert line in str(caught.value)
    assert (caught.value.reason, caught.value.final) == (Reason.WATERMARK_FAILED, False)


def test_a_mark_that_greys_a_white_ground_fails() -> None:
    pixels = np.asarray(drawn_packshot((256, 256), (72, 56, 184, 210), seed=1).picture)
    channel = Channel(name="square", width=256, height=256, format="png", background={"make": "white"})
    told = AssetMetadata(ASSET.fingerprint, "Nord", "Mug")
    finish(pixels, channel, told, marker=marker("corner").of(ASSET))
    with pytest.raises(BackgroundNotWhite):
        finish(pixels, channel, told, marker=marker("greying").of(ASSET))


def test_one_name_of_two_packages_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, {"corner": "other_mark:Corner"}, "two")
    with pytest.raises(BadPlugin, match=r"several packages call theirs: other_mark:Corner, page_mark:Corner"):
        marker("corner")
    assert "raising" in POINTS
