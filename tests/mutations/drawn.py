"""Values that real exports and hostile people write, drawn by a seed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

TEXTS = (
    "",
    " ",
    "\n",
    "\0",
    "a\tb",
    "\u202eevil",
    "\u200b",
    "U\u0308BER",
    "\ud800",
    "\x1b[2J\x1b]0;owned\x07",
    "x" * 300,
    "y" * 100_000,
    "\u6771\u4eac " * 50,
    "..",
    "../../x",
    "/",
    "~",
    "-",
    "null",
    "NaN",
    "1e999",
    "2026-02-31",
    "{{ 7*7 }}",
    "{% raw %}",
    "{{",
    "%s%s%n",
    "<script>alert(1)</script>",
    "'; DROP TABLE products; --",
    "a\x1fb",
    "$(id)",
    "=cmd|' /C calc'!A0",
)
NUMBERS = (0, -1, 1, 2**31, 2**53, 2**63, -(2**63), 2**64, 10**400, 0.0, -0.0, 1e308, 1e-320, 0.1)
ODD = (None, True, False, [], {}, [None], [[]], {"": None}, {"a": {"b": [1, "x"]}}, float("inf"), float("nan"))


_MARKS = ("\0", "\t", "&a ", "*a", "<<: ", "!!int ", "{{", "}}", "%", '"', "'", "\\", "#")


def uris(port: int) -> Sequence[str]:
    """References that must be refused or found missing, and never be asked of the server on `port`."""
    server = f"127.0.0.1:{port}"
    return (
        f"http://{server}/a.png",
        f"HTTP://{server}/a.png",
        f"https://{server}/a.png",
        f"ftp://{server}/a.png",
        f"zip://a.png::http://{server}/a.zip",
        f"simplecache::http://{server}/a.png",
        f"filecache::s3://x::http://{server}/",
        f"blockcache://http://{server}/a",
        f"sftp://{server}/a.png",
        f"ssh://{server}/a.png",
        f"smb://{server}/a/b.png",
        f"webhdfs://{server}/a.png",
        f"hdfs://{server}/a.png",
        f"dask://{server}/a.png",
        f"reference://{server}/a.json",
        f"s3://{server}/a.png",
        f"s3://bucket/a.png?endpoint_url=http://{server}",
        f"gs://{server}/a.png",
        f"az://{server}/a.png",
        f"//{server}/a.png",
        f"\\\\{server}\\a.png",
        f"file://{server}/a.png",
        f"git://{server}/a",
        f"github://a:b@{server}/x",
        "memory://a.png",
        "tar://a.png::b.tar",
        "data:image/png;base64,iVBORw0KGgo=",
        "javascript:alert(1)",
        "file:///etc/passwd",
        "file:///dev/zero",
        "/dev/zero",
        "/dev/random",
        "/dev/stdin",
        "/dev/tty",
        "/proc/self/mem",
        "/proc/kmsg",
        "/etc/passwd",
        "~root/.bashrc",
        "fifo",
        "loop",
        "zero",
        "folder",
        "huge",
        "a" * 5000,
        "a/" * 2500,
        "p\0.png",
        "%00",
        "file:///%00",
        "s3://",
        "s3:///",
        "s3:/b/a",
        "s3://[::1/a",
        "s3://b/../../a",
        "://",
        ":",
        "::",
        "photo.png/",
        "photo.png/x",
        "./././photo.png",
        "PHOTO.PNG",
        "photo.png\n",
        " photo.png ",
        "photo.png#x",
        "photo.png?x",
        "*",
        "[a-z].png",
        "\ud800.png",
    )


def scalar(rng: random.Random) -> Any:
    """A value that may stand anywhere in a campaign file."""
    return rng.choice((rng.choice(TEXTS), rng.choice(NUMBERS), rng.choice(ODD), rng.randint(-9, 10**6)))


def text(rng: random.Random, base: str) -> str:
    """A text with a few of its characters changed, doubled, moved or lost."""
    letters = list(base)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        at = rng.randrange(len(letters) + 1)
        action = rng.randrange(5)
        if action == 0:
            letters[at:at] = rng.choice(
                ("\0", "\t", "&a ", "*a", "<<: ", "!!int ", "{{", "}}", "%", '"', "'", "\\", "#")
            )
        elif action == 1:
            del letters[at : at + rng.randint(1, 30)]
        elif action == 2:
            letters[at : at + 1] = chr(rng.choice((rng.randrange(128), rng.randrange(0xD800), 0x2028, 0xFEFF, 0x1F45F)))
        elif action == 3:
            letters[at:at] = letters[max(0, at - rng.randint(1, 200)) : at]
        else:
            letters[at:at] = str(scalar(rng))[:2000]
    return "".join(letters)


def bytes_of(rng: random.Random, data: bytes) -> bytes:
    """Bytes with a few flipped, cut off, doubled or put in."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 5, 40))):
        at = rng.randrange(len(changed) + 1)
        action = rng.randrange(6)
        if action == 0:
            del changed[at:]
        elif action == 1:
            changed[at : at + 1] = bytes([rng.randrange(256)])
        elif action == 2:
            changed[at : at + 4] = rng.choice((b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\x80\0\0\0"))
        elif action == 3:
            changed[at:at] = rng.randbytes(rng.randint(1, 64))
        elif action == 4:
            del changed[at : at + rng.randint(1, 64)]
        else:
            changed[at:at] = changed[max(0, at - 64) : at]
    return bytes(changed)
