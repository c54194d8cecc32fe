"""The products that pictures of a plan were made of, cut out of their reference photos."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from PIL import Image

from catalogs.plans.file import PlanHeader
from catalogs.references.book import load_reference
from catalogs.requests import Reference
from catalogs.storage.store import Store
from inference.engine import LoadReference
from inference.quality.placement import Product, product_of

LOGO = "logo"
_KEPT = 64  # of up to 300 kB each


def product_photo(references: Sequence[Reference]) -> Reference | None:
    """The photo that shows the product: the first that is neither a logo nor another picture of the plan."""
    return next((one for one in references if not one.is_render and one.role != LOGO), None)


def load_photo(store: Store, header: PlanHeader, photo: Reference) -> Image.Image:
    """A reference photo as the engine takes it; raises as `catalogs.references.book.load_reference`."""
    places = (header.reference_background, header.max_reference_pixels, header.places, store)
    return load_reference(photo, *places)


class ReferenceProducts:
    """Products of photos, from several threads; the newest are remembered.

    Args:
        load: a reference photo.
    """

    def __init__(self, load: LoadReference) -> None:
        self._load = load
        self._product = lru_cache(maxsize=_KEPT)(self._cut_out)

    def of(self, references: Sequence[Reference]) -> Product | None:
        """The product of a picture, None where no photo of it was given or it cannot be told from its ground.

        Raises:
            ReferenceImageError: the photo cannot be loaded.
            StorageError: the store failed.
        """
        photo = product_photo(references)
        return None if photo is None else self._product(photo)

    def _cut_out(self, photo: Reference) -> Product | None:
        return product_of(self._load(photo))
