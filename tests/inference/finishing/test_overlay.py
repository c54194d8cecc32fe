"""What overlays look like, measured: where ink lies, how it is shaped, and what it stands out from."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFont

from catalogs.campaigns.channels import Channel
from catalogs.campaigns.drawn_overlay import Drawn, DrawnFile, DrawnText
from catalogs.references.problems import ChangedReference
from catalogs.requests import Reason
from inference.finishing.contrast import luminance, ratio, worst_ratio
from inference.finishing.encode import FinishingError
from inference.finishing.overlay import Painted
from inference.finishing.typesetting import NoShaping, is_right_to_left, set_text
from inference.quality.box import Box
from tests.catalogs.references.test_overlay_files import small_font
from tests.overlay_sheet import FONT, LOGO_SVG, TEXTS, Files, busy, dark, drawn, light, logo_png, painted

SIZE = (400, 400)
FRAME = Channel(name="frame", width=400, height=400)
FILES = Files(FONT.read_bytes(), LOGO_SVG, logo_png())
GREY = "#777777"


def ink(picture: Image.Image, ground: Image.Image) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of what differs."""
    differs = np.abs(np.asarray(picture).astype(int) - np.asarray(ground)).max(axis=2) > 24
    rows, columns = np.flatnonzero(differs.any(axis=1)), np.flatnonzero(differs.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def drawn_on(ground: Image.Image, *elements: Drawn) -> tuple[Image.Image, Painted]:
    picture = ground.copy()
    return picture, painted(picture, *elements, files=FILES)


def place(**said: Any) -> tuple[int, int, int, int]:
    ground = Image.new("RGB", SIZE, "#FFFFFF")
    picture, _ = drawn_on(ground, drawn(FRAME, **({} if "logo" in said else {"colour": "#000000"}), **said))
    return ink(picture, ground)


@pytest.mark.parametrize("anchor", ["top-left", "top", "top-right", "left", "centre", "bottom-left", "bottom-right"])
@pytest.mark.parametrize("what", [{"text": "Hg", "size": 10}, {"logo": logo_png(), "width": 20}])
def test_elements_stand_where_their_anchor_says(anchor: str, what: dict[str, Any]) -> None:
    left, top, right, bottom = place(anchor=anchor, margin=5, **what)
    near = 2
    if "left" in anchor:
        assert abs(left - 20) <= near
    elif "right" in anchor:
        assert abs(right - 380) <= near
    else:
        assert abs((left + right) / 2 - 200) <= near
    if "top" in anchor:
        assert abs(top - 20) <= near
    elif "bottom" in anchor:
        assert abs(bottom - 380) <= near
    else:
        assert abs((top + bottom) / 2 - 200) <= near


def test_a_text_is_as_large_as_fits_and_no_larger_than_asked() -> None:
    _, top, _, bottom = place(text="Hg", size=8, box=(10, 10, 80, 80))
    assert 28 <= bottom - top <= 34  # of 32 px, H to g
    wide = place(text="Made to last for generations", size=20, min_size=2, lines=1, box=(10, 10, 80, 80))
    assert 300 <= wide[2] - wide[0] <= 320
    two = place(text="Made to last for generations", size=20, min_size=2, lines=2, box=(10, 10, 80, 80))
    assert two[3] - two[1] > 2 * (wide[3] - wide[1])


def test_everything_stays_in_its_box() -> None:
    for text, _, line in TEXTS.values():
        for said in ({"text": text, "size": 14, "min_size": 3}, {"text": line, "size": 8, "min_size": 2}):
            for badge in (None, {"colour": "#CCCCCC"}):
                left, top, right, bottom = place(**said, lines=4, box=(20, 30, 50, 40), badge=badge)
                assert left >= 80 - 1
                assert top >= 120 - 1
                assert right <= 280 + 1
                assert bottom <= 280 + 1


def test_lines_stand_where_they_would_whatever_letters_are_in_them() -> None:
    tops = {place(text=text, anchor="bottom-left", size=10)[1] for text in ("Hug", "Hum", "Ham")}
    assert len(tops) == 1


def refused(reason: Reason, **said: Any) -> str:
    with pytest.raises(FinishingError) as caught:
        place(**said)
    assert caught.value.reason is reason
    assert caught.value.final
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_text_that_does_not_fit_is_refused() -> None:
    said = refused(Reason.TEXT_DOES_NOT_FIT, text="much too long for this box " * 9, size=9, box=(0, 0, 30, 10))
    assert said.startswith("'much too long for this box ")
    assert "does not fit into 120 x 40 px in 2 lines at 18 px" in said
    refused(Reason.TEXT_DOES_NOT_FIT, text="Unbreakable", size=40, min_size=40, anchor="top")


def test_a_character_that_a_font_lacks_is_no_box() -> None:
    files = Files(font := small_font("abc"))
    with pytest.raises(FinishingError, match=r"Squares Regular has no 'ü' \(U\+00FC\)") as caught:
        painted(Image.new("RGB", SIZE), drawn(FRAME, font=font, text="abüc", anchor="top"), files=files)
    assert caught.value.reason is Reason.MISSING_GLYPH


def test_arabic_is_joined_and_stands_at_the_right() -> None:
    text = "خزف يحتفظ"
    ground = Image.new("RGB", SIZE, "#FFFFFF")
    element = drawn(FRAME, "ar", text=text, size=8, lines=1, anchor="top-left", colour="#000000")
    picture, _ = drawn_on(ground, element)
    left, _, right, _ = ink(picture, ground)
    assert abs(right - 384) <= 2
    assert left > 200
    basic = ImageFont.truetype(str(FONT), 32, layout_engine=ImageFont.Layout.BASIC)
    assert right - left < 0.9 * basic.getlength(text), "letters that stand alone are wider"
    again, _ = drawn_on(ground, drawn(FRAME, "ar", text=text, size=10, anchor="top-left", align="left"))
    assert ink(again, ground)[0] <= 18


def test_latin_is_kerned() -> None:
    close, apart = (place(text=text, size=20, lines=1, anchor="left") for text in ("AVAV", "A\u200bV\u200bA\u200bV"))
    raqm = ImageFont.truetype(str(FONT), 80, layout_engine=ImageFont.Layout.RAQM)
    plain = raqm.getlength("AVAV", features=["-kern"])
    assert close[2] - close[0] < plain - 4
    assert apart[2] - apart[0] == close[2] - close[0], "what is not seen does not part letters"


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("مرحبا", "", True),
        ("Tilia مرحبا", "", False),
        ("Tilia: دفء يدوم طويلاً!", "ar", True),
        ("Tilia", "ar", False),
        ("مرحبا Tilia", "de", True),
        ("٤٩٫٩٠ €", "ar", True),
        ("49 €", "de", False),
        ("49", "he-IL", True),
    ],
)
def test_which_way_a_text_is_read(text: str, language: str, expected: bool) -> None:
    assert is_right_to_left(text, language) is expected


