"""The dashboard and the alert rules: Prometheus takes them, and they ask for nothing that is not shown."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from shutil import copyfile
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
import yaml

from flows import schedule_numbers
from flows.metrics_page import METRICS, metrics_page
from tasks import metrics
from tasks.metrics import Meter
from tests.deployments.test_stops import wait_until
from tests.servers import free_ports, require
from tests.test_pages import blocks

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deployments" / "alert-rules.yaml"
RULES_TEST = ROOT / "tests" / "deployments" / "alert-rules-test.yaml"
DASHBOARD = ROOT / "deployments" / "grafana-dashboard.json"
NAMED = {metric.name: metric for metric in METRICS}


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([require("promtool"), *arguments], capture_output=True, text=True, check=False)


def rules() -> list[dict[str, Any]]:
    [group] = yaml.safe_load(RULES.read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return found


def panels() -> list[dict[str, Any]]:
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def queries() -> list[str]:
    return [target["expr"] for panel in panels() for target in panel["targets"]]


def filled(expr: str) -> str:
    """A query of the dashboard as Grafana sends it."""
    return expr.replace("$__rate_interval", "5m").replace("$campaign", ".*")


def check_names(expr: str) -> None:
    """Every metric is shown, and every label it is chosen by is one of its own."""
    found = re.findall(r"(packshot_\w+)(?:\{([^}]*)\})?", expr)
    assert found, expr
    for name, chosen in found:
        assert name in NAMED, f"{name} in {expr}"
        assert set(re.findall(r"(\w+)\s*[=!]", re.sub(r'"[^"]*"', "", chosen))) <= set(NAMED[name].labels), expr
    shown = {label for name, _ in found for label in NAMED[name].labels} | {"instance"}
    for labels in re.findall(r"\bby \(([^)]*)\)", expr):
        assert set(labels.replace(" ", "").split(",")) <= shown, expr


def changed(folder: Path, name: str, expr: str) -> Path:
    """The unit tests of the rules, beside rules of which one is another."""
    other = [{**rule, "expr": expr} if rule["alert"] == name else rule for rule in rules()]
    (folder / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "packshot", "rules": other}]}))
    asked = yaml.safe_load(RULES_TEST.read_text())
    (folder / "test.yaml").write_text(yaml.safe_dump({**asked, "rule_files": ["rules.yaml"]}))
    return folder / "test.yaml"


def test_promtool_takes_the_rules(tmp_path: Path) -> None:
    done = promtool("check", "rules", RULES)
    assert done.returncode == 0, done.stdout + done.stderr
    broken = tmp_path / "broken.yaml"
    broken.write_text(RULES.read_text().replace("sum(increase(", "sum(increase((", 1))
    assert promtool("check", "rules", broken).returncode != 0


def test_every_alert_fires_when_it_should_and_not_when_all_is_well(tmp_path: Path) -> None:
    done = promtool("test", "rules", RULES_TEST)
    assert done.returncode == 0, done.stdout + done.stderr
    asked = yaml.safe_load(RULES_TEST.read_text())["tests"]
    found = [one for test in asked for one in test["promql_expr_test"]]
    assert {one["expr"] for one in found} == {'ALERTS{alertstate="firing"}'}, "each asks for all that fires"
    fired = {name for one in found for name in re.findall(r'alertname="(\w+)"', str(one["exp_samples"]))}
    assert fired == {rule["alert"] for rule in rules()}
    well = next(test for test in asked if test["name"] == "all is well")
    assert not any(one["exp_samples"] for one in well["promql_expr_test"])
    named = {name for series in well["input_series"] for name in re.findall(r"^packshot_\w+", series["series"])}
    assert named == {name for rule in rules() for name in re.findall(r"packshot_\w+", rule["expr"])}
    assert promtool("test", "rules", changed(tmp_path, rules()[1]["alert"], "vector(0) > 1")).returncode != 0


@pytest.mark.slow
@pytest.mark.parametrize("rule", [rule["alert"] for rule in rules()])
@pytest.mark.parametrize("expr", ["vector(0) > 1", "vector(1)"], ids=["never", "always"])
def test_another_rule_would_be_found(tmp_path: Path, rule: str, expr: str) -> None:
    assert promtool("test", "rules", changed(tmp_path, rule, expr)).returncode != 0


def test_every_rule_asks_for_what_is_shown_and_says_what_to_do() -> None:
    assert len({rule["alert"] for rule in rules()}) == len(rules()) >= 10
    for rule in rules():
        check_names(rule["expr"])
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert set(rule["annotations"]) == {"summary", "description"}
        for label in re.findall(r"\$labels\.(\w+)", str(rule["annotations"])):
            assert re.search(rf"\bby \([^)]*\b{label}\b", rule["expr"]), (rule["alert"], label)


def test_the_commands_that_alerts_name_exist() -> None:
    from flows.cli import cli

    named = re.findall(r"`packshot (\w+)", RULES.read_text())
    assert named
    assert set(named) <= set(cli.commands)


def test_the_dashboard_asks_for_what_is_shown() -> None:
    for expr in queries():
        check_names(expr)
    [campaign] = [one for one in dashboard()["templating"]["list"] if one["name"] == "campaign"]
    check_names(campaign["definition"])
    named = {name for expr in queries() for name in re.findall(r"packshot_\w+", expr)}
    assert named == set(NAMED), "a number that nobody sees"


def test_promtool_takes_every_query_of_the_dashboard(tmp_path: Path) -> None:
    recorded = [{"record": f"panel:{number}", "expr": filled(expr)} for number, expr in enumerate(queries())]
    file = tmp_path / "queries.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": recorded}]}))
    done = promtool("check", "rules", file)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(recorded)} rules found" in done.stdout
    assert "$" not in file.read_text()


def ask(port: int, path: str, **asked: str) -> Any:
    """What a running Prometheus answers, None while it does not."""
    with suppress(OSError), urlopen(f"http://127.0.0.1:{port}/api/v1/{path}?{urlencode(asked)}", timeout=10) as answer:
        return json.load(answer)["data"]
    return None


def up(port: int) -> bool:
    found = ask(port, "query", query="packshot_runs_rendering")
    return bool(found and found["result"])


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_running_prometheus_reads_the_page_the_rules_and_every_query(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the page says: the scrape configuration of the page, with other addresses and a shorter interval."""
    monkeypatch.setattr(schedule_numbers, "numbers", dict)
    monkeypatch.setattr(metrics, "files", metrics._Files())
    page, port = free_ports(2)
    said = next(block.text for block in blocks("deployments/README.md") if "scrape_configs" in block.text)
    config = tmp_path / "prometheus.yml"
    targets = said.replace('"gpu-a:9464", "gpu-b:9464"', f'"127.0.0.1:{page}"')
    config.write_text(f"global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n{targets}")
    copyfile(RULES, tmp_path / RULES.name)
    arguments = [f"--config.file={config}", f"--storage.tsdb.path={tmp_path / 'data'}"]
    command = [require("prometheus"), *arguments, f"--web.listen-address=127.0.0.1:{port}"]
    page_of_a_run = closing(metrics.files), metrics_page("127.0.0.1", page, print), Meter("spring", "proof").run()
    with ExitStack() as stack:
        for one in page_of_a_run:
            stack.enter_context(one)
        with prometheus(command, tmp_path / "log"):
            wait_until(lambda: up(port), 60, tmp_path / "log")
            [group] = ask(port, "rules")["groups"]
            assert {rule["name"] for rule in group["rules"]} == {rule["alert"] for rule in rules()}
            for expr in map(filled, queries()):
                assert ask(port, "query", query=expr) is not None, expr
            wait_until(
                lambda: {r["health"] for r in ask(port, "rules")["groups"][0]["rules"]} == {"ok"}, 30, tmp_path / "log"
            )


