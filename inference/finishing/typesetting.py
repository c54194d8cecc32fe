"""A text as lines of a font at the largest size that fits into its room."""

from __future__ import annotations

import atexit
import math
import shutil
import tempfile
import threading
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from itertools import pairwise
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, features

from catalogs.campaigns.drawn_overlay import DrawnText
from catalogs.errors import EngineError, one_line
from catalogs.references.fonts import BadFont, FontFile, read_font
from catalogs.requests import Reason
from inference.finishing.encode import FinishingError
from inference.finishing.line_breaks import evened, parted_words, wrapped
from inference.quality.box import Box

LEADING = 1.22
"""From line to line, in sizes of the text, where nothing reaches further."""

_LEAST_GAP = 0.08  # between the ink of two lines, in sizes
_STEP = 1.025  # between one size that is tried and the next
_LEAST_FOR_WORDS = 0.75  # of the largest size that fits: no smaller for the sake of words
_LEAST_PIXELS = 6.0  # below it nothing can be read
_FROM_RIGHT = frozenset(("R", "AL"))
_LANGUAGES_FROM_RIGHT = frozenset(("ar", "ckb", "dv", "fa", "he", "ps", "sd", "ug", "ur", "yi"))
_REFERENCE = "Hx"  # the height that a line has whatever stands in it
_SHOWN = 60


class TextDoesNotFit(FinishingError):
    """A text is too long for its room."""

    reason = Reason.TEXT_DOES_NOT_FIT


class MissingGlyph(FinishingError):
    """A font lacks a character of its text."""

    reason = Reason.MISSING_GLYPH


class BadFontFile(FinishingError):
    """A font cannot be written with."""

    reason = Reason.REFERENCE_INVALID


class NoShaping(EngineError):
    """Letters can neither be joined nor ordered on this machine."""


@dataclass(frozen=True)
class SetLine:
    """One line, by the left end of its baseline in pixels of the frame.

    Attributes:
        ink: what it covers.
    """

    text: str
    left: float
    baseline: float
    ink: Box


@dataclass(frozen=True)
class SetText:
    """A text that is set.

    Attributes:
        size: of the font, in pixels.
        box: of all its lines, which the room's edges and a badge keep their distance from.
    """

    lines: tuple[SetLine, ...]
    face: ImageFont.FreeTypeFont
    size: float
    box: Box
    direction: str
    language: str

    def draw(self, picture: Image.Image, colour: str) -> None:
        """Write it onto an RGB picture.

        Raises:
            BadFontFile: a letter is damaged.
        """
        canvas = ImageDraw.Draw(picture)
        for line in self.lines:
            with _letters(line.text):
                canvas.text(
                    (line.left, line.baseline),
                    line.text,
                    fill=colour,
                    font=self.face,
                    anchor="ls",
                    direction=self.direction,
                    language=self.language or None,
                )


def set_text(
    element: DrawnText, font: bytes, frame: tuple[int, int], room: Box, padding: tuple[float, float]
) -> SetText:
    """A text as large as fits into its room.

    Args:
        font: its font's bytes.
        frame: width and height in pixels.
        room: in pixels of the frame.
        padding: at both sides, and above and below, in sizes of the text.

    Raises:
        TextDoesNotFit: not even at its least size.
        MissingGlyph: the font lacks a character.
        BadFontFile: it is no font, or a letter of it is damaged.
        NoShaping: this machine cannot shape letters.
    """
    _refuse_no_shaping()
    path, checked = _font_of(element.font.sha256, font)
    if lacking := checked.lacking(element.text):
        named = ", ".join(f"{mark!r} (U+{ord(mark):04X})" for mark in lacking[:5])
        raise MissingGlyph(f"{checked.family} has no {named} of {_shown(element.text)}")
    with _letters(element.text):
        return _largest(element, path, frame, room, padding)


