"""The wheel holds all of packshot and nothing else, and works where nothing of this tree is."""

from __future__ import annotations

import json
import os
import shutil
import site
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("catalogs", "inference", "tasks", "flows", "deployments")
BESIDE = ("pyproject.toml", "README.md", "LICENSE")
SUFFIXES = {".py", ".yaml", ".json", ".html", ".css", ".js", ".tsv", ".ttf", ".txt"}
WHERE = f"import {', '.join(PACKAGES)}\nfor package in ({', '.join(PACKAGES)}): print(package.__file__)"


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    """What a process outside the tree says, with nothing that leads it back."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=cwd, env={**kept, **environment}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def sources() -> list[str]:
    """Files of the packages and beside them that git knows, or would know; a file may be on its way elsewhere."""
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *PACKAGES, *BESIDE, cwd=ROOT)
    return sorted(name for name in set(listed.split("\0")) if name and (ROOT / name).is_file())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy: setuptools leaves build/ and an egg-info behind."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in sources():
        (folder / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, folder / "tree" / name)
    options = ("--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check")
    run(sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", folder, folder / "tree", cwd=folder)
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel, whose other libraries are this one's."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder)
    options = ("--no-deps", "--no-index", "--no-compile", "--disable-pip-version-check")
    target = ("--python", folder / "bin" / "python")
    run(sys.executable, "-m", "pip", *target, "install", *options, wheel, cwd=folder)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
    # A folder that a .pth names comes after the wheel's, and the .pth files in it, the editable install's
    # among them, are not read.
    (packages / "libraries.pth").write_text("\n".join(site.getsitepackages()) + "\n")
    return folder


def test_the_wheel_holds_what_git_knows_and_no_tests(wheel: Path) -> None:
    wanted = {name for name in sources() if "/" in name and Path(name).suffix in SUFFIXES}
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
        [entry_points] = [name for name in archive.namelist() if name.endswith("/entry_points.txt")]
        assert "packshot = flows.cli:main" in archive.read(entry_points).decode()
    assert wanted - held == set(), "left out of the wheel"
    assert {name.partition("/")[0] for name in held} == set(PACKAGES)
    assert held - wanted == set(), "in the wheel, and no source"


@pytest.mark.timeout(240)
def test_the_installed_command_makes_the_sample(environment: Path, tmp_path: Path) -> None:
    home = {"PREFECT_HOME": str(tmp_path / "home"), "PREFECT_API_URL": ""}
    python, packshot = environment / "bin" / "python", environment / "bin" / "packshot"
    for file in run(python, "-c", WHERE, cwd=tmp_path).splitlines():
        assert Path(file).is_relative_to(environment)
    run(packshot, "init", "sample", cwd=tmp_path, **home)
    campaign = "sample/campaign.yaml"
    planned = json.loads(run(packshot, "plan", campaign, "--limit", "1", "--json", cwd=tmp_path, **home))
    assert planned["actions"] == {"new": planned["assets"]}
    made = json.loads(run(packshot, "render", campaign, "--limit", "1", "--json", cwd=tmp_path, **home))
    assert made["outcome"]["delivered"] == planned["assets"] > 0
    output = Path(planned["output"])
    assert output.is_relative_to(tmp_path)
    delivered = [path for path in output.joinpath("assets").rglob("*") if path.is_file()]
    assert delivered
    assert all(path.stat().st_size for path in delivered)
    assert Path(made["gallery"]).is_file()
