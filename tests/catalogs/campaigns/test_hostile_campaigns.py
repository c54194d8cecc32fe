"""Whatever stands in one campaign file ends in one line, at once, and stops no other campaign."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from catalogs.campaigns.calendar import read_calendar
from catalogs.campaigns.campaign import load_campaign
from catalogs.errors import CampaignError
from flows.watch import Watcher, watch
from tests.flows.commands import run
from tests.flows.projects import Project, plan_rows

TENFOLD = ", ".join(["*a{0}"] * 10)


def laughs(first: str, line: str, times: int = 12) -> str:
    """A file whose every line stands for ten of the line before."""
    lines = [line.format(i, TENFOLD.format(i - 1)) for i in range(1, times)]
    return "\n".join(["a0: &a0 " + first, *lines])


def added(line: str) -> str:
    """A good campaign and one line more."""
    return "GOOD" + line + "\n"


HOSTILE = [
    ("a day that is none", added("seed: 2026-02-31"), ["line 29", "'2026-02-31' cannot be read as date", "quotes"]),
    ("a tag that lies", added("seed: !!int x"), ["'x' cannot be read as whole number"]),
    ("an empty number", added("seed: !!int ''"), ["'' cannot be read as whole number"]),
    ("neither true nor false", added("reproducible: !!bool maybe"), ["'maybe' cannot be read as true or false"]),
    ("no moment", added("seed: !!timestamp x"), ["'x' cannot be read as date"]),
    ("6,000 digits", added("seed: " + "9" * 6000), ["too long for a whole number"]),
    ("a number of sixties", added("seed: 1" + ":59" * 200_000), ["too long for a whole number"]),
    ("deep lists", added("select: " + "[" * 100_000), ["nested more than 50 levels deep"]),
    ("deep sections", added("select: " + "{a: " * 3_000), ["nested more than 50 levels deep"]),
    ("an escaped NUL", added('output: "a\\0b"'), ["U+0000", "line 29"]),
    ("a raw NUL", added("seed: 1\0"), ["U+0000", "line 29"]),
    ("a lone surrogate", added('select: [[title, "=", "\\ud800"]]'), ["U+D800", "line 29"]),
    ("a list as key", added("? [seed]\n: 1"), ["a key is one word"]),
    ("a set", added("select: !!set {a, b}"), ["'!!set' has no meaning"]),
    ("a program", added("seed: !!python/object/apply:os.getpid []"), ["has no meaning"]),
    ("a lone operator", added("select: [[price, =, 5]]"), ["a lone =", "quotes"]),
    ("merged from a number", added("schedule: {<<: 3}"), ["expected a mapping"]),
    ("merged into itself", added("schedule: &s {<<: *s}"), ["what it stands in itself"]),
    ("a list in itself", added("select: &s [*s]"), ["what it stands in itself"]),
    ("a billion laughs", laughs("[x, x]", "a{0}: &a{0} [{1}]"), ["aliases written out"]),
    (
        "a billion merges",
        laughs("{x: 1}", "a{0}: &a{0} {{<<: [{1}]}}"),
        ["aliases"],
    ),
    ("one long text, often", "a: &a " + "x" * 500_000 + "\nb: [" + "*a, " * 20_000 + "]", ["aliases written out"]),
    ("a chain of lists", "a: &a " + "[" * 30 + "]" * 30 + "\nb: " + "[" * 30 + "*a" + "]" * 30, ["50 levels"]),
    ("2 MB", added("# " + "x" * 2_000_000), ["larger than 1 MB"]),
    ("infinite seed", added("seed: 1.0e+400"), ["seed", "finite"]),
    ("seed beyond all", added("seed: 0x" + "f" * 300), ["seed", "less than 9223372036854775808"]),
    ("a number no column holds", added("select: [[price, '<', 0x" + "f" * 300 + "]]"), ["select[0]", "beyond"]),
    ("an id no column holds", added("select: [[product_id, '=', 0x" + "f" * 300 + "]]"), ["select", "matches no"]),
    ("a date as key", added("2026-01-01: x"), ["line 29", "reads 2026-01-01 as a date", "quotes"]),
    ("a model no folder can be", added("").replace("GOOD", "LONGMODEL"), ["there is no model"]),
    ("a name in two lines", added("").replace("GOOD", "TWOLINES"), ["name", "cannot be part of an object key"]),
    ("a size in two lines", added("").replace("GOOD", "SIZE"), ["shots.hero.size", "WIDTHxHEIGHT"]),
    ("a prompt of text", added("").replace("GOOD", "PROMPT"), ["shots.hero.prompt", "for example `prompt: {scene:"]),
]


def text_of(project: Project, hostile: str) -> str:
    good = Path(project.path).read_text()
    changed = {
        "TWOLINES": good.replace("name: spring", 'name: "spring\\n"', 1),
        "LONGMODEL": good.replace("model: proof", "model: ./" + "x" * 5000, 1),
        "SIZE": good.replace("size: 64x64", 'size: "64x64\\n"', 1),
        "PROMPT": yaml.safe_dump({**project.campaign, "shots": {"hero": {"prompt": "a mug"}}}),
        "GOOD": good,
    }
    for word, text in changed.items():
        if hostile.startswith(word):
            return text + hostile.removeprefix(word)
    return hostile


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.of(tmp_path / "spring", products=2)


@pytest.mark.parametrize(("hostile", "words"), [c[1:] for c in HOSTILE], ids=[c[0] for c in HOSTILE])
@pytest.mark.parametrize("command", ["check", "plan"])
def test_one_line_and_exit_code_2(
    command: str,
    hostile: str,
    words: list[str],
    project: Project,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path(project.path).write_text(text_of(project, hostile), encoding="utf-8")
    started = time.process_time()
    assert run(monkeypatch, command, project.path) == 2
    assert time.process_time() - started < 3
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert len(said) < 8_000
    assert "campaign.yaml" in said
    for word in words:
        assert word in said
    assert "Traceback" not in said
    assert not (project.folder / "output").exists()


@pytest.mark.parametrize("kind", ["fifo", "device"])
def test_what_is_no_file_is_no_campaign(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / "fifo")
    path = {"fifo": str(tmp_path / "fifo"), "device": "/dev/zero"}[kind]
    assert run(monkeypatch, "check", path) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_path_with_nul_is_one_line() -> None:
    with pytest.raises(CampaignError, match="is no path"):
        load_campaign("a\0b")


MERGED = """
name: merged
model: proof
catalogs: &catalogs {brands: brands.parquet, products: products.parquet}
output: output
shots:
  hero: &hero
    size: 64x64
    references: [product.hero]
    prompt: {scene: "{{ product.title }}"}
  wide: &wide
    <<: *hero
    size: 128x64
  far:
    <<: [*wide, {guidance: 3}]
    prompt: {scene: "{{ product.title }} far away"}
