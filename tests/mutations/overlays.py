"""Fonts and logos damaged by a number and a seed, and what becomes of them on their way onto a picture.

python -m tests.mutations.overlays KIND SEED FIRST END     a line of JSON a file; all in this process
python -m tests.mutations.overlays RESULTS                 the table
"""

from __future__ import annotations

import hashlib
import io
import json
import random
import resource
import selectors
import struct
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from fontTools.fontBuilder import FontBuilder
from fontTools.pens.t2CharStringPen import T2CharStringPen
from fontTools.subset import Options, Subsetter
from fontTools.ttLib import TTFont
from PIL import Image

from catalogs.campaigns.drawn_overlay import DrawnBadge, DrawnFile, DrawnLogo, DrawnText, written
from catalogs.errors import PackshotError
from catalogs.references.fonts import BadFont, FontFile, read_font
from catalogs.references.overlay_files import logo_of
from inference.finishing import typesetting
from inference.finishing.overlay import paint
from tests.flows.drawn import ROOT
from tests.mutations.damaged_pictures import damaged as damaged_picture
from tests.overlay_sheet import FONT, LOGO_SVG

KINDS = ("fonts", "logos")
SECONDS = 70.0
"""Of the clock, for one file: a drawing may take twenty of the processor, twice, beside other work."""
MEMORY = 4 * 2**30

_TEXTS = {"en": "Made to last", "de": "Für ÄÖÜ", "ar": "صنع ليبقى", "hi": "मजबूत", "th": "ทนทาน"}
_LETTERS = "".join(_TEXTS.values()) + "ABCHxg0123456789 -.,"
_LIES = (0, 1, 2, 0x7F, 0x7FFF, 0x8000, 0xFFFF, 0xFFFFFF, 0x7FFFFFFF, 0xFFFFFFFF)
_LONG = 600  # characters that a line may have


@cache
def sound_fonts() -> tuple[bytes, ...]:
    """Latin, Arabic, Devanagari and Thai with their shaping tables; Latin alone; and one with CFF outlines."""
    return _subset(_LETTERS), _subset("Made to lsHg ABC"), _cff_font()


def _subset(letters: str) -> bytes:
    font, options = TTFont(io.BytesIO(FONT.read_bytes())), Options()
    options.layout_features = ["*"]
    cut = Subsetter(options)
    cut.populate(text=letters)
    cut.subset(font)
    return _bytes_of(font)


