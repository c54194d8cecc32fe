"""Drawn product photos and logos for the sample catalog: soft studio light, no file from outside.

Coordinates are shares of the full picture, x to the right and y down; a `Studio` shows a square
window of it, so that a detail is the same drawing from nearer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from catalogs.sample.shapes import Point, ellipse, outline, rounded, spline, stroke
from catalogs.sample.studio import Field, Studio, barrel

Mark = Callable[[float, float, float], list[list[Point]]]


def mug(studio: Studio, colour: str) -> None:
    """A stoneware mug with a raw foot and a speckled glaze."""
    left, right, top, foot = 0.27, 0.65, 0.33, 0.76
    studio.stand(left + 0.02, right, foot + 0.018)
    handle = studio.mask(
        ellipse(right - 0.005, 0.535, 0.150, 0.148), holes=[ellipse(right - 0.01, 0.535, 0.102, 0.104)]
    )
    across = np.hypot((studio.x - right) / 0.150, (studio.y - 0.535) / 0.148)
    studio.paint(handle, colour, 1.06 - 1.6 * (across - 0.80) ** 2 * 6 - 0.35 * (studio.y - 0.45))
    body = [(left, top), *spline_side(left, top, foot), *spline_side(right, top, foot)[::-1], (right, top)]
    light = barrel(studio, left, right, 0.20)
    studio.paint(studio.mask(body), colour, light)
    studio.paint(speckles(studio, 260, (left, top, right, foot), studio.mask(body)), "#4A4238", light, 0.55)
    raw = studio.mask([p for p in body if p[1] > foot - 0.035])
    studio.paint(raw, "#C9AE8C", light)
    rim = ellipse((left + right) / 2, top, (right - left) / 2, 0.043)
    studio.paint(studio.mask(rim), colour, 1.10)
    inside = ellipse((left + right) / 2, top + 0.003, (right - left) / 2 - 0.013, 0.035)
    studio.paint(studio.mask(inside), "#F3EEE2", 0.62 + 0.9 * np.clip(studio.x - left, 0, 0.4))
    coffee = ellipse((left + right) / 2, top + 0.022, 0.155, 0.028)
    clipped = Image.composite(studio.mask(coffee), Image.new("L", (studio.side,) * 2), studio.mask(inside))
    studio.paint(clipped, "#4B2E1E", 0.9 + 0.6 * np.clip(studio.x - 0.42, 0, 1))


def spline_side(x: float, top: float, foot: float) -> list[Point]:
    """One side of the mug, rounding in to the foot and on to the middle of its base."""
    middle, turn = 0.46, 0.065
    sign = 1 if x < middle else -1
    curve = ellipse(x + sign * turn, foot - turn, turn, turn, 180 if sign > 0 else 0, 90)
    return [
        (x, top + 0.02),
        *curve,
        *ellipse(middle, foot - 0.002, abs(middle - x) - turn, 0.022, 180 if sign > 0 else 0, 90),
    ]


def speckles(studio: Studio, count: int, box: tuple[float, float, float, float], within: Image.Image) -> Image.Image:
    """Dots at fixed random places inside a mask."""
    rng = np.random.default_rng(7)
    places = rng.uniform(box[:2], box[2:], (count, 2))
    sizes = rng.gamma(2.0, 0.0006, count) + 0.0005
    dots = studio.mask(
        *(ellipse(float(x), float(y), float(r), float(r)) for (x, y), r in zip(places, sizes, strict=True))
    )
    return Image.composite(dots, Image.new("L", dots.size), within)


def bottle(studio: Studio, colour: str) -> None:
    """An insulated steel bottle with a powder coat and a loop cap."""
    left, right, foot = 0.375, 0.625, 0.87
    studio.stand(left, right, foot - 0.004)
    light = barrel(studio, left, right, 0.30)
    shoulder = [(left + 0.0285 * (1 - float(np.cos(np.pi * t))), 0.39 - 0.12 * float(t)) for t in np.linspace(0, 1, 30)]
    side = [(left, foot - 0.025), *shoulder]
    body = [*side, *[(1 - x, y) for x, y in side[::-1]], *ellipse(0.5, foot - 0.025, 0.125, 0.025, 0, 180)]
    studio.paint(studio.mask(body), colour, light)
    ring = [(0.434, 0.272), (0.434, 0.252), (0.566, 0.252), *ellipse(0.5, 0.272, 0.066, 0.011, 0, 180)]
    studio.paint(studio.mask(ring), "#C8CBCC", barrel(studio, 0.434, 0.566, 0.5))
    loop = studio.mask(rounded(0.452, 0.115, 0.548, 0.24, 0.045), holes=[rounded(0.470, 0.134, 0.530, 0.30, 0.028)])
    studio.paint(loop, "#26282B", 1.0 + 0.9 * np.clip(0.50 - studio.x, -0.02, 0.06))
    cap = [
        (0.430, 0.245),
        (0.430, 0.19),
        *ellipse(0.5, 0.186, 0.070, 0.012, 180, 360),
        (0.570, 0.19),
        *ellipse(0.5, 0.247, 0.070, 0.012, 0, 180),
    ]
    studio.paint(studio.mask(cap), "#2E3034", barrel(studio, 0.43, 0.57, 0.25))
    seam = [
        *ellipse(0.5, foot - 0.070, 0.125, 0.025, 0, 180),
        *ellipse(0.5, foot - 0.064, 0.125, 0.025, 0, 180)[::-1],
    ]
    studio.paint(studio.mask(seam), "#1C1F1D", alpha=0.35)
    studio.paint(studio.mask(*leaf(0.478, 0.56, 0.055)), "#F4F1E8", light, 0.92)


def leaf(x: float, y: float, size: float) -> list[list[Point]]:
    """The house mark of Halden & Moss: two leaves."""

    def blade(turn: float) -> list[Point]:
        t = np.linspace(0, 1, 40)
        up, out = t * size * 1.7, np.sin(np.pi * t**0.8) * size * 0.40
        line = np.concatenate([np.stack([out, -up], -1), np.stack([-out, -up], -1)[::-1]])
        c, s = np.cos(turn), np.sin(turn)
        turned = line @ np.array([[c, s], [-s, c]])
        return [(x + float(px), y + float(py)) for px, py in turned]

    return [blade(-0.52), blade(0.52)]


def lamp(studio: Studio, colour: str) -> None:
    """A desk lamp: a dome shade on an arched brass stem."""
    studio.stand(0.34, 0.60, 0.855)
    base = [*ellipse(0.46, 0.835, 0.135, 0.028, 180, 360), *ellipse(0.46, 0.853, 0.135, 0.028, 0, 180)]
    studio.paint(studio.mask(base), colour, barrel(studio, 0.325, 0.595, 0.15) * 0.86)
    studio.paint(studio.mask(ellipse(0.46, 0.835, 0.135, 0.028)), colour, 1.04 - 0.5 * (studio.x - 0.40))
    turns = np.linspace(np.pi, 2 * np.pi, 60)
    arch = [(0.46, y) for y in np.linspace(0.83, 0.33, 40)] + [
        (0.53 + 0.07 * float(np.cos(t)), 0.33 + 0.10 * float(np.sin(t))) for t in turns
    ]
    stem = studio.mask(stroke(arch, 0.013))
    studio.paint(stem, "#B08D4C", 1.0 + 6 * np.clip(0.459 - studio.x, -0.05, 0.02))
    glow = studio.mask(outline("460,530 740,530 900,860 340,860")).reduce(4)
    soft = glow.filter(ImageFilter.GaussianBlur(0.03 / studio.span * studio.side / 4)).resize((studio.side,) * 2)
    studio.paint(soft, "#FFE9B0", alpha=0.42)
    studio.paint(studio.mask(ellipse(0.60, 0.535, 0.155, 0.026)), "#FFF3CF")
    dome = [*ellipse(0.60, 0.535, 0.155, 0.205, 180, 360), *ellipse(0.60, 0.535, 0.155, 0.012, 0, 180)]
    light = barrel(studio, 0.445, 0.755, 0.34) - 0.25 * np.clip(studio.y - 0.42, 0, 1)
    studio.paint(studio.mask(dome), colour, light)
    lip = [*ellipse(0.60, 0.535, 0.155, 0.012, 0, 180), *ellipse(0.60, 0.541, 0.153, 0.012, 0, 180)[::-1]]
    studio.paint(studio.mask(lip), "#FFF6DC")
    studio.paint(studio.mask(rounded(0.588, 0.305, 0.612, 0.338, 0.008)), "#B08D4C", barrel(studio, 0.588, 0.612, 0.5))


def candle(studio: Studio, colour: str) -> None:
    """A soy candle in coloured glass with a paper label."""
    left, right, top, foot = 0.31, 0.69, 0.40, 0.82
    studio.stand(left, right, foot + 0.004)
    light = barrel(studio, left, right, 0.5)
    glass = [*ellipse(0.5, top, 0.19, 0.036, 180, 360), *rounded_foot(left, right, foot)]
    studio.paint(studio.mask(glass), colour, light * (1.05 - 0.35 * np.clip((studio.y - 0.55) * 2, 0, 1)), 0.96)
    studio.paint(studio.mask(ellipse(0.5, top, 0.19, 0.036)), colour, 0.72)
    wax = studio.mask(ellipse(0.5, top + 0.030, 0.176, 0.031))
    within = studio.mask(ellipse(0.5, top + 0.004, 0.181, 0.031))
    wax = Image.composite(wax, Image.new("L", wax.size), within)
    warm = np.exp(-(((studio.x - 0.5) / 0.10) ** 2))
    studio.paint(wax, "#F6E6C4", 0.84 + 0.25 * warm)
    studio.paint(studio.mask(rounded(0.497, 0.372, 0.503, 0.415, 0.002)), "#2A211A")
    flame = outline("500,285 512,335 516,362 500,384 484,362 488,335")
    studio.paint(studio.mask(spline(flame)), "#FFB347")
    core = outline("500,322 508,356 500,378 492,356")
    studio.paint(studio.mask(spline(core)), "#FFF4CC")
    label = [
        (0.375, 0.535),
        *ellipse(0.5, 0.535, 0.125, 0.018, 180, 0),
        (0.625, 0.72),
        *ellipse(0.5, 0.72, 0.125, 0.018, 0, 180),
    ]
    studio.paint(studio.mask(label), "#F7F2E6", barrel(studio, left, right, 0.08))
    studio.paint(studio.mask(*leaf(0.5, 0.66, 0.038)), "#3F5B45", 1.0, 0.95)
    for y, half in ((0.690, 0.055), (0.705, 0.035)):
        studio.paint(studio.mask(stroke(ellipse(0.5, y, half, 0.008, 150, 30), 0.0035)), "#3F5B45", 1.0, 0.8)


def rounded_foot(left: float, right: float, foot: float) -> list[Point]:
    """The lower edge of a glass, right to left."""
    turn = 0.03
    middle = (left + right) / 2
    return [
        *ellipse(right - turn, foot - turn - 0.01, turn, turn, 0, 60),
        *ellipse(middle, foot - 0.012, (right - left) / 2 - turn, 0.022, 15, 165),
        *ellipse(left + turn, foot - turn - 0.01, turn, turn, 120, 180),
    ]


def tote(studio: Studio, colour: str) -> None:
    """A canvas tote with webbing handles and a printed wave."""
    studio.stand(0.27, 0.73, 0.853)
    for back, shift in ((True, 0.012), (False, 0.0)):
        arc = [
            (0.5 + shift + 0.105 * np.cos(t), 0.36 - (0.235 + shift) * np.sin(t) ** 0.9)
            for t in np.linspace(0.0, np.pi, 70)
        ]
        studio.paint(studio.mask(stroke(arc, 0.026)), "#2E4A62", 0.72 if back else 1.0 + 0.4 * (0.5 - studio.x))
    body = outline(
        "262,345 380,352 500,354 620,352 738,345 742,460 752,640 748,800 735,850 620,861 500,858 "
        "380,862 265,850 252,800 248,640 258,460"
    )
    mask = studio.mask(spline(body))
    fold = 0.045 * np.sin((studio.x * 11 + studio.y * 2.4) * 2.1) * np.clip((studio.y - 0.40) * 3, 0, 1)
    weave = 0.018 * np.sin(studio.x * 1400) * np.sin(studio.y * 1400) if studio.span < 0.6 else 0.0
    side = 1.03 - 0.16 * np.clip((studio.x - 0.45) * 3, -0.2, 1) ** 2 - 0.10 * np.clip((studio.y - 0.6) * 2, 0, 1)
    studio.paint(mask, colour, np.asarray(side + fold + weave, dtype=np.float32))
    hem = studio.mask(
        stroke(
            [(float(x), 0.388 - 0.006 * abs(float(x) - 0.5) / 0.24) for x in np.linspace(0.258, 0.742, 60)],
            0.0025,
        )
    )
    studio.paint(hem, "#8C7B60", alpha=0.6)
    for x in (0.395, 0.605):
        studio.paint(studio.mask(rounded(x - 0.013, 0.345, x + 0.013, 0.43, 0.003)), "#2E4A62", 1.04)
        studio.paint(studio.mask(stroke([(x - 0.008, 0.40), (x, 0.411), (x + 0.008, 0.422)], 0.002)), "#DCE4EA")
    studio.paint(studio.mask(*waves(0.5, 0.62, 0.115)), "#2E4A62", np.asarray(1.0 + fold, dtype=np.float32), 0.93)


def waves(x: float, y: float, size: float) -> list[list[Point]]:
    """The house mark of Tidewell: three waves under a sun."""
    lines = [ellipse(x, y - size * 0.62, size * 0.30, size * 0.30)]
    for row in range(3):
        across = np.linspace(-1, 1, 80)
        line = [
            (
                x + size * float(t),
                y + size * (0.05 + 0.34 * row) + size * 0.11 * float(np.sin(t * 2.5 * np.pi)),
            )
            for t in across
        ]
        lines.append(stroke(line, size * 0.115))
    return lines


def sneaker(studio: Studio, colour: str) -> None:
    """A low running shoe from the side, toe to the right."""
    studio.stand(0.13, 0.87, 0.700)
    upper = outline(
        "145,635 135,550 130,470 150,405 185,392 235,425 300,440 352,408 392,362 425,352 470,395 "
        "545,455 640,505 745,535 825,572 862,625 855,662 700,672 500,668 300,668 170,662"
    )
    inside = outline("165,410 200,385 300,390 400,352 430,362 370,420 300,455 220,440")
    studio.paint(studio.mask(spline(inside)), "#3C3A3A")
    mask = studio.mask(spline(upper))
    light = 1.16 - 0.75 * np.clip(studio.y - 0.42, 0, 1) - 0.22 * np.clip(studio.x - 0.62, 0, 1)
    mesh = 0.035 * np.sin(studio.x * 560) * np.sin(studio.y * 560)
    studio.paint(mask, colour, np.asarray(light + mesh, dtype=np.float32))

    _patches(studio, colour, mask, light)
    _laces(studio, colour)
    _sole(studio)


def _patches(studio: Studio, colour: str, upper: Image.Image, light: Field) -> None:
    def on_upper(shape: Sequence[Point], tone: str, alpha: float = 1.0, factor: float = 1.0) -> None:
        part = Image.composite(studio.mask(shape), Image.new("L", upper.size), upper)
        studio.paint(part, tone, np.asarray(light * factor, dtype=np.float32), alpha)

    on_upper(
        spline(outline("700,520 760,520 900,600 900,700 680,700 705,610")),
        colour,
        1.0,
        0.86,
    )
    on_upper(spline(outline("100,500 200,500 262,585 262,700 100,700")), "#2E4A62")
    on_upper(spline(outline("100,360 215,360 190,455 100,455")), "#F2EDE3")
    for shift in (0.0, 0.052):
        line = [(0.352 + shift + 0.10 * t, 0.655 - 0.165 * t + 0.05 * t * t) for t in np.linspace(0, 1, 30)]
        on_upper(stroke(line, 0.023), "#F2EDE3")


def _laces(studio: Studio, colour: str) -> None:
    tongue = outline("345,405 375,330 425,312 448,345 440,385 400,420")
    studio.paint(studio.mask(spline(tongue)), colour, 0.93)
    placket = outline("405,375 432,358 580,462 652,502 628,522 520,475")
    studio.paint(studio.mask(spline(placket)), "#F2EDE3", 0.97)
    for i in range(5):
        x, y = 0.438 + 0.042 * i, 0.378 + 0.0285 * i
        lace = [(x - 0.020, y + 0.030), (x, y + 0.002), (x + 0.024, y - 0.010)]
        studio.shade(studio.mask(stroke([(a, b + 0.005) for a, b in lace], 0.011)), 0.003, 0.35)
        studio.paint(studio.mask(stroke(lace, 0.0125)), "#FFFFFF", 0.98)


def _sole(studio: Studio) -> None:
    foam = outline(
        "118,625 150,638 300,652 500,648 700,648 830,632 875,610 898,628 880,672 800,700 600,707 "
        "400,707 200,707 128,690"
    )
    mask = studio.mask(spline(foam))
    studio.paint(mask, "#F5F1E8", np.asarray(1.03 - 2.4 * np.clip(studio.y - 0.655, 0, 1), dtype=np.float32))
    groove = [(float(x), 0.676 + 0.004 * float(np.sin(x * 60))) for x in np.linspace(0.135, 0.872, 120)]
    studio.paint(
        Image.composite(studio.mask(stroke(groove, 0.003)), Image.new("L", mask.size), mask),
        "#B9AF9C",
        alpha=0.8,
    )
    tread = outline("135,694 200,699 400,699 600,699 800,692 875,666 884,674 810,708 600,715 400,715 200,715 140,704")
    studio.paint(studio.mask(spline(tread)), "#B5764B", 0.95)


def logo(mark: Mark, name: str, colour: str, size: int = 1000) -> Image.Image:
    """A house mark over its name, on white."""
    studio = Studio(side=size)
    studio.light = np.full((size, size, 3), 255, dtype=np.float32)
    studio.paint(studio.mask(*mark(0.5, 0.46, 0.15)), colour)
    picture = studio.picture()
    font = ImageFont.load_default(size * 0.085)
    ImageDraw.Draw(picture).text((size / 2, size * 0.74), name, fill=colour, font=font, anchor="mm", stroke_width=1)
    return picture
