"""Photos on web servers, as a campaign asks for them: fetched by a plan or alone, counted by a check."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from shlex import quote

from catalogs.assets.starts import latest_start, new_start
from catalogs.campaigns.campaign import Campaign
from catalogs.errors import PackshotError
from catalogs.references.addresses import PUBLIC
from catalogs.references.web_photos import Content, Fetches, Missing, WebPhotos
from catalogs.storage.store import Store
from catalogs.storage.web_urls import Hosts
from tasks.progress import AssetProgress

NETWORK = PUBLIC
"""The way to all hosts. No key, option or variable leads here: tests put in one of their own."""


def web_photos(
    campaign: Campaign,
    store: Store,
    missing: Missing = Missing.REFUSE,
    refresh: bool = False,
    total: int | None = None,
) -> WebPhotos:
    """The photos of a campaign's hosts; nothing is read or asked before the first is wanted.

    Args:
        missing: what becomes of those that are not there yet.
        refresh: ask also for those that are.
        total: how many will be asked for at most, for people; None where nobody knows.
    """
    hosts = Hosts(campaign.reference_hosts, campaign.source)

    def fetcher() -> Fetches:
        from catalogs.references import fetching  # with a library that most commands do without

        return _Shown(fetching.Fetcher(hosts, fetching.LIMITS, NETWORK), AssetProgress(total, sys.stderr, "photo"))

    def name(before: Iterable[str]) -> str:
        return new_start(store, latest_start(before))

    return WebPhotos(store, hosts, campaign.max_reference_pixels, missing, fetcher, name, refresh)


@dataclass(frozen=True)
class _Shown:
    """A fetcher whose progress is shown."""

    fetcher: Fetches
    progress: AssetProgress

    def fetch(self, url: str, etag: str = "", last_modified: str = "") -> Content | None:
        try:
            content = self.fetcher.fetch(url, etag, last_modified)
        except PackshotError:
            self.progress.add(0, 1)
            raise
        self.progress.add(1, 0)
        return content

    def close(self) -> None:
        self.progress.close()
        self.fetcher.close()


def photo_warnings(photos: WebPhotos, campaign: Campaign) -> list[str]:
    """What a plan or a check says of them."""
    counts, lines = photos.counts, []
    if counts.not_fetched:
        how = f"`packshot fetch {quote(campaign.source)}` does it, and so does a plan"
        lines.append(f"photos not fetched yet: {counts.not_fetched} (first: {counts.first_not_fetched}); {how}")
    return lines + unread_lines(photos)


def unread_lines(photos: WebPhotos) -> list[str]:
    """What is said of records that could not be read: their URLs are asked for once more."""
    if not photos.unread:
        return []
    first, problem = next(iter(photos.unread.items()))
    what = f"records of fetched photos that cannot be read: {len(photos.unread)}"
    return [f"{what} (first: {photos.store.uri(first)}: {problem}); what they name is fetched anew"]
