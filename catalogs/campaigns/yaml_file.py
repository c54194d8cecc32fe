"""The text of a campaign file as plain values, or one line about what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import yaml

from catalogs.campaigns.yaml_wording import QUOTE_TEMPLATE, fault_of
from catalogs.errors import CampaignError
from catalogs.storage.local_files import NotAFile, open_file

MAX_BYTES = 1_000_000
# Counted with every alias written out: a few lines of aliases can stand for more than any memory holds.
MAX_VALUES = 100_000
MAX_CHARACTERS = 4_000_000
MAX_DEPTH = 50
MAX_DIGITS = 400

_TAG = "tag:yaml.org,2002:"
_MERGE = _TAG + "merge"
_SCALARS = {
    _TAG + "null": "null",
    _TAG + "bool": "true or false",
    _TAG + "int": "whole number",
    _TAG + "float": "number",
    _TAG + "str": "text",
    _TAG + "timestamp": "date",
}
_KINDS = {*_SCALARS, _TAG + "seq", _TAG + "map", _MERGE}
# No path, no key and no message can be written with them.
_NO_TEXT = re.compile("[\0\ud800-\udfff]")
_TOO_DEEP = f"nested more than {MAX_DEPTH} levels deep"
_TOO_MUCH = f"more than {MAX_VALUES:,} values or {MAX_CHARACTERS:,} characters, with aliases written out"


class _Problem(yaml.MarkedYAMLError):
    """What this file adds to YAML's own rules; `path` is the dotted key, where one is at fault."""

    def __init__(
        self, problem: str, mark: yaml.Mark | None, fix: str = "correct the line", path: Sequence[str] = ()
    ) -> None:
        self.fix, self.path = fix, path
        super().__init__(None, None, problem, mark)


class _Weight(NamedTuple):
    """A value with all its aliases written out."""

    values: int
    characters: int
    depth: int


class _Loader(yaml.SafeLoader):
    """A safe loader of plain values only, of bounded size, that says the line of whatever cannot be read."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._source = text
        self._open = self._values = self._characters = 0
        self._weights: dict[int, _Weight] = {}

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Weighs while it reads: a file of aliases must not even be read to its end."""
        is_alias = self.check_event(yaml.AliasEvent)
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        if self._open >= MAX_DEPTH:
            raise _Problem(_TOO_DEEP, mark)
        before = self._values, self._characters
        self._open += 1
        node = super().compose_node(parent, index)
        self._open -= 1
        if is_alias:
            self._add_alias(node, mark)
        else:
            self._add(node, before, mark)
        if self._values > MAX_VALUES or self._characters > MAX_CHARACTERS:
            raise _Problem(_TOO_MUCH, mark)
        return node

    def _add_alias(self, node: yaml.Node | None, mark: yaml.Mark) -> None:
        weight = self._weights.get(id(node))
        if weight is None:
            raise _Problem("an alias names what it stands in itself", mark)
        if self._open + weight.depth > MAX_DEPTH:
            raise _Problem(_TOO_DEEP, mark)
        self._values += weight.values
        self._characters += weight.characters

    def _add(self, node: Any, before: tuple[int, int], mark: yaml.Mark) -> None:
        _refuse_tag(node)
        self._values += 1
        depth = 1
        if isinstance(node, yaml.ScalarNode):
            _refuse_text(node)
            self._characters += len(node.value)
        else:
            depth += max((self._weights[id(child)].depth for child in _children(node)), default=0)
        if isinstance(node, yaml.MappingNode):
            self._refuse_twins(node)
        self._weights[id(node)] = _Weight(self._values - before[0], self._characters - before[1], depth)

    def _refuse_twins(self, node: yaml.MappingNode) -> None:
        """A key written twice would silently lose the first value. Merged keys are no twins: they may be overridden."""
        seen: set[object] = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise self._no_key(key_node)
            key = _MERGE if key_node.tag == _MERGE else self.construct_object(key_node, deep=True)
            if key in seen:
                raise _Problem(f"the key {_shown(key_node)} is written twice", key_node.start_mark)
            seen.add(key)

    def _no_key(self, node: yaml.Node) -> _Problem:
        mark = node.start_mark
        if self._source[mark.index - 1 : mark.index + 1] == "{{":
            return _Problem("a text with {{ ... }} is not in quotes", mark, QUOTE_TEMPLATE)
        return _Problem("a key is one word, no list and no section", mark)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except yaml.YAMLError:
            raise
        except Exception as error:  # each kind of scalar raises what its own parsing happens to
            kind = _SCALARS.get(node.tag, node.tag)
            raise _Problem(f"{_shown(node)} cannot be read as {kind}; put text into quotes", node.start_mark) from error


