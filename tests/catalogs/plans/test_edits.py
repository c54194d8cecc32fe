"""A plan that somebody changed is refused in one line; one that was only copied is taken."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalogs.errors import CampaignError, StorageError
from tasks.prepare import Prepared, prepare
from tests.flows.projects import Project, make, rendered

Edit = Callable[[dict[str, Any]], None]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.of(tmp_path, 2)


def edited(project: Project, row: Edit = lambda row: None, header: Edit = lambda header: None, **columns: Any) -> str:
    """A plan whose rows and header somebody changed, as pyarrow writes it."""
    path = project.folder / "edited.parquet"
    prepared = project.plan()
    table = pq.read_table(project.folder / "output" / prepared.plan_key)
    rows = table.to_pylist()
    for item in rows:
        row(item)
    told = json.loads(table.schema.metadata[b"packshot"])
    header(told)
    schema = pa.schema([field for field in table.schema if field.name not in columns.get("dropped", ())])
    metadata = {b"packshot": json.dumps(told).encode()}
    pq.write_table(pa.Table.from_pylist(rows, schema=schema.with_metadata(metadata)), path)
    return str(path)


def take(project: Project, plan: str) -> Prepared:
    return prepare(project.path, {}, plan_file=plan)


def test_a_copy_is_taken_and_rendered(project: Project) -> None:
    assert rendered(make(take(project, edited(project)))) == 4


def change(**values: Any) -> Edit:
    return lambda held: held.update(values)


def drop_references(row: dict[str, Any]) -> None:
    row["references"] = None


def huge(header: dict[str, Any]) -> None:
    header["channels"]["square"]["width"] = 10**9


def wider(header: dict[str, Any]) -> None:
    header["channels"]["square"]["width"] = 50


@pytest.mark.parametrize(
    ("row", "header", "problem"),
    [
        (change(prompt="a dog"), change(), "its render fingerprint is not that of what it asks for"),
        (change(seed=1), change(), "its render fingerprint is not"),
        (change(master_width=9_999_984), change(), "its render fingerprint is not"),
        (change(legal_line="(c) me"), change(), "its fingerprint is not that of how it is finished"),
        (change(channel="wide"), change(), "its fingerprint is not that of how it is finished"),
        (change(channel="elsewhere"), change(), "its channel is not the plan's"),
        (change(model="klein-4b"), change(), "its model is not the plan's"),
        (drop_references, change(), "it lacks what a picture is made from"),
        (change(), change(model="klein-4b"), "its model is not the plan's"),
        (change(), wider, "its fingerprint is not that of how it is finished"),
        (change(), huge, "its header: channels: input should be less than or equal to 10000"),
        (change(), change(lora=[{"sha256": "0" * 64, "scale": 1.0, "path": "x"}]), "its render fingerprint is not"),
    ],
)
def test_what_was_changed_is_said(project: Project, row: Edit, header: Edit, problem: str) -> None:
    with pytest.raises(CampaignError) as caught:
        take(project, edited(project, row, header))
    assert problem in str(caught.value)
    assert str(caught.value).endswith("it was changed after it was planned; plan again")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("header", "dropped", "problem"),
    [
        (change(colour="red"), (), "has a header of another version of packshot, or was changed by hand"),
        (lambda header: header.pop("channels"), (), "has a header of another version"),
        (
            change(format=99),
            (),
            "was written by a newer packshot (plan format 99, this one reads up to 4); upgrade packshot",
        ),
        (change(format="2"), (), "is not a plan of a format that is known"),
        (change(format=0), (), "is not a plan of a format that is known"),
        (change(), ("prompt",), "has no column 'prompt' of type string"),
        (change(), ("seed", "stage"), "has no column 'seed' of type int64"),
    ],
)
def test_a_plan_of_another_shape_is_said(
    project: Project, header: Edit, dropped: tuple[str, ...], problem: str
) -> None:
    with pytest.raises(CampaignError, match=re.escape(problem)):
        take(project, edited(project, header=header, dropped=dropped))


def test_a_plan_changed_in_the_store_is_refused_by_its_shard(project: Project) -> None:
    prepared = project.plan()
    path = project.folder / "output" / prepared.plan_key
    path.write_bytes(Path(edited(project, change(prompt="a dog"))).read_bytes())
    with pytest.raises(CampaignError, match="it was changed after it was planned"):
        make(prepared)
    assert not project.view()


def test_a_plan_without_the_newest_columns_is_taken(project: Project) -> None:
    plan = edited(project, dropped=("look_rows", "look_marks", "master", "upstream_references", "territory"))
    assert take(project, plan).summary["actions"] == {"new": 8}


def kept_metadata(project: Project, change_covers: bool) -> str:
    """A plan read and written again with all that its file says of itself, as one that edits with pyarrow does."""
    path = project.folder / "again.parquet"
    source = project.folder / "output" / project.plan().plan_key
    table = pq.read_table(source)
    rows = table.to_pylist()
    if change_covers:
        rows[0]["covers"] = ["another product"]
    metadata = pq.read_metadata(source).metadata
    assert b"packshot.digest" in metadata
    kept = {name: value for name, value in metadata.items() if name != b"ARROW:schema"}
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema.with_metadata(kept)), path)
    return str(path)


def test_what_no_fingerprint_tells_is_told_by_the_digest(project: Project) -> None:
    with pytest.raises(CampaignError, match="is not as it was written: it was changed or damaged; plan again"):
        take(project, kept_metadata(project, change_covers=True))


def test_a_bit_that_flipped_is_found(project: Project) -> None:
    path = project.folder / "output" / project.plan().plan_key
    data = bytearray(path.read_bytes())
    rows = int(pq.read_metadata(path).metadata[b"packshot.digest"].partition(b".")[0])
    refused = 0
    for place in range(4, rows, 97):
        copy = bytearray(data)
        copy[place] ^= 1
        (project.folder / "flipped.parquet").write_bytes(bytes(copy))
        with pytest.raises((CampaignError, StorageError)):
            take(project, str(project.folder / "flipped.parquet"))
        refused += 1
    assert refused > 20


def test_a_file_that_was_only_copied_is_taken(project: Project) -> None:
    path = project.folder / "copy.parquet"
    path.write_bytes((project.folder / "output" / project.plan().plan_key).read_bytes())
    assert take(project, str(path)).summary["actions"] == {"new": 8}


def test_a_row_of_which_nothing_is_to_be_done_is_checked_too(project: Project) -> None:
    project.render()
    with pytest.raises(CampaignError, match="its render fingerprint is not that of what it asks for"):
        take(project, edited(project, row=change(prompt="another scene")))


def test_a_row_that_stands_twice_is_refused(project: Project) -> None:
    path = project.folder / "twice.parquet"
    table = pq.read_table(edited(project))
    pq.write_table(pa.concat_tables([table, table.slice(0, 2)]), path)
    with pytest.raises(CampaignError, match="it stands in the plan twice"):
        take(project, str(path))
