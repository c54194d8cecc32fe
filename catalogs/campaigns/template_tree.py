"""A parsed template: refused where it says what none may say, and made to pay for what it does."""

from __future__ import annotations

import re
from typing import Any

from jinja2 import nodes
from jinja2.filters import FILTERS as STOCK_FILTERS
from jinja2.tests import TESTS as STOCK_TESTS
from jinja2.visitor import NodeTransformer

from catalogs.campaigns.template_language import (
    ENVIRONMENT,
    FILTERS,
    FUNCTIONS,
    ITERATED,
    JOINED,
    MADE,
    READ,
    TESTS,
    TURN,
)
from catalogs.errors import nearest

# Whatever Babel, Django, Twig or Liquid call them; asked only of names that there are not.
_FORMATTING = re.compile(r"price|money|currency|date|time|number|decimal|percent|scientific|intcomma|locali[sz]")
_FILES = {nodes.Include: "include", nodes.Import: "import", nodes.FromImport: "from", nodes.Extends: "extends"}


class NotAllowed(Exception):
    """A template says what none may say; `fix` is what to do about it."""

    def __init__(self, problem: str, fix: str) -> None:
        self.fix = fix
        super().__init__(problem)


def refuse_what_is_not_listed(tree: nodes.Template) -> None:
    """Raises NotAllowed for what no product can make right: unknown words, other files, functions not called."""
    for kind, word in _FILES.items():
        if tree.find(kind) is not None:
            raise NotAllowed(f"{{% {word} %}} has no meaning here: there are no other templates", "write it out")
    for found in tree.find_all((nodes.Filter, nodes.Test)):
        assert isinstance(found, nodes.Filter | nodes.Test)
        what, known, stock = ("filter", FILTERS, STOCK_FILTERS)
        if isinstance(found, nodes.Test):
            what, known, stock = ("test", TESTS, STOCK_TESTS)
        if found.name not in known:
            if what == "filter":
                _refuse_formatting(found.name, f"| {found.name}")
            why = ": what it gives is not the same each time, or has no bound" if found.name in stock else ""
            raise NotAllowed(f"there is no {what} {found.name!r} here{why}", nearest(found.name, sorted(known)))
    calls = list(tree.find_all(nodes.Call))
    called = {id(call.node) for call in calls}
    local = {node.name for node in tree.find_all(nodes.Name) if node.ctx in ("store", "param")}
    for name in tree.find_all(nodes.Name):
        if name.name in FUNCTIONS | {"image"} and name.name not in local and id(name) not in called:
            raise NotAllowed(f"{name.name!r} is a function, and no text", f"call it, as in {name.name}(...)")
    for call in calls:
        if isinstance(call.node, nodes.Name) and call.node.name.startswith("format_") and call.node.name not in local:
            _refuse_formatting(call.node.name, f"{call.node.name}(...)")


def _refuse_formatting(name: str, written: str) -> None:
    """Refuse what elsewhere formats prices and dates: its tables change with a library, and every prompt with them."""
    if not _FORMATTING.search(name.lower()):
        return
    problem = f"{written} formats by the tables of a locale, which change from one library to the next"
    fix = "write the plain value, as in {{ product.price }}; formatted prices and dates belong to overlays"
    raise NotAllowed(problem, fix)


# Jinja names the methods of a visitor after its nodes.
# ruff: noqa: N802, N815
class _Counting(NodeTransformer):
    """Puts the counting into what Jinja compiles to Python's own loops, lists and comparisons."""

    def visit_For(self, node: nodes.For) -> nodes.For:
        self._turns(node)
        node.iter = _through(ITERATED, node.iter)
        return node

    def visit_Macro(self, node: nodes.Macro) -> nodes.Macro:
        self._turns(node)
        return node

    def visit_CallBlock(self, node: nodes.CallBlock) -> nodes.CallBlock:
        self._turns(node)
        return node

    def _turns(self, node: Any) -> None:
        """Every turn pays for the text that stands in it."""
        characters = sum(_fixed_text(child) for child in node.body)
        self.generic_visit(node)
        turn = nodes.ExprStmt(_through(TURN, nodes.Const(characters)))
        node.body = [turn.set_lineno(node.lineno), *node.body]

    def visit_Concat(self, node: nodes.Concat) -> nodes.Expr:
        self.generic_visit(node)
        return _through(JOINED, nodes.List(node.nodes))

    def _made(self, node: Any) -> Any:
        self.generic_visit(node)
        return node if getattr(node, "ctx", "load") != "load" else _through(MADE, node)

    visit_List = visit_Dict = visit_Tuple = _made

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Expr:
        self.generic_visit(node)
        return _through(MADE, node) if node.find(nodes.Slice) is not None else node

    def visit_Compare(self, node: nodes.Compare) -> nodes.Compare:
        self.generic_visit(node)
        holders: list[Any] = [node, *node.ops]
        for holder in holders:
            if not isinstance(holder.expr, nodes.Const):
                holder.expr = _through(READ, holder.expr)
        return node


def _fixed_text(node: nodes.Node) -> int:
    """Characters of the text that stands in a node, without that of loops in it: they pay themselves."""
    if isinstance(node, nodes.TemplateData):
        return len(node.data)
    if isinstance(node, nodes.For | nodes.Macro | nodes.CallBlock):
        return sum(_fixed_text(child) for child in getattr(node, "else_", ()))
    return sum(_fixed_text(child) for child in node.iter_child_nodes())


def _through(name: str, node: Any) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None)


def with_counting(tree: nodes.Template) -> nodes.Template:
    """A template that pays for what it does; changes the tree."""
    _Counting().visit(tree)
    tree.set_lineno(1)
    tree.set_environment(ENVIRONMENT)
    return tree
