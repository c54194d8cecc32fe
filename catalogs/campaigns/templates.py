"""Prompt templates: Jinja2 in a sandbox, strict about what is missing, and what columns they read."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateSyntaxError, UndefinedError, nodes

from catalogs.campaigns.template_language import ENVIRONMENT, FUNCTIONS
from catalogs.campaigns.template_limits import SPENT, OverLimit, measured
from catalogs.campaigns.template_tree import NotAllowed, refuse_what_is_not_listed, with_counting
from catalogs.campaigns.template_wording import lack_words, raised_words, single_braces, syntax_words
from catalogs.errors import CampaignError, nearest

# Jinja makes Python of a template, and Python warns on stderr of what it finds odd in it: `{{ 1[0] }}`.
warnings.filterwarnings("ignore", category=SyntaxWarning, module="<template>")
SCOPES = ("product", "brand")
MAX_TEMPLATE = 20_000


class EmptyField(Exception):
    """A template needs a field that this row leaves empty."""

    def __init__(self, field: str, reason: str) -> None:
        self.field, self.reason = field, reason
        super().__init__(reason)


class OverlongField(ValueError):
    """A row holds so much that its text cannot be made."""


@dataclass(frozen=True)
class Language:
    """What templates of one kind speak of.

    Attributes:
        scopes: rows they may read, by name.
        names: that are none of these.
        hint: for the author who writes another.
        keeps_lines: only what surrounds a text is trimmed, not what it says; no-break spaces stay.
    """

    scopes: tuple[str, ...]
    names: frozenset[str]
    hint: str
    keeps_lines: bool = False

    def trimmed(self, made: str) -> str:
        """A text as it is used."""
        if not self.keeps_lines:
            return " ".join(made.split())
        lines = (re.sub(r"[ \t\r\f\v]+", " ", line).strip(" ") for line in made.split("\n"))
        return "\n".join(lines).strip("\n")


PROMPT = Language(SCOPES, FUNCTIONS | {"image", "loop"}, "use product.*, brand.* or image('...')")
COPY_TEXT = Language(SCOPES, FUNCTIONS | {"loop"}, "use product.* or brand.*", keeps_lines=True)
OVERLAY = Language((*SCOPES, "copy"), COPY_TEXT.names, "use product.*, brand.* or copy.*", keeps_lines=True)

# From here on a field, and not the template, is what is too long.
LONG_FIELD = 10_000

Node = Callable[[Mapping[str, Any]], Any]


class PromptTemplate:
    """A shot's structured prompt with every text compiled once.

    Attributes:
        columns: (scope, column) pairs the texts read, e.g. ("product", "title").
    """

    def __init__(self, prompt: Mapping[str, Any], source: str, where: str, language: Language = PROMPT) -> None:
        self._source, self._where, self._language = source, where, language
        self._columns: set[tuple[str, str]] = set()
        self._named: set[tuple[str, str]] = set()
        self._defaults: set[tuple[str, str]] = set()
        self._root = self._build(prompt, where)
        self.columns = frozenset(self._columns)

    def expand(
        self,
        product: Mapping[str, Any],
        brand: Mapping[str, Any],
        references: Sequence[str],
        optional: Collection[str] = (),
        copy: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """The prompt of one product.

        Args:
            product: clean product row.
            brand: clean brand row.
            references: names of this request's references, in order.
            optional: names of references that a row may lack.
            copy: texts by name, for templates that read them.

        Raises:
            EmptyField: the row leaves empty what a text needs.
            OverlongField: the row holds more than a text can be made of.
            CampaignError: a template fails for another reason.
        """
        context: dict[str, Any] = {"product": product, "brand": brand, "image": _image_namer(references, optional)}
        if copy is not None:
            context["copy"] = copy
        expanded = self._root(context)
        assert isinstance(expanded, dict)
        return expanded

    def check_columns(self, product_columns: Iterable[str], brand_columns: Iterable[str]) -> None:
        """Refuse a template that reads a column no catalog has.

        Raises:
            CampaignError: naming the shot, the column and the nearest right one.
        """
        known = {"product": sorted(product_columns), "brand": sorted(brand_columns)}
        for scope, column in sorted(self.columns):
            if scope in known and column != "*" and column not in known[scope]:
                raise self._no_column(scope, column, known[scope])

    def _no_column(self, scope: str, column: str, known: Sequence[str]) -> CampaignError:
        field, fix = f"{scope}.{column}", nearest(column, known)
        if (scope, column) in self._named:
            problem = f"image({field}) does not say the name of a reference as a text"
            return CampaignError(self._source, self._where, problem, f"write image('{field}')")
        problem = f"reads {field}, which the {scope} catalog does not have"
        if (scope, column) in self._defaults:
            problem += ", so that default() cannot help: it fills what single rows leave empty"
            fix = fix if fix.startswith("did you mean") else "add the column, or write the text itself"
        return CampaignError(self._source, self._where, problem, fix)

    def _build(self, value: Any, where: str) -> Node:
        if isinstance(value, Mapping):
            items = [(str(k), self._build(v, f"{where}.{k}")) for k, v in value.items()]
            return lambda context: {key: node(context) for key, node in items}
        if isinstance(value, list | tuple):
            nodes_ = [self._build(v, f"{where}.{i}") for i, v in enumerate(value)]
            return lambda context: [node(context) for node in nodes_]
        if isinstance(value, str) and ("{{" in value or "{%" in value or "{#" in value):
            return self._text(value, where)
        if isinstance(value, str):
            self._refuse_single_braces(value, where)
            value = self._language.trimmed(value) if self._language.keeps_lines else value
        return lambda context: value

    def _refuse_single_braces(self, text: str, where: str) -> None:
        # A model would be sent the words themselves.
        if found := single_braces(text):
            problem = f"{{ {found} }} stands in single braces, and is no template"
            raise CampaignError(self._source, where, problem, f"write {{{{ {found} }}}}")

    def _text(self, text: str, where: str) -> Node:
        if len(text) > MAX_TEMPLATE:
            problem = f"template: is longer than {MAX_TEMPLATE:,} characters"
            raise CampaignError(self._source, where, problem, "a prompt is read to a few thousand; shorten it")
        try:
            tree = ENVIRONMENT.parse(text)
            refuse_what_is_not_listed(tree)
            for data in tree.find_all(nodes.TemplateData):
                self._refuse_single_braces(data.data, where)
            self._columns.update(_columns_read(tree, self._language))
            self._named.update(_columns_as_names(tree))
            self._defaults.update(_columns_with_default(tree))
            template = ENVIRONMENT.from_string(with_counting(ENVIRONMENT.parse(text)))
        except NotAllowed as error:
            raise CampaignError(self._source, where, f"template: {error}", error.fix) from None
        except CampaignError:
            raise
        except TemplateSyntaxError as error:
            problem, fix = syntax_words(error.message or "cannot be read")
            raise CampaignError(self._source, where, f"template: {problem}", fix) from None
        except _UnknownName as error:
            raise CampaignError(self._source, where, f"template: {error}", error.fix) from None
        except Exception as error:  # the parser and Python's own compiler have limits that they tell in many ways
            said = str(error)[:500] or type(error).__name__
            raise CampaignError(self._source, where, f"template: {said}", "make it simpler") from None

        def render(context: Mapping[str, Any]) -> str:
            SPENT.reset()
            try:
                made = self._language.trimmed(template.render(context))
                if not made.isascii():
                    made.encode()  # a lone surrogate ends here
                return made
            except UndefinedError as error:
                raise _empty_field(tree, context, where, error, self._language) from None
            except _AbsentReference as error:
                raise EmptyField("reference_images", f"{where} names {error}, which this row does not have") from None
            except _NoSuchReference as error:
                raise CampaignError(self._source, where, str(error), "list it under references") from None
            except OverLimit as error:
                if field := _long_field(tree, context, self._language):
                    raise OverlongField(f"{where} {error}, and {field} is very long") from None
                raise CampaignError(self._source, where, f"template: {error}", "make it simpler") from None
            except Exception as error:  # a filter may raise anything
                problem, fix = raised_words(error)
                raise CampaignError(self._source, where, f"template: {problem}", fix) from None

        return render


def _long_field(tree: nodes.Template, context: Mapping[str, Any], language: Language) -> str:
    """The first column of a template's that holds so much that the row is to blame, "" where none does."""
    for scope, column in _columns_read(tree, language):
        held = context[scope] if column == "*" else context[scope].get(column)
        try:
            is_long = measured(held) > LONG_FIELD
        except OverLimit:
            is_long = True
        if is_long:
            return scope if column == "*" else f"{scope}.{column}"
    return ""


