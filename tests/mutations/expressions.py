"""Templates by a grammar: everything Jinja can say, and most of what should not be said."""

from __future__ import annotations

import random

_ATOMS = (
    "product.title",
    "product.description",
    "product.colors",
    "product.colors[0]",
    "product.materials",
    "product.price",
    "product.attributes",
    "product.nothing",
    "product",
    "brand",
    "brand.palette",
    "brand['name']",
    "image('product.hero')",
    "image('x')",
    "image",
    "range(3)",
    "range(10**9)",
    "range",
    "lipsum()",
    "lipsum",
    "cycler('a', 'b')",
    "joiner()",
    "namespace(a='x')",
    "namespace",
    "dict(a=1)",
    "self",
    "loop",
    "loop.index",
    "varargs",
    "caller()",
    "x",
    "none",
    "true",
    "'abc'",
    "'%s' * 50",
    "'%10000000d'",
    "'{0:>99999999}'",
    "9**99",
    "10**10**10",
    "1e308",
    "-1",
    "0",
    "1/0",
    "[1, 2, 3]",
    "[[]]",
    "{'a': 1}",
    "('a',) * 999999",
    "''.__class__",
    "''.__class__.__mro__[1].__subclasses__()",
    "product.title.format",
    "'{0.__class__}'.format(product)",
    "'{:9999999}'.format(1)",
    "product.title.upper",
    "product.title.upper()",
    "product.title.replace('M', 'x' * 9999)",
    "product.title.center(10**8)",
    "product.title.zfill(10**8)",
    "product.title.join(['a'] * 9999)",
    "product.title.encode()",
    "product.title.splitlines()",
    "product.title.translate({77: 'x' * 9999})",
    "product.title.expandtabs(10**8)",
    "product.price.as_integer_ratio()",
    "product.colors.append(1)",
    "product.items",
    "product.keys()",
)
_FILTER_NAMES = """
    abs attr batch(2) batch(10**7) bind('x') capitalize center(10**8) count default('x') dictsort escape filesizeformat
    first float forceescape format(1) groupby('hex') indent(10**7) int items join('x') join('x'*9999) last length list
    lower map('upper') map(attribute='hex') max min pprint random reject('odd') rejectattr('hex') replace('a','b'*9999)
    replace('','x'*9999) reverse round round(9999) safe select('odd') selectattr('hex') slice(3) slice(10**7) sort
    sort(attribute='hex') string striptags sum sum(attribute='hex') title tojson tojson(indent=10**7) trim truncate(5)
    unique upper urlencode urlize wordcount wordwrap(1) wordwrap(0) xmlattr nosuchfilter e d
"""
_TEST_NAMES = """
    boolean callable defined divisibleby(0) eq(1) even odd iterable mapping none number sameas(1) string in([1])
    filter('upper') nosuch
"""
_FILTERS, _TESTS = _FILTER_NAMES.split(), _TEST_NAMES.split()
_GROWING = "{% set n = namespace(s=EMPTY) %}{% for i in range(99) %}{% set n.s = MORE %}{% endfor %}{{ n.s }}"
_SOUND = ("product.title", "product.colors", "product.materials", "product.price", "brand.palette", "range(3)", "'a b'")
_OPERATORS = ("+", "-", "*", "/", "//", "%", "**", "~", "and", "or", "in", "not in", "==", "<", ">=")


def expression(rng: random.Random, depth: int = 3) -> str:
    """An expression of the grammar."""
    if depth == 0:
        return rng.choice(_ATOMS)
    inner = expression(rng, depth - 1)
    kind = rng.randrange(9)
    if kind <= 2:
        return f"({inner})|{rng.choice(_FILTERS)}"
    if kind == 3:
        return f"({inner}) {rng.choice(_OPERATORS)} ({expression(rng, depth - 1)})"
    if kind == 4:
        return f"({inner}) is {rng.choice(('', 'not '))}{rng.choice(_TESTS)}"
    if kind == 5:
        return f"({inner})[{rng.choice(('0', '-1', '::2', '10**9', repr('hex'), expression(rng, 0)))}]"
    if kind == 6:
        return f"({inner}) if ({expression(rng, depth - 1)}) else ({expression(rng, depth - 1)})"
    if kind == 7:
        return f"[{inner}, {expression(rng, depth - 1)}]"
    return f"({inner}).{rng.choice(('hex', 'name', 'title', '__class__', 'format(1)', 'upper()', 'count(1)', 'x'))}"


def template(rng: random.Random) -> str:
    """A text with some of what the language has."""
    pieces = []
    for _ in range(rng.choice((1, 1, 2, 3))):
        one, other = expression(rng, rng.choice((0, 1, 1, 2, 3))), expression(rng, rng.choice((0, 0, 1, 2)))
        pieces.append(
            rng.choice(
                (
                    *[f"{{{{ {one} }}}}"] * 12,
                    f"{{% for x in {one} %}}{{{{ {other} }}}}{{% endfor %}}",
                    f"{{% for x in {one} %}}{{% for y in {other} %}}{{{{ x }}}}{{% endfor %}}{{% endfor %}}",
                    "{% for x in range(99) recursive %}{{ loop([x]) }}{% endfor %}",
                    f"{{% set x = {one} %}}{{{{ x }}}}",
                    _GROWING.replace("EMPTY", "'a'").replace("MORE", "n.s ~ n.s"),
                    _GROWING.replace("EMPTY", "[]").replace("MORE", "n.s + n.s + [1]"),
                    *[f"{{{{ {rng.choice(_SOUND)} | {rng.choice(_FILTERS)} }}}}"] * 12,
                    f"{{% if {one} %}}a{{% else %}}{{{{ {other} }}}}{{% endif %}}",
                    f"{{% macro m(a) %}}{{{{ a }}}}{{{{ m(a) }}}}{{% endmacro %}}{{{{ m({one}) }}}}",
                    f"{{% filter {rng.choice(_FILTERS)} %}}{{{{ {one} }}}}{{% endfilter %}}",
                    f"{{% include {one} %}}",
                    f"{{% import {one} as x %}}{{{{ x }}}}",
                    f"{{% extends {one} %}}",
                    f"{{% block b %}}{{{{ {one} }}}}{{% endblock %}}",
                    f"{{% call {one} %}}x{{% endcall %}}",
                    f"{{% with x = {one} %}}{{{{ x }}}}{{% endwith %}}",
                    f"{{% autoescape true %}}{{{{ {one} }}}}{{% endautoescape %}}",
                    f"{{% do {one} %}}",
                    f"{{{{ {one}",
                    f"{{# {one}",
                )
            )
        )
    return " ".join(pieces)
