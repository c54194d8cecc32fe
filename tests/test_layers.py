"""The house: which room may import which, that no arrow runs in a circle, and that light things stay light."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("catalogs", "inference", "tasks", "flows", "deployments")

# Files that may stand directly in a package, beside its rooms; tasks and flows are rooms themselves.
TOP = {
    "catalogs": {"columns", "errors", "identity", "money", "requests"},
    "inference": {"engine"},
}

# Room -> the rooms it imports. A new arrow needs a reason, and must close no circle.
STORED = {"catalogs", "catalogs.storage"}
PICTURES = {"catalogs", "inference", "inference.models"}
ARROWS: dict[str, set[str]] = {
    "catalogs": set(),
    "catalogs.storage": {"catalogs"},
    "catalogs.inputs": STORED,
    "catalogs.references": STORED,
    "catalogs.campaigns": STORED,
    "catalogs.assets": STORED,
    "catalogs.journal": STORED,
    "catalogs.gallery": STORED,
    "catalogs.plans": {
        *STORED,
        "catalogs.inputs",
        "catalogs.references",
        "catalogs.campaigns",
        "catalogs.assets",
    },
    "catalogs.sample": {"catalogs", "catalogs.inputs"},
    # Words and colours, of no catalog: who imports a shop's export asks it.
    "catalogs.vocabulary": set(),
    # What has no word for its colour is looked at.
    "catalogs.imports": {
        *STORED,
        "catalogs.campaigns",
        "catalogs.inputs",
        "catalogs.references",
        "catalogs.vocabulary",
    },
    "inference": {"catalogs"},
    "inference.models": {"catalogs"},
    # A prompt words its colours as templates do.
    "inference.prompts": {"catalogs", "catalogs.campaigns", "inference.models"},
    "inference.local": PICTURES,
    # What is paid for is written down before it is asked for.
    "inference.hosted": {*PICTURES, "catalogs.journal", "inference.remote"},
    # What engines share whose pictures are made elsewhere.
    "inference.remote": PICTURES,
    "inference.servers": {*PICTURES, "inference.remote"},
    "inference.proofs": {"catalogs", "inference"},
    # A file is finished as its channel says; fonts and logos are opened where photos are.
    "inference.finishing": {"catalogs", "catalogs.campaigns", "catalogs.references", "inference", "inference.quality"},
    # What a file is and shows, against what its channel asks; photos are opened in one place.
    "inference.quality": {"catalogs.campaigns", "catalogs.references", "inference"},
    # What is finished is signed last, and a signature tells the steps.
    "inference.credentials": {"catalogs", "catalogs.campaigns", "inference.finishing"},
    "tasks": {
        "catalogs",
        "catalogs.assets",
        "catalogs.campaigns",
        "catalogs.gallery",
        "catalogs.imports",  # tables that people saved
        "catalogs.inputs",
        "catalogs.journal",
        "catalogs.plans",
        "catalogs.references",
        "catalogs.storage",
        "inference",
        "inference.credentials",
        "inference.finishing",
        "inference.hosted",
        "inference.local",
        "inference.models",
        "inference.prompts",
        "inference.proofs",
        "inference.quality",
        "inference.servers",
    },
    "flows": {
        "catalogs",
        "catalogs.assets",
        "catalogs.campaigns",
        "catalogs.gallery",  # the page of stats
        "catalogs.imports",
        "catalogs.inputs",  # check prints what is wrong with rows
        "catalogs.journal",
        "catalogs.plans",
        "catalogs.references",  # what is no picture
        "catalogs.sample",
        "catalogs.storage",
        "inference",
        "inference.credentials",  # a chain of one's own
        "inference.hosted",
        "inference.local",
        "inference.models",
        "inference.quality",
        "tasks",
    },
    "deployments": set(),
}

# What works, and is tested, without the libraries that others need.
WITHOUT = {"catalogs": {"prefect", "torch", "diffusers"}, "inference": {"prefect"}}


@cache
def modules() -> dict[str, Path]:
    """Every module of the packages by its dotted name."""
    found = {}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def room_of(module: str) -> str:
    """The folder a module lies in; catalogs.errors lies in catalogs itself."""
    return module if modules()[module].name == "__init__.py" else module.rpartition(".")[0]


def imports(module: str) -> Iterator[str]:
    """What a module imports, wherever in its text; modules of ours by their full name."""
    for node in ast.walk(ast.parse(modules()[module].read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = [f"{node.module}.{name.name}" for name in node.names]
            yield from (name if name in modules() else node.module for name in inner)


def arrows() -> set[tuple[str, str]]:
    """Room -> room, as the code has it."""
    pairs = {(room_of(module), room_of(used)) for module in modules() for used in imports(module) if used in modules()}
    return {(room, used) for room, used in pairs if room != used}


def test_rooms_import_what_they_may() -> None:
    allowed = {(room, used) for room, rooms in ARROWS.items() for used in rooms}
    assert arrows() - allowed == set()
    assert allowed - arrows() == set(), "an arrow that no file has any more"


def test_every_folder_is_a_room_and_no_file_lies_between_them() -> None:
    assert {room_of(module) for module in modules()} == set(ARROWS)
    for package, names in TOP.items():
        assert {path.stem for path in (ROOT / package).glob("*.py")} - {"__init__"} == names


def test_no_file_imports_itself_by_others() -> None:
    graph = {module: {used for used in imports(module) if used in modules()} for module in modules()}
    TopologicalSorter(graph).prepare()  # raises CycleError with the circle
    assert len(graph) > 100


def test_a_rooms_init_holds_at_most_a_docstring() -> None:
    for path in (path for path in modules().values() if path.name == "__init__.py"):
        body = ast.parse(path.read_text()).body
        assert all(isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) for node in body[:1]), path
        assert len(body) <= 1, path


@pytest.mark.parametrize("package", WITHOUT)
def test_works_without(package: str) -> None:
    inside = [module for module in modules() if module.split(".")[0] == package]
    assert len(inside) > 20
    for module in inside:
        assert not {used.split(".")[0] for used in imports(module)} & WITHOUT[package], module


def test_no_file_is_too_long() -> None:
    files = [path for package in (*PACKAGES, "tests") for path in (ROOT / package).rglob("*") if path.is_file()]
    for path in files:
        if path.suffix in {".py", ".js"}:
            assert len(path.read_text().splitlines()) <= 400, path


def reachable(edges: set[tuple[str, str]], start: str) -> set[str]:
    found: set[str] = set()
    waiting = [start]
    while waiting:
        room = waiting.pop()
        for before, after in edges:
            if before == room and after not in found:
                found.add(after)
                waiting.append(after)
    return found


def test_the_drawn_map_is_the_house() -> None:
    """The map has the fewest arrows from which all others follow."""
    text = (ROOT / "ARCHITECTURE.md").read_text()
    drawn = re.search(r"```mermaid\n(.*?)```", text, re.DOTALL)
    assert drawn
    ids = dict(re.findall(r"^\s*(\w+)\[\"([\w./]+)", drawn[1], re.MULTILINE))
    names = {short: name.rstrip("/").replace("/", ".") for short, name in ids.items()}
    edges = {
        (names[start], names[end])
        for start, ends in re.findall(r"^\s*(\w+) --> ([\w &]+)$", drawn[1], re.MULTILINE)
        for end in ends.split(" & ")
    }
    real = arrows()
    fewest = {(a, b) for a, b in real if not any(b in reachable(real, other) for x, other in real if x == a)}
    assert edges == fewest


def test_help_is_quick_and_imports_nothing_heavy() -> None:
    script = (
        "import sys; sys.argv = ['packshot', '--help']\n"
        "from flows.cli import main\n"
        "main()\n"
        "heavy = {'prefect', 'torch', 'pyarrow', 'pydantic', 'PIL', 'fsspec'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    times = []
    for _ in range(5):  # the best of a few: a busy machine is not a slow program
        started = time.monotonic()
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
        times.append(time.monotonic() - started)
        assert done.returncode == 0, done.stderr
        assert "render" in done.stdout
    assert min(times) < 0.5
