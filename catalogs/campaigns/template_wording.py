"""What is wrong with a template, in words that need no Python: what its braces lack, and what an operation raised."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from decimal import InvalidOperation
from typing import Any

_NO_ITEM = re.compile(r"has no element (\d{1,9})$")
_NO_PART = re.compile(r"has no attribute '(\w{1,40})'$")
_SINGLE_BRACES = re.compile(
    r"(?<!\{)\{\s*((?:product|brand)\s*[.\[][^{}]*?|image\s*\([^{}]*?)\s*\}(?!\})",
)
_KINDS: Mapping[str, str] = {
    "str": "a text",
    "int": "a number",
    "float": "a number",
    "decimal.Decimal": "a number",
    "Decimal": "a number",
    "bool": "true or false",
    "list": "a list",
    "tuple": "a list",
    "range": "a list",
    "dict": "a value with names",
    "datetime.date": "a day",
    "datetime.datetime": "a moment",
    "datetime.timedelta": "a time span",
    "NoneType": "nothing",
    "builtin_function_or_method": "a function",
    "function": "a function",
}
_OPERANDS = re.compile(r"unsupported operand type\(s\) for (.+?): '(.+?)' and '(.+?)'")
_CONCATENATED = re.compile(r'can only concatenate (\w+) \(not "(.+?)"\) to')
_COMPARED = re.compile(r"'(\S+)' not supported between instances of '(.+?)' and '(.+?)'")
_UNARY = re.compile(r"bad operand type for unary (.): '(.+?)'")
_NO_ITEMS = re.compile(r"'(.+?)' object is not iterable|argument of type '(.+?)' is not iterable")
_ATTRIBUTE = re.compile(r"access to attribute '(.+?)' of")
_CALLED = re.compile(r"(?:(\w+)\(\)|^(\w+)) (?:missing|takes|got an|expected (?:at|exactly))")
_NOT_CLOSED = re.compile(r"looking for the following tags: .*?'(end\w+)'")
_SYNTAX: Mapping[str, str] = {
    "expected 'end of print statement'": "a {{ is not closed; write }} where it ends",
    "expected 'end of statement block'": "a {% is not closed; write %} where it ends",
    "unexpected '}'": "a {{ or {% is closed by one brace; write }} or %}",
    "got 'end of print statement'": "a value, a name or a filter is missing before }}",
    "got 'end of statement block'": "a value, a name or a filter is missing before %}",
    "Missing end of comment tag": "a {# is not closed; write #} where it ends",
    "expected name or number": "a name is missing after a dot",
}


def single_braces(text: str) -> str | None:
    """The first expression of a literal text that stands in single braces, without them."""
    found = _SINGLE_BRACES.search(text)
    return found[1] if found else None


def syntax_words(message: str) -> tuple[str, str]:
    """What is wrong with a template that cannot be parsed, and what to do."""
    for part, words in _SYNTAX.items():
        if part in message:
            problem, _, fix = words.partition("; ")
            return problem, fix or "correct the template"
    if found := _NOT_CLOSED.search(message):
        return f"{{% {found[1].removeprefix('end')} %}} is not closed", f"add {{% {found[1]} %}}"
    return message.rstrip("."), "correct the template"


def raised_words(error: Exception) -> tuple[str, str]:
    """What an operation of a template raised, and what to do."""
    if isinstance(error, UnicodeEncodeError):
        return f"writes half a character, {error.object[error.start]!r}", "take it out"
    said = str(error)[:500]
    if isinstance(error, ZeroDivisionError | InvalidOperation):
        return _arithmetic_words(error)
    if isinstance(error, OverflowError):
        if "MAX_RANGE" in said:
            return "counts further than 100,000 with range(...)", "take a shorter range"
        return "makes a number that is too large", "take smaller numbers"
    if isinstance(error, TypeError):
        return _type_words(said)
    if found := _ATTRIBUTE.search(said):
        return f"reads {found[1]!r}, which no template may", "take it out"
    if isinstance(error, IndexError):
        return "asks for a place that the values do not have", "count from 0"
    if "to unpack" in said:
        return "takes a value apart into another count of names than it holds", "name as many as it holds"
    return said.rstrip(".") or "cannot be worked out", "correct the template"


def _arithmetic_words(error: Exception) -> tuple[str, str]:
    if isinstance(error, InvalidOperation) and "DivisionUndefined" not in str(error):
        return "calculates what has no result", "look for a division by zero and for numbers that are too large"
    return "divides by zero", "ask first whether the number is 0"


def _type_words(said: str) -> tuple[str, str]:
    if found := _OPERANDS.search(said):
        sign = found[1].split()[0].rstrip("=")
        return f"calculates {_kind(found[2])} {sign} {_kind(found[3])}", _calculating(sign, found[2], found[3])
    if found := _CONCATENATED.search(said):
        return f"calculates {_kind(found[1])} + {_kind(found[2])}", _calculating("+", found[1], found[2])
    if found := _COMPARED.search(said):
        return f"compares {_kind(found[2])} with {_kind(found[3])}", "compare values of one kind"
    if found := _UNARY.search(said):
        return f"calculates {found[1]} of {_kind(found[2])}", "calculate with numbers alone"
    if found := _NO_ITEMS.search(said):
        return f"takes {_kind(found[1] or found[2])} for a list", "use a list"
    if found := _CALLED.search(said):
        name = (found[1] or found[2]).removeprefix("do_").strip("_")
        return f"calls {name!r} with arguments that it cannot take", "correct what stands in its brackets"
    if said.startswith(("the filter", "the function")):
        problem, _, fix = said.partition("; ")
        return problem, fix or "correct the template"
    return "takes a value for another kind of value", "look at each number, text and list of it"


def _calculating(sign: str, left: str, right: str) -> str:
    kinds = {_kind(left), _kind(right)}
    if kinds == {"a number"}:
        return "turn both into one kind, as in product.price | float"
    if sign == "+" and "a text" in kinds:
        return "join texts with ~"
    return "calculate with numbers alone"


def _kind(name: str) -> str:
    return _KINDS.get(name, "another kind of value")


def misfit(name: str, function: Callable[..., Any], given: tuple[Any, ...], named: Mapping[str, Any]) -> str:
    """How a filter is written whose arguments do not fit, "" where they do.

    Args:
        function: what the filter calls.
        given: the filtered value and the arguments in their order.
        named: the arguments by name.
    """
    taken = list(inspect.signature(function).parameters.values())
    # Jinja's own wrappers take a context that the function below may not know.
    if hasattr(inspect.unwrap(function), "jinja_pass_arg"):
        taken = taken[1:]
    try:
        inspect.Signature(taken).bind(*given, **named)
    except TypeError:
        plain = [p for p in taken[1:] if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        if not plain:
            return f"the filter {name!r} takes no arguments; write | {name}"
        needed = [p.name for p in plain if p.default is p.empty]
        lacks = f"lacks {' and '.join(needed)}" if needed and len(given) + len(named) <= 1 else "has wrong arguments"
        shown = ", ".join(repr(p.name) if p.annotation in ("str", str) else p.name for p in plain)
        return f"the filter {name!r} {lacks}; write | {name}({shown})"
    return ""


def kind_of(value: object) -> str:
    """What a value is to somebody who writes templates."""
    return _kind(type(value).__name__)


def lack_words(field: str, message: str) -> str:
    """What a field that is filled has not, by Jinja's words for it."""
    if found := _NO_ITEM.search(message):
        return f"needs item {int(found[1]) + 1} of {field}, which has fewer"
    if found := _NO_PART.search(message):
        hint = f"; write {{{{ {field}[0].hex or {field}[0].name }}}}" if found[1] == "hex" else ""
        return f"needs the {found[1]} of {field}, which this row does not give{hint}"
    return f"needs more of {field} than there is ({message})"