def test_contrast_is_that_of_wcag() -> None:
    assert ratio(luminance("#FFFFFF"), luminance("#000000")) == pytest.approx(21)
    assert ratio(luminance("#777777"), luminance("#FFFFFF")) == pytest.approx(4.48, abs=0.01)
    tiles = np.array([0.0] * 10 + [1.0] * 90, np.float32)
    assert worst_ratio("#000000", tiles) == pytest.approx(1.0)
    assert worst_ratio("#000000", np.array([0.0] * 3 + [1.0] * 97, np.float32)) == pytest.approx(21)


def is_light(picture: Image.Image, ground: Image.Image) -> bool:
    """Whether what was drawn is lighter than its ground."""
    return float(np.asarray(picture).mean()) > float(np.asarray(ground).mean())


def test_of_two_colours_the_one_that_stands_out_is_taken() -> None:
    both = {"text": "Made to last", "size": 12, "anchor": "centre", "colour": ("#FFFFFF", "#111111")}
    for ground, expected in ((light(SIZE), False), (dark(SIZE), True)):
        picture, told = drawn_on(ground, drawn(FRAME, **both))
        assert is_light(picture, ground) is expected
        assert told.contrast is not None
        assert told.contrast > 10
    preferred = drawn(FRAME, **(both | {"colour": ("#DDDDDD", "#FFFFFF")}))
    picture, _ = drawn_on(Image.new("RGB", SIZE, "#000000"), preferred)
    assert np.asarray(picture).max() == 0xDD


