"""How a colour is spoken of in a prompt: "cap in color #E8D9B5 pale sand".

FLUX.2 takes a hex code for a colour where the word "color" or "hex" stands before it, and gives it to the part that
the words name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

_CODE = re.compile(r"#[0-9A-Fa-f]{6}(?![0-9A-Za-z])")
_SIGNALLED_CODE = re.compile(r"(?P<signal>\b(?:hex|colou?rs?)(?: code)?:? )?#(?P<code>[0-9A-Fa-f]{6})(?![0-9A-Za-z])")


def bind_colour(colour: object, part: str) -> str:
    """`{{ product.colors[0] | bind('cap') }}` -> "cap in color #E8D9B5 pale sand"."""
    if isinstance(colour, Mapping):
        named = str(colour.get("name") or "")
        code = str(colour.get("hex") or "")
        return " ".join(f"{part} in color {code} {named}".split())
    return f"{part} in color {colour}"  # an undefined one raises here


def signal_codes(text: str, found: Callable[[str], None]) -> str:
    """A text whose every hex code has its signal word, in upper case; `found` is told each code."""

    def signalled(match: re.Match[str]) -> str:
        code = "#" + match["code"].upper()
        found(code)
        return (match["signal"] or "color ").replace("colour", "color") + code

    return _SIGNALLED_CODE.sub(signalled, text)


def upper_codes(text: str, found: Callable[[str], None]) -> str:
    """A text that stands under a colour key, which is signal enough, with its hex codes in upper case."""

    def upper(match: re.Match[str]) -> str:
        found(match[0].upper())
        return match[0].upper()

    return _CODE.sub(upper, text)
