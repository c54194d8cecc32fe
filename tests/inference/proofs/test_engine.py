from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageDraw

from catalogs.errors import ReferenceImageError, StorageError
from catalogs.requests import Reason, Reference, RenderRequest
from inference.engine import Engine, Failed, Pixels, Rendered
from inference.proofs.engine import PROOF_REVISION, ProofEngine, layout, read_copy, wrapped
from inference.proofs.staging import font, stands_on_white

PROMPT = {
    "scene": "studio photograph of a mug",
    "subjects": [{"type": "product", "description": "the mug of image 1, body in color #9CAF88 sage"}],
    "color_palette": ["#3F5B45", "#9CAF88"],
    "background": "paper in color #E9E2D3 oat",
    "camera": {"angle": "eye level", "lens-mm": 90, "ISO": 100},
}


def product(colour: str = "#9CAF88", mode: str = "RGB") -> Image.Image:
    image = Image.new(mode, (300, 300), (250, 249, 247, 0)[: len(mode)])
    ImageDraw.Draw(image).rectangle((90, 60, 210, 240), fill=colour)
    return image


PHOTOS: Mapping[str, Image.Image | Exception] = {
    "mug": product(),
    "red": product("#D02020"),
    "cutout": product(mode="RGBA"),
    "dark": Image.new("RGB", (200, 120), "#303030"),
    "grey": Image.new("L", (64, 64), 240),
    "bad": ReferenceImageError("photos/bad.jpg", "", "is no image", "replace it"),
    "broken": OSError("broken data\nstream"),
    "gone": FileNotFoundError("no such file"),
    "down": StorageError("503 SlowDown"),
}


def load(reference: Reference) -> Image.Image:
    found = PHOTOS[reference.uri.removeprefix("render:")]
    if isinstance(found, Exception):
        raise found
    return found


def request(
    *references: str,
    prompt: str | None = None,
    size: tuple[int, int] = (512, 512),
    seed: int = 1,
    take: int = 0,
) -> RenderRequest:
    text = json.dumps(PROMPT) if prompt is None else prompt
    listed = tuple(Reference(uri, "0" * 64, "hero" if not i else "logo", 300, 300) for i, uri in enumerate(references))
    return RenderRequest(text, listed, *size, seed, take, 1, None, "proof", PROOF_REVISION)


def draw(one: RenderRequest) -> Pixels:
    (answer,) = ProofEngine(load).render([one])
    assert isinstance(answer, Rendered)
    return answer.pixels


SIZES = [
    (1024, 1024),
    (1440, 2560),
    (1408, 736),
    (96, 64),
    (64, 64),
    (64, 1024),
    (4096, 256),
    (240, 240),
    (304, 256),
]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("references", [(), ("mug",), ("mug", "red", "dark"), ("render:dark", "red")])
def test_any_size_with_any_references(size: tuple[int, int], references: tuple[str, ...]) -> None:
    pixels = draw(request(*references, size=size))
    assert pixels.shape == (size[1], size[0], 3)
    assert pixels.dtype == np.uint8
    assert pixels.std() > 5


def test_the_engine_seam() -> None:
    engine: Engine = ProofEngine(load)
    one = request("mug", size=(320, 240))
    assert (engine.name, engine.bucket(one), engine.batch_size(one)) == ("proof", (320, 240), 8)
    assert engine.versions["proof"] == PROOF_REVISION
    answers = engine.render([one, request("red", size=(320, 240))])
    assert [answer.request for answer in answers] == [one, request("red", size=(320, 240))]
    assert all(isinstance(answer, Rendered) and answer.batch_size == 2 for answer in answers)


def test_the_same_request_gives_the_same_pixels() -> None:
    assert np.array_equal(draw(request("mug", "dark")), draw(request("mug", "dark")))


@pytest.mark.parametrize(
    "other",
    [
        request("red"),
        request("mug", "dark"),
        request("mug", seed=2),
        request("mug", take=1),
        request("mug", prompt=json.dumps(PROMPT | {"scene": "a kitchen"})),
        request("mug", prompt=json.dumps(PROMPT | {"color_palette": ["#112233"]})),
    ],
)
def test_what_is_asked_for_shows(other: RenderRequest) -> None:
    assert not np.array_equal(draw(request("mug")), draw(other))


def test_the_label_does_not_show() -> None:
    # It is not part of the fingerprint, so it may not be part of the picture.
    plain, labelled = request("mug"), replace(request("mug"), label="Mug")
    assert np.array_equal(draw(plain), draw(labelled))