class _UnknownName(Exception):
    def __init__(self, name: str, fix: str) -> None:
        self.fix = fix
        super().__init__(f"there is no {name!r}")


class _NoSuchReference(Exception):
    pass


class _AbsentReference(Exception):
    pass


def _image_namer(references: Sequence[str], optional: Collection[str]) -> Callable[[str], str]:
    def image(*names: str) -> str:
        if len(names) != 1:
            raise TypeError("the function 'image' takes the name of one reference; write image('product.hero')")
        (name,) = names
        if name not in references:
            if name in optional:
                raise _AbsentReference(name)
            raise _NoSuchReference(f"template: image({name!r}) is not among this shot's references")
        return f"image {references.index(name) + 1}"

    return image


def _columns_read(tree: nodes.Template, language: Language) -> Iterator[tuple[str, str]]:
    """Columns a template reads; ("product", "*") where it takes the whole row."""
    local = {node.name for node in tree.find_all(nodes.Name) if node.ctx in ("store", "param")}
    inner: set[int] = set()
    for node in tree.find_all((nodes.Getattr, nodes.Getitem)):
        assert isinstance(node, nodes.Getattr | nodes.Getitem)
        target = node.node
        if isinstance(target, nodes.Name) and target.name in language.scopes:
            inner.add(id(target))
            yield target.name, _attribute(node)
    for name in tree.find_all(nodes.Name):
        if name.ctx != "load" or id(name) in inner or name.name in local | language.names:
            continue
        if name.name not in language.scopes:
            raise _UnknownName(name.name, _meant(tree, name) if "image" in language.names else language.hint)
        yield name.name, "*"


