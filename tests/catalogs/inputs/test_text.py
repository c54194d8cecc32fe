from __future__ import annotations

import time

import pytest

from catalogs.inputs.text import clean_text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  plain title ", "plain title"),
        ("two  spaces\nand\ta tab", "two spaces and a tab"),
        ("Caf\u00e9\u00a0au\u2009lait", "Caf\u00e9 au lait"),
        # markup
        ("<p>Big bag.<p>\n<ul>\n<li>Dual handles</li><li>Strap</li></ul>", "Big bag. Dual handles. Strap"),
        ("<h1>Title</h1><p>Text here</p>", "Title. Text here"),
        ("a<br>b<br/>c", "a b c"),
        ("<b>bo</b>ld and <a href='x>y'>link</a>", "bold and link"),
        ("<script>alert('<p>')</script>Hi<STYLE>p{}</Style >!", "Hi!"),
        ("<p>A</p><script>never closed", "A"),
        ("<!-- a > b -->x<!-- open", "x"),
        ("<![CDATA[raw <b>text</b>]]>", "raw text"),
        ("<product-card>w</product-card><o:p>ord</o:p>", "w ord"),
        ("</p>stray", "stray"),
        # what only looks like markup
        ("I <3 you, 5 < 6 and 7 > 2", "I <3 you, 5 < 6 and 7 > 2"),
        ("<Model X> phone, size <M", "<Model X> phone, size <M"),
        # entities
        ("AT&amp;T &lt;3", "AT&T <3"),
        ("caf&amp;eacute; &amp;amp; bar", "caf\u00e9 & bar"),
        ("&lt;b&gt;Bold&lt;/b&gt; move", "Bold move"),
        ("R&D &copy Fish ?a=1&lt=2", "R&D &copy Fish ?a=1&lt=2"),
        ("x&nbsp;&nbsp;y &#8211; &#x2014;", "x y \u2013 \u2014"),
        # invisible
        ("ze\u200bro\ufeff so\u00adft \u202eevil\x07", "zero soft evil"),
        ("lat\u200cin", "latin"),
        (
            "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
            "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        ),
        ("\U0001f469\u200d\U0001f4bb", "\U0001f469\u200d\U0001f4bb"),
        ("<p> </p>&nbsp;", ""),
    ],
)
def test_shop_text_becomes_plain_text_and_stays_so(text: str, expected: str) -> None:
    assert clean_text(text) == expected
    assert clean_text(expected) == expected


@pytest.mark.parametrize(
    "unit", ["<", "<a ", "<a b='", "<a 'x", "<!--", "<p>", "</", "<a/", "&amp;", "<script>", "\u200c"]
)
def test_hostile_text_takes_linear_time(unit: str) -> None:
    started = time.perf_counter()
    clean_text(unit * (200_000 // len(unit)))
    assert time.perf_counter() - started < 2  # the standard parser takes minutes for some of these
