"""Reference images: which one a shot asks for, whether it may be used, what it measures, and its pixels."""

from __future__ import annotations

import copy
import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from datetime import date
from pathlib import Path
from typing import Any

from PIL import Image

from catalogs.errors import ReferenceImageError, StorageError, UserError
from catalogs.references.fitness import unfit
from catalogs.references.memory import FILES
from catalogs.references.pictures import MAX_PIXELS, BadPicture, measure, to_rgb
from catalogs.references.places import ANYWHERE, Places
from catalogs.references.probes import ProbeCache, ReferenceProbe, cache_folder
from catalogs.references.problems import ChangedReference, InvalidReference, MissingReference, UnreachableReference
from catalogs.references.web_photos import WebPhotos, stored_photo
from catalogs.requests import Reference
from catalogs.storage.store import MissingKey, Stamp, Store, read_uri, resolve_uri, stat_uri
from catalogs.storage.uris import bucket_of
from catalogs.storage.web_urls import Hosts, is_web

__all__ = [
    "ChangedReference",
    "InvalidReference",
    "MissingReference",
    "ReferenceBook",
    "ReferenceProbe",
    "absolute_photo",
    "load_reference",
    "pick",
    "read_bytes",
    "reference_bytes",
    "rights_problem",
]

REMEMBERED = 65_536
_BYTES_A_PIXEL = 4
_LEAST_LIMIT = 64 * 2**20  # a phone's photo, however few pixels are allowed
WORLD = frozenset({"*", "WORLD"})
HERO = "hero"


class ReferenceBook:
    """Measures reference images, each once: by URI in memory, and by URI and stamp on disk.

    One book is one look at the world: what it has measured it does not look at again, so make one a plan.
    Threads may share it; two that ask for the same image wait for one measurement.
    """

    def __init__(
        self,
        cache: Path | None = None,
        max_pixels: int = MAX_PIXELS,
        places: Places = ANYWHERE,
        web: WebPhotos | None = None,
    ) -> None:
        """
        Args:
            cache: folder of the SQLite file, None for `cache_folder()`.
            max_pixels: larger images are refused before they are decoded.
            places: where images may lie on disks and in stores.
            web: those on web servers; None where none is fetched from.
        """
        self._cache = ProbeCache(cache if cache is not None else cache_folder())
        self._max_pixels, self._places, self._web = max_pixels, places, web
        self._lock = threading.Lock()
        self._known: OrderedDict[str, Future[ReferenceProbe | ReferenceImageError]] = OrderedDict()
        self._silent: dict[str, StorageError] = {}  # stores that did not answer, by their root

    def probe(self, base_uri: str, uri: str) -> ReferenceProbe:
        """Measure the image `uri` as written in the file `base_uri`.

        Raises:
            ReferenceImageError: missing, no image, damaged, too large, or where no image may come from.
            StorageError: the store failed; a bucket that did not answer once is not asked again by this book.
        """
        absolute = _absolute(base_uri, uri)
        _refuse_place(absolute, self._places)
        if silent := self._silent.get(bucket_of(absolute)):
            raise copy.copy(silent)
        future, is_mine = self._future(absolute)
        if is_mine:
            self._fulfil(future, absolute)
        outcome = future.result()
        if isinstance(outcome, ReferenceImageError):
            raise copy.copy(outcome)  # one exception raised twice would pile up tracebacks
        return outcome

    def usable(self, base_uri: str, uri: str) -> ReferenceProbe:
        """`probe` of a photo that a model may be shown.

        Raises:
            InvalidReference: also where the models' own pipelines would refuse its size.
        """
        try:
            probe = self.probe(base_uri, uri)
            if refusal := unfit(probe.width, probe.height):
                raise InvalidReference(probe.uri, "", *refusal)
        except ReferenceImageError as error:
            error.written = uri
            raise
        return probe

    def try_probe(self, base_uri: str, uri: str) -> ReferenceProbe | None:
        """`probe`, or None for an image that cannot be used, or be had now."""
        try:
            return self.probe(base_uri, uri)
        except (ReferenceImageError, StorageError):
            return None

    def close(self) -> None:
        self._cache.close()

    def _future(self, absolute: str) -> tuple[Future[ReferenceProbe | ReferenceImageError], bool]:
        """The measurement of an image, and whether the caller has to make it."""
        with self._lock:
            future = self._known.get(absolute)
            if future is not None:
                self._known.move_to_end(absolute)
                return future, False
            future = self._known[absolute] = Future()
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
            return future, True

    def _fulfil(self, future: Future[ReferenceProbe | ReferenceImageError], absolute: str) -> None:
        try:
            future.set_result(self._measured(absolute))
        except ReferenceImageError as error:
            future.set_result(error.with_traceback(None))
        except BaseException as error:
            with self._lock:
                self._known.pop(absolute, None)
                if isinstance(error, StorageError) and bucket_of(absolute):
                    self._silent[bucket_of(absolute)] = error
            future.set_exception(error)

    def _measured(self, absolute: str) -> ReferenceProbe:
        if is_web(absolute):
            web = self._web or WebPhotos(Store(""), Hosts(source=self._places.source), self._max_pixels)
            return web.probe(absolute)
        stamp = _stamp(absolute)
        found = self._cache.get(absolute, stamp)
        if found is not None and found.width * found.height <= self._max_pixels:
            return found
        _refuse_bytes(absolute, stamp.size, self._max_pixels)
        with FILES.holding(stamp.size):
            data = _read(absolute)
            try:
                probe = ReferenceProbe(absolute, _sha256(data), *measure(data, self._max_pixels))
            except BadPicture as bad:
                raise InvalidReference(absolute, "", bad.problem, bad.fix) from None
        if _stamp(absolute) == stamp:  # else it changed while it was read
            self._cache.put(probe, stamp)
        return probe


