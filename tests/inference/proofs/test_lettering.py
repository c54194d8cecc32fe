"""Titles of the world on a proof: each has its letters, and what the font lacks is seen as such."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from PIL import Image

from inference.proofs.lettering import (
    BOX,
    SHAPED,
    font,
    in_order,
    is_covered,
    is_right_to_left,
    legible,
    wrapped,
    write,
)

TITLES = {
    "German": "Größenverstellbarer Rucksack für Überflieger, ẞ",
    "French": "Sac à dos « Forêt légère », œillets dorés, ÿ – 79,00 €",
    "Polish": "Żółta łódź, ćwiartka źdźbła",
    "Turkish": "İğne oyası, ıhlamur şalı",
    "Vietnamese": "Túi xách nữ dây đeo chéo bằng vải",
    "Greek": "Ελληνική τσάντα ταξιδίου",
    "polytonic": "ἀρχῇ τῶν ὡρῶν",
    "Russian": "Рюкзак «Северный ветер», ёмкость 30 л",
    "Ukrainian": "Сумка з ґудзиками, їжак",
    "Serbian": "Ђачка торба, љубичаста",
    "Arabic": "حقيبة ظهر جلدية للسفر ٢٠٢٦",
    "Persian": "کوله‌پشتی چرمی گران‌بها",
    "Urdu": "چمڑے کا بیگ ٹیلہ",
    "Hebrew": "תיק גב עור לנסיעות",
    "Hindi": "हिमालय यात्रा बैग, क्षत्रिय संस्करण ₹",
    "Thai": "กระเป๋าเป้สะพายหลังกันน้ำ ฿",
    "Georgian": "ქართული ჩანთა",
    "Armenian": "Հայկական պայուսակ",
    "Bengali": "চামড়ার ব্যাগ",
    "Tamil": "தோல் பை",
    "Japanese": "東京モデル リュックサック(防水)ー「限定」",
    "half-width Japanese": "ﾘｭｯｸｻｯｸ １２３",
    "Korean": "서울 백팩 프리미엄 방수 가방, ₩",
    "Chinese, simplified": "户外旅行双肩背包,防水透气【新款】",
    "Chinese, traditional": "臺灣製後背包,防潑水《限量》",
    "emoji": "Bag 🎒✨ 👟❤️ 🧵",
    "signs": "½ × ≥ → ★ ™ ® № ° µ “x” ‘y’ … •",
}
LACKING = {
    "cuneiform": "𒀀",
    "a rare ideograph": "\u9f98",
    "private use": "\ue000",
    "Tibetan": "\u0f40",
    "new": "\U0001faea",
}


def drawn(text: str, room: int = 900, whole: str = "") -> np.ndarray:
    """Where there is ink."""
    canvas = Image.new("RGB", (room, 80), "white")
    write(canvas, (0, 10), text, 32, (0, 0, 0), room, whole)
    return np.asarray(canvas.convert("L")) < 128


def edges(ink: np.ndarray) -> tuple[int, int]:
    columns = np.flatnonzero(ink.any(axis=0))
    return int(columns[0]), int(columns[-1])


@pytest.mark.parametrize("title", TITLES.values(), ids=TITLES)
def test_a_title_of_any_script_has_all_its_letters(title: str) -> None:
    line = legible(title)
    assert BOX not in line
    unseen = frozenset("\u200c\u200d")
    assert [hex(ord(mark)) for mark in line if not is_covered(mark) and mark not in unseen] == []
    # The file has what the list says: no letter looks like the one that stands for none.
    nothing = bytes(font(32).getmask("\U000effff"))
    letters = {mark for mark in line if unicodedata.category(mark)[0] in "LNS"}
    assert [mark for mark in letters if bytes(font(32).getmask(mark)) == nothing] == []
    assert drawn(line).sum() > 100


@pytest.mark.parametrize("mark", LACKING.values(), ids=LACKING)
def test_what_the_font_lacks_is_a_box_with_its_code_point(mark: str) -> None:
    line = legible(f"Bag {mark} red")
    shown = f"{BOX}{ord(mark):04X}" if mark.isprintable() else ""
    assert line == " ".join(f"Bag {shown} red".split())
    if shown:
        assert drawn(shown).sum() > drawn(shown[1:]).sum() + 40, "the box itself is seen"


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("e\u0301te\u0301", "été"),
        ("a\u202eb\u2066c", "abc"),
        ("a\u0000b\tc\nd", "a b c d"),
        ("\ud800x", "?x"),
        ("  two   words ", "two words"),
        ("❤\ufe0f", "❤"),
        ("", ""),
    ],
)
def test_a_line_is_one_line_of_letters(given: str, shown: str) -> None:
    assert legible(given) == shown


@pytest.mark.parametrize(
    ("text", "from_right"),
    [
        ("حقيبة Nike", True),
        ("Nike حقيبة", False),
        ("2026 תיק", True),
        ("30 л", False),
        ("123", False),
        ("", False),
        ("【新】", False),
    ],
)
def test_the_first_letter_says_how_a_text_is_read(text: str, from_right: bool) -> None:
    assert is_right_to_left(text) is from_right


def test_a_title_read_from_the_right_ends_at_the_right() -> None:
    left, right = edges(drawn("תיק גב"))
    assert right > 880
    assert left > 500
    left, right = edges(drawn("Rucksack"))
    assert left < 20
    # The second line of "Bench with ..." begins where the first does, though it holds no Latin letter.
    assert edges(drawn("תיק גב", whole="Bench with תיק גב"))[0] < 20


@pytest.mark.skipif(not SHAPED, reason="this Pillow has no raqm")
def test_letters_stand_in_the_order_they_are_read() -> None:
    # Alef is a stroke, shin is wide: the first letter is the right one.
    both = drawn("אש", room=120)
    alone = drawn("א", room=120)
    column = edges(alone)[0]
    assert np.array_equal(both[:, column:], alone[:, column:])
    # Arabic letters are joined: together they are narrower than apart.
    face = font(32)
    assert face.getlength("حقيبة") < 0.9 * sum(face.getlength(mark) for mark in "حقيبة")
    # A vowel sign of Hindi that is written before its letter is one cluster with it.
    assert edges(drawn("कि"))[1] > edges(drawn("क"))[1], "the sign stands before it"


@pytest.mark.parametrize(
    ("line", "seen"),
    [("אבג", "גבא"), ("plain", "plain"), ("אב 12", "12 בא"), ("a אב b", "a בא b"), ("אב Nike גד", "דג Nike בא")],
)
def test_without_raqm_a_line_is_ordered_all_the_same(line: str, seen: str) -> None:
    assert in_order(line, is_right_to_left(line)) == seen


@pytest.mark.parametrize("title", TITLES.values(), ids=TITLES)
def test_lines_keep_to_their_room_and_lose_no_letter(title: str) -> None:
    line, face = legible(f"{title} {title}"), font(24)
    lines = wrapped(line, face, 150, 99)
    assert all(face.getlength(one) <= 150 for one in lines)
    assert "".join("".join(lines).split()) == "".join(line.split())
    assert not any(unicodedata.category(one[0]) in ("Mn", "Me") for one in lines), "a mark stays with its letter"


def test_a_line_is_as_high_as_one_of_latin() -> None:
    ascent, descent = font(100).getmetrics()
    assert (ascent, descent) == (pytest.approx(107, abs=1), pytest.approx(30, abs=1))
