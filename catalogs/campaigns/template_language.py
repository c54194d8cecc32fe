"""What a template may say: filters, tests, functions and methods by name, all of them pure, and all of them counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, timedelta
from datetime import time as day_time
from decimal import Decimal
from functools import wraps
from types import BuiltinMethodType, FunctionType, MethodType
from typing import Any

from jinja2 import StrictUndefined, Undefined, pass_context, pass_eval_context
from jinja2.exceptions import SecurityError
from jinja2.filters import FILTERS as STOCK_FILTERS
from jinja2.nodes import EvalContext
from jinja2.runtime import LoopContext, Macro, markup_join, str_join
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.tests import TESTS as STOCK_TESTS
from jinja2.utils import Cycler, Joiner, Namespace

from catalogs.campaigns.colour_wording import bind_colour
from catalogs.campaigns.template_limits import (
    MAX_BITS,
    MAX_STEPS,
    SPENT,
    OverLimit,
    braces,
    iterated,
    joined,
    measured,
    paid,
    percent,
    refuse_wide_date,
    replaced,
    require_text,
    wrapped,
)
from catalogs.campaigns.template_wording import kind_of, misfit

MAX_REPEAT = 10_000
_COPIES_AT_ONCE = 8

FUNCTIONS = frozenset({"range", "dict", "namespace", "cycler", "joiner"})
# Texts from values; a value without a text of its own must not reach them.
_TEXTUAL = frozenset(
    [
        "capitalize",
        "center",
        "e",
        "escape",
        "filesizeformat",
        "forceescape",
        "format",
        "indent",
        "lower",
        "replace",
        "safe",
        "string",
        "striptags",
        "title",
        "tojson",
        "trim",
        "truncate",
        "upper",
        "urlencode",
        "wordcount",
        "wordwrap",
    ]
)
_OTHER = frozenset(
    [
        "abs",
        "attr",
        "batch",
        "count",
        "d",
        "default",
        "dictsort",
        "first",
        "float",
        "groupby",
        "int",
        "items",
        "join",
        "last",
        "length",
        "list",
        "map",
        "max",
        "min",
        "reject",
        "rejectattr",
        "reverse",
        "round",
        "select",
        "selectattr",
        "slice",
        "sort",
        "sum",
        "unique",
    ]
)
FILTERS = _TEXTUAL | _OTHER | {"bind"}
TESTS = frozenset(STOCK_TESTS)
_METHODS: tuple[tuple[type | tuple[type, ...], frozenset[str]], ...] = (
    (str, frozenset(n for n in dir(str) if n[0] != "_") - {"encode", "translate", "maketrans"}),
    (Decimal, frozenset({"quantize", "normalize", "to_integral_value", "is_zero", "is_signed", "copy_abs"})),
    ((int, float), frozenset({"is_integer", "bit_length", "bit_count"})),
    ((date, day_time), frozenset({"strftime", "isoformat", "weekday", "isoweekday", "isocalendar", "date", "time"})),
    (timedelta, frozenset({"total_seconds"})),
    (bytes, frozenset({"decode", "hex"})),
    (Mapping, frozenset({"items", "keys", "values", "get", "copy"})),
    ((list, tuple, range), frozenset({"index", "count", "copy"})),
    (LoopContext, frozenset({"cycle", "changed"})),
    (Cycler, frozenset({"next", "reset"})),
)
_CALLABLE = (Macro, LoopContext, Joiner, FunctionType, Undefined)
_CLASSES = (dict, Namespace, Cycler, Joiner)

# Names that no template can write: what `template_tree` puts into it.
ITERATED, JOINED, MADE, READ, TURN = " iterated", " joined", " made", " read", " turn"


class Environment(ImmutableSandboxedEnvironment):
    """Dots read columns (a column may be called "items"), and an empty column is as good as none."""

    intercepted_binops = frozenset({"*", "**", "%", "+"})

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, Mapping):
            return self._column(obj, attribute)
        return super().getattr(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, Mapping):
            return self._column(obj, argument)
        return super().getitem(obj, argument)

    def _column(self, obj: Mapping[Any, Any], name: Any) -> Any:
        value = obj.get(name)
        if value is None or value == "" or value == []:
            return self.undefined(obj=obj, name=str(name))
        return value

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        # 'x' * 10**9 in a prompt would take the planner's memory.
        sizes = [v for v in (left, right) if isinstance(v, int)]
        if operator in "**" and len(sizes) < 2 and any(abs(v) > MAX_REPEAT for v in sizes):
            raise SecurityError(f"repeats text more than {MAX_REPEAT} times")
        if operator == "**" and any(abs(v) > 64 for v in sizes):
            raise SecurityError("raises a number too high")
        SPENT.read(measured(left) + measured(right))
        if operator == "*":
            _ask_product(left, right)
        elif operator == "%" and isinstance(left, str):
            percent(left, right)
        return paid(super().call_binop(context, operator, left, right))

    # Named like this by Jinja, so that no keyword of the called one is taken.
    def call(__self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805
        SPENT.read(sum(map(measured, args)) + sum(map(measured, kwargs.values())))
        if isinstance(__obj, LoopContext) and args:
            args = (iterated(args[0]), *args[1:])
        else:
            args = _asked(__obj, args, kwargs)
        return paid(super().call(__context, __obj, *args, **kwargs))


class _Empty(StrictUndefined):
    """Strict about being written, but `{% if product.materials %}` may ask whether it is there."""

    def __bool__(self) -> bool:  # type: ignore[override]
        return False


def _ask_product(left: Any, right: Any) -> None:
    if isinstance(left, int) and isinstance(right, int):
        if left.bit_length() + right.bit_length() > MAX_BITS:
            raise OverLimit("makes a number of more than a thousand digits")
        return
    times = left if isinstance(left, int) else right
    if isinstance(times, int):
        SPENT.room(measured(right if times is left else left) * max(0, times))


def _asked(called: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, ...]:
    """The arguments of a call that may be made."""
    bound = getattr(called, "__wrapped__", called) if isinstance(called, FunctionType) else called
    if not isinstance(bound, MethodType | BuiltinMethodType):
        if isinstance(called, _CALLABLE) or called in _CLASSES:
            return args
        raise SecurityError(f"calls {kind_of(called)}, which is no function")
    owner, name = bound.__self__, bound.__name__
    allowed = next((names for kind, names in _METHODS if isinstance(owner, kind)), frozenset[str]())
    if name not in allowed:
        raise SecurityError(f"there is no method {name!r} here")
    SPENT.read(measured(owner))
    if isinstance(owner, str):
        return _asked_text(owner, name, args, kwargs)
    if name == "strftime" and args:
        refuse_wide_date(str(args[0]))
    return args


def _asked_text(text: str, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, ...]:
    if name in ("center", "ljust", "rjust", "zfill") and args and isinstance(args[0], int):
        SPENT.room(max(len(text), args[0]))
    elif name == "expandtabs":
        size = next(iter((*args, *kwargs.values())), 8)
        SPENT.room(len(text) + text.count("\t") * max(0, int(size)))
    elif name == "replace" and len(args) > 1:
        replaced(text, str(args[0]), str(args[1]), args[2] if len(args) > 2 else None)
    elif name == "join" and args:
        return (joined(iterated(args[0]), text), *args[1:])
    elif name in ("format", "format_map"):
        values = [*args, *kwargs.values()]
        if name == "format_map" and args and isinstance(args[0], Mapping):
            values = list(args[0].values())
        braces(text, values)
    return args


def _ask_center(value: Any, width: int = 80) -> None:
    SPENT.room(max(len(str(value)), width))


def _ask_indent(text: Any, width: int | str = 4, first: bool = False, blank: bool = False) -> None:
    each = len(width) if isinstance(width, str) else max(0, width)
    SPENT.room(len(str(text)) + (len(str(text).splitlines()) + 2) * each)


def _ask_replace(text: Any, old: Any, new: Any, count: int | None = None) -> None:
    replaced(str(text), str(old), str(new), count)


def _ask_format(text: Any, *args: Any, **kwargs: Any) -> None:
    percent(str(text), kwargs or args)


def _ask_wordwrap(
    text: Any, width: int = 79, break_long_words: bool = True, wrapstring: str | None = None, *rest: Any, **more: Any
) -> None:
    wrapped(str(text), width, wrapstring or "\n")


def _ask_striptags(value: Any) -> None:
    # Each tag copies the text once more.
    SPENT.read(str(value).count("<") * len(str(value)) // 256)


def _ask_round(value: Any, precision: int = 0, method: str = "common") -> None:
    if abs(precision) > 300:
        raise OverLimit("rounds to more than 300 digits")


def _ask_tojson(value: Any, indent: int | str | None = None) -> None:
    if indent and (len(indent) if isinstance(indent, str) else indent) > 16:
        raise OverLimit("indents by more than 16")
    SPENT.room(measured(value) * 2)


def _ask_batch(value: Any, linecount: int, fill_with: Any = None) -> None:
    if linecount > MAX_STEPS:
        raise OverLimit(f"takes more than {MAX_STEPS:,} steps")


def _ask_sorting(value: Any, *args: Any, **kwargs: Any) -> None:
    SPENT.read(measured(value) * 16)


_ASK: Mapping[str, Callable[..., None]] = {
    "center": _ask_center,
    "indent": _ask_indent,
    "replace": _ask_replace,
    "format": _ask_format,
    "wordwrap": _ask_wordwrap,
    "striptags": _ask_striptags,
    "round": _ask_round,
    "tojson": _ask_tojson,
    "batch": _ask_batch,
    **dict.fromkeys(["sort", "dictsort", "groupby", "unique", "min", "max"], _ask_sorting),
}


def _counted_filter(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that pays for what it reads and makes, and asks before it makes much."""
    skipped = 1 if hasattr(function, "jinja_pass_arg") else 0
    ask, is_textual = _ASK.get(name), name in _TEXTUAL

    def asked(own: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, ...]:
        SPENT.read(sum(map(measured, own)) + sum(map(measured, kwargs.values())))
        if name in ("join", "sum") and own:
            own = (_walked(name, *own, **kwargs), *own[1:])
        if is_textual:
            for value in own:
                require_text(value)
        if ask is not None and not any(isinstance(value, Undefined) for value in own):
            try:
                ask(*own, **kwargs)
            except TypeError:
                raise TypeError(f"the filter {name!r} cannot take these arguments") from None
        return own

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        own = args[skipped:]
        try:
            return paid(function(*args[:skipped], *asked(own, kwargs), **kwargs))
        except TypeError as error:
            if wanted := misfit(name, function, own, kwargs):
                raise TypeError(wanted) from error
            raise

    return call


