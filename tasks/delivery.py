"""From a picture to stored assets: keep the master, finish it for each channel, store, and say so in a row.

Runs in the threads behind the engine.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from catalogs.assets.commits import identity_of
from catalogs.assets.masters import Master, MasterRecord, store_master
from catalogs.assets.takes import Judgement, Verdict
from catalogs.campaigns.channels import Channel
from catalogs.campaigns.drawn_overlay import DrawnFile
from catalogs.columns import Row, is_master
from catalogs.errors import PackshotError, ReferenceImageError
from catalogs.identity import asset_key, render_key, thumbnail_key
from catalogs.plans.file import PlanHeader
from catalogs.references.overlay_files import load_overlay_file
from catalogs.requests import Reason, Reference
from catalogs.storage.store import Store
from inference.engine import Engine, Rendered, failed_reference
from inference.finishing.crop import cut_by_centre
from inference.finishing.encode import FinishingError
from inference.finishing.finish import Overlay, finish
from inference.finishing.pixels import decode_master, encode_master, pixel_sha256, thumbnail
from inference.finishing.watermark import FileMarker, MarkedAsset
from tasks.credentials import NO_STAMP, signed_with, signer_of
from tasks.file_metadata import metadata_of
from tasks.finishers import Finishers
from tasks.line_watch import LineWatch
from tasks.metrics import PICTURES, Meter
from tasks.outcome_rows import OutcomeRows
from tasks.quality import Judge, Judged
from tasks.reference_products import ReferenceProducts, load_photo
from tasks.shard_job import Render
from tasks.watermark import marker_of

_CUT = "its subject is cut off by the crop to the centre (`crop: subject` keeps it whole)"
_SLIGHTLY = 0.02  # of the subject's longer side


class Delivery:
    """Finishes and stores the pictures of one shard; raises OptionError where they cannot be signed or marked.

    Args:
        known: what the record says of a render.
        lines: takes what is said of pictures.

    Attributes:
        rendered: pictures the engine made.
        adopted: masters of an earlier start taken into use.
        rejected: pictures that checks reject.
    """

    def __init__(
        self,
        store: Store,
        header: PlanHeader,
        finishers: Finishers,
        outcomes: OutcomeRows,
        meter: Meter,
        known: Callable[[str], Judgement | None],
        lines: LineWatch,
    ) -> None:
        self._store, self._header, self._finishers, self._outcomes = store, header, finishers, outcomes
        self.meter, self._lines = meter, lines
        self._channels = {name: Channel(**spec) for name, spec in header.channels.items()}
        self._signer = signer_of(header)
        self._telling, self._marker = header.telling, marker_of(header)
        load = partial(load_photo, store, header)
        self._judge, self._products = Judge(header.quality, header.source, load, known), ReferenceProducts(load)
        self._lock = threading.Lock()
        self._files: dict[str, bytes] = {}  # fonts and logos, by content
        self.rendered = self.adopted = self.rejected = 0

    def deliver_rendered(self, render: Render, result: Rendered, engine: Engine) -> None:
        """A picture that the engine has just made.

        Raises:
            StorageError: the store did not take it.
        """
        with self._finishers.stage("encode"):
            data = encode_master(result.pixels)
        master = _new_master(render, data, result, engine)
        if self._keeps_master(render):
            with self._finishers.stage("store"):
                master = store_master(self._store, render.fingerprint, data, master.record)
        with self._lock:
            self.rendered += 1
        self.meter.count(PICTURES, source="rendered")
        self._deliver_rows(render, master, result.pixels)

    def deliver_master(self, render: Render, master: Master) -> None:
        """A picture that was stored before.

        Raises:
            StorageError: the store failed, or the master is no picture.
        """
        if not render.rows[0]["render_key"]:
            with self._lock:
                self.adopted += 1
            self.meter.count(PICTURES, source="adopted")
        self._deliver_rows(render, master, decode_master(master.data))

    def _keeps_master(self, render: Render) -> bool:
        needed = any(is_master(row) for row in render.rows)
        # What was paid for is kept: a channel added later would pay for it again.
        return needed or self._header.masters == "keep" or self._header.engine == "bfl"

    def _deliver_rows(self, render: Render, master: Master, pixels: Any) -> None:
        kept = master.key if self._keeps_master(render) else None
        with self._finishers.stage("check"):
            judged = self._judge.judge(render.fingerprint, render.request, pixels)
        with self._lock:
            self.rejected += judged.verdict is Verdict.REJECTED
        if judged.is_new:
            picture = (render.rows[0]["look"], judged.verdict is Verdict.REJECTED)
            self._lines.add(render.request.shot, render.fingerprint, picture)
        said: Row = {
            "verdict": judged.verdict,
            "score": judged.score,
            "judged_by": judged.judged_by,
            "has_person": judged.has_person,
            "line": self._lines.line_of(render.request.shot),
        }
        for row in render.rows:
            try:
                stored = self._store_asset(row, render.request.references, master, pixels)
            except FinishingError as error:
                self._outcomes.fail(row, error.reason, str(error), final=error.final, master=kept, judged=said)
            except ReferenceImageError as error:  # a crop goes by its photo
                failed = failed_reference(render.request, error)
                self._outcomes.fail(row, failed.reason, failed.detail, failed.final, master=kept, judged=said)
            except PackshotError:
                raise
            except Exception as error:
                # A picture that no codec takes must not take the shard with it.
                self._outcomes.fail(row, Reason.ENCODE_ERROR, f"{type(error).__name__}: {error}", final=False)
            else:
                made: Row = {**_made(row, master.record), "render_key": kept, **stored}
                made["versions"] = {**master.record.versions, **judged.versions, **stored.get("versions", {})}
                notes = (_other_picture(row, kept) or master.record.note, judged.detail, stored.get("detail"))
                made["detail"] = "; ".join(filter(None, notes)) or None
                cut = self._cut_by_crop(row, judged, pixels)
                made |= {**said, "quality": {**judged.numbers, **stored.get("quality", {}), **cut}}
                remarks = [*judged.remarks, *([_CUT] if cut else [])]
                self._outcomes.remark([] if is_master(row) else remarks)
                self._outcomes.deliver(row, made)

    def _cut_by_crop(self, row: Row, judged: Judged, pixels: Any) -> dict[str, float]:
        """How much of the subject the centre crop of a row's channel cuts off, {} where it is whole or not told."""
        if is_master(row) or judged.subject is None or (channel := self._channels[row["channel"]]).crop == "subject":
            return {}
        size = (pixels.shape[1], pixels.shape[0])
        cut = cut_by_centre(judged.subject, size, channel.width, channel.height)
        return {"cut_by_crop": cut} if cut > _SLIGHTLY else {}

    def _load(self, file: DrawnFile) -> bytes:
        if file.sha256 not in self._files:
            loaded = load_overlay_file(file.uri, file.sha256, self._header.places, self._store)
            self._files[file.sha256] = loaded
        return self._files[file.sha256]

    def _marks(self, row: Row) -> FileMarker | None:
        if self._marker is None:
            return None
        return self._marker.of(MarkedAsset(row["fingerprint"], row["channel"], row["format"]))

    def _store_asset(self, row: Row, references: Sequence[Reference], master: Master, pixels: Any) -> Row:
        """Store one asset and its thumbnail; what its row must say of the bytes."""
        if is_master(row):
            record = master.record
            with self._finishers.stage("store"):
                self._store.write(thumbnail_key(record.sha256), thumbnail(pixels))
            return {
                "asset_key": master.key,
                "sha256": record.sha256,
                "pixel_sha256": record.pixel_sha256,
                "bytes": len(master.data),
                "detail": None,
            }
        sign = self._signer.of(row) if self._signer else None
        with self._finishers.stage("finish"):
            drawn = row.get("overlay")
            overlay = Overlay(drawn, self._load) if drawn else None
            metadata = metadata_of(row, self._telling, sign is not None)
            channel, product = self._channels[row["channel"]], partial(self._products.of, references)
            finished = finish(pixels, channel, metadata, sign, overlay, self._marks(row), product)
            small = thumbnail(finished.picture)
        unstamped = [NO_STAMP] if sign and sign.note else []
        self._outcomes.remark([*(remark.what for remark in finished.remarks), *unstamped])
        key = asset_key(identity_of(row), row["fingerprint"], finished.sha256, finished.extension)
        with self._finishers.stage("store"):
            self._store.write(key, finished.data, finished.mime)
            self._store.write(thumbnail_key(finished.sha256), small)
        return {
            "asset_key": key,
            "sha256": finished.sha256,
            "pixel_sha256": finished.pixel_sha256,
            "bytes": len(finished.data),
            "quality": finished.measures,
            "detail": "; ".join(filter(None, [*map(str, finished.remarks), sign.note if sign else None])) or None,
            "versions": signed_with() if sign else {},
        }


