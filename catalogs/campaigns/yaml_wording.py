"""What is wrong with a text that is no YAML: the line of the mistake itself, seldom that where a parser gives up."""

from __future__ import annotations

import re
from typing import NamedTuple

import yaml

QUOTE_TEMPLATE = 'put the whole text in quotes, as in scene: "{{ product.title }}"'
QUOTE = "put the whole text in quotes"

_OPENINGS = {"a flow sequence": "[", "a flow mapping": "{"}
# A quoted text, where one may begin.
_QUOTED = re.compile(r"""(?:(?<=[\s:,\[{(])|^)("(?:\\.|[^"\\])*"|'(?:''|[^'])*')""")
_TEMPLATE = re.compile(r"\{\{|\{%")
# A colour, or whatever hides the end of its list; any other is a comment that is meant.
_HASH = re.compile(r"(?:^|[\s\[{,])(#(?:[0-9A-Fa-f]{6}\b|\w+(?=.*[\]}])))")
_COLON = re.compile(r":(?=\s|$)")
_ODD_START = re.compile(r"found character '(.)' that cannot start any token")
_GOT = re.compile(r"(?:but got|but found) '(.*)'")


class Fault(NamedTuple):
    """A mistake: its place ("line 8, column 3"), what it is, what to do."""

    where: str
    problem: str
    fix: str


class _Trouble:
    """A parser's complaint beside the lines it is about."""

    def __init__(self, error: yaml.MarkedYAMLError, text: str) -> None:
        self.lines = text.splitlines() or [""]
        self.problem = error.problem or "cannot be read"
        self.context = (error.context or "").removeprefix("while parsing ").removeprefix("while scanning ")
        found = _GOT.search(self.problem)
        self.got = found[1] if found else ""
        mark = error.problem_mark or error.context_mark
        self.line, self.column = (mark.line, mark.column) if mark else (0, 0)
        self.is_at_end = self.line >= len(self.lines) or not "".join(self.lines[self.line :]).strip()
        self.begun = error.context_mark or mark

    def line_of(self, number: int) -> str:
        return self.lines[number] if number < len(self.lines) else ""

    def here(self) -> str:
        """The place of the complaint; the last line with anything in it where the file is at its end."""
        if not self.is_at_end:
            return f"line {self.line + 1}, column {self.column + 1}"
        written = [number for number, line in enumerate(self.lines) if line.strip()]
        return f"line {written[-1] + 1 if written else 1}"

    def beginning(self) -> str:
        """The place of what was being read."""
        return f"line {self.begun.line + 1}, column {self.begun.column + 1}" if self.begun else self.here()

    def touched(self) -> range:
        """The lines from the beginning of what was being read to the complaint, if it was not a whole section."""
        first = self.begun.line if self.begun and self.context in _OPENINGS else self.line
        return range(min(first, len(self.lines) - 1), min(self.line, len(self.lines) - 1) + 1)


def fault_of(error: yaml.MarkedYAMLError, text: str) -> Fault:
    """The mistake behind an error of the parser; no line is named that the text does not have."""
    trouble = _Trouble(error, text)
    found = (
        _open_quote(trouble)
        or _bare_template(trouble)
        or _tab(trouble)
        or _hash(trouble)
        or _bracket(trouble)
        or _no_colon(trouble)
        or _odd_text(trouble)
        or _indentation(trouble)
    )
    return found or Fault(trouble.here(), trouble.problem, "correct the line")


def _unquoted(line: str) -> str:
    return _QUOTED.sub(lambda found: " " * len(found[0]), line)


def _open_quote(trouble: _Trouble) -> Fault | None:
    if trouble.context == "a quoted scalar":
        return Fault(trouble.beginning(), "the quote that begins here is not closed", "close it at the end of its text")
    if trouble.context == "a double-quoted scalar":
        fix = r"write \\ for a backslash, or use '...' for the text"
        return Fault(trouble.here(), r"in double quotes a \ needs another one", fix)
    return None


def _bare_template(trouble: _Trouble) -> Fault | None:
    for number in reversed(trouble.touched()):
        if found := _TEMPLATE.search(_unquoted(trouble.line_of(number))):
            shown = "{{ ... }}" if found[0] == "{{" else "{% ... %}"
            where = f"line {number + 1}, column {found.start() + 1}"
            return Fault(where, f"a text with {shown} is not in quotes", QUOTE_TEMPLATE)
    return None