def load_reference(
    reference: Reference,
    background: str = "#FFFFFF",
    max_pixels: int = MAX_PIXELS,
    places: Places = ANYWHERE,
    output: Store | None = None,
) -> Image.Image:
    """The pixels of a reference photo: upright sRGB, transparency laid on `background`.

    Args:
        output: where what was fetched from web servers is kept; they are not asked again.

    Raises:
        MissingReference: the file is gone.
        ChangedReference: its bytes are not those that were planned with.
        InvalidReference: it cannot be decoded, or lies where no image may come from.
        StorageError: the store failed.
    """
    try:
        # Its bytes, which may be as many as its pixels, are held here by nobody: `to_rgb` frees them.
        return to_rgb(reference_bytes(reference, max_pixels, places, output), background, max_pixels)
    except BadPicture as bad:
        raise InvalidReference(reference.uri, "", bad.problem, bad.fix) from None


def reference_bytes(reference: Reference, max_pixels: int, places: Places, output: Store | None) -> bytes:
    """The bytes of a reference as they were planned with; raises as `load_reference`."""
    absolute = _absolute("/", reference.uri)
    if is_web(absolute) and output is not None:
        return stored_photo(output, absolute, reference.sha256)
    _refuse_place(absolute, places)
    _refuse_bytes(absolute, _stamp(absolute).size, max_pixels)
    return _unchanged(absolute, reference)


def read_bytes(base_uri: str, uri: str, most: int, places: Places) -> tuple[str, bytes]:
    """Absolute URI and bytes of another file than a photo, as written in the file `base_uri`; of no web server.

    Raises:
        MissingReference: there is none.
        InvalidReference: it has more than `most` bytes, or lies where no file may come from.
        StorageError: the store failed.
    """
    absolute = _absolute(base_uri, uri)
    if is_web(absolute):
        raise InvalidReference(absolute, "", "is on a web server", "save it beside the campaign and give its path")
    _refuse_place(absolute, places)
    if (size := _stamp(absolute).size) > most:
        raise InvalidReference(absolute, "", f"is {size / 1e6:.1f} MB, over the limit of {most / 1e6:.0f} MB")
    return absolute, _read(absolute)


