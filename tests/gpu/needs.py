"""What a machine with torch and transformers alone still lacks to run `first_run` and `bench`.

    python -m tests.gpu.needs                    names, versions and sizes, and the lines of pip that carry them there
    python -m tests.gpu.needs --check            there: what is missing; exit code 1 where something is
    python -m tests.gpu.needs --write            here: find it anew, after imports or constraints.txt changed

Imports the standard library alone: it runs where nothing is installed.
"""

from __future__ import annotations

import argparse
import ast
import importlib.metadata as metadata
import json
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
LIST = Path(__file__).with_name("needs.json")
FIRST_PARTY = ("catalogs", "inference", "tasks", "tests")
STARTS = ("tests.gpu.first_run", "tests.gpu.bench")
GIVEN = ("torch", "transformers")
OLDER = {"pyarrow": "18.1.0"}
"""Versions other than those of constraints.txt: the newest pyarrow is a wheel of 52 MiB, this one of 38."""
NOT_EVERYWHERE = ("pydantic",)
"""What transformers brings along only with a newer huggingface_hub: 2 requires it, 1 does not."""
LAZY = ("tests/gpu", "inference/local")
"""Where imports inside functions count: elsewhere they are of engines, stores and servers that no GPU run meets."""
DISTRIBUTIONS = {"PIL": "pillow", "yaml": "pyyaml", "pydantic_core": "pydantic-core"}
LIMIT = 60 * 2**20
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="say what of it is missing on this machine")
    parser.add_argument("--write", action="store_true", help="find it anew and write the list")
    parser.add_argument("--python", default="3.12", help="of the machine they are for (%(default)s)")
    given = parser.parse_args(arguments)
    if given.write:
        write(given.python)
    return check() if given.check else show(given.python)


def listed() -> dict[str, tuple[str, int]]:
    """Version and bytes of the wheel of each package, by name."""
    return {one["name"]: (one["version"], one["bytes"]) for one in json.loads(LIST.read_text("utf-8"))}


def show(python: str) -> int:
    packages = listed()
    for name, (version, size) in packages.items():
        print(f"{name}=={version:12} {size / 2**20:6.2f} MiB")
    print(f"{len(packages)} wheels, {sum(size for _, size in packages.values()) / 2**20:.1f} MiB\n")
    pins = [f"{name}=={version}" for name, (version, _) in packages.items()]
    print("where there is a network:\n")
    print(" ".join(["python3", *_download(python, "wheels", pins)]))
    print("\nthere, with the folder beside the repository's root:\n")
    print(f"{_install('wheels/*.whl')}\nexport PYTHONPATH=$PWD/site\n{_COMMAND}.needs --check && {_COMMAND}.first_run")
    return 0


_COMMAND = "python3 -m tests.gpu"


def _download(python: str, folder: str, pins: Sequence[str]) -> list[str]:
    of = [word for platform in PLATFORMS for word in ("--platform", platform)]
    pip = ["-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", "--implementation", "cp"]
    return [*pip, "--python-version", python, *of, "-d", folder, *pins]


def _install(wheels: str) -> str:
    return f"python3 -m pip install -q --no-index --no-deps --no-compile --target site {wheels}"


def check() -> int:
    """Say what is missing, or older than packshot takes."""
    names = {*GIVEN, *listed(), *(DISTRIBUTIONS.get(name, name) for name in imported(STARTS))}
    least = {name: ("packshot", version) for name, version in _required().items() if name in names}
    for name in ("diffusers", "transformers"):
        least |= {other: (name, version) for other, version in _bounds(_requires(name)).items()}
    missing = []
    for name in sorted(names | {_plain(name) for name in least}):
        found, (asking, version) = _version(name), least.get(name, ("", ""))
        if found is None:
            missing.append(f"{name}: missing")
        elif version and _numbers(found) < _numbers(version):
            missing.append(f"{name}: {found} is here, {asking} takes {version} or newer")
    print("\n".join(missing) if missing else "nothing is missing")
    wheels = [f"wheels/{line.partition(':')[0].replace('-', '_')}-*.whl" for line in missing]
    if missing:
        print(f"\n{_install(' '.join(wheels))}")
    return 1 if missing else 0


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version.partition("+")[0])]


def _required() -> dict[str, str]:
    """Least version of what pyproject.toml names, "" where it says none."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return _bounds([*project["dependencies"], *project["optional-dependencies"]["diffusers"]])


def _requires(name: str) -> list[str]:
    try:
        return metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return []


def _bounds(requirements: Iterable[str]) -> dict[str, str]:
    """Least version by name, of requirements that belong to no extra."""
    found = {}
    for line in filter(_applies, requirements):
        least = re.search(r">=\s*([0-9.]+)", line.partition(";")[0])
        found[_plain(re.match(r"[A-Za-z0-9_.-]+", line)[0])] = least[1] if least else ""  # type: ignore[index]
    return found


def write(python: str) -> None:
    """Find what is needed, weigh its wheels on the index, and write the list."""
    versions, rows = _constrained() | OLDER, []
    for name in sorted(lacking()):
        with tempfile.TemporaryDirectory() as folder:
            pin = f"{name}=={versions[name]}"
            subprocess.run([sys.executable, *_download(python, folder, [pin])], check=True)
            (wheel,) = Path(folder).glob("*.whl")
            rows.append({"name": name, "version": versions[name], "bytes": wheel.stat().st_size})
    LIST.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")


def lacking() -> set[str]:
    """Distributions that first_run and bench need beside torch, transformers and what those need themselves."""
    of_import = metadata.packages_distributions()
    direct = {_plain(of_import[name][0]) for name in imported(STARTS) if name in of_import}
    return closure(direct) - (closure(GIVEN) - closure(NOT_EVERYWHERE)) - closure(["typing-extensions"])


def closure(names: Iterable[str]) -> set[str]:
    """Distributions with all they require, by the metadata of what is installed here."""
    found: set[str] = set()
    waiting = [_plain(name) for name in names]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        if _version(name) is None:  # of another platform, or of one with a GPU
            continue
        found.add(name)
        waiting += _bounds(_requires(name))
    return found


def _applies(requirement: str) -> bool:
    """Whether a requirement is of no extra; those of one system or Python are taken along."""
    return "extra ==" not in requirement


def imported(starts: Iterable[str]) -> set[str]:
    """Top-level names of what is not ours, that the modules import and the modules of ours they import."""
    names: set[str] = set()
    seen: set[Path] = set()
    waiting = list(starts)
    while waiting:
        module = waiting.pop()
        if module.partition(".")[0] not in FIRST_PARTY:
            names.add(module.partition(".")[0])
            continue
        path = ROOT / f"{module.replace('.', '/')}.py"
        if path.exists() and path not in seen:
            seen.add(path)
            waiting += _imports(path)
    return {name for name in names if name not in sys.stdlib_module_names}


def _imports(path: Path) -> Iterator[str]:
    lazy = path.relative_to(ROOT).as_posix().startswith(LAZY)
    waiting: list[ast.AST] = [ast.parse(path.read_text("utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        elif lazy or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            waiting += ast.iter_child_nodes(node)


def _constrained() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    return {_plain(name): version for name, found, version in (line.partition("==") for line in lines) if found}


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    raise SystemExit(main())