def read_yaml(path: str) -> Mapping[str, Any]:
    """The keys of a campaign file.

    Raises:
        CampaignError: it cannot be read, is no YAML of plain values, with the line, or stands for too much.
    """
    text = _text(path)
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            _refuse_keys_that_are_no_text(node)
            content = None if node is None else loader.construct_document(node)
        finally:
            loader.dispose()
    except _Problem as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        if error.path:
            raise CampaignError(path, f"{where}, {'.'.join(error.path)}", str(error.problem), error.fix) from None
        raise CampaignError(path, where, f"is not valid YAML ({error.problem})", error.fix) from None
    except yaml.MarkedYAMLError as error:
        where, problem, fix = fault_of(error, text)
        raise CampaignError(path, where, f"is not valid YAML ({problem})", fix) from None
    except yaml.reader.ReaderError as error:
        where = f"line {text.count(chr(10), 0, error.position) + 1}"
        problem = f"is not valid YAML (the character U+{error.character:04X} may not stand in it)"
        raise CampaignError(path, where, problem, "take it out") from None
    except yaml.YAMLError as error:
        raise CampaignError(path, "", f"is not valid YAML ({error})", "correct the file") from None
    if not isinstance(content, dict):
        raise CampaignError(path, "", "holds no keys", "start from `packshot init DIR`")
    return content


def _text(path: str) -> str:
    fix = "give the path of a campaign.yaml"
    try:
        with open_file(path) as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise CampaignError(path, "", "there is no such file", fix) from None
    except IsADirectoryError:
        raise CampaignError(path, "", "is a folder", fix) from None
    except NotAFile as error:
        raise CampaignError(path, "", f"is {error.strerror}", fix) from None
    except OSError as error:
        raise CampaignError(path, "", f"cannot be read ({error.strerror})", "check its permissions") from None
    except ValueError:  # NUL, or what no file name can be written with
        raise CampaignError(repr(path), "", "is no path", fix) from None
    if len(content) > MAX_BYTES:
        problem = f"is larger than {MAX_BYTES // 1_000_000} MB"
        raise CampaignError(path, "", problem, "a campaign names its products by `select` and catalogs, not one by one")
    # Plain letters of UTF-16 are UTF-8 too, with a NUL beside each.
    if any(len(content) > 3 and not content[start : start + 200 : 2].strip(b"\0") for start in (0, 1)):
        raise CampaignError(path, "", "is UTF-16 text", "save it as UTF-8")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise CampaignError(path, "", "is not UTF-8 text", "save it as UTF-8") from None


def _refuse_keys_that_are_no_text(root: yaml.Node | None) -> None:
    """A shot called `no` would be called False, and its file would not say so anywhere."""
    waiting: list[tuple[yaml.Node, tuple[str, ...]]] = [(root, ())] if root else []
    seen: set[int] = set()  # an alias is the node that it names
    while waiting:
        node, path = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += [(item, (*path, str(number))) for number, item in enumerate(node.value)]
        elif isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                below = (*path, _clipped(key.value))
                if key.tag not in (_TAG + "str", _MERGE):
                    raise _Problem(*_no_text_key(key), path=below)
                waiting.append((value, below))


def _no_text_key(key: yaml.ScalarNode) -> tuple[str, yaml.Mark | None, str]:
    word = _clipped(key.value)
    fix = f'write "{word}" in quotes if it is a name of yours; packshot has no key of this name'
    if key.tag == _TAG + "bool":
        return "a key must be text, and YAML reads yes, no, on and off as true and false", key.start_mark, fix
    if key.tag == _TAG + "null":
        return f"a key must be text, and YAML reads {word or 'an empty one'} as nothing", key.start_mark, fix
    return f"a key must be text, and YAML reads {word} as a {_SCALARS[key.tag]}", key.start_mark, fix


def _refuse_tag(node: yaml.Node) -> None:
    if node.tag == _TAG + "value":
        raise _Problem("a lone = has a meaning of its own; put it into quotes", node.start_mark)
    if node.tag not in _KINDS:
        tag = str(node.tag).replace(_TAG, "!!")
        raise _Problem(f"the tag {tag[:60]!r} has no meaning in a campaign", node.start_mark)


def _refuse_text(node: yaml.ScalarNode) -> None:
    if found := _NO_TEXT.search(node.value):
        raise _Problem(f"the character U+{ord(found[0]):04X} may not stand in a text", node.start_mark)
    if len(node.value) > MAX_DIGITS and node.tag != _TAG + "str":
        raise _Problem(f"{_shown(node)} is too long for a {_SCALARS.get(node.tag, 'value')}", node.start_mark)


def _children(node: yaml.Node) -> Iterator[yaml.Node]:
    for item in node.value:
        if isinstance(item, tuple):
            yield from item
        else:
            yield item


def _shown(node: yaml.Node) -> str:
    return repr(_clipped(str(node.value) if isinstance(node, yaml.ScalarNode) else "this"))


def _clipped(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."