def _unchanged(absolute: str, reference: Reference) -> bytes:
    data = _read(absolute)
    if _sha256(data) != reference.sha256:
        fix = "plan again, or restore the file"
        raise ChangedReference(reference.uri, "", "the image has changed since the plan was made", fix)
    return data


def pick(images: Sequence[Mapping[str, Any]], role: str) -> Mapping[str, Any] | None:
    """The first image of a role; for "hero" the first of all where no image carries a role."""
    wanted = role.lower()
    for image in images:
        if (image.get("role") or "").lower() == wanted:
            return image
    if wanted == HERO and images and not any(image.get("role") for image in images):
        return images[0]
    return None


def rights_problem(image: Mapping[str, Any], territory: str | None, on: date) -> str | None:
    """Why an image may not be used on a day in a territory, for people, or None where it may.

    Args:
        image: a clean row of `reference_images`. Its licence holds to the end of `licence_end`, and
            everywhere where `territories` is empty or has "*" or "WORLD".
        territory: the channel's, None for the whole world.
    """
    end = image.get("licence_end")
    if end is not None and end < on:
        return f"its licence ended on {end.isoformat()}"
    covered = {str(item).upper() for item in image.get("territories") or ()}
    if not covered or covered & WORLD:
        return None
    if territory is None:
        return f"its licence covers {', '.join(sorted(covered))} only, and the channel names no territory"
    if territory.upper() in WORLD:
        return f"its licence covers {', '.join(sorted(covered))} only, not the world"
    if territory.upper() not in covered:
        return f"its licence covers {', '.join(sorted(covered))} only, not {territory.upper()}"
    return None


def absolute_photo(base_uri: str, uri: str) -> str:
    """Where the photo `uri` as written in the file `base_uri` is: a URL as it stands, else an absolute path or URI.

    Raises:
        UserError: nowhere that can be read.
    """
    return uri.strip() if is_web(uri) else resolve_uri(base_uri, uri)


def _absolute(base_uri: str, uri: str) -> str:
    try:
        return absolute_photo(base_uri, uri)
    except UserError as error:
        raise InvalidReference(uri or base_uri, "", error.problem, error.fix) from None


def _refuse_place(absolute: str, places: Places) -> None:
    if not is_web(absolute) and (refusal := places.refusal(absolute)):
        raise InvalidReference(absolute, "", *refusal)


def _refuse_bytes(absolute: str, size: int, max_pixels: int) -> None:
    """Refuse a file that is larger than its pixels may be, before it is read."""
    limit = max(max_pixels * _BYTES_A_PIXEL, _LEAST_LIMIT)
    if size > limit:
        fix = "scale it down, or raise max_reference_megapixels"
        raise InvalidReference(absolute, "", f"is {size / 1e6:.0f} MB, over the limit of {limit / 1e6:.0f} MB", fix)


def _stamp(absolute: str) -> Stamp:
    try:
        return stat_uri(absolute)
    except MissingKey:
        raise _missing(absolute) from None
    except UserError as error:
        raise UnreachableReference(absolute, "", error.problem, error.fix) from None


def _read(absolute: str) -> bytes:
    try:
        return read_uri(absolute)
    except MissingKey:
        raise _missing(absolute) from None
    except UserError as error:
        raise UnreachableReference(absolute, "", error.problem, error.fix) from None


def _missing(absolute: str) -> ReferenceImageError:
    if not bucket_of(absolute) and os.path.isdir(absolute):
        return InvalidReference(absolute, "", "is a folder, not a file", "give the file in it")
    return MissingReference(absolute, "", "there is no such file", "correct the uri or put the image there")


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
