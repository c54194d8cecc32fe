"""Where an import reads and writes: folders of several tables, and a folder that nobody else writes to."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from catalogs.errors import OptionError, UserError
from catalogs.imports.catalog_folder import Folder
from catalogs.imports.importing import ImportOptions, import_catalog, propose_map
from catalogs.imports.report import Report

SKU = "sku,title\n"


def of(source: Path, into: Path, **options: str) -> Report:
    return import_catalog(str(source), str(into), ImportOptions(**options), lambda line: None)


@pytest.fixture
def exports(tmp_path: Path) -> Path:
    """Three tables of no known format, of two kinds."""
    folder = tmp_path / "it's an export"
    folder.mkdir()
    (folder / "a-stock.csv").write_text("place,amount\nx,1\n")
    (folder / "b.csv").write_text(f"{SKU}A,Vase\n")
    (folder / "c.csv").write_text(f"{SKU}B,Cup\n")
    return folder


@pytest.mark.parametrize("has_map", [False, True])
def test_all_tables_of_one_kind_are_read_and_the_others_told(tmp_path: Path, exports: Path, has_map: bool) -> None:
    column_map = tmp_path / "shop.map.json"
    column_map.write_text(json.dumps({"product_id": "sku", "title": "title"}))
    report = of(exports, tmp_path / "catalog", map_file=str(column_map) if has_map else "")
    assert (report.read, report.accepted, report.source) == (2, 2, "b.csv, c.csv")
    assert "a-stock.csv has no column 'sku' of the map and was not read" in report.undecided


def test_a_map_that_fits_no_table_as_a_whole(tmp_path: Path, exports: Path) -> None:
    column_map = tmp_path / "shop.map.json"
    column_map.write_text(json.dumps({"product_id": "sku", "title": "title", "price": "amount"}))
    with pytest.raises(UserError, match="has columns that no table has all of"):
        of(exports, tmp_path / "catalog", map_file=str(column_map))


def test_a_map_for_a_folder_without_a_table_that_can_be_read(tmp_path: Path) -> None:
    folder, column_map = tmp_path / "exports", tmp_path / "shop.map.json"
    folder.mkdir()
    for name in ("a.csv", "b.csv"):
        (folder / name).write_text("only\n")
    column_map.write_text(json.dumps({"product_id": "sku", "title": "title"}))
    with pytest.raises(OptionError, match="holds no table that can be read"):
        of(folder, tmp_path / "catalog", map_file=str(column_map))


def test_the_advised_map_is_written_of_the_same_table(tmp_path: Path, exports: Path) -> None:
    for name in ("b.csv", "c.csv"):
        (exports / name).unlink()
    with pytest.raises(UserError, match="do not tell what they are") as told:
        of(exports, tmp_path / "catalog")
    command = shlex.split(told.value.fix.partition("write a map: ")[2].partition(" > ")[0])
    assert command == ["packshot", "import", str(exports / "a-stock.csv"), "--propose"]
    assert json.loads(propose_map(command[2]).as_json()) == {"product_id": "", "title": ""}, "what is to be filled in"


@pytest.mark.parametrize("before", [(), ("note.txt",)])
def test_a_refused_import_leaves_a_folder_as_it_was(tmp_path: Path, before: tuple[str, ...]) -> None:
    source, into = tmp_path / "shop.csv", tmp_path / "catalog"
    source.write_text(SKU)
    for name in before:
        into.mkdir()
        (into / name).write_text("mine")
    with pytest.raises(UserError, match="holds no product"):
        of(source, into)
    assert into.exists() == bool(before)
    assert tuple(one.name for one in into.glob("*")) == before


def test_two_imports_at_once_are_told(tmp_path: Path) -> None:
    source, into = tmp_path / "shop.csv", tmp_path / "catalog"
    source.write_text(f"{SKU}A,Vase\n")
    with Folder(into).held(), pytest.raises(OptionError, match="another import is writing to it; wait"):
        of(source, into)
    assert of(source, into).accepted == 1


def test_a_dry_run_leaves_the_work_of_another_import_alone(tmp_path: Path) -> None:
    source, into = tmp_path / "shop.csv", tmp_path / "catalog"
    source.write_text(f"{SKU}A,Vase\n")
    with Folder(into).held():
        mark = Folder(into).staging() / "mark"
        mark.touch()
        import_catalog(str(source), str(into), ImportOptions(dry_run=True), lambda line: None)
        assert mark.exists()


def test_an_export_of_another_shop_is_asked_about(tmp_path: Path) -> None:
    source, into = tmp_path / "shop.csv", tmp_path / "catalog"
    source.write_text(f"{SKU}A,Vase\nB,Cup\nC,Bowl\n")
    of(source, into)
    source.write_text(f"{SKU}A,Vase\nB,Cup\n")
    assert not any("not in this export" in line for line in of(source, into).undecided)
    source.write_text(f"{SKU}X,Vase\n")
    (told,) = [line for line in of(source, into).undecided if "not in this export" in line]
    assert told.startswith("2 products of the last import are not in this export and are inactive now: ")


@pytest.mark.parametrize(
    ("into", "options", "said"),
    [
        ("", {}, "the folder to write to has no name; give one"),
        ("catalog", {"currency": "EUROS"}, "--currency: EUROS: is no currency; write EUR"),
        ("catalog", {"currency": "12"}, "--currency: 12: is no currency; write EUR"),
    ],
)
def test_options_that_are_none(tmp_path: Path, into: str, options: dict[str, str], said: str) -> None:
    source = tmp_path / "shop.csv"
    source.write_text(f"{SKU}A,Vase\n")
    with pytest.raises(OptionError) as told:
        import_catalog(str(source), into and str(tmp_path / into), ImportOptions(**options), lambda line: None)
    assert str(told.value).endswith(said)
    assert not (tmp_path / "catalog").exists()
