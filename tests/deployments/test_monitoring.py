"""The dashboard and the alert rules: Prometheus takes them, and they ask for nothing that is not shown."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.metrics_page import METRICS
from tests.servers import require

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
    def filled(expr: str) -> str:
        return expr.replace("$__rate_interval", "5m").replace("$campaign", ".*")

    recorded = [{"record": f"panel:{number}", "expr": filled(expr)} for number, expr in enumerate(queries())]
    file = tmp_path / "queries.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": recorded}]}))
    done = promtool("check", "rules", file)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(recorded)} rules found" in done.stdout
    assert "$" not in file.read_text()


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
