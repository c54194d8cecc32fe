"""Every file of a signed campaign through all built-in channels, judged by programs that share no code with packshot.

On 2026-11-23 by exiftool 12.57, ImageMagick 6.9.11, c2pa-python 0.38.1: 91 files of 37 channels.
"""

from __future__ import annotations

import struct
import subprocess
import zlib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import c2pa
import numpy as np
import pytest
from numpy.typing import NDArray

from catalogs.campaigns.channel_rules import ChannelRules, builtin_rules
from catalogs.campaigns.channels import builtin_channels
from inference.credentials.chain import DEVELOPMENT
from inference.credentials.keys import CHAIN, KEY, SIGNER
from tests.flows.commands import run as packshot
from tests.flows.golden import FORMATS, LANGUAGES, ROOM, Golden, delivered, project_of
from tests.flows.test_golden_files import GENERATED, PROFILE, _programs, by_exiftool, by_identify

__all__ = ["_programs"]

CROSSED = "IFD0 pointer references previous JUMBFBox directory"
"""What exiftool, 12.51 to 13.59 at least, says of a PNG that has both EXIF and a credential
(https://github.com/exiftool/exiftool/issues/452): see the test of two such chunks alone."""

LESS = 0.9
"""Of a fill that is asked for, where the shadow is wider than the bag: it counts as subject."""

MIME = {"jpeg": "image/jpeg", "png": "image/png", "webp": "image/webp", "avif": "image/avif"}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Golden]]:
    folder = tmp_path_factory.mktemp("golden")
    with pytest.MonkeyPatch.context() as patch:
        for name in (KEY, CHAIN, SIGNER):
            patch.delenv(name, raising=False)
        assert packshot(patch, "credentials", "init", str(folder / "credentials")) == 0
        yield delivered(project_of(folder))


@pytest.fixture(scope="module")
def tags(files: list[Golden]) -> dict[str, dict[str, Any]]:
    return by_exiftool([str(each.path) for each in files])


@pytest.fixture(scope="module")
def identified(files: list[Golden]) -> dict[str, list[str]]:
    return by_identify([str(each.path) for each in files])


def rules_of(each: Golden) -> ChannelRules:
    return builtin_rules()[each.base.name]


