from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps

from catalogs.errors import ReferenceImageError, StorageError
from catalogs.requests import Reason, Reference, RenderRequest
from inference.engine import Engine, Failed, Pixels, Rendered
from inference.proofs.engine import MARK, PROOF_REVISION, ProofEngine, layout, read_copy, wrapped
from inference.proofs.staging import font, stands_on_white, unstamped

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


PHOTOS: dict[str, Image.Image | Exception] = {
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


def stage_of(pixels: Pixels) -> np.ndarray:
    """The picture of a proof before its mark went over it."""
    (left, top, right, bottom), _ = layout(pixels.shape[1], pixels.shape[0])
    return np.asarray(unstamped(Image.fromarray(pixels[top:bottom, left:right]), MARK)).astype(int)


def share(pixels: np.ndarray, colour: tuple[int, int, int], off: int = 3) -> float:
    return float((np.abs(pixels.reshape(-1, 3) - colour).max(-1) <= off).mean())


@pytest.mark.parametrize("ground", ["#FFFFFF", "#B0C4FF", "#101418", "#E9E2D3"])
@pytest.mark.parametrize(
    ("photo", "colour"),
    [("mug", (0x9C, 0xAF, 0x88)), ("red", (0xD0, 0x20, 0x20)), ("cutout", (0x9C, 0xAF, 0x88)), ("dark", (0x30,) * 3)],
)
def test_a_photo_keeps_its_own_colours_on_any_ground(photo: str, colour: tuple[int, int, int], ground: str) -> None:
    asked = json.dumps(PROMPT | {"background": f"paper in color {ground}"})
    assert share(stage_of(draw(request(photo, prompt=asked))), colour) > 0.05


@pytest.mark.parametrize(
    ("background", "ground"),
    [
        ("seamless paper in color #FFFFFF", (255, 255, 255)),
        ("seamless pure white background", (255, 255, 255)),
        ("White studio", (255, 255, 255)),
        ("paper in color #FDFDFC snow", (255, 255, 255)),
        ("paper in color #B0C4FF", (0xB0, 0xC4, 0xFF)),
        ("velvet in color #101418 night", (0x10, 0x14, 0x18)),
        ("oat paper in color #E9E2D3, white light", (0xE9, 0xE2, 0xD3)),
    ],
)
def test_the_ground_is_the_one_the_shot_asks_for(background: str, ground: tuple[int, int, int]) -> None:
    stage = stage_of(draw(request("red", prompt=json.dumps(PROMPT | {"background": background}))))
    corners = stage[[2, 2, -3, -3], [2, -3, 2, -3]]
    assert np.abs(corners - ground).max() < 16
    if min(ground) == 255:
        assert np.abs(corners - ground).max() <= 1, "white is white, and not a grey one"


@pytest.mark.parametrize("background", ["", "a whitewashed wall", "white marble slab", "off the street"])
def test_a_ground_nobody_asked_for_claims_nothing(background: str) -> None:
    copy = read_copy(json.dumps({"background": background, "color_palette": ["#20303F"]}))
    assert min(copy.backdrop) > 150
    assert copy.backdrop != (255, 255, 255)


def test_a_photo_on_white_ends_nowhere_on_white() -> None:
    PHOTOS["packshot"] = ImageOps.expand(product("#D02020").crop((90, 60, 210, 240)), 60, "white")
    stage = stage_of(draw(request("packshot", prompt='{"background":"in color #FFFFFF"}')))
    red = np.abs(stage - (0xD0, 0x20, 0x20)).max(-1) < 60
    white = stage.min(-1) >= 253
    assert (red | white).mean() > 0.99, "no card, no shadow, no grey"
    assert red.mean() > 0.1


@pytest.mark.parametrize("size", [(512, 512), (704, 368), (368, 640)])
def test_the_mark_is_there_once_though_a_proof_is_made_of_a_proof(size: tuple[int, int]) -> None:
    blank = '{"background":"in color #FFFFFF"}'
    PHOTOS["blank"] = Image.new("RGB", (300, 300), "white")
    master = draw(request("blank", prompt=blank, size=size))
    assert share(master, (255, 255, 255), 60) < 0.99, "it is marked"
    PHOTOS["master"] = Image.fromarray(master)
    assert share(stage_of(draw(request("render:master", prompt=blank, size=size))), (255, 255, 255)) > 0.995


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