def test_a_scrim_stands_behind_what_would_not_stand_out() -> None:
    for colour in ("#FFFFFF", "#111111", GREY):
        ground = busy(SIZE)
        element = {"text": "Made to last", "size": 8, "anchor": "centre", "colour": colour}
        _, bare = drawn_on(ground, drawn(FRAME, **element, scrim="never"))
        assert bare.contrast is not None
        assert bare.contrast < 4.5
        assert bare.remarks[0][0] == "a text has a contrast under 4.5 : 1 with what lies beneath"
        picture, told = drawn_on(ground, drawn(FRAME, **element))
        assert told.contrast is not None
        assert told.contrast >= (4.4 if colour == GREY else 4.5)
        far = np.asarray(picture)[:40] == np.asarray(ground)[:40]
        assert far.all(), "it is soft and stays near the text"


def test_a_badge_is_what_its_text_stands_out_from() -> None:
    badge = {"colour": "#C2410C", "radius": 50}
    picture, told = drawn_on(busy(SIZE), drawn(FRAME, text="€ 49", anchor="top-right", colour="#FFFFFF", badge=badge))
    assert told.contrast == pytest.approx(5.18, abs=0.01)
    assert not told.remarks
    _, top, right, _ = ink(picture, busy(SIZE))
    assert abs(right - 384) <= 1
    assert abs(top - 16) <= 1
    corner = np.asarray(picture)[top, right - 1]
    assert (corner == np.asarray(busy(SIZE))[top, right - 1]).all(), "its ends are round"


def test_japanese_is_a_little_smaller_where_its_words_stay_whole() -> None:
    said = {"text": "朝のコーヒーを、ずっとあたたかく。「冬の新作」登場", "lines": 4, "anchor": "centre", "width": 84}
    story = Channel(name="story", width=560, height=996)
    element = drawn(story, "ja", size=12, min_size=5, **said)
    assert isinstance(element, DrawnText)
    text = set_text(element, FONT.read_bytes(), (560, 996), Box(40, 40, 510, 960), (0, 0))
    assert [line.text for line in text.lines] == ["朝のコーヒーを、", "ずっとあたたかく。", "「冬の新作」登場"]


def test_the_same_overlay_is_the_same_pixels() -> None:
    elements = [
        drawn(FRAME, "ja", text=TEXTS["ja"][0], size=9, lines=3, anchor="left"),
        drawn(FRAME, logo=LOGO_SVG, anchor="top-right"),
    ]
    pictures = [np.asarray(drawn_on(busy(SIZE), *elements)[0]) for _ in range(2)]
    assert (pictures[0] == pictures[1]).all()


def test_elements_are_drawn_in_order() -> None:
    one = drawn(FRAME, text="■", size=30, anchor="centre", colour="#FF0000")
    other = drawn(FRAME, text="■", size=30, anchor="centre", colour="#0000FF")
    picture, _ = drawn_on(Image.new("RGB", SIZE, "#FFFFFF"), one, other)
    assert picture.getpixel((200, 200)) == (0, 0, 255)


def test_a_small_logo_is_enlarged_and_that_is_said() -> None:
    small = Image.new("RGBA", (20, 10), "#112233")
    buffer = io.BytesIO()
    small.save(buffer, "PNG")
    picture = Image.new("RGB", SIZE, "#FFFFFF")
    files = Files(buffer.getvalue())
    told = painted(picture, drawn(FRAME, logo=buffer.getvalue(), anchor="centre", width=50), files=files)
    assert told.remarks == [("a logo has too few pixels and is enlarged", "20 x 10 to 200 x 100 pixels")]
    assert told.contrast is None


def test_a_file_that_was_changed_fails_this_asset_for_now() -> None:
    def changed(file: DrawnFile) -> bytes:
        raise ChangedReference(file.uri, "", "the image has changed since the plan was made", "plan again")

    with pytest.raises(FinishingError) as caught:
        painted(Image.new("RGB", SIZE), drawn(FRAME, text="x", anchor="top"), files=changed)  # type: ignore[arg-type]
    assert caught.value.reason is Reason.REFERENCE_CHANGED
    assert not caught.value.final


def test_without_raqm_one_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inference.finishing.typesetting.features.check", lambda name: False)
    with pytest.raises(NoShaping, match="install libfribidi"):
        place(text="x", anchor="top")


def test_a_letter_that_cannot_be_drawn_is_told_as_its_font(monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged(*_: Any, **__: Any) -> None:
        raise OSError("invalid outline")

    monkeypatch.setattr(ImageFont.FreeTypeFont, "getbbox", damaged)
    with pytest.raises(FinishingError, match=r"cannot write 'Hg' \(invalid outline\); save the font again") as caught:
        place(text="Hg", size=10, anchor="top")
    assert (caught.value.reason, caught.value.final) == (Reason.REFERENCE_INVALID, True)
