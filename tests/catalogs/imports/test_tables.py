from __future__ import annotations

import io
import json
import os
import resource
import subprocess
import sys
import zipfile
from datetime import date, datetime
from pathlib import Path

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalogs.errors import CatalogError, PackshotError
from catalogs.imports.exports import Line
from catalogs.imports.importing import ImportOptions, import_catalog
from catalogs.imports.tables import open_table
from tests.catalogs.imports.imported import imported

GOOD = 'id,title,image_link\n0012,"Größe ""5"", rot",https://a.b/1.jpg\n13,Naïve Tasse,https://a.b/2.jpg\n'


def lines(tmp_path: Path, content: bytes | str, name: str = "shop.csv") -> list[Line]:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(open_table(path, name).lines())


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252", "latin-1"]
)
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_encodings_separators_and_line_ends(tmp_path: Path, encoding: str, separator: str, end: str) -> None:
    text = GOOD.replace(",", separator).replace("\n", end)
    marked = {"utf-16-le": "\ufeff", "utf-16-be": "\ufeff"}.get(encoding, "") + text
    wanted = [f'Größe "5"{separator} rot', "Naïve Tasse"]
    for written in {marked, text}:
        found = lines(tmp_path, written.encode(encoding))
        assert [line.cells["title"] for line in found] == wanted
        assert [line.cells["id"] for line in found] == ["0012", "13"]
        assert [line.number for line in found] == [1, 2]


def test_a_pasted_cell_of_another_encoding_spoils_no_other(tmp_path: Path) -> None:
    rows = "".join(f"{number},Größe {number}\n" for number in range(20)).encode()
    found = lines(tmp_path, b"id,title\n" + rows + "99,Größe\n".encode("cp1252"))
    assert found[0].cells["title"] == "Größe 0"
    assert found[-1].cells["title"] == "Gr\ufffd\ufffde".replace("\ufffd\ufffd", "\ufffd\ufffd")


@pytest.mark.parametrize(
    ("text", "cells", "faults"),
    [
        ("a,b,c\n1,2,3\n4,5,6,7\n8,9,10\n", ["1", "8"], {2: "has 4 cells, the header 3"}),
        ("a,b,c\n1,2,3\n4,5,6,,\n", ["1", "4"], {}),
        ("a,b,c\n1,2,3\n a,b ,c\na,b,d\n", ["1", "a"], {2: "is the header once more"}),
        ("a,b,c\n1,2\n4,5,6\n", ["4"], {1: "has 2 cells, the header 3"}),
        ("a,b,c\n1,part\nof it,3\n4,5,6\n", ["4"], {1: "has 2 cells", 2: "has 2 cells"}),
        ("a,b,c\n1,2,3\n" + "4,5\n" * 4 + "6,7,8\n9,9\n", ["1", "4", "4", "4", "4", "6", "9"], {}),
        ("a,b,c,d\n1,x\nlost\ny,3,4\n5,6,7,8\n", ["5"], {1: "has 2", 2: "has 1", 3: "has 3"}),
        ("a,b,c\n1,2,3\n4" + ",5" * 500 + "\n6,7,8\n", ["1", "6"], {2: "has 501 cells"}),
        ("a,b,c,\n1,2,3\n4,5,6\n", ["1", "4"], {}),
        ("a,b,,c\n1,2,x,3\n", ["1"], {}),
        ("a,b,,c\n,,x,\n1,2,,3\n", ["1"], {1: "only below columns without a name"}),
        ('a,b\n1,"x\ny"\n2,"z\r\n\r\nw"\n', ["1", "2"], {}),
        ('a,b\n1,5" pipe\n2,6" pipe\n', ["1", "2"], {}),
        ("a,b\n\n1,2\n\n\n,,\n3,4\n\n", ["1", "3"], {}),
        ("\n\na,b\n1,2\n", ["1"], {}),
        ("sep=;\na;b\n1;2,5\n", ["1"], {}),
        ('"sep=,"\na,b\n1,2\n', ["1"], {}),
        ("a,b\n1,2\x00\n2,\x00\n", ["1", "2"], {}),
        ("a,b\n1,=HYPERLINK(1)\n2,+1\n3,@x\n4,-2\n", ["1", "2", "3", "4"], {}),
        (" a , b \n1,2\n", ["1"], {}),
        ('"a","b"\n"1","2"\n', ["1"], {}),
        ("a;b;c\n1;2,5;x\n", ["1"], {}),
        ("a,b\nNA,null\n1e5,NaN\n", ["NA", "1e5"], {}),
    ],
)
def test_records(tmp_path: Path, text: str, cells: list[str], faults: dict[int, str]) -> None:
    found = lines(tmp_path, text)
    assert [line.cells["a"] for line in found if not line.fault] == cells
    told = {line.number: line.fault for line in found if line.fault}
    assert list(told) == [line.number for line in found if not line.cells]
    assert set(told) == {number + text[:9].count("\n\n1") for number in faults} or set(told) == set(faults)
    assert all(said in told[number] for number, said in faults.items())


