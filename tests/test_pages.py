"""What the pages show works: tables are those of the code, and every command line and block of code is run.

A line that cannot be run here stands below with its reason; its options are parsed all the same.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import click
import duckdb
import pytest

from catalogs.assets.history import read_current
from catalogs.storage.store import Store
from flows.cli import cli
from tasks.prepare import prepare
from tests.documentation import PAGES, ROOT, written

PROGRAMS = {"export", "make", "pip", "packshot", "prefect", "pytest", "python", "ray", "sh"}
INSTALLS = "changes the environment that the tests run in; constraints.txt and .ci/run install the same"
LONG = "runs until it is stopped; tests/deployments and tests/flows/test_serve.py start it"
# Beginning of a line -> why it is not run here.
EXCEPTIONS = {
    "make ": "make test runs this very test; make demo is run on a bare machine",
    "pip install": INSTALLS,
    "export AWS_": "needs an account of a store; tests/catalogs/storage run against servers of two kinds",
    "export BFL_API_KEY": "a real key",
    "export PREFECT_API_URL": "names a server of the reader's",
    "export PREFECT_SERVER_SERVICES_DB_VACUUM": "tests/deployments/test_files.py reads it as Prefect does",
    "packshot models --check": "a real key, and money; tests/flows/test_hosted.py runs it against a server of our own",
    "packshot plan campaign.yaml": "a GPU, or a real key",
    "packshot render campaign.yaml": "a GPU, a real key, or a Ray cluster",
    "packshot spend campaign.yaml": "a real key; demo/campaign.yaml is asked",
    "packshot init campaigns/sample": "tests/deployments/test_compose.py runs it, and checks what it wrote",
    "sh deployments/make-env.sh": "needs deployments/; tests/deployments/test_env.py runs it as it stands there",
    "packshot deploy": "needs a Prefect server that stays; tests/deployments/test_scheduled.py runs it",
    "packshot watch": LONG,
    "prefect gcl create": "needs a Prefect server that stays; tests/flows/test_hosted.py makes such a limit",
    "prefect event emit": "needs a Prefect server that stays; tests/deployments/test_scheduled.py sends such an event",
    "prefect server start": LONG,
    "packshot worker": LONG,
    "prefect work-pool create": "needs a Prefect server that stays; tests/deployments/test_files.py makes such a pool",
    "rsync -a": "tests/deployments/test_backup.py runs the lines of the page",
    "ray start": "tests/flows/test_ray.py starts nodes of its own",
}


@dataclass(frozen=True)
class Block:
    """A block of code on a page.

    Attributes:
        language: "" where it is only indented.
    """

    language: str
    text: str


def blocks(page: str) -> Iterator[Block]:
    """The blocks of a page in order."""
    text = (ROOT / page).read_text("utf-8")
    for fence, language, fenced, indented in re.findall(
        r"^(```)(\w*)\n(.*?)^```|((?:^    [^\n]*\n)+)", text, re.DOTALL | re.MULTILINE
    ):
        yield Block(language, fenced) if fence else Block("", re.sub(r"^    ", "", indented, flags=re.MULTILINE))


def command_lines(block: Block) -> list[str]:
    """The command lines of a block; of an indented one those that begin with a program."""
    if block.language not in ("", "sh"):
        return []
    joined = re.sub(r"\\\n\s*", " ", block.text)
    lines = [line.split(" && ") for line in joined.splitlines() if line.strip() and not line.startswith("$ ")]
    parts = [part.strip() for line in lines for part in line]
    return [part for part in parts if block.language == "sh" or part.split()[0] in PROGRAMS or exception(part)]


def exception(line: str) -> str | None:
    """Why a line is not run."""
    return next((reason for start, reason in EXCEPTIONS.items() if line.startswith(start)), None)


def documented(folder: str) -> str:
    """The query of a page that reads this folder of an output."""
    return next(b.text for b in blocks("catalogs/README.md") if b.language == "sql" and f"my-output/{folder}" in b.text)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """`packshot` on the path, wherever the tests run from."""
    (tmp_path / "bin").mkdir()
    script = f"#!/bin/sh\nexec {sys.executable} -c 'from flows.cli import main; main()' \"$@\"\n"
    (tmp_path / "bin" / "packshot").write_text(script)
    (tmp_path / "bin" / "packshot").chmod(0o755)
    return {**os.environ, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", PAGES)
def test_every_block_runs_in_order(page: str, tmp_path: Path, environment: dict[str, str]) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    ran = 0
    for block in blocks(page):
        named = re.match(r"# file: (\S+)\n", block.text)
        if block.language == "yaml" and named:
            (folder / named[1]).write_text(block.text)
        for line in command_lines(block):
            if exception(line) is None:
                run(["bash", "-c", line], folder, environment)
                ran += 1
        if block.language == "python":
            run([sys.executable, "-c", block.text], folder, environment)
    if page in ("catalogs/README.md", "flows/README.md", "inference/README.md"):
        assert ran > 1


def run(command: list[str], folder: Path, environment: dict[str, str]) -> None:
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command[-1]}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"


INLINE = [
    (page, span) for page in PAGES for span in re.findall(r"`(packshot \w[^`]*)`", (ROOT / page).read_text("utf-8"))
]
ALL_LINES = [(page, line) for page in PAGES for block in blocks(page) for line in command_lines(block)]


@pytest.mark.parametrize(("page", "line"), [item for item in [*ALL_LINES, *INLINE] if item[1].startswith("packshot ")])
def test_the_options_of_every_line_exist(page: str, line: str) -> None:
    words = [word for word in shlex.split(line, comments=True)[1:] if word != "..."]
    with suppress(click.MissingParameter):  # a name in passing, as in "run `packshot render` again"
        command: click.Command = cli.commands[words[0]]
        while isinstance(command, click.Group) and len(words) > 1:
            words = words[1:]
            command = command.commands[words[0]]
        command.make_context(words[0], words[1:]).close()


def test_every_exception_is_needed() -> None:
    assert len(ALL_LINES) > 30
    for start in EXCEPTIONS:
        assert any(line.startswith(start) for _, line in ALL_LINES), start


@pytest.mark.parametrize("page", PAGES)
def test_tables_are_those_of_the_code(page: str) -> None:
    assert written(page) == (ROOT / page).read_text("utf-8"), "run python -m tests.documentation"


@pytest.mark.parametrize("page", [*PAGES, "ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_links_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    found = [link for link in re.findall(r"\]\(([^)#\s]+)\)", text) if "://" not in link]
    for link in found:
        assert ((ROOT / page).parent / link).exists(), link


def test_the_first_campaign_plans(tmp_path: Path) -> None:
    from catalogs.sample.sample import write_sample

    text = next(block.text for block in blocks("README.md") if block.language == "yaml")
    assert len(text.strip().splitlines()) == 10
    write_sample(tmp_path)
    (tmp_path / "readme.yaml").write_text(text)
    assert prepare(str(tmp_path / "readme.yaml"), {}).summary["actions"] == {"new": 16}


@pytest.mark.timeout(300)
def test_the_queries_give_the_current_view_and_the_history(tmp_path: Path) -> None:
    from tests.flows.projects import Project

    project = Project.of(tmp_path / "demo", products=3, output="my-output")
    project.render()
    project.products[0]["title"] = "Other"
    project.write()
    project.render()
    wanted = set(read_current(Store.at(str(tmp_path / "demo" / "my-output")))["asset_key"].to_pylist())
    code = {block.language: block.text for block in blocks("catalogs/README.md")}
    query = documented("catalog/").replace("demo/", f"{tmp_path}/demo/")
    assert {row[0] for row in duckdb.sql(f"SELECT asset_key FROM ({query})").fetchall()} == wanted
    names: dict[str, object] = {}
    exec(code["python"].replace("'demo/", f"'{tmp_path}/demo/"), names)  # the last block of Python on the page
    assert len(wanted) == 12
    assert wanted < set(names["rows"]["asset_key"])  # type: ignore[index]
