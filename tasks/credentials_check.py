"""Whether files carry content credentials that hold: a file, a folder, all that a campaign delivers. Writes nothing."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from catalogs.assets.commits import Status
from catalogs.assets.history import read_current
from catalogs.campaigns.campaign import Campaign, load_campaign
from catalogs.columns import Row
from catalogs.errors import OptionError
from catalogs.storage.store import MissingKey, Store, read_uri
from inference.credentials.likeness import Sureness
from inference.credentials.reading import FINE, CredentialReader, Found, Verdict
from tasks.credentials import SIGNED_WITH
from tasks.credentials_search import Asset, Recorded, Search
from tasks.unread import naming

PICTURES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".avif")
_CAMPAIGN = (".yaml", ".yml")
_READERS = 4


@dataclass(frozen=True)
class Checked:
    """What was found of one file.

    Attributes:
        file: its path or URI.
        record: what the asset catalog says of it, "" where nobody asked or it says nothing.
        asset: the asset whose file it is or was, and how sure that is.
    """

    file: str
    found: Found
    record: str = ""
    asset: Asset | None = None

    def as_dict(self) -> dict[str, Any]:
        asset = self.asset.as_dict() if self.asset else None
        return {"file": self.file, **self.found.as_dict(), "record": self.record, "asset": asset}


def check(target: str, anchors: str = "", within: str | None = None) -> Iterator[Checked]:
    """Look at a file, at all pictures of a folder, or at all files that a campaign delivers, one after the other.

    Args:
        target: a path or URI; a campaign is told by its .yaml.
        anchors: root certificates of signers to trust, PEM.
        within: a campaign file in whose asset catalog files are looked up.

    Raises:
        UserError: there is no such file, folder or campaign, or it holds no pictures.
        StorageError: a store could not be read.
    """
    reader = CredentialReader(anchors)
    if target.lower().endswith(_CAMPAIGN):
        if within is not None:
            raise OptionError("--in", within, "is for files: a campaign's own are looked up anyway", "leave it out")
        yield from _of_campaign(load_campaign(target), reader)
        return
    files = list(_files(target))
    search = _search(within) if within is not None else None
    for uri, read in files:
        data = read()
        checked = Checked(uri, reader.read(data))
        yield checked if search is None else _looked_up(checked, data, search)


def _files(target: str) -> Iterator[tuple[str, Callable[[], bytes]]]:
    is_uri = "://" in target
    if os.path.isdir(target) or (is_uri and not target.lower().endswith(PICTURES)):
        yield from _of_folder(Store.at(target))
    elif is_uri or os.path.isfile(target):  # a pipe would be waited for
        yield target, partial(_read, target)
    else:
        fix = "name a picture, a folder of pictures or a campaign file"
        raise OptionError("credentials check", target, "there is no such file", fix)


def _of_folder(store: Store) -> Iterator[tuple[str, Callable[[], bytes]]]:
    keys = sorted(key for key in store.list() if key.lower().endswith(PICTURES))
    if not keys:
        fix = "name one that does, a picture, or a campaign file"
        raise OptionError("credentials check", store.root, "holds no JPEG, PNG, WebP or AVIF", fix)
    for key in keys:
        yield store.uri(key), partial(store.read, key)


def _read(uri: str) -> bytes:
    try:
        return read_uri(uri)
    except MissingKey:
        raise OptionError("credentials check", uri, "there is no such file", "correct the name") from None


def _search(campaign: str) -> Search:
    opened = load_campaign(campaign)
    with naming(campaign):
        return Search(Store.at(opened.output), _delivered(opened))


def _delivered(campaign: Campaign) -> list[Row]:
    """The rows of what a campaign delivers that is no proof: those are never signed. A file may be gone or another."""
    rows = read_current(Store.at(campaign.output), campaign.name).to_pylist()
    return [
        row
        for row in rows
        if row["status"] in (Status.DELIVERED, Status.MISSING) and row["kind"] == "render" and row["asset_key"]
    ]


def _of_campaign(campaign: Campaign, reader: CredentialReader) -> Iterator[Checked]:
    store = Store.at(campaign.output)
    with naming(campaign.source):
        rows = _delivered(campaign)
    with ThreadPoolExecutor(_READERS) as pool:
        for start in range(0, len(rows), 4 * _READERS):  # a few at a time: files are megabytes
            yield from pool.map(partial(_of_row, store, reader), rows[start : start + 4 * _READERS])


def _of_row(store: Store, reader: CredentialReader, row: Row) -> Checked:
    key, asset = str(row["asset_key"]), Asset.of(row, Recorded.SAME_KEY)
    try:
        data = store.read(key)
    except MissingKey:
        gone = Found(Verdict.UNREADABLE, "the file is gone")
        return Checked(store.uri(key), gone, "`packshot verify` records that, and a render makes it again", asset)
    found, was_signed = reader.read(data), SIGNED_WITH in dict(row["versions"] or ())
    if hashlib.sha256(data).hexdigest() == row["sha256"]:
        unsigned = found.verdict is Verdict.NONE and not was_signed
        return Checked(store.uri(key), found, "delivered without a credential" if unsigned else "as delivered", asset)
    return Checked(store.uri(key), _other_file(found, was_signed), "not the bytes that were delivered", asset)


def _other_file(found: Found, was_signed: bool) -> Found:
    """What is said of a file that is not the one that was delivered."""
    if found.verdict in FINE:
        return replace(found, verdict=Verdict.TAMPERED, why="another signed file stands in its place")
    if found.verdict is Verdict.NONE and was_signed:
        return replace(found, verdict=Verdict.STRIPPED, why="it was delivered with a content credential, which is gone")
    return found


def _looked_up(checked: Checked, data: bytes, search: Search) -> Checked:
    asset = search.find(data)
    if asset is None:
        return replace(checked, record="no file of the campaign is like it")
    found = checked.found
    if found.verdict is Verdict.NONE and asset.was_signed:
        found = replace(found, verdict=Verdict.STRIPPED, why="the campaign delivered this picture with a credential")
    if found.verdict is Verdict.TAMPERED and asset.sure is Sureness.CERTAIN:
        found = replace(found, why=f"{found.why}; its pixels are those that were delivered")
    return replace(checked, found=found, record=asset.told, asset=asset)


def counts(checked: Iterable[Checked]) -> Mapping[str, int]:
    """How many files each verdict was said of."""
    return dict(Counter(one.found.verdict.value for one in checked).most_common())


def is_fine(checked: Iterable[Checked]) -> bool:
    """Whether every file has a credential that holds."""
    return all(one.found.verdict in FINE for one in checked)


def anchors_of(path: str | None) -> str:
    """Root certificates of a file.

    Raises:
        OptionError: it holds none.
    """
    if path is None:
        return ""
    from cryptography.x509 import load_pem_x509_certificates

    try:
        with open(path, "rb") as file:
            pem = file.read()
        load_pem_x509_certificates(pem)
    except (OSError, ValueError):
        raise OptionError("--trust", path, "holds no certificates as PEM", "name a file of root certificates") from None
    return pem.decode("ascii", "replace")
