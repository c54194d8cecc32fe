"""Pictures of every format, damaged by a number and a seed, and what `packshot channels --check` says of each.

python -m tests.mutations.damaged_pictures SEED FIRST END FOLDER     a line of JSON a picture; all in this process
"""

from __future__ import annotations

import io
import json
import random
import resource
import struct
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from PIL import Image

from catalogs.campaigns.channels import builtin_channels
from flows.cli import main as packshot
from tests.inference.quality.drawn import chunk, deep_png, deep_tiff, encoded, picture_of

SECONDS = 10.0
"""Of the processor, for one picture."""

_KINDS = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp", "AVIF": "avif", "TIFF": "tif", "BMP": "bmp", "GIF": "gif"}
_MODES = ("RGB", "RGB", "RGB", "RGBA", "L", "P", "CMYK", "I;16", "1", "LA")
_SIZES = ((96, 72), (64, 64), (1, 1), (3000, 40), (700, 900), (2000, 1000), (15, 4001))
_LIES = (0, 1, 7, 255, 9_999, 30_000, 65_535, 2**24, 2**31 - 1, 2**32 - 1)
_PNG = b"\x89PNG\r\n\x1a\n"


def drawn(rng: random.Random) -> tuple[bytes, str]:
    """A sound picture of any format, layout and size, and the format's name."""
    width, height = rng.choice(_SIZES)
    mode = rng.choice(_MODES)
    image = picture_of(mode, width, height, rng.random())
    if rng.random() < 0.1:
        deep = rng.choice((deep_png, deep_tiff))
        return deep(image), "PNG" if deep is deep_png else "TIFF"
    kind = rng.choice(list(_KINDS))
    exif = Image.Exif()
    exif[0x0112] = rng.randrange(10)
    options: dict[str, Any] = {}
    if rng.random() < 0.3:
        options["exif"] = rng.choice((exif.tobytes(), b"Exif\0\0" + rng.randbytes(60)))
    if rng.random() < 0.2:
        options["icc_profile"] = rng.randbytes(200)
    if rng.random() < 0.15 and kind != "AVIF":  # whose writer in Pillow 13 crashes on animations in grey
        options |= {"save_all": True, "append_images": [picture_of(mode, width, height, 0.3)] * rng.randint(1, 5)}
    try:
        return encoded(image, kind, **options), kind
    except Exception:  # what a writer of Pillow refuses
        return encoded(image.convert("RGB"), "PNG"), "PNG"


def _flipped(rng: random.Random, data: bytearray, kind: str) -> None:
    """Bytes changed, more of them in the head than elsewhere."""
    for _ in range(rng.choice((1, 3, 20, 200))):
        data[rng.randrange(min(len(data), rng.choice((200, len(data)))))] = rng.randrange(256)


def _cut(rng: random.Random, data: bytearray, kind: str) -> None:
    del data[rng.randrange(min(len(data), rng.choice((64, len(data))))) :]


