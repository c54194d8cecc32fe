"""Where the photos of a campaign may come from: a catalog is often somebody else's, and names any path it likes."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

from catalogs.storage.uris import bucket_of

KEY = "reference_roots"


@dataclass(frozen=True)
class Places:
    """Folders and buckets that photos are read from.

    Attributes:
        roots: absolute folders, `s3://BUCKET` or `s3://BUCKET/PREFIX`; None for any place, as in plans of before.
        source: the campaign file that names them, for messages.
    """

    roots: tuple[str, ...] | None
    source: str = "the campaign"

    @classmethod
    def of(cls, roots: Iterable[str] | None, source: str) -> Places:
        """With local folders as they really are: a link in a catalog's folder leads out of it like any path."""
        if roots is None:
            return cls(None, source)
        return cls(tuple(dict.fromkeys(root if bucket_of(root) else os.path.realpath(root) for root in roots)), source)

    def refusal(self, absolute: str) -> tuple[str, str] | None:
        """Problem and fix of a photo outside of them.

        Args:
            absolute: a path or URI as `catalogs.storage.uris.absolute_uri` gives it.
        """
        if self.roots is None:
            return None
        bucket = bucket_of(absolute)
        place = absolute if bucket else os.path.realpath(absolute)
        if any(place == root or place.startswith(f"{root.rstrip('/')}/") for root in self.roots):
            return None
        if bucket:
            return f"{bucket} is no bucket of this campaign", f"add {bucket} to {KEY} in {self.source}"
        through = "" if place == absolute else f" (a link leads to {place})"
        problem = f"lies outside of the campaign's and the catalogs' folders{through}"
        return problem, f"add {os.path.dirname(place)}, or a folder above it, to {KEY} in {self.source}"


ANYWHERE = Places(None)
