"""Shop text into plain text: HTML, entities and invisible characters removed.

Not the standard library's HTML parser: on texts with open tags its time grows with the square of the
length (100 kB took minutes), and one bad row must not hold up a catalog. Every pattern here is linear.
"""

from __future__ import annotations

import html
import re

MAX_PASSES = 3

_ELEMENTS_NAMES = """
    a abbr acronym address applet area article aside audio b base basefont bdi bdo big blockquote body
    br button canvas caption center cite code col colgroup data datalist dd del details dfn dialog dir
    div dl dt em embed fieldset figcaption figure font footer form frame frameset h1 h2 h3 h4 h5 h6 head
    header hgroup hr html i iframe img input ins kbd label legend li link main map mark marquee menu
    meta meter nav nobr noframes noscript object ol optgroup option output p param picture pre progress
    q rp rt ruby s samp script search section select slot small source span strike strong style sub
    summary sup svg table tbody td template textarea tfoot th thead time title tr track tt u ul var
    video wbr
"""
_INLINE_NAMES = """
    a abbr acronym b bdi bdo big cite code data del dfn em font i ins kbd label mark nobr q s samp small
    span strike strong sub sup time tt u var wbr
"""
_SENTENCES_NAMES = """
    address article blockquote caption dd div dl dt figcaption footer h1 h2 h3 h4 h5 h6 header li ol p
    section table td th tr ul
"""
_SILENT_NAMES = """
    head iframe noframes noscript script style svg template textarea
"""

_ELEMENTS = frozenset(_ELEMENTS_NAMES.split())
_INLINE = frozenset(_INLINE_NAMES.split())
_SENTENCES = frozenset(_SENTENCES_NAMES.split())
_SILENT = frozenset(_SILENT_NAMES.split())

_MARKUP = re.compile(
    r"""(?P<comment><!--) | <[!?][^<>]*+>
    | < (?P<end>/?) (?P<name>[a-zA-Z][^\s<>/"']*+) (?: "[^"<]*+" | '[^'<]*+' | [^<>] )*+ >""",
    re.VERBOSE,
)
_CLOSING = {name: re.compile(rf"</{name}\b[^<>]*+>", re.IGNORECASE) for name in _SILENT}
_CDATA = re.compile(r"<!\[CDATA\[|\]\]>")
# Without its semicolon "&copy" may as well be part of "R&Dcopy": only closed entities are decoded.
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,31});")

_BREAK = "\ue001"
_UNSEEN = "\xad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ue001\U000e0000-\U000e007f"
_JOINERS = "\u200c\u200d"
_INVISIBLE = re.compile(
    f"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f{_UNSEEN}]"
    # Joiners shape Persian, Hindi and emoji; beside a Latin letter they are only debris.
    f"|(?<![^\x00-\u024f])[{_JOINERS}]|[{_JOINERS}](?![^\x00-\u024f])"
)
_SUSPECT = re.compile(f"[<&\x00-\x1f\x7f-\xa0\u1680\u2000-\u200d\u2028\u2029\u202f\u205f\u3000{_UNSEEN}]|  ")


def clean_text(text: str) -> str:
    """Plain text in one line.

    Tags go, block tags leave a sentence break, scripts and styles go with their content. Entities are
    decoded, also where a shop encoded them twice; markup that this brings to light goes too. What only looks
    like a tag ("<3", "5 < 6", "<Model X>") stays.
    """
    if _SUSPECT.search(text) is None:
        return text.strip()
    text = _INVISIBLE.sub("", text)
    for _ in range(MAX_PASSES):
        before = text
        if "<" in text:
            text = _without_markup(_CDATA.sub("", text))
        text = _INVISIBLE.sub("", _ENTITY.sub(_decode, text))
        if text == before:
            break
    return " ".join(text.split())


def _without_markup(text: str) -> str:
    pieces: list[str] = []
    position = 0
    while match := _MARKUP.search(text, position):
        pieces.append(text[position : match.start()])
        stand_in, position = _tag(text, match)
        pieces.append(stand_in)
    pieces.append(text[position:])
    return _sentences("".join(pieces)) if _BREAK in pieces else "".join(pieces)


def _tag(text: str, match: re.Match[str]) -> tuple[str, int]:
    """What stands for a piece of markup, and where the text goes on."""
    if match["comment"]:
        end = text.find("-->", match.end())
        return "", len(text) if end < 0 else end + 3
    name = (match["name"] or "").lower()
    if not name or name in _INLINE:
        return "", match.end()
    # Custom and namespaced elements ("product-card", "o:p") are markup as well.
    if name not in _ELEMENTS and "-" not in name and ":" not in name:
        return match.group(), match.end()
    if name in _SILENT and not match["end"] and not match.group().endswith("/>"):
        closing = _CLOSING[name].search(text, match.end())
        return "", closing.end() if closing else len(text)
    return _BREAK if name in _SENTENCES else " ", match.end()


def _sentences(text: str) -> str:
    """Join blocks; one that ends without punctuation gets a full stop, so that list items stay apart."""
    pieces = [piece for piece in map(str.strip, text.split(_BREAK)) if piece]
    ended = [piece if piece[-1] in ".!?:;,…。！？" else piece + "." for piece in pieces[:-1]]
    return " ".join([*ended, *pieces[-1:]])


def _decode(match: re.Match[str]) -> str:
    return html.unescape(match.group())