def _largest(
    element: DrawnText, path: Path, frame: tuple[int, int], room: Box, padding: tuple[float, float]
) -> SetText:
    sizes = _sizes(element, min(frame))
    tried = partial(_at_size, element, path, room, padding, _lengths(element, path, sizes[0]))
    low, high = 0, len(sizes)  # by bisection the first that fits
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if tried(sizes[middle]) else (middle + 1, high)
    # Lines that are even may reach further up or down, by an accent, say.
    fits = filter(None, (tried(size, True) or tried(size) for size in sizes[low:]))
    best = next(fits, None)
    if best is None:
        where = f"{room.width:.0f} x {room.height:.0f} px in {element.lines} lines at {sizes[-1]:.0f} px"
        fix = "shorten it, give it more room or lines, or a smaller min_size"
        raise TextDoesNotFit(f"{_shown(element.text)} does not fit into {where}; {fix}")
    return _with_whole_words(best(), fits)


@contextmanager
def _letters(text: str) -> Iterator[None]:
    """A font is tried with one letter when it is checked: what FreeType says of others is told like that."""
    try:
        yield
    except (OSError, ValueError, MemoryError, Image.DecompressionBombError) as error:
        problem = one_line(str(error)) or type(error).__name__
        raise BadFontFile(f"a font cannot write {_shown(text)} ({problem}); save the font again") from error


def _with_whole_words(largest: SetText, smaller: Iterable[Callable[[], SetText]]) -> SetText:
    """A text a little smaller, where its lines then part fewer words."""
    best, least = largest, parted_words([line.text for line in largest.lines])
    for place in smaller if least else ():
        tried = place()
        if tried.size < _LEAST_FOR_WORDS * largest.size or not least:
            break
        if (parted := parted_words([line.text for line in tried.lines])) < least:
            best, least = tried, parted
    return best


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}...")


def _refuse_no_shaping() -> None:
    if not features.check("raqm"):
        problem = "texts of overlays need Pillow with raqm, and this machine's has none"
        raise NoShaping(f"{problem}; install libfribidi (Debian: libfribidi0) and a wheel of Pillow")


def _sizes(element: DrawnText, shorter: int) -> list[float]:
    """What is tried, largest first, in pixels."""
    most, least = (max(_LEAST_PIXELS, share / 100 * shorter) for share in (element.size, element.min_size))
    count = math.ceil(math.log(most / least) / math.log(_STEP)) if most > least else 0
    steps = [most * (least / most) ** (i / count) for i in range(count + 1)] if count else [most]
    return list(dict.fromkeys(round(size * 4) / 4 for size in steps))


def _lengths(element: DrawnText, path: Path, size: float) -> Callable[[str], float]:
    """How long a line is, in sizes of the text: shaped once and not at every size that is tried."""
    face = _face(path, size)
    length = partial(face.getlength, direction=_direction(element), language=element.language or None)
    return cache(lambda line: length(line) / size)


def _direction(element: DrawnText) -> str:
    return "rtl" if is_right_to_left(element.text, element.language) else "ltr"


def _at_size(
    element: DrawnText,
    path: Path,
    room: Box,
    padding: tuple[float, float],
    length_of: Callable[[str], float],
    size: float,
    even: bool = False,
) -> Callable[[], SetText] | None:
    """What places a text at a size, None where it does not fit."""
    face, direction, language = _face(path, size), _direction(element), element.language or None
    inner = room.width - 2 * padding[0] * size
    lines = wrapped(element.text, inner / size, element.lines, length_of)
    if lines is None:
        return None
    if even:
        lines = evened(element.text, inner / size, length_of)
    inks = [face.getbbox(line, anchor="ls", direction=direction, language=language) for line in lines]
    if max(ink[2] - ink[0] for ink in inks) > inner:
        return None
    rise, baselines, fall = _baselines(face, size, inks, padding[1] > 0)
    height = rise + baselines[-1] + fall
    if height > room.height - 2 * padding[1] * size:
        return None
    content, look = (lines, baselines), (face, size, direction)
    return partial(_placed, element, content, look, room, padding, (rise, height))


Inks = list[tuple[float, float, float, float]]


