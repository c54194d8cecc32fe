"""An output that the version of 2026-11-21 wrote is read, resumed and reported, and nothing stored is made again.

`written_before.tar.xz` holds a campaign of layout proofs whose last start died after it had stored the first
picture of product p004 and before it committed it, and one of a hosted model that is delivered.

Proofs are drawn otherwise since (`inference.proofs.engine.PROOF_CHANGES`), and are then drawn anew, which is as it
should be. Whether anything *else* would make them anew shows where the drawing has the revision it had then.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from inference.models.table import MODELS
from inference.proofs.engine import PROOF_CHANGES
from tests.flows.drawn import ROOT
from tests.flows.projects import Project, make, plan_rows

ARCHIVE = Path(__file__).with_name("written_before.tar.xz")
NAMES = ("kind", "look", "shot", "channel", "variation")
LEFT_OVER = "p004"
AS_THEN = """
from inference.models.table import MODELS
object.__setattr__(MODELS["proof"], "revision", "1")
"""


@pytest.fixture(autouse=True)
def drawn_as_then() -> Iterator[None]:
    """The revision of proofs that the archive was drawn with."""
    before = MODELS["proof"].revision
    exec(AS_THEN)
    yield
    object.__setattr__(MODELS["proof"], "revision", before)


@pytest.fixture
def shop(tmp_path: Path) -> Project:
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    folder = tmp_path / "shop"
    return Project(folder, campaign=yaml.safe_load((folder / "campaign.yaml").read_text()))


def packshot(*arguments: str, code: int = 0, before: str = AS_THEN) -> dict[str, Any]:
    """What the command says in JSON."""
    done = subprocess.run(
        [sys.executable, "-c", f"{before}from flows.cli import main; main()", *arguments, "--json"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == code, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def numbers(answer: dict[str, Any]) -> tuple[dict[str, int], dict[str, int]]:
    """What is counted, and failures by reason."""
    return {name: answer[name] for name in ("planned", "delivered", "failed", "missing")}, answer["reasons"]


def written(folder: Path, what: str) -> list[dict[str, Any]]:
    """Rows of the Parquet files that are in a folder now."""
    return [row for path in sorted(folder.glob(what)) for row in pq.read_table(path).to_pylist()]


def told(rows: list[dict[str, Any]]) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """Fingerprints and key by identity; of rows that tell of one identity the last counts."""
    return {
        tuple(row[name] for name in NAMES): (row["fingerprint"], row["render_fingerprint"], row["asset_key"])
        for row in rows
    }


def contents(folder: Path) -> dict[Path, str]:
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


def test_the_plan_and_the_status_of_the_old_folder_are_the_same(shop: Project) -> None:
    output = shop.folder / "output"
    plans, commits = written(output, "runs/*/plan.parquet"), written(output, "catalog/*/*.parquet")
    status = packshot("status", shop.path)
    assert numbers(status) == ({"planned": 24, "delivered": 12, "failed": 6, "missing": 6}, {"over_byte_limit": 6})
    summary = packshot("plan", shop.path)
    assert summary["actions"] == {"unchanged": 18, "new": 6}
    assert summary["work"] == {"none": 18, "render": 6}
    assert (summary["failed_before"], summary["renders"], summary["masters"]) == (6, 2, 1)
    now = pq.read_table(output / summary["plan_key"]).to_pylist()
    unchanged = told([row for row in now if row["action"] == "unchanged"])
    new = told([row for row in now if row["action"] == "new"])
    assert {key[1] for key in new} == {LEFT_OVER}
    last = told(plans)
    assert {key: last[key] for key in unchanged | new} == unchanged | new
    # Going back to a catalog states no failure again: it stands in a commit before the last.
    committed = {item for row in commits for item in told([row]).items()}
    assert set(unchanged.items()) <= committed


def test_today_s_drawing_makes_them_anew_and_the_plan_says_why(shop: Project) -> None:
    summary = packshot("plan", shop.path, before="")
    assert summary["actions"] == {"changed": 18, "new": 6}
    [line] = [line for line in summary["warnings"] if "drawn anew" in line]
    assert line == f"18 proofs are drawn anew, because proofs are drawn otherwise by this version: {PROOF_CHANGES}"


def test_what_an_old_plan_calls_unchanged_still_is(shop: Project) -> None:
    """Every start of the old version that still describes this catalog, product by product."""
    now = {tuple(row[name] for name in NAMES): row for row in plan_rows(shop.plan())}
    compared = 0
    for path in sorted((shop.folder / "output").glob("runs/*/plan.parquet")):
        for row in pq.read_table(path).to_pylist():
            here = now.get(tuple(row[name] for name in NAMES))
            if here and row["action"] == "unchanged" and row["prompt"] == here["prompt"]:
                assert row["fingerprint"] == here["fingerprint"]
                assert row["asset_key"] == here["asset_key"]
                compared += 1
    assert compared >= 21


def test_resuming_takes_up_what_is_stored_and_renders_the_rest(shop: Project) -> None:
    before, view = contents(shop.folder), shop.view()
    assert not any(key[1] == LEFT_OVER for key in view)
    reports = make(shop.plan())
    assert (sum(r.rendered for r in reports), sum(r.adopted for r in reports)) == (1, 1)  # scene; hero was stored
    assert (sum(r.delivered for r in reports), sum(r.failed for r in reports)) == (4, 2)
    after = contents(shop.folder)
    assert {path: after.get(path) for path in before} == before
    resumed = shop.view()
    assert {key: resumed[key] for key in view} == view
    made = {key: row for key, row in resumed.items() if key not in view}
    assert {(key[1], key[2]) for key in made} == {(LEFT_OVER, "hero"), (LEFT_OVER, "scene")}
    masters = {shot: {row["render_key"] for key, row in made.items() if key[2] == shot} for shot in ("hero", "scene")}
    assert all(len(keys) == 1 for keys in masters.values())
    assert shop.folder / "output" / masters["hero"].pop() in before
    assert shop.folder / "output" / masters["scene"].pop() not in before


@pytest.mark.timeout(240)
def test_the_command_resumes_and_reports(shop: Project) -> None:
    summary = packshot("render", shop.path, code=1)  # p004 fails on the byte limit as the others do
    assert (summary["work"]["rendered"], summary["work"]["adopted"]) == (1, 1)
    status = packshot("status", shop.path)
    assert numbers(status) == ({"planned": 24, "delivered": 16, "failed": 8, "missing": 0}, {"over_byte_limit": 8})
    again = packshot("render", shop.path, code=1)
    assert (again["plan"]["work"], again["work"]["rendered"]) == ({"none": 24}, 0)
    page = Path(packshot("report", shop.path)["gallery"])
    assert "<html" in page.read_text()
    shown = "".join(path.read_text() for path in page.parent.glob("*.js"))
    view = shop.view().values()
    assert len(view) == 24 + 6  # p003 has left the catalog: four are retired, two had failed
    for row in view:
        if row["status"] == "delivered":
            assert hashlib.sha256(shop.store.read(row["asset_key"])).hexdigest() == row["sha256"]
            assert row["asset_key"].rpartition("/")[2] in shown


def test_a_hosted_campaign_plans_without_a_server(shop: Project) -> None:
    """The journal of spending is read, and nobody answers at the address of its API."""
    summary = packshot("plan", str(shop.folder / "hosted.yaml"), "--limit", "1")
    assert summary["actions"] == {"unchanged": 2}
    assert (summary["renders"], summary["paid"], summary["cost_high"]) == (0, 0, 0.0)
    assert summary["spent"] == pytest.approx(0.028)
