"""SVG drawings into pixels: refused where they ask for more than shapes, and drawn by resvg in a process of its own.

resvg draws what a few lines of XML ask for, and that may take minutes, gigabytes or all of a stack.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.parsers import expat

from catalogs.references.pictures import BadPicture

MAX_BYTES = 2_000_000
MAX_ELEMENTS = 20_000
MAX_DEPTH = 32
MAX_USES = 200
MAX_RATIO = 20
SECONDS = 20
_PROCESS = Path(__file__).with_name("svg_process.py")
_OUTLINES = "convert text to outlines, keep plain shapes, and save it again"
_EXPORT = "export it as PNG with transparency"
_NAMESPACE = "http://www.w3.org/2000/svg"
_REFUSED = {
    "script": ("runs a script", _OUTLINES),
    "foreignObject": ("holds something else than a drawing", _OUTLINES),
    "image": ("holds a picture", _EXPORT),
    "feImage": ("holds a picture", _EXPORT),
    "text": ("holds text, whose font is not in it", _OUTLINES),
    "animate": ("is animated", _EXPORT),
    "animateTransform": ("is animated", _EXPORT),
    "set": ("is animated", _EXPORT),
}
_OUTSIDE = re.compile(r"url\(\s*['\"]?\s*(?!#)|@import|expression\(|javascript:", re.IGNORECASE)
_UNITS = {"": 1.0, "px": 1.0, "pt": 4 / 3, "pc": 16.0, "mm": 96 / 25.4, "cm": 96 / 2.54, "in": 96.0}
_LENGTH = re.compile(r"\s*\+?(\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+)\s*([a-z]*)\s*")


def is_svg(data: bytes) -> bool:
    """Whether bytes are meant as an SVG drawing."""
    head = data[:4096].lstrip(b"\xef\xbb\xbf \t\r\n")
    return head.startswith(b"<") and b"<svg" in head.lower()


def drawn_svg(data: bytes, side: int) -> bytes:
    """A drawing as a PNG with transparency whose longer side has `side` pixels.

    Raises:
        BadPicture: it is none, asks for more than shapes, or cannot be drawn within limits.
    """
    width, height = svg_size(data)
    scale = side / max(width, height)
    across = max(1, round(width * scale))
    command = [sys.executable, "-I", str(_PROCESS), str(across)]
    try:
        done = subprocess.run(command, input=data, capture_output=True, timeout=3 * SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise BadPicture(f"the drawing takes more than {SECONDS} s", _EXPORT) from None
    if done.returncode == 0 and done.stdout:
        return done.stdout
    said = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
    why = said[0][:200] if said and done.returncode > 0 else "it takes too much time or memory"
    raise BadPicture(f"the drawing cannot be drawn: {why}", _EXPORT)


def svg_size(data: bytes) -> tuple[float, float]:
    """Width and height of a drawing that asks for nothing but shapes, in its own units.

    Raises:
        BadPicture: it is none, or asks for more.
    """
    if len(data) > MAX_BYTES:
        problem = f"the drawing has {len(data) / 1e6:.1f} MB, over the limit of {MAX_BYTES / 1e6:g}"
        raise BadPicture(problem, _EXPORT)
    look = _Look()
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler, parser.EndElementHandler = look.start, look.end
    parser.CharacterDataHandler = look.text
    parser.EntityDeclHandler = look.entity
    parser.ProcessingInstructionHandler = look.instruction
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise BadPicture(f"the drawing is damaged ({error})", "save it again") from None
    except (ValueError, LookupError) as error:  # an encoding that is none
        raise BadPicture(f"the drawing cannot be read ({error})", "save it as UTF-8") from None
    if look.size is None:
        raise BadPicture("is not an SVG drawing", _EXPORT)
    return look.size


class _Look:
    """What a drawing asks for, element by element."""

    def __init__(self) -> None:
        self.size: tuple[float, float] | None = None
        self._elements = self._depth = self._uses = 0
        self._style: list[str] = []
        self._in_style = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        namespace, _, tag = name.rpartition(" ")
        self._elements, self._depth = self._elements + 1, self._depth + 1
        if self._elements > MAX_ELEMENTS or self._depth > MAX_DEPTH:
            limit = f"{MAX_ELEMENTS:,} elements, or groups over {MAX_DEPTH} deep"
            raise BadPicture(f"the drawing has over {limit}", "make it simpler, or export it as PNG with transparency")
        if self._elements == 1:
            self.size = _size(tag, attributes)
        if namespace not in ("", _NAMESPACE):  # of the program that drew it
            return
        if tag in _REFUSED:
            raise BadPicture(f"the drawing {_REFUSED[tag][0]} (<{tag}>)", _REFUSED[tag][1])
        self._count_uses(tag)
        self._in_style = self._in_style or tag == "style"
        for key, value in attributes.items():
            _refuse_outside(key.rpartition(" ")[2], value)

    def end(self, name: str) -> None:
        self._depth -= 1
        if name.rpartition(" ")[2] == "style":
            self._in_style = False
            _refuse_outside("style", "".join(self._style))

    def text(self, data: str) -> None:
        if self._in_style:
            self._style.append(data)

    def entity(self, *_: Any) -> None:
        raise BadPicture("the drawing declares entities", "save it as plain SVG")

    def instruction(self, target: str, data: str) -> None:
        if target == "xml-stylesheet":
            raise BadPicture("the drawing links to a style sheet", "save it as plain SVG")

    def _count_uses(self, tag: str) -> None:
        self._uses += tag == "use"
        if self._uses > MAX_USES:
            raise BadPicture(f"the drawing has over {MAX_USES} copies of its parts (<use>)", _EXPORT)


def _refuse_outside(key: str, value: str) -> None:
    is_link = key == "href" and not value.strip().startswith("#")
    if is_link or (key.startswith("on") and len(key) > 4) or _OUTSIDE.search(value):
        what = "runs a script" if key.startswith("on") else "links to something outside of it"
        raise BadPicture(f"the drawing {what} ({key}={value[:40]!r})", _OUTLINES)


def _size(tag: str, attributes: dict[str, str]) -> tuple[float, float] | None:
    if tag != "svg":
        return None
    said = [_length(attributes.get(side, "")) for side in ("width", "height")]
    box = re.split(r"[\s,]+", attributes.get("viewBox", "").strip())
    try:
        of_box: list[float] = [float(value) for value in box[2:4]] if len(box) == 4 else []
    except ValueError:
        of_box = []
    width, height = said if all(said) else of_box or (0.0, 0.0)
    if not (width and height and 0 < width < 1e6 and 0 < height < 1e6):
        raise BadPicture("the drawing says no size", "give its root a viewBox, or a width and a height")
    if max(width, height) > MAX_RATIO * min(width, height):
        raise BadPicture(f"the drawing is longer than {MAX_RATIO}:1", "cut off what is empty")
    return width, height


def _length(text: str) -> float | None:
    match = _LENGTH.fullmatch(text)
    return float(match[1]) * _UNITS[match[2]] if match and match[2] in _UNITS else None
