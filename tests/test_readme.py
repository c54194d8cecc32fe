"""What the README shows works."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb

from catalogs.assets.history import read_current
from catalogs.sample.sample import write_sample
from flows.cli import cli
from tasks.prepare import prepare
from tests.flows.projects import Project

README = (Path(__file__).parents[1] / "README.md").read_text()


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", README, re.DOTALL)
    assert found
    return found[1]


def test_the_campaign_plans(tmp_path: Path) -> None:
    write_sample(tmp_path)
    campaign = tmp_path / "readme.yaml"
    campaign.write_text(block("yaml"))
    assert len(block("yaml").strip().splitlines()) == 10
    assert prepare(str(campaign), {}).summary["actions"] == {"new": 16}


def test_every_command_is_listed_and_every_listed_command_is() -> None:
    listed = set(re.findall(r"^    packshot (\w+)", README, re.MULTILINE)) | {"channels"}
    assert listed == set(cli.commands)


def test_the_query_gives_the_current_view(tmp_path: Path) -> None:
    project = Project.of(tmp_path, products=3)
    project.render()
    project.products[0]["title"] = "Other"
    project.write()
    project.render()
    query = block("sql").replace("output/catalog", f"{project.store.root}/catalog")
    found = duckdb.sql(query).fetchall()
    names = [column[0] for column in duckdb.sql(query).description]
    keys = {row[names.index("asset_key")] for row in found}
    assert keys == set(read_current(project.store)["asset_key"].to_pylist())
    assert len(found) == 15
