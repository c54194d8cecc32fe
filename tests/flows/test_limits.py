"""limits.toml: planned against spent in this month, over all campaigns of a folder, before anything is rendered."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalogs.campaigns.campaign import load_campaign
from catalogs.campaigns.limits import limits_of
from catalogs.errors import CampaignError
from catalogs.journal.sums import entries
from catalogs.plans.file import PlanFile
from tasks.limits import judge
from tasks.prepare import prepare
from tests.bfl_server import KEY
from tests.catalogs.assets.test_commits import put, row
from tests.flows.commands import run as in_process
from tests.flows.journals import FIRST, journal
from tests.flows.projects import HOSTED_SHOT, SQUARE, Project, hosted, plan_rows
from tests.ledger.running import LedgerApi

Plan = Callable[..., tuple[int, str, str]]
NOW = datetime.now(UTC)


@pytest.fixture
def plan(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Plan:
    """`packshot plan CAMPAIGN`: its exit code and what it says on both outputs."""

    def run_it(project: Project, *arguments: str, command: str = "plan") -> tuple[int, str, str]:
        capsys.readouterr()
        code = in_process(monkeypatch, command, project.path, *arguments)
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return code, said.out, said.err

    return run_it


@pytest.fixture
def shop(tmp_path: Path) -> Project:
    """Three pictures of a hosted model at 0.014 USD: two of acme, one of nord."""
    return bought(tmp_path / "shop", "spring")


def bought(folder: Path, name: str) -> Project:
    return Project.of(
        folder, 3, name=name, model="bfl/klein-4b", shots=HOSTED_SHOT, channels=SQUARE, output=f"out-{name}"
    )


def limit(folder: Path, text: str) -> str:
    (folder / "limits.toml").write_text(text)
    return str(folder / "limits.toml")


def price(plan: Plan, project: Project) -> float:
    found: dict[str, Any] = json.loads(plan(project, "--json")[1])
    assert found["renders"] == 3
    return float(found["cost_high"])


def test_a_plan_over_the_month_is_refused_before_anything_is_made(shop: Project, plan: Plan) -> None:
    whole = price(plan, shop)
    path = limit(shop.folder, f"[month]\nusd = {whole - 0.000001:.6f}\n")
    before = shop.store.list()
    for command in ("plan", "render"):
        code, said, error = plan(shop, command=command)
        assert (code, said) == (2, "")
        assert error.startswith(f"error: {path}: month.usd: the plan may cost ")
        assert f"spent in {NOW:%B %Y} (UTC) by all campaigns of {shop.folder}, over the limit of" in error
        assert len(error.splitlines()) == 1
    assert shop.store.list() == before
    limit(shop.folder, f"[month]\nusd = {whole:.6f}\n")
    assert plan(shop)[0] == 0, "a limit that is reached is kept"


def test_what_others_of_the_folder_spent_this_month_counts(tmp_path: Path, shop: Project, plan: Plan) -> None:
    whole = price(plan, shop)
    deeper = bought(tmp_path / "shop" / "deeper", "autumn")
    limit(shop.folder, f"[month]\nusd = {whole + 0.02:.6f}\n")
    journal(deeper, aa=({**FIRST, "campaign": "autumn"}, "task.autumn.14000"))
    assert plan(shop)[0] == 0
    journal(deeper, bb=({**FIRST, "campaign": "gone"},))  # may have been billed, of a campaign whose file is gone
    code, _, error = plan(shop)
    assert code == 2
    assert "after 0.028 USD spent" in error
    assert plan(deeper)[0] == 2, "the limits of the folder above count too"
    for entry in deeper.store.list("spend"):  # of last month
        old = (NOW.replace(day=1, hour=0, minute=0, second=0, microsecond=0) - timedelta(seconds=2)).timestamp()
        os.utime(deeper.store.path(entry), (old, old))
    assert plan(shop)[0] == 0


def test_a_brand_has_limits_of_its_own(shop: Project, plan: Plan) -> None:
    whole = price(plan, shop)
    path = limit(shop.folder, f"[month]\nusd = 500\n[brand.acme]\nusd = {whole / 3:.6f}\n")
    code, _, error = plan(shop)
    assert code == 2
    assert error.startswith(f"error: {path}: brand.acme.usd: the plan may cost ")
    assert "for acme" in error
    limit(shop.folder, f"[brand.nord]\nusd = {whole / 3:.6f}\n")
    assert plan(shop)[0] == 0
    purpose = {"purpose": {"brand_id": "nord", "shot": "hero"}}
    journal(shop, aa=({**FIRST, **purpose}, "task.spring.1"))
    assert plan(shop)[0] == 2


def test_from_four_fifths_on_it_warns(shop: Project, plan: Plan) -> None:
    whole = price(plan, shop)
    limit(shop.folder, f"[month]\nusd = {whole / 0.79:.6f}\n")
    assert "limits.toml" not in plan(shop)[1]
    limit(shop.folder, f"[month]\nusd = {whole / 0.81:.6f}\n")
    assert f"limits.toml: month.usd: {whole:g} of" in plan(shop)[1]


def test_a_run_that_comes_near_a_limit_alerts(
    tmp_path: Path, prefect_harness: None, ledger_server: LedgerApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows import render

    sent: list[tuple[str, str]] = []
    monkeypatch.setattr(render, "alert", lambda path, name, kind, text, *rest: sent.append((kind, text)))
    monkeypatch.setattr(render, "mended", lambda path, name, kind, run: sent.append((kind, "")))
    monkeypatch.setenv("BFL_API_KEY", KEY)
    ledger_server.forget()
    project = hosted(ledger_server, tmp_path, 2)
    path = limit(tmp_path, "[month]\nusd = 100\n")
    assert render.render_catalog(project.path)["complete"]
    assert sent == [("limit", "")]
    spent = sum(entry.paid for entry in entries(project.store)) / 1e6
    project.products.append({**project.products[0], "product_id": "p9", "title": "Mug 9"})
    project.write()
    limit(tmp_path, f"[month]\nusd = {1.5 * spent / 0.9:.6f}\n")
    assert render.render_catalog(project.path)["complete"]
    [(kind, text)] = sent[1:]
    assert (kind, text.startswith(f"{path}: month.usd: ")) == ("limit", True)


def hours(project: Project, needed: float) -> Any:
    """The verdict on a plan of a local model that needs so many GPU hours."""
    prepared = project.plan()

    class Local(PlanFile):
        def tables(self, columns: Any = None) -> Any:
            for table in super().tables(columns):
                share = [needed * 3600 / table.num_rows] * table.num_rows
                yield table.set_column(table.schema.get_field_index("estimated_seconds"), "estimated_seconds", [share])

    local = Local(prepared.store, prepared.plan_key)
    object.__setattr__(local.header, "engine", "diffusers")
    return judge(load_campaign(project.path), local)


def test_gpu_hours_of_the_month_count_once_a_render(tmp_path: Path) -> None:
    project = Project.of(tmp_path / "p", 2, shots=HOSTED_SHOT, channels=SQUARE)
    path = limit(project.folder, "[month]\ngpu_hours = 3\n")
    assert hours(project, 3.0).time is None
    assert "month.gpu_hours" in str(hours(project, 3.01).time)
    stamp = {"created_at": NOW, "run_id": f"{NOW:%Y%m%dT%H%M%S.%fZ}-abcdef", "seconds": 3600.0, "engine": "diffusers"}
    made = row(**stamp)
    put(project.store, made, {**made, "channel": "wide"})
    old = row("33" * 32, **{**stamp, "created_at": NOW - timedelta(days=40), "attempt_id": "old"})
    put(project.store, {**old, "run_id": "20250101T000000Z-a"})
    judged = hours(project, 2.01)
    assert str(judged.time).startswith(f"{path}: month.gpu_hours: the plan needs about 2.01 GPU hours after 1.00 in ")
    assert hours(project, 2.0).time is None
    assert "month.gpu_hours: 2.50 of 3 GPU hours" in hours(project, 1.5).warnings[0]
    assert hours(project, 1.3).warnings == []


def test_what_costs_nothing_is_always_allowed(tmp_path: Path, plan: Plan) -> None:
    project = Project.of(tmp_path / "p", 2)
    limit(project.folder, "[month]\nusd = 0\ngpu_hours = 0\n")
    assert plan(project)[0] == 0, "layout proofs"


def test_a_journal_that_cannot_be_read_refuses(shop: Project, plan: Plan) -> None:
    limit(shop.folder, "[month]\nusd = 500\n")
    other = bought(shop.folder / "deeper", "autumn")
    other.store.write("spend/b/0000.json", b"{}")
    code, _, error = plan(shop)
    assert (code, len(error.splitlines())) == (2, 1)
    assert "is no journal record" in error


BAD = [
    ("[month", "is no TOML"),
    ("\x00", "is no TOML"),
    ("[mont]\nusd = 1", "mont: is no section of limits; did you mean 'month'"),
    ("month = 5", "month: is no section"),
    ("brand = 5", "brand: is no section"),
    ("[brand]\nusd = 5", "brand.usd: names no brand"),
    ("[brand]\nacme = 5", "brand.acme: is no section"),
    ("[month]\neur = 5", "month.eur: is no limit"),
    ("[month]\nusd = true", "month.usd: is True"),
    ("[month]\nusd = '5'", "month.usd: is '5'"),
    ("[month]\nusd = -1", "month.usd: is -1"),
    ("[month]\nusd = nan", "month.usd: is nan"),
    ("[month]\nusd = inf", "month.usd: is inf"),
    ("[brand.acme]\ngpu_hours = 1e12", "brand.acme.gpu_hours: is 1000000000000.0"),
]


@pytest.mark.parametrize(("text", "said"), BAD)
def test_a_bad_file_is_one_line(shop: Project, plan: Plan, text: str, said: str) -> None:
    path = limit(shop.folder, text)
    code, out, error = plan(shop)
    assert (code, out) == (2, "")
    assert error.startswith(f"error: {path}: ")
    assert said in error
    assert len(error.splitlines()) == 1
    assert not shop.store.list()


def test_a_folder_or_no_text_in_its_place_is_one_line(shop: Project) -> None:
    path = shop.folder / "limits.toml"
    path.mkdir()
    with pytest.raises(CampaignError):
        list(limits_of(shop.path))
    path.rmdir()
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(CampaignError):
        list(limits_of(shop.path))


def test_what_is_paid_for_is_taken_up_all_the_same(shop: Project) -> None:
    renders = sorted({made["render_fingerprint"] for made in plan_rows(shop.plan())})
    journal(shop, **{renders[0]: (FIRST, "task.spring.14000")})
    path = limit(shop.folder, "[month]\nusd = 0.02\n")
    prepared = prepare(shop.path, {}, may_hold=True)
    assert prepared.summary["held"].startswith(f"{path}: month.usd: ")
    again = prepare(shop.path, {}, run_id=prepared.run_id)
    assert again.summary["held"] == prepared.summary["held"], "the flow asks again, and buys nothing either"
    with pytest.raises(CampaignError):
        prepare(shop.path, {})


def test_a_limit_of_a_brand_that_nobody_has_is_told_of(tmp_path: Path, shop: Project, plan: Plan) -> None:
    path = limit(shop.folder, "[brand.acmee]\nusd = 0\n[brand.nord]\nusd = 500\n")
    code, said, _ = plan(shop)
    assert code == 0
    told = f"{path}: brand.acmee: no campaign of {shop.folder} has a brand 'acmee': it limits nothing; "
    assert said.count(told + "did you mean 'acme'?") == 1
    assert "brand.nord" not in said
    other = bought(tmp_path / "shop" / "deeper", "autumn")  # a brand that only another campaign has
    brands = pq.read_table(other.folder / "brands.parquet")
    renamed = pa.array([f"{name}e" for name in brands["brand_id"].to_pylist()])
    pq.write_table(brands.set_column(0, brands.schema.field(0), renamed), other.folder / "brands.parquet")
    assert told not in plan(shop)[1]
    (other.folder / "brands.parquet").write_bytes(b"no Parquet")
    code, said, _ = plan(shop)
    assert (code, "acmee" in said) == (0, False), "what another campaign has is not known"