def test_a_row_number_is_that_of_the_record_below_the_header(tmp_path: Path) -> None:
    assert [line.number for line in lines(tmp_path, 'a,b\n1,"x\ny"\n\n3,4\n5\n6,7\n')] == [1, 3, 4, 5]


@pytest.mark.parametrize("formula", ["=HYPERLINK(1)", "+1", "@x", "-2+3", "=cmd|' /C calc'!A0"])
def test_formulas_stay_text(formula: str) -> None:
    found = imported(f'id,title,image_link\n1,"{formula}",https://a.b/1.jpg\n')
    assert found.rows[0]["title"] == formula


@pytest.mark.parametrize(
    ("content", "name", "said"),
    [
        (b"", "shop.csv", "the file is empty"),
        (b"\n\n\n", "shop.csv", "fewer than two columns"),
        (b"only\n1\n", "shop.csv", "fewer than two columns"),
        (b"\xef\xbb\xbf", "shop.csv", "fewer than two columns"),
        (b"a,b,a\n1,2,3\n", "shop.csv", "column 'a': is there twice"),
        (b'a,b\n1,2\n3,"4\n5,6\n', "shop.csv", "row 2: a quote is opened and never closed"),
        (b'a,"b\n1,2\n', "shop.csv", "a quote is opened and never closed"),
        (b"a,b\n1" + b",2" * 5_000 + b"\n", "shop.csv", "row 1: has 5,001 cells, the header 2"),
        (",".join(f"c{n}" for n in range(5_000)).encode(), "shop.csv", "has 5,000 columns, and 4,096 can be read"),
        (b"PK\x03\x04" + b"x" * 90, "shop.csv", "is a zip archive or a workbook, not text"),
        (b"\x1f\x8b\x08" + b"x" * 90, "shop.csv", "is compressed with gzip"),
        (b"%PDF-1.7\n", "shop.csv", "is a PDF"),
        (b"\n<!DOCTYPE html><html>", "shop.csv", "is a web page"),
        (b"\xd0\xcf\x11\xe0\xa1", "shop.csv", "is an old Excel workbook"),
        (b"PAR1" + b"\0" * 40, "shop.csv", "is Parquet"),
        (b"\xff\xd8\xff\xe1\0\xbcExif\0\0II*\0,\x08\0\n1,2\n", "shop.csv", "is not text"),
        (b"<?xml version='1.0'?><rss/>", "shop.csv", "is XML"),
        (b"x", "shop.pdf", "a .pdf file is not read"),
        (b"x", "shop", "a nameless file is not read"),
        (b"{", "shop.json", "is no JSON"),
        (b"\xff\xfe", "shop.json", "is no JSON"),
        (b"[" * 200_000, "shop.json", "is no JSON"),
        (b"5", "shop.json", "holds no list of objects"),
        (b'{"a": [{"b": 1}], "c": [{"d": 1}]}', "shop.json", "holds no list of objects"),
        (b"[]", "shop.json", "holds no records"),
        (b"nonsense\n", "shop.jsonl", "holds no records"),
        (b"PAR1nonsensePAR1", "shop.parquet", "is no Parquet that can be read"),
        (b"PK\x03\x04nonsense", "shop.xlsx", "is no workbook that can be read"),
        (b"<rss><channel><item><a>1</a>", "shop.xml", "is no XML (no element found)"),
        (b"<rss><item><a>&who;</a></item></rss>", "shop.xml", "is no XML (undefined entity)"),
        (b"<!DOCTYPE rss><rss/>", "shop.xml", "has a document type"),
        (b'<?xml version="1.0" encoding="nope"?><rss/>', "shop.xml", "is no XML (unknown encoding: nope)"),
        (b"<a>" * 5_000, "shop.xml", "has elements more than 32 deep"),
        (b"<rss><item></item></rss>", "shop.xml", "holds no records"),
    ],
)
def test_what_is_refused_beside_a_good_file(tmp_path: Path, content: bytes, name: str, said: str) -> None:
    with pytest.raises(CatalogError) as told:
        lines(tmp_path, content, name)
    assert said in str(told.value)
    assert str(told.value).startswith(name)
    assert told.value.exit_code == 2
    folder = tmp_path / "exports"
    folder.mkdir()
    (folder / name).write_bytes(content)
    (folder / "good.csv").write_text(GOOD)
    into = tmp_path / "catalog"
    try:
        report = import_catalog(str(folder), str(into), ImportOptions(), lambda line: None)
    except CatalogError:  # what is seen only when all of it is read, and then nothing is written
        assert not (into / "products.parquet").exists()
    else:
        assert report.accepted == 2