def _walked(name: str, values: Any, first: Any = "", second: Any = None, **named: Any) -> Any:
    """The items that `join` or `sum` walks over, once what they make was asked for."""
    if isinstance(values, Undefined):
        return values
    if name == "join":
        return joined(iterated(values), str(named.get("d", first)))
    found = list(iterated(values))
    if isinstance(named.get("start", second), list | tuple):  # each list is copied into the next
        SPENT.read(len(found) * measured(found) // _COPIES_AT_ONCE)
    return found


def _counted_test(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        SPENT.read(sum(map(measured, args)))
        return function(*args, **kwargs)

    return call


def _bind(colour: object, *given: str, **named: str) -> str:
    if len(given) + len(named) != 1 or named.keys() - {"part"}:
        raise TypeError(misfit("bind", bind_colour, (colour, *given), named))
    (part,) = (*given, *named.values())
    if not isinstance(colour, Mapping):
        require_text(colour)
    text = bind_colour(colour, part)
    SPENT.read(len(text))
    SPENT.write(len(text))
    return text


@pass_eval_context
def _join_texts(context: EvalContext, values: list[Any]) -> Any:
    join = markup_join if context.autoescape else str_join
    return paid(join(joined(values, "")))


def _read(value: Any) -> Any:
    SPENT.read(measured(value))
    return value


def _turn(characters: int) -> None:
    SPENT.read()
    SPENT.write(characters)


# With the context none of it is worked out while the template is compiled.
@pass_context
def _written(context: Any, value: Any) -> Any:
    if value.__class__ is not str:
        require_text(value)
    SPENT.write(measured(value))
    return value


def _environment() -> Environment:
    made = Environment(undefined=_Empty, autoescape=False, keep_trailing_newline=False, optimized=False)
    made.finalize = _written
    made.filters = {name: _counted_filter(name, STOCK_FILTERS[name]) for name in sorted(_TEXTUAL | _OTHER)}
    made.filters |= {"bind": _bind, ITERATED: iterated, JOINED: _join_texts, MADE: paid, READ: _read, TURN: _turn}
    tests: Mapping[str, Any] = STOCK_TESTS
    made.tests = {name: _counted_test(tests[name]) for name in sorted(TESTS)}
    made.globals = {name: made.globals[name] for name in sorted(FUNCTIONS)}
    return made


ENVIRONMENT = _environment()
