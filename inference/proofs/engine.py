"""The proof engine: a labelled layout proof drawn from the request alone, with no model.

A proof is what a team reviews before it spends GPU hours: the reference photo on a backdrop of the
palette, the copy of the prompt, swatches, size and seed. It says PROOF across the picture.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL
from PIL import Image, features

from catalogs.errors import ReferenceImageError, UserError
from catalogs.requests import Reason, Reference, RenderRequest
from inference.engine import Engine, Failed, LoadReference, Rendered, failed_reference
from inference.proofs.lettering import SHAPED, font, legible, wrapped, write
from inference.proofs.staging import (
    INK,
    WHITE,
    Box,
    Colour,
    backdrop,
    contained,
    flattened,
    inset,
    mix,
    place,
    place_card,
    rounded,
    shadow,
    size_of,
    stamp,
    stands_on_white,
    unstamped,
)

PROOF_REVISION = "3"
"""Stands for the model revision in a proof's fingerprint: raise it when the drawing changes, and say below why."""

PROOF_CHANGES = "they show every script, the colours of the photo, and the ground that a shot asks for"
"""What this revision draws otherwise than the one before, for the plan that draws all proofs anew."""

PAPER: Colour = (252, 251, 249)
GREY: Colour = (122, 123, 130)
RULE: Colour = (226, 224, 219)
NEUTRAL: Colour = (205, 200, 191)

NEARLY_WHITE = 250
"""The least level of a channel from which people see a ground as white."""

SMALL_SIDE = 240
"""Short side in pixels below which there is room for the picture and the mark only."""

