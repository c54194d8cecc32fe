"""Ten thousand damaged exports; see README.md for how to run all. Variables as in test_mutations.py, and

PACKSHOT_EXPORTS        so many in all (default 600)
PACKSHOT_EXPORTS_FILE   results, a line an export; what is in it is not tried again (default: a new file)
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.mutations.exports import piece, table, trial
from tests.mutations.test_mutations import SECONDS, SEED

TOTAL = int(os.environ.get("PACKSHOT_EXPORTS", "600"))


FOUND = {
    "json": [135, 204],
    "magento": [160, 247],
    "atom": [197],
    "meta": [230],
    "rss": [276],
}


@pytest.mark.parametrize(("shop", "number"), [(shop, number) for shop, numbers in FOUND.items() for number in numbers])
def test_what_once_found_a_fault(tmp_path: Path, shop: str, number: int) -> None:
    """Brands of markup alone, a value looked at over and over, URLs that are none, variants of variants, long names."""
    line = trial(shop, number, 20261121, tmp_path / "trial")
    assert not line["fault"], line


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_damaged_exports_end_in_order(tmp_path: Path) -> None:
    results = Path(os.environ.get("PACKSHOT_EXPORTS_FILE", str(tmp_path / "results.jsonl")))
    lines = piece(tmp_path, results, SEED, TOTAL, SECONDS)
    print(table(lines))
    assert [line for line in lines if line["fault"]] == []