def _meant(tree: nodes.Template, name: nodes.Name) -> str:
    """What to write for a name that is none: a reference, where it is what `image` is called with."""
    for argument in _image_arguments(tree):
        if name is argument:
            return f"write the name of a reference in quotes, as in image('product.{name.name}')"
        if isinstance(argument, nodes.Getattr) and name is argument.node:
            return f"write image('{name.name}.{argument.attr}')"
    return PROMPT.hint


def _image_arguments(tree: nodes.Template) -> Iterator[nodes.Expr]:
    for call in tree.find_all(nodes.Call):
        if isinstance(call.node, nodes.Name) and call.node.name == "image":
            yield from call.args


def _columns_as_names(tree: nodes.Template) -> Iterator[tuple[str, str]]:
    for argument in _image_arguments(tree):
        if isinstance(argument, nodes.Getattr) and isinstance(argument.node, nodes.Name):
            yield argument.node.name, argument.attr


def _columns_with_default(tree: nodes.Template) -> Iterator[tuple[str, str]]:
    for found in tree.find_all(nodes.Filter):
        if found.name in ("default", "d") and isinstance(found.node, nodes.Getattr | nodes.Getitem):
            target = found.node.node
            if isinstance(target, nodes.Name):
                yield target.name, _attribute(found.node)


def _attribute(node: nodes.Getattr | nodes.Getitem) -> str:
    if isinstance(node, nodes.Getattr):
        return node.attr
    return str(node.arg.value) if isinstance(node.arg, nodes.Const) else "*"


def _empty_field(
    tree: nodes.Template, context: Mapping[str, Any], where: str, error: UndefinedError, language: Language
) -> EmptyField:
    """Say which column it was: the first one the template reads and the row leaves empty."""
    read = [(scope, column) for scope, column in _columns_read(tree, language) if column != "*"]
    for scope, column in read:
        if context[scope].get(column) in (None, "", []):
            field = f"{scope}.{column}"
            return EmptyField(field, f"{where} needs {field}, which is empty")
    field = ".".join(read[0]) if read else "a field"
    return EmptyField(field, f"{where} {lack_words(field, str(error.message))}")
