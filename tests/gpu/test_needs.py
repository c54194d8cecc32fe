"""That the list of what must be carried is whole: the commands run with nothing else installed."""

from __future__ import annotations

import importlib.metadata as metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.gpu import needs

ABSENT = (
    "prefect",
    "pytest",
    "moto",
    "s3fs",
    "duckdb",
    "httpx",
    "sqlalchemy",
    "accelerate",
    "peft",
    "psutil",
    "pandas",
)


@pytest.fixture(scope="module")
def bare_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """torch, transformers and what they require, and what the list names: the files of no other distribution."""
    site = tmp_path_factory.mktemp("site")
    for name in needs.closure(needs.GIVEN) | set(needs.listed()):
        for file in metadata.files(name) or []:
            top = file.parts[0]
            if top not in ("..", "__pycache__") and not (site / top).exists():
                (site / top).symlink_to(Path(str(metadata.distribution(name).locate_file(top))).resolve())
    return site


def bare(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(site), "PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-S", *arguments], cwd=needs.ROOT, env=environment, capture_output=True, text=True, timeout=200
    )


def test_the_list_is_what_the_imports_ask_for() -> None:
    assert set(needs.listed()) == needs.lacking()


def test_versions_are_those_of_the_constraints() -> None:
    pinned = needs._constrained() | needs.OLDER
    assert {name: version for name, (version, _) in needs.listed().items()} == {
        name: pinned[name] for name in needs.listed()
    }


def test_all_wheels_are_small_enough_to_be_carried() -> None:
    assert sum(size for _, size in needs.listed().values()) < needs.LIMIT


@pytest.mark.parametrize("name", sorted(needs.listed()))
def test_a_wheel_is_as_large_as_what_is_in_it_allows(name: str) -> None:
    """A wheel is never larger than the files it unpacks to; another version may have a little more."""
    unpacked = sum(file.size or 0 for file in metadata.files(name) or [])
    assert 0 < needs.listed()[name][1] <= 1.2 * unpacked


def test_the_printed_lines_name_every_pin(capsys: pytest.CaptureFixture[str]) -> None:
    assert needs.main(["--python", "3.13"]) == 0
    printed = capsys.readouterr().out
    (line,) = [line for line in printed.splitlines() if " pip download " in line]
    assert "--python-version 3.13" in line
    assert all(f" {name}=={version}" in line for name, (version, _) in needs.listed().items())
    assert "pip install -q --no-index --no-deps" in printed


def test_where_nothing_is_installed_it_says_what_is_missing(tmp_path: Path) -> None:
    ran = bare(tmp_path, "-m", "tests.gpu.needs", "--check")
    assert ran.returncode == 1
    assert all(f"{name}: missing" in ran.stdout for name in [*needs.GIVEN, *needs.listed()])
    assert bare(tmp_path, "-m", "tests.gpu.needs").returncode == 0


def test_an_old_version_is_told(bare_site: Path, tmp_path: Path) -> None:
    old = tmp_path / "diffusers-0.30.0.dist-info"
    old.mkdir()
    (old / "METADATA").write_text("Metadata-Version: 2.1\nName: diffusers\nVersion: 0.30.0\n")
    ran = bare(Path(f"{tmp_path}:{bare_site}"), "-m", "tests.gpu.needs", "--check")
    assert ran.returncode == 1
    assert "diffusers: 0.30.0 is here, packshot takes 0.42 or newer" in ran.stdout


RUN = """
import importlib.util
from tests.gpu import bench, first_run, needs
assert not [name for name in {absent} if importlib.util.find_spec(name)]
codes = [
    needs.main(["--check"]),
    first_run.main(["--part", "4", "--device", "cpu", "--tiny", "--out", "{out}/first"]),
    first_run.main(["--part", "5", "--device", "cpu", "--tiny", "--out", "{out}/first"]),
    bench.main(["--only", "trial", "--device", "cpu", "--seconds", "3", "--threads", "1", "--out", "{out}/bench"]),
]
print("codes", codes)
"""


@pytest.mark.timeout(240)
def test_with_nothing_else_installed_the_commands_run(bare_site: Path, tmp_path: Path) -> None:
    ran = bare(bare_site, "-c", RUN.format(absent=ABSENT, out=tmp_path))
    assert "codes [0, 0, 0, 0]" in ran.stdout, ran.stdout[-3000:] + ran.stderr[-3000:]
    assert "nothing is missing" in ran.stdout
    assert "packshot, as it comes" in (tmp_path / "bench" / "table.md").read_text()
