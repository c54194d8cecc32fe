from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from catalogs.campaigns.channels import Channel
from inference.finishing import encode_best as room
from inference.finishing.encode import OverByteLimit
from inference.finishing.encode_best import HIGHEST_QUALITY, LEAST_SIMILARITY, encode_best
from inference.finishing.finish import finish
from inference.finishing.metadata import AssetMetadata
from inference.quality.similarity import structural_similarity
from tests.drawn_packshots import drawn_packshot

FORMATS = ["jpeg", "webp", "avif"]
META = AssetMetadata("f" * 64, "Halden", "Mug", model="klein-4b", model_revision="r1")
PICTURE = drawn_packshot(size=(320, 320), box=(80, 60, 240, 280), grain=1.5).picture

NOISE = Image.fromarray(np.random.default_rng(1).integers(0, 256, (320, 320, 3), dtype=np.uint8))


def channel(**rest: Any) -> Channel:
    return Channel(**({"name": "web", "width": 320, "height": 320, "encode": "best"} | rest))


@pytest.mark.parametrize("format", FORMATS)
def test_without_a_limit_the_best_there_is(format: str) -> None:
    finished = finish(PICTURE, channel(format=format), META)
    assert finished.quality == HIGHEST_QUALITY[format]
    decoded = np.asarray(Image.open(io.BytesIO(finished.data)).convert("RGB"))
    assert finished.measures["ssim"] == structural_similarity(np.asarray(PICTURE), decoded) > 0.97


@pytest.mark.parametrize("format", FORMATS)
def test_the_highest_quality_that_keeps_the_limit(format: str) -> None:
    most = len(finish(PICTURE, channel(format=format), META).data)
    web = channel(format=format, max_bytes=most * 2 // 3)
    finished = finish(PICTURE, web, META)
    assert len(finished.data) <= web.max_bytes
    assert finished.quality is not None
    one_more = room._encoded(PICTURE, format, {}, finished.quality + 1)
    assert (
        len(one_more) + len(finished.data) - len(room._encoded(PICTURE, format, {}, finished.quality)) > web.max_bytes
    )


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("limit", [1_500, 9_000])
def test_what_would_look_bad_is_refused(format: str, limit: int) -> None:
    with pytest.raises(OverByteLimit, match=rf"web takes {limit:,} bytes and packshot {LEAST_SIMILARITY} or more"):
        finish(NOISE, channel(format=format, max_bytes=limit), META)


@pytest.mark.parametrize("format", FORMATS)
def test_profile_and_marks_are_in_the_file_and_bytes_come_again(format: str) -> None:
    one, two = (finish(PICTURE, channel(format=format), META) for _ in range(2))
    assert one == two
    image = Image.open(io.BytesIO(one.data))
    assert b"trainedAlgorithmicMedia" in image.info["xmp"]
    assert image.info["icc_profile"]
    if format == "jpeg":
        assert image.info["progressive"]


def test_noise_that_libjpeg_cannot_write_progressively_is_written_all_the_same() -> None:
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 256, (1024, 1024, 3), dtype=np.uint8))
    data, _, similarity = encode_best(noise, channel(width=1024, height=1024), {})
    assert similarity > LEAST_SIMILARITY
    assert Image.open(io.BytesIO(data)).size == (1024, 1024)


def test_png_has_no_quality_to_search_for() -> None:
    plain = Channel(name="web", width=320, height=320, format="png")
    assert finish(PICTURE, channel(format="png"), META) == finish(PICTURE, plain, META)
    assert channel(format="png").finishing_spec() == plain.finishing_spec()


@pytest.mark.parametrize("picture", [PICTURE, NOISE], ids=["photo", "noise"])
@pytest.mark.parametrize("credential", [0, 5_000])
@pytest.mark.parametrize("format", FORMATS)
def test_the_limit_that_is_advised_can_be_kept(format: str, credential: int, picture: Image.Image) -> None:
    stamp = (lambda data, edits: data + bytes(credential)) if credential else None
    with pytest.raises(OverByteLimit) as caught:
        finish(picture, channel(format=format, max_bytes=1_000), META, stamp)
    advised = int(str(caught.value).split("set max_bytes to ")[1].split()[0])
    finished = finish(picture, channel(format=format, max_bytes=advised), META, stamp)
    assert 1_000 < len(finished.data) <= advised