ENTITIES = '<!ENTITY a0 "haha">' + "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))


@pytest.mark.parametrize(
    "doctype",
    [
        f"<!DOCTYPE rss [{ENTITIES}]>",
        '<!DOCTYPE rss [<!ENTITY who SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE rss SYSTEM "http://127.0.0.1/x.dtd">',
        '<!DOCTYPE rss [<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;]>',
    ],
)
def test_entities_are_not_read(tmp_path: Path, doctype: str) -> None:
    with pytest.raises(CatalogError, match="document type"):
        lines(tmp_path, f"{doctype}<rss><item><id>&who;&a8;</id></item></rss>", "shop.xml")
    good = "<rss><item><id>1 &amp; &lt;2&#33;</id><title><![CDATA[<b>x</b>]]></title></item></rss>"
    assert lines(tmp_path, good, "shop.xml")[0].cells == {"id": "1 & <2!", "title": "<b>x</b>"}


def test_json_in_lines(tmp_path: Path) -> None:
    content = '{"id": "0012", "n": 12.50, "big": 12345678901234567890}\n\nnonsense\n[1]\n{"id": {"x": {"y": null}}}\n'
    content += '{"id": "\\ud800x", "tags": ["a", "b"], "images": [{"src": "u1"}, {"src": "u2"}], "ok": true}\n{}\n5\n'
    content += '{"x": ' * 300 + "1" + "}" * 300 + "\n" + '{"x": ' * 9000 + "\n" + '{"n": ' + "9" * 5000 + "}\n"
    found = lines(tmp_path, content, "shop.jsonl")
    assert [bool(line.fault) for line in found] == [False, True, True, False, False, False, True, False, True, True]
    assert found[0].cells == {"id": "0012", "n": "12.5", "big": "12345678901234567890"}
    assert found[4].cells == {"id": "?x", "tags": "a | b", "images.src": "u1 | u2", "ok": "true"}


def test_a_line_of_json_that_is_too_long_spoils_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("catalogs.imports.records.LONGEST", 100)
    content = '{"id": "1"}\n{"id": "' + "x" * 1_000 + '"}\n{"id": "3"}\n'
    assert [line.cells.get("id", line.fault[:14]) for line in lines(tmp_path, content, "a.jsonl")] == [
        "1",
        "is longer than",
        "3",
    ]


def test_parquet(tmp_path: Path) -> None:
    rows = [
        {"id": "0012", "n": 5.0, "day": date(2026, 1, 2), "tags": ["a", "b"], "raw": b"\xff", "deep": {"x": 1}},
        {"id": None, "n": float("nan"), "day": None, "tags": None, "raw": None, "deep": None},
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "shop.parquet")
    found = list(open_table(tmp_path / "shop.parquet", "shop.parquet").lines())
    wanted = {"id": "0012", "n": "5", "day": "2026-01-02", "tags": "a | b", "raw": "\ufffd", "deep.x": "1"}
    assert [line.cells for line in found] == [wanted, {}]


def workbook(rows: list[list[object]], formats: dict[str, str] | None = None) -> bytes:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    for cell, shown in (formats or {}).items():
        book.active[cell].number_format = shown
    held = io.BytesIO()
    book.save(held)
    return held.getvalue()


@pytest.mark.parametrize(
    ("value", "shown", "wanted"),
    [
        ("0012", "General", "0012"),
        (12, "0000", "0012"),
        (12, "General", "12"),
        (4006381333931, "General", "4006381333931"),
        (12.5, "0.00", "12.5"),
        (12.0, "General", "12"),
        (datetime(2026, 1, 2), "yyyy-mm-dd", "2026-01-02"),
        (datetime(2026, 1, 2, 3, 4), "yyyy-mm-dd", "2026-01-02T03:04:00"),
        (True, "General", "true"),
        ("=1+1", "General", ""),
        ("Größe", "General", "Größe"),
        ("a\nb", "General", "a\nb"),
        ("1e5", "General", "1e5"),
        ("=HYPERLINK", "@", ""),
        (-5, "000", "-5"),
    ],
)
def test_cells_of_a_workbook(tmp_path: Path, value: object, shown: str, wanted: str) -> None:
    content = workbook([["id", "title", None], ["1", value, "x"], [None, None, None], ["2", "y"]], {"B2": shown})
    found = lines(tmp_path, content, "shop.xlsx")
    assert [line.cells.get("title", "") for line in found] == [wanted, "y"]