def _tab(trouble: _Trouble) -> Fault | None:
    line = trouble.line_of(trouble.line)
    indent = line[: len(line) - len(line.lstrip())]
    if "\t" not in indent and line[trouble.column : trouble.column + 1] != "\t":
        return None
    column = indent.index("\t") if "\t" in indent else trouble.column
    where = f"line {trouble.line + 1}, column {column + 1}"
    return Fault(where, "a tab stands where YAML takes only blanks", "use spaces")


def _hash(trouble: _Trouble) -> Fault | None:
    """Whatever follows a # is a comment, also the bracket that closes a list."""
    if trouble.context not in _OPENINGS:
        return None
    for number in trouble.touched():
        if found := _HASH.search(_unquoted(trouble.line_of(number))):
            where = f"line {number + 1}, column {found.start(1) + 1}"
            return Fault(where, "# begins a comment, and hides what follows it", f'put it in quotes: "{found[1]}"')
    return None


def _bracket(trouble: _Trouble) -> Fault | None:
    opened = _OPENINGS.get(trouble.context)
    if opened is None or trouble.begun is None:
        return None
    if trouble.got == "?":
        return Fault(trouble.here(), "a text with ? is not in quotes", f'{QUOTE}, as in ["product.detail?"]')
    first = trouble.begun.line
    closing = {"[": "]", "{": "}"}[opened]
    problem = f"the {opened} of line {first + 1} is not closed"
    if trouble.is_at_end or trouble.got in ("]", "}", "<document end>", "<document start>", "<stream end>"):
        return Fault(trouble.beginning(), problem, f"add {closing}")
    if trouble.line > first:
        return Fault(trouble.beginning(), f"{problem}, or line {trouble.line + 1} lacks a comma", f"add {closing}")
    return Fault(trouble.here(), "a comma is missing, or a text is not in quotes", "add what is missing")


def _no_colon(trouble: _Trouble) -> Fault | None:
    if trouble.context != "a simple key" or trouble.begun is None:
        return None
    words = trouble.line_of(trouble.begun.line)[trouble.begun.column :].strip()
    if len(words) > 1000:
        return Fault(trouble.beginning(), "a key is longer than 1,000 characters", "shorten it")
    problem = f"{_clipped(words)} has no colon with a blank after it"
    return Fault(trouble.beginning(), problem, "write it as key: value")


def _odd_text(trouble: _Trouble) -> Fault | None:
    if found := _ODD_START.search(trouble.problem):
        return Fault(trouble.here(), f"a text that begins with {found[1]} is not in quotes", QUOTE)
    if trouble.context in ("an alias", "an anchor"):
        return Fault(trouble.beginning(), "a text that begins with * or & is not in quotes", QUOTE)
    if trouble.context == "a block scalar":
        return Fault(trouble.here(), "a text follows | or > in its line", f"begin it in the next line, or {QUOTE}")
    if trouble.problem.startswith("mapping values are not allowed"):
        return _second_colon(trouble)
    if trouble.problem.startswith("found undefined alias"):
        return Fault(trouble.here(), f"{trouble.problem.removeprefix('found ')}", "write the & of it further up")
    if trouble.problem == "but found another document":
        return Fault(trouble.here(), "a second document begins", "take out the line ---")
    return None


def _second_colon(trouble: _Trouble) -> Fault:
    line = trouble.line_of(trouble.line)
    if _COLON.search(_unquoted(line)[: trouble.column]):
        problem = "a text with a colon and a blank in it is not in quotes"
        return Fault(trouble.here(), problem, QUOTE)
    problem = "a key is indented below a line that has its value already"
    return Fault(trouble.here(), problem, "begin it at the column of the other keys of its section")


def _indentation(trouble: _Trouble) -> Fault | None:
    if trouble.problem.startswith("sequence entries are not allowed"):
        return Fault(trouble.here(), "a list begins in the line of its key", "begin it in the next line")
    if not trouble.problem.startswith(("expected <block end>", "expected '<document start>'")):
        return None
    if trouble.got == "<scalar>":
        fix = "put all of it in one pair of quotes, '...' where it has \" in it"
        return Fault(trouble.here(), "more follows where a text ended", fix)
    if trouble.got in ("<block mapping start>", "<block sequence start>", "-", "<block entry>", "?"):
        since = f" than its section, which begins in line {trouble.begun.line + 1}" if trouble.begun else ""
        return Fault(trouble.here(), f"is indented otherwise{since}", "begin both at the same column")
    if trouble.got in ("]", "}", ","):
        return Fault(trouble.here(), f"a {trouble.got} belongs to nothing", "take it out, or put the text in quotes")
    return Fault(trouble.here(), "cannot be read from here on", "look at its indentation and quotes")


def _clipped(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."