def _cff_font() -> bytes:
    letters = sorted(set("Made to lsHg ABC"))
    names = [".notdef", *(f"g{i}" for i in range(len(letters)))]
    pen = T2CharStringPen(600, None)
    pen.moveTo((0, 0))
    for corner in ((0, 700), (500, 700), (500, 0)):
        pen.lineTo(corner)
    pen.closePath()
    builder = FontBuilder(1000, isTTF=False)
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap({ord(mark): names[i + 1] for i, mark in enumerate(letters)})
    builder.setupCFF("Squares", {"FullName": "Squares"}, dict.fromkeys(names, pen.getCharString()), {})
    builder.setupHorizontalMetrics(dict.fromkeys(names, (600, 0)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": "Squares", "styleName": "Regular"})
    builder.setupPost()
    return _bytes_of(builder.font)


def _bytes_of(font: TTFont) -> bytes:
    buffer = io.BytesIO()
    font.save(buffer)
    return buffer.getvalue()


Change = Callable[[random.Random, bytearray], None]


def _directory(rng: random.Random, data: bytearray) -> None:
    """A lie where the font says how many tables it has, what they are called, where they lie and how long they are."""
    place = rng.choice((4, 12 + 4 * rng.randrange(4 * struct.unpack_from(">H", data, 4)[0])))
    form = ">H" if place == 4 else ">I"
    struct.pack_into(form, data, place, rng.choice(_LIES) & (2 ** (8 * struct.calcsize(form)) - 1))


def _within_a_table(rng: random.Random, data: bytearray) -> None:
    """Numbers of one table replaced, most often near its head, where counts and offsets are."""
    tables = struct.unpack_from(">H", data, 4)[0]
    _, _, offset, length = struct.unpack_from(">4sIII", data, 12 + 16 * rng.randrange(tables))
    for _ in range(rng.choice((1, 2, 8, 40))):
        form = rng.choice((">B", ">H", ">I"))
        reach = rng.choice((16, 64, length))
        place = min(offset + rng.randrange(max(1, min(reach, length))), len(data) - 4)
        value = rng.choice((*_LIES, rng.randrange(2**32)))
        struct.pack_into(form, data, place, value & (2 ** (8 * struct.calcsize(form)) - 1))


def _flipped(rng: random.Random, data: bytearray) -> None:
    for _ in range(rng.choice((1, 3, 20, 200))):
        data[rng.randrange(len(data))] = rng.randrange(256)


def _cut(rng: random.Random, data: bytearray) -> None:
    del data[rng.randrange(len(data)) :]


def _shifted(rng: random.Random, data: bytearray) -> None:
    place = rng.randrange(len(data))
    data[place:place] = rng.choice((b"\0", b"\xff\xff", rng.randbytes(30), bytes(data[:200])))


_OF_FONTS: tuple[Change, ...] = (_directory, *(4 * [_within_a_table]), _flipped, _cut, _shifted)

_HEAD = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 120 40">'
_DRAWINGS = (
    LOGO_SVG.decode(),
    f'{_HEAD}<defs><linearGradient id="a" x1="0" x2="1"><stop offset="0" stop-color="#f00"/><stop offset="1" '
    'stop-color="#00f" stop-opacity=".5"/></linearGradient></defs><rect width="120" height="40" rx="6" '
    'fill="url(#a)" stroke="#000" stroke-width="2" stroke-dasharray="4 2"/></svg>',
    f'{_HEAD}<defs><pattern id="p" width="8" height="8" patternUnits="userSpaceOnUse"><circle cx="4" cy="4" r="3"/>'
    '</pattern><clipPath id="c"><path d="M0 0L60 40 120 0z"/></clipPath></defs><g clip-path="url(#c)" '
    'transform="rotate(5) scale(.9)"><rect width="120" height="40" fill="url(#p)"/></g></svg>',
    f'{_HEAD}<defs><filter id="f" x="-1" y="-1" width="3" height="3"><feGaussianBlur stdDeviation="3"/><feOffset '
    'dx="2" dy="2"/><feTurbulence baseFrequency=".05" numOctaves="3"/></filter><mask id="m"><rect width="60" '
    'height="40" fill="#fff"/></mask></defs><g mask="url(#m)"><path filter="url(#f)" d="M10 10C40 0 80 40 110 10"/>'
    "</g></svg>",
    f'{_HEAD}<style>.k{{fill:#0a0;stroke:none}}</style><symbol id="s" viewBox="0 0 10 10"><path class="k" d="M0 0h10v'
    '10z"/></symbol><use href="#s" width="20" height="20"/><use xlink:href="#s" x="40" width="30" height="30"/></svg>',
)
_HOSTILE = (
    '<image href="file:///etc/passwd"/>',
    "<script>1</script>",
    '<use href="#s"/>',
    '<use href="#a"/>',
    "<text>A</text>",
    "<g><g><g><g>",
    "</g>",
    "<!DOCTYPE svg [<!ENTITY a 'a'>]>&a;",
    '<rect width="1e9" height="1e9" fill="url(#a)"/>',
    '<path stroke="#000" stroke-width="1e8" stroke-dasharray="1e-6" d="M0 0L1e7 1e7"/>',
    '<circle r="nan" cx="inf"/>',
    "\0\x01\ufffe",
    "<![CDATA[",
)
_NUMBERS = ("0", "-1", "1e-12", "1e9", "1e38", "1e309", "nan", "99999999999999999999", "", "50%", "1px", "-0.0001")


def _damaged_drawing(rng: random.Random) -> bytes:
    text = rng.choice(_DRAWINGS)
    for _ in range(rng.choice((1, 1, 2, 6))):
        how = rng.randrange(6)
        if how <= 2:  # a number
            parts = _number_places(text)
            first, last = rng.choice(parts) if parts else (0, 0)
            text = text[:first] + rng.choice(_NUMBERS) + text[last:]
        elif how == 3:
            places = [i for i, mark in enumerate(text) if mark == ">"] or [0]
            place = rng.choice(places) + 1
            text = text[:place] + rng.choice(_HOSTILE) + text[place:]
        elif how == 4:
            first = rng.randrange(max(1, len(text)))
            text = text[:first] + text[first + rng.randrange(40) :]
        else:
            first = rng.randrange(max(1, len(text)))
            part = text[first : first + rng.randrange(1, 60)]
            text = text[:first] + part * rng.choice((2, 3, 200)) + text[first:]
    data = bytearray(text.encode("utf-8", "replace"))
    if rng.random() < 0.2:
        _flipped(rng, data)
    return bytes(data)


def _number_places(text: str) -> list[tuple[int, int]]:
    found, start = [], None
    for i, mark in enumerate(text):
        if mark.isdigit() or mark == ".":
            start = i if start is None else start
        elif start is not None:
            found.append((start, i))
            start = None
    return found


def damaged(kind: str, number: int, seed: int) -> tuple[bytes, str]:
    """The bytes of file `number`, and the name of what was done to it."""
    rng = random.Random(f"{seed} {kind} {number}")
    if kind == "logos":
        if number % 2:
            return _damaged_drawing(rng), "drawing"
        data, format, change = damaged_picture(number, seed)
        return data, f"{format} {change}"
    made, change = bytearray(rng.choice(sound_fonts())), rng.choice(_OF_FONTS)
    change(rng, made)
    return bytes(made), change.__name__.strip("_")


def trial(kind: str, number: int, seed: int) -> dict[str, Any]:
    """What becomes of one file, checked as a plan does it and then drawn; `fault` is "" where it ends in order."""
    data, change = damaged(kind, number, seed)
    rng, began, fault = random.Random(number), time.perf_counter(), ""
    try:
        _meet(kind, data, rng)
        verdict, said = "drawn", ""
    except (BadFont, PackshotError) as error:
        verdict, said = "refused", str(error)
    except BaseException:
        verdict, said, fault = "fault", "", traceback.format_exc()[-3000:]
    if len(said.splitlines()) > 1 or len(said) > _LONG or "Traceback" in said:
        fault = f"not one line: {said[:1000]!r}"
    typesetting._FONTS.clear()  # a run keeps its few, of a megabyte each
    typesetting._face.cache_clear()
    seconds = round(time.perf_counter() - began, 2)
    told = {"kind": kind, "number": number, "change": change, "verdict": verdict, "said": said[:200]}
    mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return told | {"seconds": seconds, "mib": mib, "fault": fault}


def _meet(kind: str, data: bytes, rng: random.Random) -> None:
    file = DrawnFile(kind, hashlib.sha256(data).hexdigest())
    picture = Image.new("RGB", (240, 200), rng.choice(("#808080", "#ffffff", "#102030")))
    room = (5.0, 5.0, 90.0, 80.0)
    if kind == "logos":
        logo_of(data, "logo", 128)
        drawn = written([DrawnLogo(file, "centre", "middle", room)])
    else:
        drawn = written(_texts(file, room, read_font(data), rng))
    assert drawn is not None
    paint(picture, drawn, lambda _: data)


Place = tuple[float, float, float, float]


def _texts(file: DrawnFile, room: Place, font: FontFile, rng: random.Random) -> Iterator[DrawnText]:
    """Two texts, of those that the font says it can write where there are any."""
    known = [language for language, text in _TEXTS.items() if not font.lacking(text)] or list(_TEXTS)
    badge = DrawnBadge("#ffffff", 80.0, 20.0, 40.0)
    text = DrawnText("", "", file, 20.0, 4.0, ("#000000", "#ffffff"), 2, "start", "top", room, None, "auto")
    for language in rng.choices(known, k=2):
        yield replace(text, text=_TEXTS[language], language=language, badge=rng.choice((None, badge)))


def main(kind: str, seed: int, first: int, end: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for number in range(first, end):
        print(json.dumps(trial(kind, number, seed)), flush=True)


def tried(kind: str, seed: int, first: int, end: int) -> Iterator[dict[str, Any]]:
    """All of them in a process of their own, and in another from where one died or did not answer."""
    while first < end:
        command = [
            sys.executable,
            "-W",
            "error",
            "-m",
            "tests.mutations.overlays",
            kind,
            str(seed),
            str(first),
            str(end),
        ]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdout is not None
            try:
                with selectors.DefaultSelector() as selector:
                    selector.register(process.stdout, selectors.EVENT_READ)
                    while selector.select(SECONDS) and (line := process.stdout.readline()):
                        first += 1
                        yield json.loads(line)
                    answered = process.poll() is not None or bool(selector.select(0))
            finally:
                process.kill()
            _, said = process.communicate()
        if first < end:
            how = f"the process died: {said.decode(errors='replace')[-1000:]}" if answered else f"no end in {SECONDS} s"
            yield _dead(kind, seed, first, how)
            first += 1


def _dead(kind: str, seed: int, number: int, how: str) -> dict[str, Any]:
    told = {"kind": kind, "number": number, "change": damaged(kind, number, seed)[1], "verdict": "fault", "said": ""}
    return told | {"seconds": 0.0, "mib": 0, "fault": how}


def piece(results: Path, seed: int, total: int, seconds: float) -> list[dict[str, Any]]:
    """Go on with what is not in the results, for so many seconds at most."""
    began, done = time.monotonic(), {(line["kind"], line["number"]) for line in read(results)}
    with results.open("a") as file:
        for kind in KINDS:
            first = next((number for number in range(total) if (kind, number) not in done), total)
            for line in tried(kind, seed, first, total):
                file.write(json.dumps(line) + "\n")
                file.flush()
                if time.monotonic() - began > seconds:
                    return read(results)
    return read(results)


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def table(lines: list[dict[str, Any]]) -> str:
    """What came of all trials, a row a kind."""
    rows = ["| what | damaged | drawn | refused | longest | most memory | faults |", "| --- " * 7 + "|"]
    for kind in ("fonts", "drawings", "pictures"):
        of = [line for line in lines if _row_of(line) == kind]
        drawn, refused, faults = (_count(of, verdict) for verdict in ("drawn", "refused", "fault"))
        longest = max((line["seconds"] for line in of), default=0.0)
        most = max((line["mib"] for line in of), default=0)
        rows.append(f"| {kind} | {len(of):,} | {drawn:,} | {refused:,} | {longest:.1f} s | {most:,} MiB | {faults:,} |")
    return "\n".join(rows)


def _row_of(line: dict[str, Any]) -> str:
    return "fonts" if line["kind"] == "fonts" else "drawings" if line["change"] == "drawing" else "pictures"


def _count(lines: list[dict[str, Any]], verdict: str) -> int:
    return sum(("fault" if line["fault"] else line["verdict"]) == verdict for line in lines)


if __name__ == "__main__":
    if len(sys.argv) == 2:
        print(table(read(Path(sys.argv[1]))))
    else:
        main(sys.argv[1], *map(int, sys.argv[2:]))