channels: [&small {name: small, width: 48, height: 48}, {<<: *small, name: large, width: 64}]
"""


def test_merge_keys_work(project: Project) -> None:
    Path(project.path).write_text(MERGED)
    campaign = load_campaign(project.path)
    assert {name: shot.size for name, shot in campaign.shots.items()} == {
        "hero": "64x64",
        "wide": "128x64",
        "far": "128x64",
    }
    assert campaign.shots["far"].prompt == {"scene": "{{ product.title }} far away"}
    assert campaign.shots["far"].guidance == 3
    assert [(channel.name, channel.width) for channel in campaign.channels] == [("small", 48), ("large", 64)]
    assert len(plan_rows(project.plan())) == 2 * 3 * 2


def test_a_key_written_twice_is_still_refused(project: Project) -> None:
    Path(project.path).write_text(MERGED.replace("    size: 128x64", "    size: 128x64\n    size: 64x64"))
    with pytest.raises(CampaignError, match=r"line 14, .*'size' is written twice"):
        load_campaign(project.path)


def test_the_last_day_of_all_is_no_end(project: Project) -> None:
    project.campaign["schedule"] = {"valid_to": "9999-12-31", "time_zone": "UTC"}
    project.write()
    campaign = load_campaign(project.path)
    assert campaign.schedule.ends is None


@pytest.mark.parametrize("columns", [1, 3, 7])
def test_everything_that_differs_inside_looks_is_said_at_once(
    columns: int, project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["title", "category", "description", "currency", "gtin", "url", "season"][:columns]
    texts = " ".join(f"{{{{ product.{name} }}}}" for name in names)
    project.campaign |= {"look_by": ["product_group"], "shots": {"hero": {"prompt": {"scene": texts}}}}
    project.products = [
        {**project.products[0], "product_id": f"x{number}", **{name: f"{name} {number}" for name in names}}
        for number in range(3)
    ]
    project.write()
    assert run(monkeypatch, "plan", project.path) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "'x0' and 'x1' are one look but differ in" in said
    assert sum(f"in '{name}' (2 rows)" in said for name in names) == min(columns, 5)
    assert ("others in 2 more columns" in said) == (columns == 7)
    project.campaign["look_by"] += names
    project.write()
    assert run(monkeypatch, "plan", project.path) == 0


def folder_of(tmp_path: Path) -> dict[str, Project]:
    """A good campaign among bad ones, one of which is sound itself, and its catalog out of reach."""
    good = Project.of(tmp_path / "good", products=1, name="good")
    for number, hostile in enumerate(case[1] for case in HOSTILE if case[0] not in ("2 MB",)):
        (tmp_path / f"bad-{number}.yaml").write_text(text_of(good, hostile), encoding="utf-8")
    far = Project.of(tmp_path / "far", products=1, name="far")
    far.campaign["catalogs"] = {"brands": "b" * 300, "products": "p" * 300}
    (far.folder / "campaign.yaml").write_text(yaml.safe_dump(far.campaign))
    return {"good": good, "far": far}


def test_a_folder_names_each_bad_file(tmp_path: Path) -> None:
    folder_of(tmp_path)
    entries = read_calendar(str(tmp_path))
    broken = [entry for entry in entries if entry.campaign is None]
    # Two are only found by their catalog's columns, one by its model.
    assert len(broken) >= len(HOSTILE) - 1 - 3
    assert all(entry.problem and "\n" not in entry.problem for entry in broken)


def test_a_watcher_goes_on_with_the_others(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = folder_of(tmp_path)
    watcher = Watcher(str(tmp_path))
    with caplog.at_level(logging.ERROR, "flows.watch"):
        assert watcher.changed() == []
        assert "good" in {entry.name for entry in watcher.changed()}
        made["good"].products[0]["title"] = "another mug"
        made["good"].write()
        watcher.changed()
        assert [entry.name for entry in watcher.changed() if entry.name == "good"] == ["good"]
    assert sum("far" in record.message for record in caplog.records) == 1, "said once"


def test_the_thread_of_a_watch_outlives_them(tmp_path: Path, prefect_harness: None) -> None:
    folder_of(tmp_path)
    said: list[str] = []
    looks: Iterator[bool] = iter([False, False, False, True])
    watch(str(tmp_path), 0, lambda seconds: next(looks), said.append)
    assert "changed      good" in said


def test_a_night_goes_on_with_the_others_and_says_which_failed(tmp_path: Path, prefect_harness: None) -> None:
    from flows.marketing import MarketingOptions, marketing_run

    good = Project.of(tmp_path / "good", products=1, name="good")
    for number, hostile in enumerate((HOSTILE[0][1], HOSTILE[7][1], HOSTILE[9][1])):
        (tmp_path / f"bad-{number}.yaml").write_text(text_of(good, hostile), encoding="utf-8")
    state = marketing_run(str(tmp_path), MarketingOptions(), return_state=True)
    lines = state.result(raise_on_failure=False)
    assert {line["campaign"]: line["result"].value for line in lines} == {
        "good": "delivered",
        "bad-0.yaml": "broken",
        "bad-1.yaml": "broken",
        "bad-2.yaml": "broken",
    }
    assert state.name == "Failed"
    assert "3 of 4 campaigns failed" in str(state.message)
    assert good.view()
