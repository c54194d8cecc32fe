"""What the artifacts say, and when a run warns of itself."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from catalogs.storage.store import Store
from tasks.progress import AssetProgress
from tests.flows.projects import Project, make


def report(number: int, **changed: Any) -> dict[str, Any]:
    basis = {"number": number, "stage": 0, "assets": 20, "delivered": 20, "failed": 0, "skipped": 0, "rendered": 10}
    return {**basis, "seconds": 5.0, "engine_seconds": 4.0, "reasons": {}, **changed}


def test_the_table_of_shards_shows_failures_first_and_stays_readable() -> None:
    from flows.artifacts import TABLE_ROWS, shard_rows

    gpu = {"peak_bytes": 40 * 2**30}
    reports = [report(n, profile=gpu) for n in range(1000)]
    reports[3] = report(3, delivered=18, failed=2, reasons={"blocked": 2})
    rows = shard_rows(reports)
    assert len(rows) == TABLE_ROWS
    assert [row["shard"] for row in rows[:3]] == [3, 999, 998]
    assert rows[0]["why"] == "2 blocked"
    assert (rows[0]["images/s"], rows[0]["GPU GiB"], rows[1]["GPU GiB"]) == (2.5, "–", 40.0)


def test_a_stored_place_becomes_a_link_only_where_an_address_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    from flows.summary_page import link

    assert link("s3://shop/out/runs/1/index.html") == "`s3://shop/out/runs/1/index.html`"
    monkeypatch.setenv("PACKSHOT_LINKS", "s3://other/=https://x/ s3://shop/=https://files.example.com/")
    assert link("s3://shop/a b.html").endswith("(https://files.example.com/a%20b.html)")


def test_text_of_a_catalog_is_no_markdown(tmp_path: Path) -> None:
    from flows.artifacts import contact_sheet
    from flows.summary_page import plain

    assert plain("<img src=x> | [a](b)") == r"\<img src=x\> \| \[a\]\(b\)"
    project = Project.of(tmp_path, products=2)
    project.render()
    rows = [row for _, row in sorted(project.view().items())]
    lines = contact_sheet(project.store, rows).splitlines()
    assert lines[1] == "|:---:|:---:|:---:|:---:|"
    assert lines[2].count("data:image/webp;base64,") == 4
    assert r"Mug 0 \(p000\) hero" in lines[3]
    gone = [{**row, "sha256": "0" * 64} for row in rows]
    assert contact_sheet(project.store, gone) == ""


def test_a_sheet_keeps_to_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from flows import artifacts

    project = Project.of(tmp_path, products=2)
    project.render()
    rows = list(project.view().values())
    monkeypatch.setattr(artifacts, "SHEET_BYTES", 2000)
    assert 0 < len(artifacts.contact_sheet(project.store, rows)) < 3000


def test_a_run_warns_once_that_it_is_late_and_that_assets_fail(
    tmp_path: Path, prefect_harness: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect import flow

    from flows import artifacts

    sent: list[tuple[str, str]] = []
    monkeypatch.setattr(artifacts, "OVERDUE_LEAST_SECONDS", 0.0)
    monkeypatch.setattr(artifacts, "alert", lambda path, name, kind, text, *rest: sent.append((kind, text)))

    @flow(name="late")
    def late() -> tuple[str, str]:
        progress = AssetProgress(100, StringIO())
        plan = {"campaign": "spring", "seconds": 1e-6}
        store = Store.at(str(tmp_path))
        with artifacts.live_run(store, "r", plan, 3, 100, progress) as live:
            live.shard_done(report(0, assets=49, delivered=47, failed=2))
            assert [kind for kind, _ in sent] == ["overdue"], "49 assets are too few to judge"
            live.shard_done(report(1, delivered=19, failed=1))
            live.shard_done({})
            return live.line(), live.progress_page()

    line, page = late()
    assert page.startswith("## spring: 69%\n\n`" + "█" * 28 + "░" * 12 + "`\n\n69 of 100 assets")
    assert line.startswith("69 of 100 assets · 3 failed · 3 of 3 shards · ")
    assert [kind for kind, _ in sent] == ["overdue", "failing"]
    assert sent[1][1] == "3 of 69 assets failed (4.3%)"


def test_an_artifact_that_cannot_be_written_costs_the_run_nothing(
    tmp_path: Path, prefect_harness: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows import artifacts
    from flows.render import render_catalog

    def refused(*arguments: Any, **options: Any) -> None:
        raise OSError("the server has gone")

    monkeypatch.setattr(artifacts, "_patch", refused)
    assert render_catalog(Project.of(tmp_path, products=2).path)["complete"]


def test_the_watcher_tells_what_changed_and_nothing_else(tmp_path: Path) -> None:
    from flows.watch import Watcher

    made = {name: Project.of(tmp_path / name, products=1, name=name) for name in ("a", "b")}
    watcher = Watcher(str(tmp_path))
    assert watcher.changed() == [], "they may be on their way still"
    assert [entry.name for entry in watcher.changed()] == ["a", "b"]
    assert watcher.changed() == []
    made["b"].products[0]["title"] = "another"
    made["b"].write()
    (tmp_path / "broken.yaml").write_text("name: [")
    assert watcher.changed() == []
    assert [entry.name for entry in watcher.changed()] == ["b"]
    assert watcher.changed() == []


def test_lineage_names_the_catalogs(tmp_path: Path) -> None:
    from tasks.lineage import asset_of

    assert asset_of("/data/my shop/products.parquet", "p", "d").key == "file:///data/my-shop/products.parquet"
    assert asset_of("s3://shop/out/catalog", "p", "d").key == "s3://shop/out/catalog"


def test_the_summary_is_for_people() -> None:
    from flows.summary_page import summary_markdown

    summary = json.loads(
        """{"run_id": "r1", "complete": false, "problems": [], "seconds": 6000,
        "gallery": "s3://b/r/index.html", "remarks": {"the product is small": 3},
        "outcome": {"planned": 10, "delivered": 7, "rejected": 1,
        "failed": 2, "missing": 0, "superseded": 0, "withdrawn": 0,
        "unwanted": 0, "retired": 0, 
                    "reasons": {"blocked": 2}},
        "plan": {"campaign": "spring", "model": "klein-4b", "kind": "render", "output": "s3://b", "rejected": 0,
                 "rejects_key": "", "plan_key": "runs/r1/plan.parquet"},
        "work": {"rendered": 9, "adopted": 1},
        "costs": {"paid": 1.5, "possibly_billed": 0.014},
        "profile": {"images_per_second": 2.5, "device": "H200", "memory_gib": 40.1, "device_images_per_second": 2.6,
                    "limit_share": 0.66, "stages": {"denoise": 0.9, "decode": 0.1}, "warm_up_seconds": 0,
                    "waiting": 0.01, "host_seconds": {"encode": 3.5}, "counts": {"retries": 0}}}"""
    )
    text = summary_markdown(summary)
    for words in (
        "## spring: not complete, 7 of 10 assets delivered",
        "| blocked | 2 |",
        "| the product is small | 3 |",
        "1.50 USD, and 0.014 more that may have been billed",
        "1 h 40 min",
        "H200, 40.1 GiB at most",
        "`s3://b/r/index.html`",
        "| Delivered | 7 of 10 |\n|---|---|\n| **Rejected by checks** | 1 |\n| **Failed** | 2 |",
        "waiting   1.0% of the engine's time",
    ):
        assert words in text, words
    assert "| |" not in text, "no head is empty"
    proofs = {**summary["profile"], "device": "", "device_images_per_second": None, "stages": {}, "waiting": 1.0}
    assert "waiting" not in summary_markdown({**summary, "profile": proofs})


@pytest.mark.parametrize(("share", "full"), [(0, 0), (0.5, 20), (0.999, 40), (1.2, 40)])
def test_a_bar_is_as_full_as_the_share(share: float, full: int) -> None:
    from flows.summary_page import BAR_CELLS, bar

    assert bar(share) == "█" * full + "░" * (BAR_CELLS - full)


def test_a_sheet_shows_no_masters(tmp_path: Path) -> None:
    from flows.artifacts import LiveRun

    project = Project.of(tmp_path, products=2)
    prepared = project.plan()
    make(prepared)
    live = object.__new__(LiveRun)  # one that no Prefect run stands behind
    live.store, live.run_id, live._seen = project.store, prepared.run_id, {}
    assert {row["channel"] for row in live._newest()} == {"square", "wide"}
    assert len(live._newest()) == 8


def test_before_the_first_picture_no_time_is_left_out_of_the_blue() -> None:
    progress = AssetProgress(8, StringIO())
    assert progress.line() == "0/8 assets, 0 failed"
    progress.add(2, 1)
    assert progress.line().startswith("3/8 assets, 1 failed, ")
    assert " s left" in progress.line()
