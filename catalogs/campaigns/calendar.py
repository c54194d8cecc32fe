"""A folder of campaigns: what is in it, what is due, what changed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from catalogs.campaigns.campaign import Campaign, load_campaign
from catalogs.campaigns.schedule import Schedule
from catalogs.errors import CampaignError, PackshotError
from catalogs.storage.store import Store
from catalogs.storage.uris import split_uri

_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True)
class Entry:
    """One campaign file of a folder.

    Attributes:
        name: the campaign's, or the file's below the folder where it cannot be read.
        campaign: None where the file is broken.
        problem: the one line that says what is wrong with it, "" where nothing is.
    """

    path: str
    name: str
    campaign: Campaign | None
    problem: str = ""

    @property
    def schedule(self) -> Schedule:
        return self.campaign.schedule if self.campaign else Schedule()


def read_calendar(folder: str) -> list[Entry]:
    """Every *.yaml of a folder and of the folders in it, the highest priority first, broken ones last.

    Raises:
        CampaignError: there is no such folder, or no campaign file in it.
    """
    paths = sorted(_campaign_files(folder))
    if not paths:
        raise CampaignError(folder, "", "holds no campaign file", "put *.yaml files into it, or one folder deeper")
    root = Path(folder).expanduser().absolute()
    entries = list(_without_doubles(_entry(path, root) for path in paths))
    return sorted(entries, key=lambda e: (e.campaign is None, -e.schedule.priority, e.name, e.path))


def _campaign_files(folder: str) -> Iterator[Path]:
    root = Path(folder).expanduser().absolute()
    if not root.is_dir():
        raise CampaignError(folder, "", "there is no such folder", "give a folder that holds campaign files")
    for path in (*root.glob("*"), *root.glob("*/*")):
        hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
        if path.suffix in _SUFFIXES and path.is_file() and not hidden:
            yield path


def _entry(path: Path, root: Path) -> Entry:
    try:
        campaign = load_campaign(str(path))
    except PackshotError as error:
        return Entry(str(path), str(path.relative_to(root)), None, str(error))
    return Entry(str(path), campaign.name, campaign)


def _without_doubles(entries: Iterable[Entry]) -> Iterator[Entry]:
    """Two campaigns of one name and output would undo each other's work for ever: the second is refused."""
    seen: dict[tuple[str, str, bool], str] = {}
    for entry in entries:
        if entry.campaign is None:
            yield entry
            continue
        key = (entry.name, entry.campaign.output, entry.campaign.model.name == "proof")
        if key not in seen:
            seen[key] = entry.path
            yield entry
            continue
        problem = f"{seen[key]} has the same name and output"
        error = CampaignError(entry.path, "name", problem, "rename one of the two campaigns")
        yield Entry(entry.path, entry.name, None, str(error))


def input_stamp(entry: Entry) -> str:
    """Changes with the campaign file's bytes and with every file of its catalogs; reads no catalog.

    What a reference image shows is not looked at: planning does that.
    """
    digest = hashlib.sha256(_bytes_or_nothing(entry.path))
    if entry.campaign:
        for uri in (entry.campaign.catalogs.brands, entry.campaign.catalogs.products):
            for line in _stamps(uri):
                digest.update(line.encode())
    return digest.hexdigest()


def _bytes_or_nothing(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""


def _stamps(uri: str) -> Iterator[str]:
    folder, name = split_uri(Store.at(uri).root)
    entry = Store.at(folder).list_names(name).get(name)
    if entry is not None:
        yield f"{uri}\t{entry.size}\t{entry.tag}\n"
        return
    for key, found in Store.at(uri).list().items():
        yield f"{uri}/{key}\t{found.size}\t{found.tag}\n"
