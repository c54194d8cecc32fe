"""`packshot fetch`: the photos that a campaign's shots are made from, from their servers into its output."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from catalogs.campaigns.campaign import Campaign
from catalogs.errors import ReferenceImageError
from catalogs.inputs.reject_file import REJECTS_NAME, LeftOut
from catalogs.plans.looks import Looks
from catalogs.plans.options import PlanOptions
from catalogs.references.book import absolute_photo
from catalogs.references.web_photos import Counts, Missing, WebPhotos
from catalogs.storage.local_files import work_folder
from catalogs.storage.store import Store
from catalogs.storage.web_urls import is_web
from tasks.engines import choose_model
from tasks.outcome import open_campaign
from tasks.photos import unread_lines, web_photos
from tasks.plan_inputs import Inputs, read_inputs
from tasks.planning import PROBERS, Selected, check_brands, check_products, code_of

_WINDOW = 256


@dataclass(frozen=True)
class Fetched:
    """What became of a campaign's photos on web servers.

    Attributes:
        photos: different URLs.
        problems: `url` and `problem` of those that could not be had, with the `code` of their reject.
        warnings: lines of what else is to be known.
    """

    photos: int
    counts: Counts
    problems: list[dict[str, str]]
    warnings: list[str]

    def as_dict(self) -> dict[str, Any]:
        """For machines."""
        names = ("known", "fetched", "changed", "unchanged", "failed", "bytes")
        numbers = {name: getattr(self.counts, name) for name in names}
        return {"photos": self.photos, **numbers, "problems": self.problems, "warnings": self.warnings}


def fetch_photos(path: str, refresh: bool = False) -> Fetched:
    """Fetch what the shots of a campaign are made from and is not there yet.

    Args:
        refresh: ask also for what is there; servers that can say so answer that it is the same.

    Raises:
        UserError: as for a plan.
        StorageError: the output does not take what was fetched; what it took is recorded.
    """
    campaign, store = open_campaign(path)
    with work_folder() as folder:
        urls = list(wanted_urls(campaign, store, folder))
    photos = web_photos(campaign, store, Missing.FETCH, refresh, len(urls))
    problems = _fetch(photos, urls)
    return Fetched(len(urls), photos.counts, problems, unread_lines(photos))


def wanted_urls(campaign: Campaign, store: Store, folder: Path) -> dict[str, None]:
    """URLs of the photos that a plan of the whole campaign needs, in the order of the catalog.

    Args:
        folder: for rows that wait.
    """
    inputs = read_inputs(campaign, choose_model(campaign), store, PlanOptions(), missing=Missing.REFUSE)
    with LeftOut(folder / REJECTS_NAME, strict=False) as left_out:
        return dict.fromkeys(_urls(inputs, left_out, folder))


def _urls(inputs: Inputs, left_out: LeftOut, folder: Path) -> Iterator[str]:
    brands = check_brands(inputs, left_out, inputs.expander.brand_columns)
    rows = check_products(Selected(inputs), inputs, brands, left_out)
    for member in Looks(rows, brands, inputs.campaign, inputs.expander.columns, folder):
        for catalog, uri in sorted(inputs.expander.photos(member)):
            if is_web(uri):
                yield absolute_photo(catalog, uri)


def _fetch(photos: WebPhotos, urls: Iterable[str]) -> list[dict[str, str]]:
    """Ask for all; what cannot be had is a problem, and stops nothing."""
    problems, waiting = [], iter(urls)
    pool = ThreadPoolExecutor(PROBERS, thread_name_prefix="fetch")
    try:
        with photos:
            while window := list(islice(waiting, _WINDOW)):
                problems += [found for found in pool.map(lambda url: _problem(photos, url), window) if found]
    finally:
        pool.shutdown(cancel_futures=True)  # whoever waits for a server was told to end
    return problems


def _problem(photos: WebPhotos, url: str) -> dict[str, str] | None:
    try:
        photos.probe(url)
    except ReferenceImageError as error:
        return {"url": url, "problem": str(error), "code": str(code_of(error))}
    return None
