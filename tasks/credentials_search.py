"""Which asset of a campaign a file shows that lost its credential: by its bytes, its pixels, or its likeness."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any

import numpy as np
from PIL import Image

from catalogs.columns import Row
from catalogs.identity import thumbnail_key
from catalogs.storage.store import Store
from inference.credentials.likeness import (
    BITS,
    NEAR,
    Sureness,
    decoded,
    difference,
    difference_hash,
    distance,
    sureness,
)
from inference.finishing.pixels import pixel_sha256
from tasks.credentials import SIGNED_WITH

_READERS = 16
_COMPARED = 8
_RANK = tuple(Sureness)


class Recorded(StrEnum):
    """By what an asset was found."""

    SAME_KEY = "key"
    SAME_BYTES = "bytes"
    SAME_PIXELS = "pixels"
    ALIKE = "likeness"


@dataclass(frozen=True)
class Asset:
    """An asset whose file was looked at.

    Attributes:
        by: what it was found by.
        sure: how sure it is that the file shows it.
        bits: of 64, in which the likenesses differ.
        was_signed: it was delivered with a content credential.
    """

    brand_id: str
    look: str
    shot: str
    channel: str
    variation: int
    asset_key: str
    by: Recorded
    sure: Sureness
    bits: int
    was_signed: bool

    @classmethod
    def of(cls, row: Row, by: Recorded, sure: Sureness = Sureness.CERTAIN, bits: int = 0) -> Asset:
        return cls(
            brand_id=row["brand_id"],
            look=row["look"],
            shot=row["shot"],
            channel=row["channel"],
            variation=row["variation"],
            asset_key=str(row["asset_key"]),
            by=by,
            sure=sure,
            bits=bits,
            was_signed=SIGNED_WITH in dict(row["versions"] or ()),
        )

    @property
    def told(self) -> str:
        """What it is, and how sure that is, for people."""
        what = f"{self.brand_id}/{self.look}/{self.shot}/{self.channel}-{self.variation}"
        how = {
            Recorded.SAME_BYTES: "the very file that was delivered",
            Recorded.SAME_PIXELS: "its very pixels",
        }.get(self.by, f"{self.bits} of {BITS} bits of likeness differ")
        return f"{self.sure}: {what} ({how})"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class Search:
    """Looks files up among the delivered ones of a campaign.

    Args:
        rows: of the current view.
    """

    def __init__(self, store: Store, rows: Sequence[Row]) -> None:
        self._store, self._rows = store, rows
        self._by_bytes = {str(row["sha256"]): row for row in rows if row["sha256"]}
        self._by_pixels = {str(row["pixel_sha256"]): row for row in rows if row["pixel_sha256"]}

    def find(self, data: bytes) -> Asset | None:
        """The asset that a file shows, as far as that can be told."""
        if row := self._by_bytes.get(hashlib.sha256(data).hexdigest()):
            return Asset.of(row, Recorded.SAME_BYTES)
        image = decoded(data)
        if image is None:
            return None
        if row := self._by_pixels.get(pixel_sha256(np.asarray(image))):
            return Asset.of(row, Recorded.SAME_PIXELS)
        asked = difference_hash(image)
        near = sorted((distance(asked, known), number) for known, number in self._hashes)
        found: list[tuple[int, float, Asset]] = []
        for bits, number in [one for one in near if one[0] <= NEAR][:_COMPARED]:
            row = self._rows[number]
            other = self._picture(row)
            if other is not None and (sure := sureness(image, other)):
                by = Recorded.SAME_PIXELS if sure is Sureness.CERTAIN else Recorded.ALIKE
                found.append((_RANK.index(sure), difference(image, other), Asset.of(row, by, sure, bits)))
        return min(found, key=lambda one: one[:2])[2] if found else None

    def _picture(self, row: Row) -> Image.Image | None:
        """A delivered picture, the small one where its file is gone."""
        return decoded(self._store.read_or_none(str(row["asset_key"])) or b"") or self._small(row)

    def _small(self, row: Row) -> Image.Image | None:
        return decoded(self._store.read_or_none(thumbnail_key(str(row["sha256"]))) or b"")

    @cached_property
    def _hashes(self) -> list[tuple[int, int]]:
        """The likeness of every file, from its small picture, and the number of its row."""
        with ThreadPoolExecutor(_READERS) as pool:
            found = pool.map(self._hash, range(len(self._rows)))
            return [(known, number) for number, known in enumerate(found) if known is not None]

    def _hash(self, number: int) -> int | None:
        image = self._small(self._rows[number])
        return None if image is None else difference_hash(image)
