"""A folder of campaigns: what is in it, what is due, what changed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from catalogs.campaigns.campaign import Campaign, load_campaign
from catalogs.campaigns.schedule import Schedule
from catalogs.errors import CampaignError, PackshotError
from catalogs.storage.local_files import open_file
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
        doubles: the other files of the folder with its name and output; it is refused as they are.
    """

    path: str
    name: str
    campaign: Campaign | None
    problem: str = ""
    doubles: tuple[str, ...] = ()

    @property
    def schedule(self) -> Schedule:
        return self.campaign.schedule if self.campaign else Schedule()


def read_calendar(folder: str) -> list[Entry]:
    """Every *.yaml of a folder and of the folders in it, the highest priority first, broken ones last.

    Raises:
        CampaignError: there is no such folder, or no campaign file in it.
    """
    # A file that links lead to twice is one campaign.
    paths = {path.resolve(): path for path in sorted(_campaign_files(folder), reverse=True)}
    if not paths:
        raise CampaignError(folder, "", "holds no campaign file", "put *.yaml files into it, or one folder deeper")
    root = Path(folder).expanduser().absolute()
    entries = _without_doubles([_entry(path, root) for path in sorted(paths.values())])
    return sorted(entries, key=lambda e: (e.campaign is None, -e.schedule.priority, e.name, e.path))


def refuse_doubles(entries: Sequence[Entry]) -> None:
    """Raises CampaignError when two campaigns of a calendar have one name and output."""
    for entry in entries:
        if entry.doubles:
            raise _double(entry)


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


def _without_doubles(entries: Sequence[Entry]) -> Iterator[Entry]:
    """Campaigns of one name and output would retire each other's assets, and no file says which is meant: all are
    refused. A proof and a render touch no row of each other."""
    named = [(entry.path, entry.campaign) for entry in entries if entry.campaign]
    places = {output: place_of(output) for output in {campaign.output for _, campaign in named}}
    keys = {path: (c.name, places[c.output], c.model.name == "proof") for path, c in named}
    for entry in entries:
        others = tuple(path for path in keys if path != entry.path and keys[path] == keys.get(entry.path))
        if others:
            entry = replace(entry, campaign=None, doubles=others)
            entry = replace(entry, problem=str(_double(entry)))
        yield entry


def place_of(output: str) -> str:
    """One text for one place; a checked campaign's output is absolute already, and holds no link."""
    if "://" in output:
        return output
    try:
        found = Path(output).stat()
    except OSError:  # not made yet
        return output
    return f"{found.st_dev}:{found.st_ino}"  # mounted twice, or spelt in capitals where they do not count


def _double(entry: Entry) -> CampaignError:
    have = "has" if len(entry.doubles) == 1 else "have"
    problem = f"{', '.join(entry.doubles)} {have} the same name, {entry.name!r}, and the same output"
    fix = "rename one of the campaigns or give it another output, or take its file out of the folder"
    return CampaignError(entry.path, "name", f"{problem}; none of them is rendered", fix)


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
        with open_file(path) as file:
            return file.read()
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
