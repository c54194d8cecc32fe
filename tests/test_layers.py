"""Imports run one way, and light things stay light."""

from __future__ import annotations

import ast
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FORBIDDEN = {
    "catalogs": {"prefect", "inference", "tasks", "flows", "torch", "diffusers"},
    "inference": {"prefect", "tasks", "flows"},
    "tasks": {"flows"},
}


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name.split(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("package", FORBIDDEN)
def test_imports_run_one_way(package: str) -> None:
    modules = list((ROOT / package).rglob("*.py"))
    assert len(modules) > 3
    for module in modules:
        assert not imports(module) & FORBIDDEN[package], module.name


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
