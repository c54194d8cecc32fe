"""The text of a campaign file as plain values, or one line about what is wrong with it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import yaml

from catalogs.errors import CampaignError


class _UniqueKeys(yaml.SafeLoader):
    """A key written twice would silently lose the first value."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[object] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable) and key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is written twice", key_node.start_mark
                )
            seen.add(key if isinstance(key, Hashable) else id(key))
        return super().construct_mapping(node, deep)


def read_yaml(path: str) -> Mapping[str, Any]:
    """The keys of a campaign file.

    Raises:
        CampaignError: it cannot be read, or is no YAML, with the line.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise CampaignError(path, "", "there is no such file", "give the path of a campaign.yaml") from None
    except IsADirectoryError:
        raise CampaignError(path, "", "is a folder", "give the path of a campaign.yaml") from None
    except UnicodeDecodeError:
        raise CampaignError(path, "", "is not UTF-8 text", "save it as UTF-8") from None
    except OSError as error:
        raise CampaignError(path, "", f"cannot be read ({error.strerror})", "check its permissions") from None
    try:
        content = yaml.load(text, Loader=_UniqueKeys)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise CampaignError(path, where, f"is not valid YAML ({error.problem})", "correct the line") from None
    except yaml.YAMLError as error:
        raise CampaignError(path, "", f"is not valid YAML ({error})", "correct the file") from None
    if not isinstance(content, dict):
        raise CampaignError(path, "", "holds no keys", "start from `packshot init DIR`")
    return content