def pixels(each: Golden) -> NDArray[np.int16]:
    """As ImageMagick decodes them."""
    raw = subprocess.run(["convert", str(each.path), "-depth", "8", "rgb:-"], capture_output=True, check=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(each.base.height, each.base.width, 3).astype(np.int16)


def filled(seen: NDArray[np.int16]) -> float:
    """Share that the bag takes by its longer side: nothing else in a picture is blue."""
    rows, columns = np.nonzero(seen[..., 2] - seen[..., 0] > 45)
    height, width = seen.shape[:2]
    return float(max((np.ptp(rows) + 1) / height, (np.ptp(columns) + 1) / width))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_channel_is_there_in_every_language(files: list[Golden]) -> None:
    wanted = {str(name) for name, channel in builtin_channels().items() if not channel.text}
    with_text = [name for name, channel in builtin_channels().items() if channel.text]
    with_text += [f"shopify-{kind}" for kind in FORMATS]
    assert {str(each) for each in files} == wanted | {f"{name} {each}" for name in with_text for each in LANGUAGES}
    assert len({each.path.read_bytes() for each in files}) == len(files)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_exiftool_reads_each(files: list[Golden], tags: dict[str, dict[str, Any]]) -> None:
    for each in files:
        row = tags[str(each.path)]
        assert "ExifTool:Error" not in row, each
        assert row.get("ExifTool:Warning") == (CROSSED if each.format == "png" else None), each
        assert row["File:FileType"].removeprefix("Extended ").lower() == each.format, each
        assert row["Composite:ImageSize"] == f"{each.base.width} {each.base.height}", each
        assert row["ICC_Profile:ProfileDescription"] == PROFILE, each
        assert row["XMP-iptcExt:DigitalSourceType"] == GENERATED, each


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_identify_reads_each(files: list[Golden], identified: dict[str, list[str]]) -> None:
    for each in files:
        kind, width, height, size, *rest = identified[str(each.path)]
        # ImageMagick 6 calls AVIF so, and passes its profile over, which exiftool reads.
        named, profile = ("HEIC", "") if each.format == "avif" else (each.format.upper(), PROFILE)
        assert (kind, rest) == (named, ["sRGB", "8", profile, "1"]), each
        assert [int(width), int(height)] == [each.base.width, each.base.height], each
        assert int(size) == each.path.stat().st_size, each


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_each_is_within_the_numbers_of_its_platform(files: list[Golden], identified: dict[str, list[str]]) -> None:
    for each in files:
        rules, limits = rules_of(each), rules_of(each).limits
        _, width, height, size = [int(value) if value.isdigit() else 0 for value in identified[str(each.path)][:4]]
        sides = ((width, limits.width), (height, limits.height), (max(width, height), limits.longest))
        assert all(span.holds(side) for side, span in sides if span), each
        assert width * height <= (limits.pixels or width * height), each
        assert each.format in limits.formats or limits.more_formats, each
        assert size <= (rules.channel.max_bytes or size), each
        if limits.ratio_span:
            assert limits.ratio_span.holds(width / height, limits.ratio_tolerance), each


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_grounds_and_fills_are_those_that_were_asked_for(files: list[Golden]) -> None:
    for each in files:
        seen, span = pixels(each), rules_of(each).fill
        fill, edge = filled(seen), np.concatenate([seen[0], seen[-1], seen[:, 0], seen[:, -1]])
        if span:
            assert span.holds(fill), (str(each), fill)
        elif each.language:
            assert LESS * ROOM[0] <= fill <= ROOM[1], (str(each), fill)
        if each.white:
            assert edge.min() == 255, each
        elif each.base.ground == "light":
            assert edge.min() >= 200, each
            assert np.ptp(edge, axis=1).max() <= 20, each


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_credential_of_each_holds(files: list[Golden]) -> None:
    folder = files[0].path.parents[6] / "credentials"
    trust = {"trust": {"user_anchors": (folder / "root.pem").read_text()}, "verify": {"verify_trust": True}}
    known = c2pa.Context(c2pa.Settings.from_dict({"version": 1, **trust}))
    for each in files:
        with each.path.open("rb") as file, c2pa.Reader(MIME[each.format], file) as reader:
            assert reader.get_validation_state() == "Valid", each
            manifest = reader.get_active_manifest()
        assert manifest["signature_info"]["issuer"] == DEVELOPMENT, each
        (done,) = (one["data"]["actions"] for one in manifest["assertions"] if "actions" in one["label"])
        assert (done[0]["action"], done[0]["digitalSourceType"]) == ("c2pa.created", GENERATED), each
        with each.path.open("rb") as file, c2pa.Reader(MIME[each.format], file, context=known) as reader:
            assert reader.get_validation_state() == "Trusted", each


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_languages_differ_by_their_words_alone(files: list[Golden]) -> None:
    families: dict[str, dict[str, Golden]] = defaultdict(dict)
    for each in files:
        if each.language:
            families[each.name][each.language] = each
    for family in families.values():
        english, *others = (pixels(family[language]) for language in LANGUAGES)
        top, right, bottom, left = family["en"].base.safe_zone or (0, 0, 0, 0)
        height, width = english.shape[:2]
        for other in others:
            rows, columns = np.nonzero(np.abs(english - other).max(axis=-1) > 60)
            assert len(rows) > 0.002 * height * width, family["en"]
            assert top / 100 * height <= rows.min() < height / 3, family["en"]
            assert height * 2 / 3 < rows.max() <= (1 - bottom / 100) * height, family["en"]
            assert left / 100 * width <= columns.min() < columns.max() <= (1 - right / 100) * width, family["en"]
            middle = slice(int(0.35 * height), int(0.65 * height))
            assert not ((rows >= middle.start) & (rows < middle.stop)).any(), "the product is as it was"


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _box(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data) + 8) + kind + data


def _png(*chunks: bytes) -> bytes:
    """One white pixel."""
    head = _chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
    end = _chunk(b"IDAT", zlib.compress(b"\0\xff\xff\xff")) + _chunk(b"IEND", b"")
    return b"".join((b"\x89PNG\r\n\x1a\n", head, *chunks, end))


def test_exiftool_takes_exif_for_a_credential_that_stands_before_it(tmp_path: Path) -> None:
    """In no order of the chunks: it numbers the bytes of each from 0, and an IFD at 8 is where a box began."""
    exif = _chunk(b"eXIf", b"MM\0*" + struct.pack(">IHHHI4sI", 8, 1, 0x0131, 2, 4, b"abc\0", 0))
    label = bytes.fromhex("6332706100110010800000aa00389b71") + b"\x03c2pa\0"
    credential = _chunk(b"caBX", _box(b"jumb", _box(b"jumd", label) + _box(b"json", b"{}")))
    chunks = {"exif": [exif], "credential": [credential], "both": [credential, exif], "turned": [exif, credential]}
    for name, some in chunks.items():
        (tmp_path / f"{name}.png").write_bytes(_png(*some))
    read = by_exiftool([str(tmp_path / f"{name}.png") for name in chunks])
    said = {name: read[str(tmp_path / f"{name}.png")].get("ExifTool:Warning") for name in chunks}
    if said["both"] is None:
        pytest.skip("this exiftool reads both")
    assert said == {
        "exif": None,
        "credential": None,
        "both": CROSSED,
        "turned": "JUMBFBox pointer references previous IFD0 directory",
    }
