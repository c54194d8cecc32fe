"""What earlier starts have paid for and not stored is taken up before anything else is done: it expires."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from catalogs.assets.delivered import Delivered, delivered_in
from catalogs.assets.masters import MasterRecord, store_master
from catalogs.identity import render_prefix
from catalogs.journal.sums import read_spent
from catalogs.money import usd
from catalogs.plans.file import PlanFile
from catalogs.requests import Reference
from catalogs.storage.store import Store
from inference.finishing.pixels import encode_master, pixel_sha256
from inference.models.table import MODELS
from tasks.hosted import hosted_engine

if TYPE_CHECKING:
    from PIL import Image

    from inference.hosted.engine import Collected


@dataclass
class Taken:
    """What a look for paid pictures came to.

    Attributes:
        wanted: tasks that were asked for their picture.
        stored: pictures that are masters now; shards take them up.
    """

    wanted: int = 0
    stored: int = 0

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def collect_paid(store: Store, plan_key: str) -> Taken:
    """Store the pictures of all tasks of a plan's campaign that are paid for, whether the plan wants them or not.

    Raises:
        OptionError: there is no usable key.
        StorageError, SpendError: the journal failed, or cannot be read.
    """
    header = PlanFile(store, plan_key).header
    if header.engine != "bfl":
        return Taken()
    index = delivered_in(store, header.campaign)
    index.refresh()
    uncollected = read_spent(store, header.campaign).uncollected
    wanted = sorted(fingerprint for fingerprint in uncollected if not _is_stored(store, index, fingerprint))
    taken = Taken(wanted=len(wanted))
    if wanted:
        for picture in hosted_engine(header, _no_reference).collect(wanted):
            _store(store, picture)
            taken.stored += 1
    return taken


def _is_stored(store: Store, index: Delivered, fingerprint: str) -> bool:
    """Whether a commit names its master, or it lies there to be adopted."""
    if index.master(fingerprint):
        return True
    return any(key.endswith(".png") for key in store.list_names(render_prefix(fingerprint)))


def _store(store: Store, picture: Collected) -> None:
    data, intent = encode_master(picture.pixels), picture.attempt.intent
    record = MasterRecord(
        sha256=hashlib.sha256(data).hexdigest(),
        pixel_sha256=pixel_sha256(picture.pixels),
        width=picture.pixels.shape[1],
        height=picture.pixels.shape[0],
        engine="bfl",
        model=intent.model,
        model_revision=intent.purpose.model_revision,
        seconds=picture.seconds,
        batch_size=1,
        prompt_used=picture.prompt_used,
        cost=usd(picture.attempt.task.cost) if picture.attempt.task else 0.0,
        versions={"bfl": MODELS[intent.model].repository},
        seed=picture.seed,
        note=picture.note,
    )
    store_master(store, picture.fingerprint, data, record)


def _no_reference(reference: Reference) -> Image.Image:
    raise AssertionError("nothing is sent")
