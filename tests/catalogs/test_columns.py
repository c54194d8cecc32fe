"""The one list of columns: what follows from it, and that files written before have the same."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalogs.columns import ASSETS, CARRIED, COLUMNS, IDENTITY, PLAN, In, Row, SetBy, part, value_of, with_identity
from catalogs.identity import Identity

WRITTEN_BEFORE = Path(__file__).parents[1] / "flows" / "written_before.tar.xz"


def schemas_before(ending: str) -> list[pa.Schema]:
    with tarfile.open(WRITTEN_BEFORE) as archive:
        files = [archive.extractfile(member) for member in archive.getmembers() if member.name.endswith(ending)]
        return [pq.read_schema(io.BytesIO(file.read())).remove_metadata() for file in files if file]


def test_a_commit_of_before_has_columns_of_today() -> None:
    found = [schema for schema in schemas_before(".parquet") if "attempt_id" in schema.names]
    assert len(found) > 5
    for schema in found:
        assert [ASSETS.field(name).type for name in schema.names] == schema.types


def test_a_plan_of_before_has_the_columns_of_today() -> None:
    found = schemas_before("/plan.parquet")
    assert len(found) > 5
    for schema in found:
        assert [PLAN.field(name).type for name in schema.names] == schema.types


def test_the_identity_is_that_of_the_class() -> None:
    assert set(IDENTITY) == set(Identity.__dataclass_fields__)


def test_every_column_says_what_it_means() -> None:
    assert len(COLUMNS) == len(set(ASSETS.names) | set(PLAN.names)) > 50
    for name, column in COLUMNS.items():
        assert column.meaning, name
        assert "\n" not in column.meaning, name
        assert (name in ASSETS.names, name in PLAN.names) == (column.files != In.PLAN, column.files != In.CATALOG)


def test_what_a_plan_hands_on_is_no_outcome() -> None:
    assert not {name for name in CARRIED if COLUMNS[name].set_by is SetBy.OUTCOME}
    assert {"fingerprint", "covers", "references", *IDENTITY} < set(CARRIED)


def test_parts_of_a_row() -> None:
    row: Row = {"look": "a", "seed": 7}
    assert part(row, ["seed", "cost"]) == {"seed": 7}
    assert (value_of(row, "seed"), value_of(row, "cost")) == (7, None)
    assert with_identity("cost")[-1] == "cost"
    with pytest.raises(KeyError):
        with_identity("costs")
