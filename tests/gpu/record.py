"""Rows of a run, each on disk the moment it is known: JSON lines for programs, a Markdown table for people."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROWS = "rows.jsonl"
TABLE = "table.md"

Row = dict[str, Any]


def new_folder(asked: str | None, name: str) -> Path:
    """The folder of a run, named by date where none was asked for."""
    folder = Path(asked or f"{name}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def machine() -> dict[str, str]:
    """What was measured on, and with which command."""
    import torch

    found = {"python": platform.python_version(), "torch": torch.__version__}
    for name in ("diffusers", "transformers"):
        found[name] = __import__(name).__version__
    cuda = torch.cuda.is_available()
    found["device"] = torch.cuda.get_device_name() if cuda else f"cpu, {torch.get_num_threads()} threads"
    found["driver"] = _driver() if cuda else "none"
    found["command"] = " ".join(["python -m", _module(), *sys.argv[1:]])
    return found


def _module() -> str:
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    return spec.name if spec else Path(sys.argv[0]).stem


def _driver() -> str:
    tool = shutil.which("nvidia-smi")
    if not tool:
        return "unknown"
    query = [tool, "--query-gpu=driver_version", "--format=csv,noheader"]
    answer = subprocess.run(query, capture_output=True, text=True, check=False, timeout=20)
    return answer.stdout.strip().splitlines()[0] if answer.stdout.strip() else "unknown"


class Record:
    """Appends rows to a folder; two processes may, one after the other."""

    def __init__(self, folder: Path, columns: Sequence[str], header: Sequence[str]) -> None:
        """
        Args:
            columns: of the table; what a row has besides stands in its JSON line alone.
            header: lines above the table.
        """
        self.folder, self._columns, self.rows = folder, columns, list[Row]()
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / TABLE).exists():
            lines = [*header, "", _line(columns), _line(["---"] * len(columns))]
            (folder / TABLE).write_text("\n".join(lines) + "\n", "utf-8")

    def add(self, row: Row) -> Row:
        with (self.folder / ROWS).open("a", encoding="utf-8") as file:
            file.write(json.dumps({**row, "at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"}, default=str) + "\n")
        with (self.folder / TABLE).open("a", encoding="utf-8") as file:
            file.write(_line([_cell(row.get(column)) for column in self._columns]) + "\n")
        print(_line([_cell(row.get(column)) for column in self._columns]), flush=True)
        self.rows.append(row)
        return row


def read_rows(folder: Path) -> Iterator[Row]:
    """Rows of a folder, of every process that wrote them."""
    if (folder / ROWS).exists():
        yield from map(json.loads, (folder / ROWS).read_text("utf-8").splitlines())


def run_each(module: str, names: Sequence[list[str]], folder: Path, rest: Sequence[str], seconds: float) -> list[str]:
    """Run a module once for each of some arguments, in a process of its own: a lost device ends one of them only.

    Returns:
        One line for each that did not end well.
    """
    problems = []
    for arguments in names:
        command = [sys.executable, "-m", module, *arguments, "--out", str(folder), *rest]
        try:
            code = subprocess.run(command, check=False, timeout=seconds).returncode
        except subprocess.TimeoutExpired:
            problems.append(f"{' '.join(arguments)}: ended after {seconds:g} s")
            continue
        if code:
            problems.append(f"{' '.join(arguments)}: exit code {code}")
    return problems


def header_lines(title: str, about: Sequence[str]) -> list[str]:
    """Above a table: when, on what, with which command."""
    facts = [f"- {name}: `{value}`" for name, value in machine().items()]
    return [f"# {title}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC", "", *facts, "", *about]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "NO"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_cell(one)}" for name, one in value.items())
    return " ".join(str(value).split()).replace("|", "/")