def _exchanged(rng: random.Random, data: bytearray, kind: str) -> None:
    """Two parts in each other's place: a PNG's chunks whole, of others any bytes."""
    if kind == "PNG" and rng.random() < 0.7:
        parts = _chunks(bytes(data))
        rng.shuffle(parts)
        if rng.random() < 0.3:
            parts.append(rng.choice(parts))
        data[:] = _PNG + b"".join(chunk(body, name) for name, body in parts)
        return
    size = rng.randint(1, max(1, min(400, len(data) // 3)))
    one, other = (rng.randrange(max(1, len(data) - size)) for _ in range(2))
    data[one : one + size], data[other : other + size] = data[other : other + size], data[one : one + size]


def _wrong_head(rng: random.Random, data: bytearray, kind: str) -> None:
    """The head of another picture."""
    other, _ = drawn(rng)
    size = rng.choice((2, 4, 8, 16, 40, 200))
    data[:size] = other[:size]


def _lied(rng: random.Random, data: bytearray, kind: str) -> None:
    """Another size where the file says its own; a PNG's checksum fits."""
    with Image.open(io.BytesIO(data)) as image:
        sides = image.size
    for side in rng.sample(sides, rng.randint(1, 2)):
        lie = rng.choice(_LIES)
        for form in (">I", "<I", ">H", "<H"):
            most = 2 ** (8 * struct.calcsize(form)) - 1
            if side <= most and (place := data.find(struct.pack(form, side), 4, 400)) > 0:
                struct.pack_into(form, data, place, min(lie, most))
                break


def _grown(rng: random.Random, data: bytearray, kind: str) -> None:
    place = rng.randrange(len(data))
    data[place:place] = rng.choice((rng.randbytes(30), b"\0" * 5_000, bytes(data[: 3 * rng.randint(1, 60)])))


_CHANGES: tuple[Callable[[random.Random, bytearray, str], None], ...]
_CHANGES = (_flipped, _cut, _exchanged, _wrong_head, _lied, _grown)


def _chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """Name and body of each chunk of a PNG, as far as they can be told."""
    found, place = [], len(_PNG)
    while place + 12 <= len(data):
        size = int.from_bytes(data[place : place + 4], "big")
        found.append((data[place + 4 : place + 8], data[place + 8 : place + 8 + size]))
        place += 12 + size
    return found


def _mended(data: bytes) -> bytes:
    """A PNG with checksums that fit, so that what is wrong is found behind them."""
    return _PNG + b"".join(chunk(body, name) for name, body in _chunks(data))


def damaged(number: int, seed: int) -> tuple[bytes, str, str]:
    """The bytes of picture `number`, its format, and the name of what was done to it."""
    rng = random.Random(f"{seed} pictures {number}")
    sound, kind = drawn(rng)
    data, change = bytearray(sound), rng.choice(_CHANGES)
    change(rng, data, kind)
    is_mended = kind == "PNG" and (change is _lied or rng.random() < 0.4)
    return _mended(bytes(data)) if is_mended else bytes(data), kind, change.__name__.strip("_")


def trial(number: int, seed: int, folder: Path) -> dict[str, Any]:
    """What the command says of one picture; `fault` is "" where it ends in order."""
    data, kind, change = damaged(number, seed)
    path = folder / f"{number}.{_KINDS[kind]}"
    path.write_bytes(data)
    out, err, began = io.StringIO(), io.StringIO(), time.process_time()
    sys.argv = ["packshot", "channels", "--check", str(path), *(["--json"] if number % 2 else [])]
    code, trouble = 0, ""
    with redirect_stdout(out), redirect_stderr(err):
        try:
            packshot()
        except SystemExit as end:
            code = int(end.code or 0)
        except BaseException:  # which would be a traceback
            trouble = traceback.format_exc()
    seconds = time.process_time() - began
    path.unlink()
    fault = trouble or _fault(code, out.getvalue(), err.getvalue(), path) or ("slow" if seconds > SECONDS else "")
    mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    told = {"number": number, "kind": kind, "change": change, "code": code}
    return told | {"seconds": seconds, "mib": mib, "fault": fault}


def _fault(code: int, out: str, err: str, path: Path) -> str:
    """What is missing: a verdict of each channel, or one line on stderr."""
    if code == 2:
        is_told = err.startswith(f"error: {path}: ") and err.count("\n") == 1 and len(err) < 400
        return "" if is_told else f"not one line: {err[:500]!r}"
    if code or err:
        return f"exit code {code}: {err[:500]!r}"
    if not out.startswith("{"):
        told = Counter(line.split(": ")[1] for line in out.splitlines()[:-1])
        return "" if told.keys() == builtin_channels().keys() else f"verdicts of {sorted(told)}"
    [row] = json.loads(out)["pictures"]
    return "" if len(row["verdicts"]) == len(builtin_channels()) else "a verdict is missing"


def main(seed: int, first: int, end: int, folder: Path) -> None:
    for number in range(first, end):
        print(json.dumps(trial(number, seed, folder)), flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]), folder=Path(sys.argv[4]))
