"""Passwords of the installation: made by the page's own command, and never those of .env.example."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from tests.deployments.test_files import FOLDER
from tests.servers import program

SECRETS = {"PREFECT_AUTH", "DATABASE_PASSWORD", "STORE_PASSWORD"}
SCRIPTS = sorted(path.name for path in FOLDER.glob("*.sh"))


def read(file: Path) -> dict[str, str]:
    lines = [line for line in file.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def documented() -> str:
    """The command that the page gives."""
    [line] = re.findall(r"^    (sh deployments/make-env\.sh.*?)(?: +#.*)?$", (FOLDER / "README.md").read_text(), re.M)
    return str(line)


@pytest.fixture
def installation(tmp_path: Path) -> Path:
    """deployments/ as a clone has it, in another place."""
    (tmp_path / "deployments").mkdir()
    for name in (*SCRIPTS, ".env.example"):
        shutil.copy(FOLDER / name, tmp_path / "deployments" / name)
    return tmp_path


def make(installation: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["bash", "-c", documented()], cwd=installation, capture_output=True, text=True)


def look(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """What the service `passwords` does."""
    kept = {"PATH": os.environ["PATH"], **environment}
    return subprocess.run(["sh", str(FOLDER / "check-env.sh")], env=kept, capture_output=True, text=True)


def test_the_documented_command_makes_passwords(installation: Path) -> None:
    example, file = read(FOLDER / ".env.example"), installation / "deployments" / ".env"
    assert {name for name, value in example.items() if "change-me" in value} == SECRETS
    done = make(installation)
    assert (done.returncode, done.stderr) == (0, "")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    made = read(file)
    assert {name: value for name, value in made.items() if name not in SECRETS} == {
        name: value for name, value in example.items() if name not in SECRETS
    }
    passwords = {made[name].removeprefix("admin:") for name in SECRETS}
    assert len(passwords) == 3, "each has one of its own"
    assert all(re.fullmatch("[0-9a-f]{48}", password) for password in passwords)
    assert look(made).returncode == 0
    again = make(installation)
    assert again.returncode == 2
    assert len(again.stderr.splitlines()) == 1
    assert "is there already" in again.stderr
    assert read(file) == made, "they are kept"


def test_two_installations_have_other_passwords(installation: Path) -> None:
    assert make(installation).returncode == 0
    first = (installation / "deployments" / ".env").rename(installation / "first")
    assert make(installation).returncode == 0
    second = read(installation / "deployments" / ".env")
    assert all(read(first)[name] != second[name] for name in SECRETS)


@pytest.mark.parametrize("name", sorted(SECRETS))
def test_a_placeholder_is_refused(name: str, installation: Path) -> None:
    assert make(installation).returncode == 0
    made = read(installation / "deployments" / ".env")
    done = look({**made, name: read(FOLDER / ".env.example")[name]})
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: deployments/.env: {name}: is still the placeholder of .env.example; ")
    assert "`sh deployments/make-env.sh` makes passwords" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("STORE_PASSWORD", "", "is not set"),
        ("STORE_USER", "", "is not set"),
        ("PREFECT_AUTH", "5ecret", "is not USER:PASSWORD"),
        ("PREFECT_AUTH", "admin:", "is not USER:PASSWORD"),
        ("DATABASE_PASSWORD", "a@b", "holds other characters"),
        ("DATABASE_PASSWORD", "a b", "holds other characters"),
        ("STORE_PASSWORD", "change-me-too", "is still the placeholder"),
    ],
)
def test_what_cannot_work_is_refused(name: str, value: str, words: str, installation: Path) -> None:
    assert make(installation).returncode == 0
    done = look({**read(installation / "deployments" / ".env"), name: value})
    assert done.returncode == 2
    assert f"{name}: {words}" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_are_sound(name: str, tmp_path: Path) -> None:
    """Looked at by shellcheck; each stops at what goes wrong."""
    text = (FOLDER / name).read_text()
    assert os.access(FOLDER / name, os.X_OK)
    assert re.search(r"^set -eu", text, re.M)
    done = subprocess.run([program("shellcheck"), str(FOLDER / name)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    (tmp_path / name).write_text(text + "\ncd $lost\n")
    assert subprocess.run([program("shellcheck"), str(tmp_path / name)], capture_output=True).returncode != 0
