"""`packshot spend` on journals that were written by hand: of before, damaged, long, and where its view goes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from catalogs.journal.book import Book, live_holds
from catalogs.journal.view import VIEW
from catalogs.storage.store import Store
from tests.flows.commands import run as in_process
from tests.flows.journals import FIRST, journal
from tests.flows.projects import Project
from tests.servers import FlakyS3

Spend = Callable[..., tuple[int, str, str]]


@pytest.fixture
def spend(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Spend:
    """`packshot spend ARGUMENTS`: its exit code and what it says on both outputs."""

    def run_it(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = in_process(monkeypatch, "spend", *arguments)
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        assert len(said.err.splitlines()) <= 1
        return code, said.out, said.err

    return run_it


def test_records_of_the_first_format_count(tmp_path: Path, spend: Spend) -> None:
    project = Project.of(tmp_path, 1, model="bfl/klein-4b", budget={"max_cost": 0.1})
    paid, void, unknown, given_up = "task.spring.14000", "end.void", "end.unanswered", "end.resubmitted"
    journal(project, a=(FIRST, paid), b=(FIRST, void), c=(FIRST, unknown), d=(FIRST,), e=(FIRST, given_up, unknown))
    journal(project, f=(FIRST, "task.spring.15000", "end.error"), g=({**FIRST, "campaign": "other"}, "task.other.9"))
    journal(project, h=(None, "task.spring.2000"))  # its intent is gone, and not its price
    code, said, error = spend(project.path)
    assert (code, error) == (0, "")
    assert "paid      0.031 USD\npossibly  0.042 USD more" in said
    assert "limit     0.10 USD\nleft      0.027 USD" in said
    assert "brand  attempts  paid   possibly billed\n-      7         0.031  0.042" in said
    project.campaign["budget"] = {"max_cost": 0.05, "scope": "output"}
    project.write()
    code, said, error = spend(project.path, "--json")
    found = json.loads(said)
    assert (code, found["paid"], found["left"], found["scope"]) == (0, 0.031009, -0.023009, "output")
    assert "left      nothing, 0.023009 USD over it" in spend(project.path)[1]


def test_nothing_spent_is_an_answer(tmp_path: Path, spend: Spend) -> None:
    local, bought = (Project.of(tmp_path / m[:5], 1, model=m) for m in ("proof", "bfl/klein-4b"))
    for project in (local, bought):
        code, said, error = spend(project.path, "--out", str(tmp_path / "v.parquet"))
        assert (code, error) == (0, "")
        assert said.splitlines()[1:3] == ["paid      0.00 USD", "limit     none; budget: {max_cost: ...} sets one"]
        assert pq.read_table(tmp_path / "v.parquet").schema.equals(VIEW)
        assert not project.store.list(), "it writes nothing else"


def test_long_tables_are_cut_and_json_is_not(tmp_path: Path, spend: Spend) -> None:
    project = Project.of(tmp_path, 1, model="bfl/klein-4b")
    shots = {f"a{n}": ({**FIRST, "purpose": {"shot": f"s{n:02}"}}, f"task.spring.{n}") for n in range(1, 31)}
    journal(project, **shots)
    said = spend(project.path)[1]
    assert said.count("... and 10 more; --json says all") == 1
    assert "s30 " in said
    assert "s10 " not in said, "the dearest first"
    assert len(json.loads(spend(project.path, "--json")[1])["by_shot"]) == 30


def test_what_live_runs_hold_is_told(tmp_path: Path, spend: Spend) -> None:
    project = Project.of(tmp_path, 1, model="bfl/klein-4b", budget={"max_cost": 0.1})
    book = Book(project.store)
    page = book.change(lambda page, now: page.holding(book.new_hold("spring", "a-run", 50_000, now)))
    book.change(lambda page, now: page.holding(book.new_hold("other", "another", 7_000, now)))
    [hold] = page.holds
    journal(project, a=({**FIRST, "hold": hold}, "task.spring.14000"))
    before = project.store.list()
    code, said, _ = spend(project.path)
    assert code == 0
    assert "held      0.036 USD by run a-run on" in said
    assert "another" not in said
    assert "left      0.05 USD" in said
    assert project.store.list() == before
    assert len(live_holds(project.store)) == 2


# What stands in the journal or the book -> what the one line says of it. None: it counts for nothing, and all is well.
DAMAGED: list[tuple[str, bytes, str | None]] = [
    ("spend/b/0000.json", b"", "is no journal record"),
    ("spend/b/0000.json", b'{"campaign": "spring", "mo', "is no journal record"),
    ("spend/b/0000.json", b"[1]", "is no journal record"),
    ("spend/b/0000.json", b"\xff\xfe", "is no journal record"),
    ("spend/b/0000.json", b"{}", "is no journal record"),
    ("spend/b/0000.json", json.dumps({**FIRST, "format": 3}).encode(), "was written by a newer packshot"),
    ("spend/b/0000.json", json.dumps({**FIRST, "format": "x"}).encode(), "is no journal record"),
    ("spend/b/0000.json", json.dumps({**FIRST, "cost_high": "0.014"}).encode(), "is no journal record"),
    ("spend/b/0000.json", json.dumps({**FIRST, "cost_high": -1}).encode(), "is no journal record"),
    ("spend/b/0000.json", json.dumps({**FIRST, "cost_high": float("nan")}).encode(), "is no journal record"),
    ("spend/b/0000.json", json.dumps({**FIRST, "cost_high": 1e300}).encode(), "is no journal record"),
    ("spend/b/0000.json", json.dumps({**FIRST, "campaign": 5}).encode(), "is no journal record"),
    ("spend/b/0000.json", json.dumps({**FIRST, "run_id": "\ud800"}).encode(), "is no journal record"),
    ("spend/b/0000.json", json.dumps({**FIRST, "purpose": "a mug"}).encode(), "is no journal record"),
    ("spend/b/0000.json", json.dumps({**FIRST, "purpose": {"brand_id": 5}}).encode(), "is no journal record"),
    ("spend/b/0000.json", json.dumps({**FIRST, "of_later": 5}).encode(), "is no journal record"),
    ("spend/a/0000.end.error.json", b"torn", None),
    ("spend/b/notes.txt", b"mine", None),
    ("spend/b/0000.task.spring.dear.json", b"{}", None),
    (f"spend/b/0000.task.spring.{10**18}.json", b"{}", None),
    ("spend/clock-0.json", b"{}", None),
    ("budget/credits/20261101T000000Z.x.json", b"torn", None),
]


@pytest.mark.parametrize(("key", "data", "problem"), DAMAGED)
def test_a_damaged_record_is_named(tmp_path: Path, spend: Spend, key: str, data: bytes, problem: str | None) -> None:
    project = Project.of(tmp_path / "p", 1, model="bfl/klein-4b")
    journal(project, a=(FIRST, "task.spring.14000"))
    project.store.write(key, data)
    out = tmp_path / "v.parquet"
    code, said, error = spend(project.path, "--out", str(out))
    if problem is None:
        assert (code, error) == (0, "")
        assert "paid      0.014 USD" in said
        return
    assert (code, said) == (2, "")
    assert error.startswith(f"error: {project.store.uri(key)}: ")
    assert problem in error
    assert not out.exists()
    project.store.delete([key])
    assert spend(project.path, "--out", str(out))[0] == 0
    assert pq.read_table(out)["paid"].to_pylist() == [Decimal("0.014000")]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"{", "is no page of a budget's book"),
        (b'{"format": 9}', "was written by a newer packshot"),
    ],
)
def test_a_book_that_cannot_be_read_hides_nothing_that_was_paid(
    tmp_path: Path, spend: Spend, data: bytes, problem: str
) -> None:
    project = Project.of(tmp_path / "p", 1, model="bfl/klein-4b")
    journal(project, a=(FIRST, "task.spring.14000"))
    project.store.write("budget/book/00000001.json", data)
    code, said, _ = spend(project.path)
    assert code == 0
    assert "paid      0.014 USD" in said
    assert "held      cannot be told: " in said
    assert problem in said


# Where the view is to go -> exit code and what is said.
OUTS = [
    ("", 2, "is empty; name a file"),
    (" ", 2, "is empty; name a file"),
    ("{folder}", 2, "is a directory"),
    ("{folder}/campaign.yaml/v.parquet", 2, "a file is in the place of a folder"),
    ("{folder}/pipe", 2, "is no file, and is not replaced by one"),
    ("foo://x/v.parquet", 2, "foo:// is not read"),
    ("s3://", 2, "the bucket is missing"),
    ("s3:/bucket/v.parquet", 2, "//"),
    ("s3://packshot-no-such/v.parquet", 2, "credentials"),
    ("{folder}/" + "x" * 300, 2, "too long"),
]


@pytest.mark.parametrize(("out", "code", "said"), OUTS)
def test_a_bad_place_for_the_view_is_one_line(tmp_path: Path, spend: Spend, out: str, code: int, said: str) -> None:
    project = Project.of(tmp_path, 1, model="bfl/klein-4b")
    os.mkfifo(tmp_path / "pipe")
    journal(project, a=(FIRST, "task.spring.14000"))
    before = sorted(tmp_path.rglob("*"))
    found = spend(project.path, "--out", out.format(folder=tmp_path))
    assert (found[0], found[1]) == (code, "")
    assert said in found[2]
    assert sorted(tmp_path.rglob("*")) == before
    assert spend(project.path, "--out", str(tmp_path / "new" / "v.parquet"))[0] == 0


def test_the_view_goes_to_a_bucket(tmp_path: Path, spend: Spend, flaky_s3: FlakyS3) -> None:
    project = Project.of(tmp_path, 1, model="bfl/klein-4b", output="s3://shop/output")
    journal(project, a=(FIRST, "task.spring.14000"), b=(FIRST,))
    code, said, _ = spend(project.path, "--out", "s3://shop/views/v.parquet")
    assert code == 0
    assert "view      s3://shop/views/v.parquet: 2 rows" in said
    data = Store.at("s3://shop/views").read("v.parquet")
    (tmp_path / "v.parquet").write_bytes(data)
    table = pq.read_table(tmp_path / "v.parquet")
    assert sum(table["paid"].to_pylist()) == sum(table["possibly_billed"].to_pylist()) == Decimal("0.014")


def test_a_folder_of_the_journal_that_is_no_fingerprint_stops_no_plan(tmp_path: Path) -> None:
    project = Project.of(tmp_path, 1, model="bfl/klein-4b", budget={"max_cost": 1.0})
    journal(project, mine=(FIRST, "task.spring.14000"))
    assert project.plan().summary["spent"] == 0.014