def _baselines(
    face: ImageFont.FreeTypeFont, size: float, inks: Inks, is_framed: bool
) -> tuple[float, list[float], float]:
    """How far the first line rises above its baseline, every baseline below that, and how far the last one falls.

    Lines stand where they would whatever letters are in them, so that a row of pictures has them in one place; but
    what reaches further than Latin letters do has its room.
    """
    _, top, _, _ = face.getbbox(_REFERENCE, anchor="ls")
    _, _, _, bottom = face.getbbox("g", anchor="ls")
    baselines = [0.0]
    for above, below in pairwise(inks):
        baselines.append(baselines[-1] + max(LEADING * size, above[3] - below[1] + _LEAST_GAP * size))
    rise = max(-top, -inks[0][1])
    fall = max(0.0 if is_framed else bottom, inks[-1][3])
    return rise, baselines, fall


def _placed(
    element: DrawnText,
    content: tuple[list[str], list[float]],
    look: tuple[ImageFont.FreeTypeFont, float, str],
    room: Box,
    padding: tuple[float, float],
    extent: tuple[float, float],
) -> SetText:
    """Lines at their places in the room; `extent` is how far the first rises, and the height of all."""
    (lines, baselines), (face, size, direction), (rise, height) = content, look, extent
    beside, above = padding[0] * size, padding[1] * size
    side = {"start": "left", "end": "right"}.get(element.align, element.align)
    if direction == "rtl" and element.align in ("start", "end"):
        side = "right" if element.align == "start" else "left"
    free = room.height - 2 * above - height
    top = room.top + above + {"top": 0.0, "bottom": free}.get(element.level, free / 2)
    done = []
    for text, baseline in zip(lines, baselines, strict=True):
        ink = _ink(face, text, direction, element.language)
        spare = room.width - 2 * beside - ink.width
        left = round(room.left + beside + {"left": 0.0, "right": spare}.get(side, spare / 2) - ink.left)
        down = round(top + rise + baseline)
        done.append(
            SetLine(text, left, down, Box(left + ink.left, down + ink.top, left + ink.right, down + ink.bottom))
        )
    box = Box(min(line.ink.left for line in done), top, max(line.ink.right for line in done), top + height)
    return SetText(tuple(done), face, size, box, direction, element.language)


def _ink(face: ImageFont.FreeTypeFont, line: str, direction: str, language: str) -> Box:
    """What a line covers, from the left end of its baseline; `getbbox` tells its advance with it."""
    mask, (across, down) = face.getmask2(line, "L", direction=direction, language=language or None, anchor="ls")
    left, top, right, bottom = mask.getbbox() or (0, 0, 0, 0)
    return Box(left + across, top + down, right + across, bottom + down)


def is_right_to_left(text: str, language: str = "") -> bool:
    """Whether a text is read from the right.

    In a language that is, it is where any letter is, or none says (a price): it may begin with the name of a brand.
    In others its first letter that says decides.
    """
    said = [way in _FROM_RIGHT for way in map(unicodedata.bidirectional, text) if way in _FROM_RIGHT or way == "L"]
    if language.lower().replace("_", "-").partition("-")[0] in _LANGUAGES_FROM_RIGHT:
        return any(said) or not said
    return bool(said) and said[0]


_FONTS_LOCK = threading.Lock()
_FONTS: dict[str, tuple[Path, FontFile]] = {}


def _font_of(sha256: str, data: bytes) -> tuple[Path, FontFile]:
    """A font as a file of this process, by content: of an open file Pillow keeps a copy a size."""
    with _FONTS_LOCK:
        if sha256 not in _FONTS:
            try:
                checked = read_font(data)
            except BadFont as bad:
                raise BadFontFile(f"a font cannot be used: {bad}") from None
            path = _folder() / sha256
            path.write_bytes(data)
            _FONTS[sha256] = (path, checked)
        return _FONTS[sha256]


@cache
def _folder() -> Path:
    folder = tempfile.mkdtemp(prefix="packshot-fonts-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


@lru_cache(maxsize=128)
def _face(path: Path, size: float) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.RAQM)
