"""`packshot review`: what waits for somebody, and verdicts of people, which win over a check's."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from openpyxl import Workbook

from catalogs.assets.commits import Status, Step, pair_of, read_commits
from catalogs.assets.history import History
from catalogs.assets.starts import new_start
from catalogs.plans.restate import commit_again
from tests.flows.commands import Packshot
from tests.flows.projects import SHOTS, SQUARE, Project

OFF = dict.fromkeys(("colours", "likeness", "cut_off", "contrast", "banding", "lettering"), False)
WIDE = {"name": "wide", "width": 64, "height": 32, "format": "png"}
NEVER = 1.0
"""A limit that no picture keeps."""


def project_of(folder: Path, review: float | None, reject: float | None = None, products: int = 3) -> Project:
    """Pictures of noise in two channels; those to be looked at, or made again, are all of them or none."""
    limits = {"review": {**OFF, "coherence": review or False}, "reject": {"coherence": reject} if reject else {}}
    quality = {**limits, "max_attempts": 2, "stop_line": False}
    chosen = {"model": "tiny", "shots": {"hero": SHOTS["hero"]}, "channels": [*SQUARE, WIDE], "quality": quality}
    made = Project.of(folder, products, **chosen)
    made.render()
    return made


def said_of(project: Project) -> dict[str, set[tuple[str, str | None, int]]]:
    """Verdict, judge and take of each product's rows, its master's among them."""
    found: dict[str, set[tuple[str, str | None, int]]] = {}
    for row in project.view(masters=True).values():
        found.setdefault(row["look"], set()).add((row["verdict"], row["judged_by"], row["take"]))
    return found


def key_of(project: Project, look: str, channel: str = "square") -> str:
    [key] = [r["asset_key"] for r in project.view().values() if (r["look"], r["channel"]) == (look, channel)]
    return str(key)


def keys_of_takes(project: Project, look: str) -> dict[int, str]:
    rows = (row for table in read_commits(project.store) for row in table.to_pylist())
    return {r["take"]: r["asset_key"] for r in rows if (r["look"], r["channel"]) == (look, "square")}


def test_what_waits_is_listed_and_looked_at(packshot: Packshot, tmp_path: Path) -> None:
    project = project_of(tmp_path, review=NEVER)
    told = packshot("review", project.path)
    assert told.code == 0, told.err
    assert "Mug 1 (p001): hero, variation 0, take 0: coherence" in told.out
    assert f"  {key_of(project, 'p001')} and 1 more channels" in told.out
    assert "3 pictures are to be looked at" in told.out
    assert "6 assets are to be looked at: see `packshot review`" in packshot("status", project.path).out
    assert not project.plan().has_work, "to look changes nothing"

    file = project.store.path(key_of(project, "p001"))
    assert Path(file).is_file()
    said = packshot("review", project.path, "--reject", file, "--accept-rest", "--why", "handle; gone", "--json")
    assert said.answer == {"accepted": 2, "rejected": 1, "said_before": 0, "waiting": 0}, said.err
    assert said_of(project) == {
        "p000": {("accepted", "person", 0)},
        "p001": {("rejected", "person", 0)},
        "p002": {("accepted", "person", 0)},
    }
    details = {row["look"]: row["detail"] for row in project.view().values()}
    assert details == {"p000": "accepted: handle, gone", "p001": "rejected: handle, gone", "p002": details["p000"]}

    outcome = packshot("status", project.path, "--json").answer
    assert (outcome["rejected"], outcome["needs_review"], outcome["delivered"]) == (2, 0, 4)
    assert project.plan().summary["renders"] == 1
    project.render()
    assert said_of(project)["p001"] == {("needs_review", None, 1)}
    assert said_of(project)["p000"] == {("accepted", "person", 0)}
    assert not project.plan().has_work
    assert packshot("review", project.path, "--accept-rest").out.startswith("1 accepted, 0 rejected; 0 more")
    assert packshot("review", project.path).out == "no picture waits to be looked at\n"


def test_an_earlier_take_that_is_accepted_stands(packshot: Packshot, tmp_path: Path) -> None:
    project = project_of(tmp_path, review=None, reject=NEVER)
    for _ in range(2):
        project.render()  # the second take, then the row of the better one
    assert not project.plan().has_work, "all attempts are used up"
    takes = keys_of_takes(project, "p002")
    standing = key_of(project, "p002")
    other = takes[0] if takes[1] == standing else takes[1]
    told = packshot("review", project.path, "--reject", other)
    assert told.code == 2
    assert "it does not stand: another take does" in told.err
    assert packshot("review", project.path, "--accept", other).out.startswith("1 accepted, 0 rejected")
    assert key_of(project, "p002") == other
    assert not project.plan().has_work, "what a person accepted is what the plan asks for"
    project.render()
    assert key_of(project, "p002") == other
    assert packshot("status", project.path, "--json").answer["rejected"] == 4

    # A mind may be changed.
    assert packshot("review", project.path, "--reject", other).code == 0
    assert project.plan().summary["renders"] == 1
    assert packshot("review", project.path, "--accept", standing).code == 0
    assert (key_of(project, "p002"), project.plan().has_work) == (standing, False)


def test_without_checks_a_person_rejects_too(packshot: Packshot, tmp_path: Path) -> None:
    project = Project.of(tmp_path, 2, model="tiny", shots={"hero": SHOTS["hero"]}, channels=SQUARE)
    project.render()
    before = key_of(project, "p000")
    assert packshot("review", project.path, "--reject", before).code == 0
    assert {row["detail"] for row in project.view().values()} == {"rejected: by a person", None}
    project.render()
    assert key_of(project, "p000") != before
    assert {row["take"] for row in project.view().values()} == {0, 1}


@pytest.mark.parametrize("also", [[], ["--accept-rest"]])
def test_a_wrong_name_says_nothing_of_any(packshot: Packshot, tmp_path: Path, also: list[str]) -> None:
    project = project_of(tmp_path, review=NEVER, products=2)
    good, before = key_of(project, "p000"), said_of(project)
    for names in (["--accept", "nothing.png"], ["--reject", "assets/x"], ["--reject", key_of(project, "p000", "wide")]):
        told = packshot("review", project.path, "--accept", good, *names, *also)
        assert told.code == 2, told.out
        [line] = told.err.splitlines()
        assert names[1] in line
    assert packshot("review", project.path, "--why", "nice").code == 2
    assert said_of(project) == before


def test_the_same_file_may_be_taken_twice(packshot: Packshot, tmp_path: Path) -> None:
    """Also when the take that it asked for is there, which must not give way to the rejected one."""
    project = project_of(tmp_path, review=NEVER, products=2)
    rows = [["asset_key", "verdict"], [key_of(project, "p000"), "accepted"], [key_of(project, "p001"), "rejected"]]
    command = ("review", project.path, "--from", str(saved_by("old", tmp_path, rows)))
    assert packshot(*command, "--why", "dull").out.startswith("1 accepted, 1 rejected; 0 more")
    assert packshot(*command).out.startswith("1 accepted, 0 rejected, 1 rejected before; 0 more")
    [detail] = {row["detail"] for row in project.view().values() if row["look"] == "p001"}
    assert detail == "rejected: dull", "what was said stays"
    project.render()
    for also in ((), ("--why", "dull")):
        assert packshot(*command, *also).out.startswith("1 accepted, 0 rejected, 1 rejected before; 1 more")
        assert said_of(project) == {"p000": {("accepted", "person", 0)}, "p001": {("needs_review", None, 1)}}


SPREADSHEETS = {
    "Europe": ("csv", ";", "utf-8-sig"),
    "Unicode text": ("txt", "\t", "utf-16"),
    "old": ("csv", ",", "cp1252"),
    "workbook": ("xlsx", "", ""),
}


def saved_by(spreadsheet: str, folder: Path, rows: Sequence[Sequence[str]]) -> Path:
    suffix, separator, encoding = SPREADSHEETS[spreadsheet]
    path = folder / f"review.{suffix}"
    if separator:
        path.write_text("\r\n".join(map(separator.join, rows)), encoding, newline="")
    else:
        book = Workbook()
        for row in rows:
            book.active.append(list(row))
        book.save(path)
    return path


@pytest.mark.parametrize("spreadsheet", SPREADSHEETS)
def test_what_the_gallery_saved_is_taken(packshot: Packshot, tmp_path: Path, spreadsheet: str) -> None:
    """Also from what a spreadsheet made of it, with notes of people, and rows they said nothing of."""
    project = project_of(tmp_path, review=NEVER)
    keys, wide = [key_of(project, look) for look in ("p000", "p001")], key_of(project, "p001", "wide")
    said = [[keys[0], "Accepted ", ""], [keys[1], "rejected", "zu grün"], ["", "", ""], [wide, "rejected", ""]]
    silent = [[key_of(project, "p000", "wide"), "", "?"]]
    saved = saved_by(spreadsheet, tmp_path, [["asset_key", "verdict", "note"], *said, *silent])
    told = packshot("review", project.path, "--from", str(saved), "--json")
    assert told.answer == {"accepted": 1, "rejected": 1, "said_before": 0, "waiting": 1}, told.err
    assert said_of(project)["p001"] == {("rejected", "person", 0)}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read"),
        (b"", "the file is empty"),
        (b"asset_key,note\na,b\n", "has no column 'verdict' (columns: asset_key, note)"),
        (b"asset_key,verdict\nGOOD,maybe\n", "row 1: verdict: 'maybe' is none; write accepted or rejected"),
        (b"asset_key,verdict\nGOOD,accepted\n\nnothing,accepted\n", "row 3: nothing: no picture of campaign spring"),
        (b"asset_key,verdict\nGOOD,accepted\nWIDE,rejected\n", "its picture is accepted too"),
        (b"asset_key,verdict\nGOOD,accepted\n,accepted\n", "row 2: no picture of campaign spring is called so"),
        (b"asset_key,verdict\nGOOD,accepted,fine,too\n", "row 1: has 4 cells, the header 2"),
        (b'asset_key,verdict\n"GOOD,accepted\n', "a quote is opened and never closed"),
        (b"asset_key,verdict,verdict\nGOOD,accepted,rejected\n", "column 'verdict': is there twice"),
        (b"\xff\xfe\x00", "fewer than two columns"),
        (
            b"asset_key,verdict\n" + 100_000 * b"x" + b",accepted\n",
            "xxx...: no picture of campaign spring",
        ),
    ],
)
def test_a_wrong_file_says_nothing_of_any(packshot: Packshot, tmp_path: Path, content: bytes | None, said: str) -> None:
    project = Project.of(tmp_path, 2, channels=[*SQUARE, WIDE], model="tiny", shots={"hero": SHOTS["hero"]})
    project.render()
    saved, before = tmp_path / "review.csv", said_of(project)
    if content is not None:
        named = {b"GOOD": key_of(project, "p000"), b"WIDE": key_of(project, "p000", "wide")}
        for word, key in named.items():
            content = content.replace(word, key.encode())
        saved.write_bytes(content)
    told = packshot("review", project.path, "--from", str(saved), "--accept-rest")
    assert told.code == 2
    [line] = told.err.splitlines()
    assert said in line
    assert len(line) < 1000
    assert said_of(project) == before


def test_what_is_no_file_is_not_waited_for(packshot: Packshot, tmp_path: Path) -> None:
    project = Project.of(tmp_path, 1)
    os.mkfifo(tmp_path / "pipe.csv")
    told = packshot("review", project.path, "--from", str(tmp_path / "pipe.csv"))
    assert (told.code, "is no file" in told.err) == (2, True), told.err


def test_what_is_retired_is_not_called_back(packshot: Packshot, tmp_path: Path) -> None:
    project = project_of(tmp_path, review=NEVER, products=2)
    key = key_of(project, "p001")
    project.products.pop()
    project.write()
    project.render(retire=True)
    for option in ("--accept", "--reject"):
        told = packshot("review", project.path, option, key)
        assert (told.code, "withdrawn, retired" in told.err) == (2, True), told.err
    statuses = {row["look"]: row["status"] for row in project.view().values()}
    assert statuses == {"p000": "delivered", "p001": "retired"}


def test_another_request_is_not_called_back(packshot: Packshot, tmp_path: Path) -> None:
    project = project_of(tmp_path, review=NEVER, products=2)
    old = key_of(project, "p001")
    shots: dict[str, Any] = project.campaign["shots"]
    shots["hero"] = {**shots["hero"], "prompt": {"scene": "{{ product.title }} on oak"}}
    project.write()
    project.render()
    told = packshot("review", project.path, "--accept", old)
    assert (told.code, "made from another request" in told.err) == (2, True), told.err


def test_a_verdict_of_what_is_gone_is_kept(packshot: Packshot, tmp_path: Path) -> None:
    project = project_of(tmp_path, review=NEVER, products=2)
    key = key_of(project, "p000")
    Path(project.store.path(key)).unlink()
    gone = {pair_of(r): {"detail": "gone"} for r in project.view().values() if r["asset_key"] == key}
    run_id = new_start(project.store, History.read(project.store, "spring").latest)
    commit_again(project.store, "spring", run_id, Step.VERIFY, Status.MISSING, gone)
    assert packshot("review", project.path, "--accept", key).code == 0
    project.render()
    assert project.store.exists(key)
    assert said_of(project)["p000"] == {("accepted", "person", 0)}