def test_a_workbook_whose_size_is_told_wrong(tmp_path: Path) -> None:
    whole, held = workbook([["id", "title"], ["1", "x"], ["2", "y"]]), io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(whole)) as read, zipfile.ZipFile(held, "w") as written:
        for part in read.infolist():
            written.writestr(part, read.read(part).replace(b'<dimension ref="A1:B3"', b'<dimension ref="A1"'))
    assert [line.cells for line in lines(tmp_path, held.getvalue(), "shop.xlsx")] == [
        {"id": "1", "title": "x"},
        {"id": "2", "title": "y"},
    ]


def test_columns_of_a_workbook_that_are_there_twice(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="is there twice"):
        lines(tmp_path, workbook([["id", "title", "id"], ["1", "x", "2"]]), "shop.xlsx")


def test_a_workbook_that_unpacks_without_end(tmp_path: Path) -> None:
    whole, held = workbook([["id", "title"], ["1", "x"]]), io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(whole)) as read,
        zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as written,
    ):
        for part in read.infolist():
            padded = b" " * (64 * 2**20) if part.filename.endswith("sheet1.xml") else b""
            written.writestr(part.filename, read.read(part) + padded)
    with pytest.raises(CatalogError, match="unpacks to 64 MiB"):
        lines(tmp_path, held.getvalue(), "shop.xlsx")


@pytest.mark.parametrize("kind", ["fifo", "folder", "loop", "dangling", "device", "missing"])
def test_what_is_no_file(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "shop.csv"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "dangling":
        path.symlink_to(tmp_path / "gone")
    elif kind == "device":
        path.symlink_to("/dev/zero")
    with pytest.raises(PackshotError) as told:
        import_catalog(str(path), str(tmp_path / "catalog"), ImportOptions(), lambda line: None)
    assert told.value.exit_code == 2
    path.rmdir() if kind == "folder" else path.unlink(missing_ok=True)
    path.write_text(GOOD)
    assert import_catalog(str(path), str(tmp_path / "catalog"), ImportOptions(), lambda line: None).accepted == 2


BIG = """
import sys
from pathlib import Path
from catalogs.errors import CatalogError
from catalogs.imports.tables import open_table
path = Path(sys.argv[1])
try:
    print(sum(not line.fault for line in open_table(path, path.name).lines()))
except CatalogError as error:
    print(error)
# ru_maxrss would be at least that of whoever started this process.
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM:"))
print(int(peak.split()[1]) // 1024)
"""


@pytest.mark.parametrize(
    ("name", "before", "after", "said"),
    [
        ("shop.csv", b'id,title\n1,"', b'"\n2,x\n', "row 1: is longer than 16 MiB"),
        ("open.csv", b'id,title\n1,"\n', b"\n2,x\n", "row 1: is longer than 16 MiB"),
        ("shop.jsonl", b'{"id": "', b'"}\n{"id": "2"}\n', "1"),
        ("shop.xml", b"<rss><item><id>", b"</id></item><item><id>2</id></item></rss>", "1"),
        ("attribute.xml", b'<rss><item><link href="', b'"/></item></rss>', "line 1: holds a tag or a comment of"),
        ("comment.xml", b"<rss><!--", b"--><item><id>2</id></item></rss>", "line 1: holds a tag or a comment of"),
    ],
)
def test_a_cell_of_300_mib(tmp_path: Path, name: str, before: bytes, after: bytes, said: str) -> None:
    path = tmp_path / name
    with path.open("wb") as file:
        file.write(before)
        for _ in range(300):
            file.write((b"x" * 99 + b" ") * 10_486)
        file.write(after)
    command = [sys.executable, "-c", BIG, str(path)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    told, peak = ended.stdout.strip().rsplit("\n", 1)
    assert told.removeprefix(f"{name}: ").startswith(said), ended.stdout
    assert int(peak) < 400


def test_json_of_one_value_is_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("catalogs.imports.records.MOST_JSON", 50)
    with pytest.raises(CatalogError, match="export JSON lines"):
        lines(tmp_path, json.dumps([{"id": "x" * 50}]), "shop.json")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