MARK = "PROOF"
MAX_TEXT = 600
MAX_SWATCHES = 6
FIELDS = ("lighting", "background", "composition", "style", "mood", "camera")
_HEX = re.compile(r"#([0-9A-Fa-f]{6})\b")
_WHITE = re.compile(r"\bwhite\b(?! (?:wood|marble|brick|tile|linen|stone))", re.IGNORECASE)
_BINDING = re.compile(r"\b(?:strictly )?in colou?r (?=#[0-9A-Fa-f]{6}\b)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Copy:
    """What a proof shows of a prompt: a title, labelled lines and the palette."""

    title: str
    lines: tuple[tuple[str, str], ...]
    palette: tuple[Colour, ...]
    backdrop: Colour


@dataclass(slots=True)
class Picture:
    """A reference image with its role and the number the prompt knows it by.

    It is loaded where it is drawn: of photos of a hundred megapixels only one is in memory.
    """

    read: Callable[[], Image.Image]
    role: str
    number: int
    is_read: bool = False

    def load(self) -> Image.Image:
        """The pixels, RGB; raises what reading raises."""
        self.is_read = True
        return self.read()


class ProofEngine(Engine):
    """Draws proofs; implements `inference.engine.Engine`. The same request gives the same pixels."""

    name = "proof"

    def __init__(self, load_reference: LoadReference) -> None:
        shaping = features.version("raqm") if SHAPED else None
        self.versions = {"proof": PROOF_REVISION, "pillow": PIL.__version__, "raqm": shaping or "none"}
        self._load = load_reference

    def bucket(self, request: RenderRequest) -> tuple[int, int]:
        return request.width, request.height

    def batch_size(self, request: RenderRequest) -> int:
        return 8

    def render(self, batch: Sequence[RenderRequest]) -> list[Rendered | Failed]:
        return [self._render(request, len(batch)) for request in batch]

    def _render(self, request: RenderRequest, batch_size: int) -> Rendered | Failed:
        start = time.perf_counter()
        try:
            pixels = self._drawn(request)
        except ReferenceImageError as error:
            return failed_reference(request, error)
        except FileNotFoundError as error:
            return Failed(request, Reason.REFERENCE_MISSING, _one_line(error), final=False)
        except (UserError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            return Failed(request, Reason.REFERENCE_INVALID, _one_line(error), final=True)
        return Rendered(request, pixels, time.perf_counter() - start, batch_size)

    def _drawn(self, request: RenderRequest) -> npt.NDArray[np.uint8]:
        numbered = enumerate(request.references, start=1)
        pictures = [Picture(partial(self._read, ref), "shot" if ref.is_render else ref.role, i) for i, ref in numbered]
        drawn = np.array(draw_proof(request, pictures))
        for picture in pictures:
            if not picture.is_read:  # there is no room for it, and it may still be one that cannot be used
                picture.load()
        return drawn

    def _read(self, reference: Reference) -> Image.Image:
        image = flattened(self._load(reference))
        if not reference.is_render:
            return image
        # Another shot's master is itself a proof: its stage is the picture, its panel and its mark are not.
        stage, _ = layout(*image.size)
        return unstamped(image.crop(stage), MARK)


def draw_proof(request: RenderRequest, pictures: Sequence[Picture]) -> Image.Image:
    """The proof of one request as an RGB picture of its size."""
    copy = read_copy(request.prompt)
    width, height = request.width, request.height
    canvas = Image.new("RGB", (width, height), PAPER)
    stage, panel = layout(width, height)
    unit = max(9.0, math.sqrt(width * height) * 0.0165)
    hero = _hero(pictures)
    _draw_stage(canvas, stage, copy, hero)
    if panel is None:
        _draw_strip(canvas, copy.palette)
    else:
        _draw_companions(canvas, stage, [p for p in pictures if p is not hero], unit)
        _draw_panel(canvas, panel, copy, request, unit)
    return canvas


def read_copy(prompt: str) -> Copy:
    """What to show of a prompt, compact JSON or prose."""
    try:
        fields = json.loads(prompt)
    except (ValueError, RecursionError):
        fields = None
    title, lines = _structured(fields) if isinstance(fields, dict) else _prose(prompt)
    fields = fields if isinstance(fields, dict) else {}
    palette = _colours(_text(fields.get("color_palette")), prompt)
    ground = _ground(_text(fields.get("background")))
    return Copy(
        title=title[:1].upper() + title[1:],
        lines=tuple((name, value) for name, value in lines if value),
        palette=palette,
        backdrop=ground or _light(palette[0] if palette else NEUTRAL),
    )


def _structured(fields: dict[str, Any]) -> tuple[str, list[tuple[str, str]]]:
    subjects = fields.get("subjects")
    subject = subjects[0] if isinstance(subjects, list) and subjects else fields.get("subject")
    if isinstance(subject, dict):
        subject = subject.get("description") or subject.get("type")
    lines = [("subject", _plain(subject)), *((name, _plain(fields.get(name))) for name in FIELDS)]
    scene = _plain(fields.get("scene"))
    return (scene, lines) if scene else (lines[0][1], lines[1:])


def _prose(prompt: str) -> tuple[str, list[tuple[str, str]]]:
    first, _, rest = _plain(prompt).partition(". ")
    return first, [("prompt", rest)]


def _colours(*texts: str) -> tuple[Colour, ...]:
    found = dict.fromkeys(code.upper() for text in texts for code in _HEX.findall(text))
    return tuple((int(c[:2], 16), int(c[2:4], 16), int(c[4:], 16)) for c in list(found)[:MAX_SWATCHES])


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(filter(None, (_setting(str(key), _text(item)) for key, item in value.items())))
    if isinstance(value, list):
        return ", ".join(filter(None, map(_text, value)))
    return "" if value is None else str(value)


def _setting(key: str, value: str) -> str:
    """A camera setting with its unit; other values speak for themselves."""
    if value and key.endswith("-mm"):
        return f"{value} mm"
    return f"{key} {value}" if key == "ISO" else value


def _plain(value: Any) -> str:
    """One line for people, in letters that the font has."""
    return legible(_BINDING.sub("in ", _text(value))[:MAX_TEXT])


def _ground(asked: str) -> Colour | None:
    """The ground that a shot asks for: by a colour, or as white; None where it names neither."""
    named = _colours(asked)
    return named[0] if named else WHITE if _WHITE.search(asked) else None


def _light(colour: Colour) -> Colour:
    """A backdrop of a colour that the shot names, yet not for the ground: so light that it claims nothing."""
    brightness = sum(colour) / 3
    if brightness >= 200:
        return colour
    return mix(colour, WHITE, min(0.85, 0.45 + (200 - brightness) / 350))


def layout(width: int, height: int) -> tuple[Box, Box | None]:
    """Stage for the picture, panel for the copy: beside it where the picture is wide, else below."""
    if min(width, height) < SMALL_SIDE:
        return (0, 0, width, height), None
    if width > 1.25 * height:
        edge = max(round(width * 0.6), width - round(height * 1.1))
        return (0, 0, edge, height), (edge, 0, width, height)
    edge = height - round(min(height * 0.36, width * 0.42))
    return (0, 0, width, edge), (0, edge, width, height)


def _hero(pictures: Sequence[Picture]) -> Picture | None:
    order = {"hero": 0, "shot": 1, "logo": 3}
    return min(pictures, key=lambda picture: (order.get(picture.role, 2), picture.number), default=None)


def _draw_stage(canvas: Image.Image, stage: Box, copy: Copy, hero: Picture | None) -> None:
    is_white = min(copy.backdrop) >= NEARLY_WHITE
    canvas.paste(WHITE if is_white else backdrop(size_of(stage), copy.backdrop), stage)
    if hero is None:
        _draw_placeholder(canvas, stage, copy)
        stamp(canvas, stage, MARK)
        return
    image = hero.load()
    # As it is, whatever the backdrop: people judge by its colours. One on white has room around it already.
    box = inset(stage, 0.06 if stands_on_white(image) else 0.12)
    if is_white and stands_on_white(image, NEARLY_WHITE):
        place(canvas, box, image)  # where the photo ends nobody sees, as in the picture that is asked for
    else:
        place_card(canvas, box, image)
    stamp(canvas, stage, MARK)


def _draw_placeholder(canvas: Image.Image, stage: Box, copy: Copy) -> None:
    """Where no reference is given: the palette as a still life of discs."""
    colours = (copy.palette or (NEUTRAL,))[:3]
    short = min(size_of(stage))
    middle = ((stage[0] + stage[2]) // 2, (stage[1] + stage[3]) // 2)
    spots = ((-0.02, -0.04, 0.52), (0.2, 0.14, 0.26), (-0.24, 0.2, 0.16))
    for colour, (x, y, diameter) in zip(colours, spots, strict=False):
        side = max(2, round(short * diameter))
        corner = (middle[0] + round(short * x) - side // 2, middle[1] + round(short * y) - side // 2)
        canvas.paste(backdrop((side, side), colour), corner, rounded((side, side), side // 2))


def _draw_companions(canvas: Image.Image, stage: Box, pictures: Sequence[Picture], unit: float) -> None:
    """The other references as small cards at the stage's lower left, named as in the prompt."""
    side, gap = round(unit * 5.5), round(unit * 0.9)
    x, y = stage[0] + round(unit * 1.6), stage[3] - side - round(unit * 1.6)
    for picture in pictures:
        if x + side > stage[2] - gap:
            break
        shadow(canvas, (x, y), (side, side), max(2, side // 12))
        card = Image.new("RGB", (side, side), WHITE)
        label = round(unit * 1.2)
        thumb = contained(picture.load(), (side - gap, side - gap - label))
        card.paste(thumb, ((side - thumb.width) // 2, (side - label - thumb.height) // 2 + 1))
        text = legible(f"image {picture.number} · {picture.role}")
        write(card, (gap // 2, side - label - gap // 4), text, unit * 0.62, GREY, side - gap)
        canvas.paste(card, (x, y), rounded((side, side), max(2, side // 12)))
        x += side + gap


def _draw_panel(canvas: Image.Image, panel: Box, copy: Copy, request: RenderRequest, unit: float) -> None:
    canvas.paste(PAPER, panel)
    thick, is_beside = max(1, round(unit / 16)), panel[1] == 0
    canvas.paste(
        RULE, (panel[0], panel[1], *((panel[0] + thick, panel[3]) if is_beside else (panel[2], panel[1] + thick)))
    )
    left, top, right, bottom = inset(panel, round(unit * 1.7) / min(size_of(panel)))
    bottom = _draw_footer(canvas, (left, top, right, bottom), request, unit)
    bottom = _draw_swatches(canvas, (left, top, right, bottom), copy.palette, unit)
    accent = max(copy.palette, key=lambda colour: max(colour) - min(colour), default=INK)
    canvas.paste(accent, (left, top, left + round(unit * 2.2), top + max(2, round(unit * 0.22))))
    top += round(unit * 0.9)
    most = 4 if is_beside else 2
    room = max(0, int((bottom - top) / (unit * 2)))
    for line in wrapped(copy.title, font(unit * 1.45), right - left, min(most, room)):
        write(canvas, (left, top), line, unit * 1.45, INK, right - left, copy.title)
        top += round(unit * 2)
    fields = (left, top + round(unit * 0.9), right, bottom - round(unit * 0.6))
    _draw_fields(canvas, fields, copy.lines, unit)


def _draw_fields(canvas: Image.Image, box: Box, lines: Iterable[tuple[str, str]], unit: float) -> None:
    """Labelled lines in as many columns as fit, until the room ends."""
    gap = round(unit * 1.8)
    columns = max(1, int((box[2] - box[0] + gap) / (unit * 19 + gap)))
    width = (box[2] - box[0] - gap * (columns - 1)) // columns
    tops = [box[1]] * columns
    for name, value in lines:
        column = tops.index(min(tops))
        left, top = box[0] + column * (width + gap), tops[column]
        texts = wrapped(value, font(unit * 0.92), width, 3 if columns == 1 else 2)
        height = unit * (1.15 + 1.25 * len(texts))
        if top + height > box[3]:
            tops[column] = box[3]
            continue
        write(canvas, (left, top), name.upper(), unit * 0.66, GREY, width)
        for i, text in enumerate(texts):
            write(canvas, (left, top + round(unit * (1.05 + 1.25 * i))), text, unit * 0.92, INK, width, value)
        tops[column] += round(height + unit * 0.65)


def _draw_swatches(canvas: Image.Image, box: Box, palette: Sequence[Colour], unit: float) -> int:
    """Swatches with their codes above the box's bottom; returns the new bottom."""
    side, step = round(unit * 1.7), round(unit * 6.6)
    x, y = box[0], box[3] - side
    if not palette or y - box[1] < unit * 4:
        return box[3]
    for colour in palette:
        if x + step > box[2] + round(unit):
            break
        outline = mix(colour, INK, 0.15)
        canvas.paste(Image.new("RGB", (side, side), outline), (x, y), rounded((side, side), side // 2))
        inner = (side - 2, side - 2)
        canvas.paste(Image.new("RGB", inner, colour), (x + 1, y + 1), rounded(inner, inner[0] // 2))
        code = "#{:02X}{:02X}{:02X}".format(*colour)
        write(canvas, (x + side + round(unit * 0.5), y + round(unit * 0.3)), code, unit * 0.78, INK, step)
        x += step
    return y - round(unit * 0.5)


def _draw_footer(canvas: Image.Image, box: Box, request: RenderRequest, unit: float) -> int:
    """A rule, then what identifies the picture; returns the new bottom."""
    size = unit * 0.78
    y = box[3] - round(unit * 0.9)
    if y - box[1] < unit * 3:
        return box[3]
    line = y - round(unit * 0.75)
    canvas.paste(RULE, (box[0], line, box[2], line + max(1, round(unit / 16))))
    pixels = f"{request.width} x {request.height}"
    wide = round(font(size).getlength(pixels))
    write(canvas, (box[2] - wide, y), pixels, size, INK, wide + 1)
    made = f"Layout proof, not a render · seed {request.seed} · take {request.take}"
    write(canvas, (box[0], y), made, size, GREY, box[2] - box[0] - wide - round(unit))
    return y - round(unit * 1.3)


def _draw_strip(canvas: Image.Image, palette: Sequence[Colour]) -> None:
    height = max(2, canvas.height // 16)
    for i, colour in enumerate(palette):
        left, right = (round(canvas.width * n / len(palette)) for n in (i, i + 1))
        canvas.paste(colour, (left, canvas.height - height, right, canvas.height))


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