@pytest.mark.parametrize(
    ("uri", "reason", "final"),
    [
        ("bad", Reason.REFERENCE_INVALID, True),
        ("broken", Reason.REFERENCE_INVALID, True),
        ("gone", Reason.REFERENCE_MISSING, False),
    ],
)
def test_a_bad_reference_fails_its_request_alone(uri: str, reason: Reason, final: bool) -> None:
    before, bad, after = ProofEngine(load).render([request("mug"), request("mug", uri), request("red")])
    assert isinstance(before, Rendered)
    assert isinstance(after, Rendered)
    assert isinstance(bad, Failed)
    assert (bad.reason, bad.final) == (reason, final)
    assert bad.detail
    assert "\n" not in bad.detail


@pytest.mark.parametrize(
    "prompt",
    [
        "",
        "{}",
        "[]",
        "null",
        '{"subjects":[]}',
        '{"subjects":["a plain text"],"camera":["x",1,null],"scene":{"setting":"a","time":null}}',
        '{"scene":"\\ud800 \\u0000 \\n tab"}',
        "東京の静かな朝 العربية \U0001f600 e\u0301 \u200d",
        "word" * 400,
        "a long sentence of many words, " * 60,
        "[" * 5000,
    ],
)
def test_no_text_stops_a_proof(prompt: str) -> None:
    draw(request("mug", prompt=prompt, size=(320, 256)))


@pytest.mark.parametrize("photo", ["cutout", "grey", "dark"])
def test_photos_of_any_kind(photo: str) -> None:
    draw(request(photo, size=(256, 256)))


def test_the_product_keeps_its_colour_on_a_tinted_backdrop() -> None:
    tinted = json.dumps(PROMPT | {"background": "paper in color #B0C4FF blue"})
    pixels = draw(request("red", prompt=tinted)).reshape(-1, 3).astype(int)
    off = np.abs(pixels - (0xD0, 0x20, 0x20)).max(-1)
    assert (off < 12).sum() > 2_000
    corner = draw(request("red", prompt=tinted))[4, 4].astype(int)
    assert corner[2] - corner[0] > 25


def test_the_mark_lies_on_the_picture_and_swatches_in_the_panel() -> None:
    stage, panel = layout(512, 512)
    assert panel is not None
    pixels = draw(request())
    dark = pixels[stage[1] : stage[3]].max(-1) < 175
    assert dark.mean() > 0.01
    below = pixels[panel[1] :].reshape(-1, 3).astype(int)
    for colour in ((0x3F, 0x5B, 0x45), (0x9C, 0xAF, 0x88)):
        assert (np.abs(below - colour).max(-1) <= 2).sum() > 30


def test_reading_a_prompt() -> None:
    copy = read_copy(json.dumps(PROMPT))
    assert copy.title == "Studio photograph of a mug"
    assert copy.lines[0] == ("subject", "the mug of image 1, body in #9CAF88 sage")
    assert copy.palette == ((0x3F, 0x5B, 0x45), (0x9C, 0xAF, 0x88), (0xE9, 0xE2, 0xD3))
    assert copy.backdrop == (0xE9, 0xE2, 0xD3)
    assert ("camera", "eye level, 90 mm, ISO 100") in copy.lines
    prose = read_copy("A mug on linen. Soft light, cup in color #c97b5a clay.")
    assert (prose.title, prose.lines) == ("A mug on linen", (("prompt", "Soft light, cup in #c97b5a clay."),))
    assert prose.palette == ((0xC9, 0x7B, 0x5A),)
    assert min(prose.backdrop) > 150


def test_wrapping_keeps_to_the_room_and_says_what_it_leaves_out() -> None:
    face = font(16)
    text = "one two three four five six seven eight nine ten"
    lines = wrapped(text, face, 120, 2)
    assert len(lines) == 2
    assert all(face.getlength(line) <= 120 for line in lines)
    assert lines[-1].endswith("…")
    assert " ".join(wrapped(text, face, 120, 99)) == text
    assert "".join(wrapped("x" * 80, face, 50, 99)) == "x" * 80
    assert wrapped(text, face, 2, 3)
    assert wrapped(text, face, 120, 0) == []


def test_white_ground_is_known_by_its_edge() -> None:
    assert stands_on_white(product())
    assert not stands_on_white(Image.new("RGB", (50, 50), "#808080"))
    assert not stands_on_white(Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 60, 3), np.uint8)))


def test_a_store_that_is_down_is_nobodys_bad_reference() -> None:
    with pytest.raises(StorageError):
        ProofEngine(load).render([request("down")])