def _new_master(render: Render, data: bytes, result: Rendered, engine: Engine) -> Master:
    record = MasterRecord(
        sha256=hashlib.sha256(data).hexdigest(),
        pixel_sha256=pixel_sha256(result.pixels),
        width=render.request.width,
        height=render.request.height,
        engine=engine.name,
        model=render.request.model,
        model_revision=render.request.model_revision,
        seconds=result.seconds,
        batch_size=result.batch_size,
        prompt_used=result.prompt_used,
        cost=result.cost,
        versions={**engine.versions, **({"acceleration": result.how} if result.how else {})},
        seed=result.seed,
        note=result.note,
    )
    return Master(render_key(render.fingerprint, record.sha256), data, record)


def _other_picture(row: Row, master: str | None) -> str | None:
    """What a row says whose master was lost, and could not be made again to the bit."""
    if not master or not row["render_key"] or row["render_key"] == master:
        return None
    return f"made again: another picture than {row['render_key']}, which is gone"


def _made(row: Row, record: MasterRecord) -> Row:
    """What a row says of the making of its picture."""
    return {
        "prompt_used": record.prompt_used or row["prompt"],
        "versions": dict(record.versions),
        "batch_size": record.batch_size,
        "seconds": record.seconds,
        "cost": record.cost,
        "seed": row["seed"] if record.seed is None else record.seed,
    }
