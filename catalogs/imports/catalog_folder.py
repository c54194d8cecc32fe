"""What an import leaves in its folder: two catalogs, a campaign, and what the next import must know.

All of it is made beside the old files first and then put in their places; an import that was killed between is finished
by the next one.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from catalogs.errors import OptionError, UserError
from catalogs.imports.merge import Merge
from catalogs.imports.report import Report
from catalogs.storage.uris import resolve_uri

PRODUCTS, BRANDS, CAMPAIGN = "products.parquet", "brands.parquet", "campaign.yaml"
MEMORY = ".import"
BASES = {PRODUCTS: f"{MEMORY}/products.parquet", BRANDS: f"{MEMORY}/brands.parquet"}
STATE = f"{MEMORY}/state.json"
FORMAT = 1
_NEXT, _READY, _LOCK = f"{MEMORY}/next", "ready", f"{MEMORY}/lock"


@dataclass(frozen=True)
class Folder:
    """Where catalogs are imported to."""

    path: Path

    @property
    def was_imported(self) -> bool:
        return (self.path / STATE).is_file()

    @property
    def output(self) -> str:
        """Where its campaign writes, which holds the photos that were fetched for it."""
        try:
            campaign = yaml.safe_load((self.path / CAMPAIGN).read_text("utf-8"))
            return resolve_uri(str(self.path / CAMPAIGN), str(campaign["output"]))
        except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError, UserError):
            return str(self.path / "output")

    @contextmanager
    def held(self) -> Iterator[None]:
        """Made if need be, and kept from other imports for the time of a block; one that fails leaves no empty folder.

        Raises:
            OptionError: another import is writing here.
        """
        made = [one for one in (self.path / MEMORY, self.path) if not one.exists()]
        (self.path / MEMORY).mkdir(parents=True, exist_ok=True)
        with (self.path / _LOCK).open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                problem = "another import is writing to it"
                raise OptionError(str(self.path), "", problem, "wait until it has ended") from None
            except OSError:
                pass  # a disk without locks
            try:
                yield
            except BaseException:
                self._take_back(made)
                raise

    def _take_back(self, made: list[Path]) -> None:
        """Remove what an import that failed has made and nobody can use; whatever else is there stays."""
        if not (self.path / _NEXT / _READY).is_file():
            shutil.rmtree(self.path / _NEXT, ignore_errors=True)
            with suppress(OSError):
                if self.path / MEMORY in made:
                    (self.path / _LOCK).unlink()
                for one in made:
                    one.rmdir()

    def check(self) -> None:
        """Look whether an import may write here.

        Raises:
            OptionError: files are there that no import has written, or another version has.
        """
        if not self.was_imported and not (self.path / _NEXT / _READY).is_file():
            for name in (PRODUCTS, BRANDS, CAMPAIGN):
                if (self.path / name).exists():
                    problem = "is there already and was not written by an import"
                    raise OptionError(str(self.path), name, problem, "choose another folder, or move the file away")
        elif self.was_imported and self.state().get("format") != FORMAT:
            problem = f"was written by another version of packshot (format {self.state().get('format')})"
            raise OptionError(str(self.path), STATE, problem, "use that version, or import into another folder")

    def state(self) -> dict[str, Any]:
        """What the last import noted; nothing where it cannot be read."""
        try:
            found = json.loads((self.path / STATE).read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def staging(self) -> Path:
        """An empty folder for files that are to come; their names are those they will have below this one."""
        staged = self.path / _NEXT
        shutil.rmtree(staged, ignore_errors=True)
        (staged / MEMORY).mkdir(parents=True)
        return staged

    def finish(self) -> None:
        """Put all that is staged in its place, where the staging is whole."""
        staged = self.path / _NEXT
        if not (staged / _READY).is_file():
            shutil.rmtree(staged, ignore_errors=True)
            return
        for name in (*BASES.values(), *BASES, CAMPAIGN, STATE):
            if (staged / name).exists():
                os.replace(staged / name, self.path / name)
        shutil.rmtree(staged, ignore_errors=True)

    def ready(self) -> None:
        """All is staged."""
        (self.path / _NEXT / _READY).touch()
        self.finish()


def digest(text: str) -> str:
    """By which a file is known that nobody has edited."""
    return hashlib.sha256(text.encode()).hexdigest()


def leave(folder: Folder, staged: Path, text: str, report: Report, work: Path) -> None:
    """Merge what is staged with what people made of the last import, and put it in its place.

    Args:
        staged: holds both catalogs as the export has them, under the names of the bases.
        text: of the campaign, for where nobody has edited it.
        report: is told what was written, and what an edited campaign lacks.
        work: a folder for the time of the merge.
    """
    report.written = {str(folder.path / name): "wrote" for name in (PRODUCTS, BRANDS, CAMPAIGN)}
    for name, key in ((PRODUCTS, "product_id"), (BRANDS, "brand_id")):
        if folder.was_imported:
            changes = _merged(folder, staged, name, key, work)
            report.changes = changes if name == PRODUCTS else report.changes
            gone = changes["gone, now inactive"]
            if name == PRODUCTS and gone > changes["changed"] + changes["unchanged"]:
                was = f"{gone:,} products of the last import are not in this export and are inactive now"
                report.undecided.append(f"{was}: if it is not the whole shop, import the whole again")
        else:
            shutil.copyfile(staged / BASES[name], staged / name)
    known = folder.state().get("campaign_sha256", "")
    path = folder.path / CAMPAIGN
    edited = path.read_text("utf-8", errors="replace") if path.exists() else ""
    if edited and digest(edited) != known:
        report.written[str(path)] = "kept, as it was edited,"
        lacking = [host for host in report.hosts if host not in edited]
        report.undecided += [f"photos come from {host}: add it to reference_hosts in {CAMPAIGN}" for host in lacking]
    else:
        (staged / CAMPAIGN).write_text(text, "utf-8")
        known = digest(text)
    state = {"format": FORMAT, "source": report.source, "campaign_sha256": known}
    (staged / STATE).write_text(json.dumps(state, indent=2) + "\n", "utf-8")
    folder.ready()


def _merged(folder: Folder, staged: Path, name: str, key: str, work: Path) -> Counter[str]:
    mine, base = folder.path / name, folder.path / BASES[name]
    for path in (mine, base):
        if not path.exists():
            raise OptionError(str(path), "", "is gone", "restore it, or import into another folder")
    theirs = staged / f"{name}.theirs"
    (staged / BASES[name]).rename(theirs)
    merge = Merge(key, base, mine, work)
    merge.write(theirs, staged / name, staged / BASES[name])
    theirs.unlink()
    return merge.changes
