"""Delivered files of every built-in channel, as programs read them that share no code with packshot.

On 2026-11-22 by exiftool 12.57 and ImageMagick 6.9.11 of Debian 12: 34 files of proofs, 34 of the tiny engine.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from catalogs.campaigns.channels import Channel, builtin_channels
from tests.flows.all_channels import SHOT, SMALL_SHOT, delivered
from tests.servers import missing

GENERATED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
MORE = [{"base": "shopify", "name": f"shopify-{kind}", "format": kind, "max_bytes": None} for kind in ("png", "webp")]
PROFILE = "sRGB built-in"


@pytest.fixture(scope="module", autouse=True)
def _programs() -> None:
    for name, package in (("exiftool", "libimage-exiftool-perl"), ("identify", "imagemagick")):
        if not shutil.which(name):
            missing(f"{name} is not installed: apt-get install {package}")


def run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def by_exiftool(paths: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What exiftool reads: numbers as they are, names of tags with their groups."""
    rows = json.loads(run("exiftool", "-j", "-G1", "-n", *paths))
    return {row["SourceFile"]: row for row in rows}


def by_identify(paths: Sequence[str]) -> dict[str, list[str]]:
    """Format, width, height, bytes, colours, bits, name of the profile, pictures in the file."""
    told = run("identify", "-format", r"%m|%w|%h|%B|%[colorspace]|%z|%[profile:icc]|%n\n", *paths)
    return dict(zip(paths, (line.split("|") for line in told.splitlines()), strict=True))


def wanted(name: str) -> Channel:
    """The channel of a file; `MORE` differ from theirs by the format."""
    base, _, kind = name.rpartition("-")
    channels = builtin_channels()
    if name in channels:
        return channels[name]
    return channels[base].model_copy(update={"format": kind, "max_bytes": None})


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("model", "shots"), [("proof", SHOT), ("tiny", SMALL_SHOT)])
def test_other_programs_read_what_was_delivered(model: str, shots: dict[str, Any], tmp_path: Path) -> None:
    files = delivered(tmp_path, MORE, model=model, shots=shots)
    paths = [str(path) for path in files.values()]
    tags, identified = by_exiftool(paths), by_identify(paths)
    for name, path in files.items():
        channel, size, row = wanted(name), path.stat().st_size, tags[str(path)]
        kind, sides = channel.format.upper(), [channel.width, channel.height]
        assert channel.max_bytes is None or size <= channel.max_bytes
        assert identified[str(path)] == [kind, *map(str, (*sides, size)), "sRGB", "8", PROFILE, "1"], name
        assert row["File:FileType"].removeprefix("Extended ").upper() == kind, name
        assert list(map(int, row["Composite:ImageSize"].split())) == sides, name
        assert (row["System:FileSize"], row["ICC_Profile:ProfileDescription"]) == (size, PROFILE), name
        assert row.get("XMP-iptcExt:DigitalSourceType") == (None if model == "proof" else GENERATED), name
        assert not {"ExifTool:Error", "ExifTool:Warning"} & row.keys(), name
