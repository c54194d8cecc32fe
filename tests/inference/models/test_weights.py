"""What is kept in the cache folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from inference.models.weights import keep_json


def test_a_file_that_cannot_be_replaced_leaves_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PACKSHOT_CACHE", str(tmp_path))
    keep_json("one.json", {"a": 1})
    (tmp_path / "two.json" / "below").mkdir(parents=True)
    with pytest.raises(OSError, match=r"two\.json"):
        keep_json("two.json", {"a": 1})
    with pytest.raises(TypeError):
        keep_json("one.json", {"a": object()})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.json", "two.json"]
    assert json.loads((tmp_path / "one.json").read_text()) == {"a": 1}
