"""Damaged fonts and logos on their way onto a picture; see README.md for how to run all. Variables as in
test_mutations.py, and

PACKSHOT_OVERLAYS        so many fonts, and as many logos (default 200)
PACKSHOT_OVERLAYS_FILE   results, a line a file; what is in it is not tried again (default: a new file)
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.mutations.overlays import piece, table, tried
from tests.mutations.test_mutations import SECONDS

SEED, TOTAL = 20261123, int(os.environ.get("PACKSHOT_OVERLAYS", "200"))


@pytest.mark.parametrize("kind", ["fonts", "logos"])
def test_a_few_end_in_order(kind: str) -> None:
    lines = list(tried(kind, SEED, 0, 12))
    assert [line["number"] for line in lines] == list(range(12))
    assert [line for line in lines if line["fault"]] == []
    assert {line["verdict"] for line in lines} == {"drawn", "refused"}


@pytest.mark.parametrize("number", [1, 18, 87])
def test_a_letter_that_freetype_refuses_is_told(number: int) -> None:
    """Checked with one letter, a font broke at another."""
    [line] = tried("fonts", SEED, number, number + 1)
    assert not line["fault"], line


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_damaged_fonts_and_logos_end_in_order(tmp_path: Path) -> None:
    results = Path(os.environ.get("PACKSHOT_OVERLAYS_FILE", str(tmp_path / "results.jsonl")))
    lines = piece(results, SEED, TOTAL, SECONDS)
    print(table(lines))
    assert [line for line in lines if line["fault"]] == []