@contextmanager
def prometheus(command: list[str], log: Path) -> Iterator[None]:
    with log.open("wb") as file:
        server = subprocess.Popen(command, stdout=file, stderr=file)
    try:
        yield
    finally:
        server.terminate()
        server.wait(30)


def _overlaps() -> Iterator[tuple[str, str]]:
    placed = [(panel["title"], panel["gridPos"]) for panel in dashboard()["panels"]]
    for number, (title, one) in enumerate(placed):
        assert one["x"] + one["w"] <= 24, title
        for other, two in placed[:number]:
            is_beside = one["x"] >= two["x"] + two["w"] or two["x"] >= one["x"] + one["w"]
            is_below = one["y"] >= two["y"] + two["h"] or two["y"] >= one["y"] + one["h"]
            if not is_beside and not is_below:
                yield title, other


def test_the_dashboard_is_whole() -> None:
    board = dashboard()
    assert board["schemaVersion"] >= 36
    [source] = [one for one in board["templating"]["list"] if one["type"] == "datasource"]
    assert source["query"] == "prometheus"
    asked = [panel["datasource"] for panel in panels()] + [t["datasource"] for p in panels() for t in p["targets"]]
    assert {json.dumps(one) for one in asked} == {json.dumps({"type": "prometheus", "uid": "${datasource}"})}
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    assert all(panel["description"] for panel in panels())
    assert not list(_overlaps())


WRONG = ("packshot_asset_total", 'packshot_assets_total{brand="acme"}', "sum by (brand) (packshot_cost_usd_total)")


@pytest.mark.parametrize("expr", WRONG)
def test_a_wrong_name_would_be_found(expr: str) -> None:
    with pytest.raises(AssertionError):
        check_names(expr)
