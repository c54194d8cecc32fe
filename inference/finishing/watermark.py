"""The seam for a watermark: a plug-in of another package, called on finished pixels right before they are encoded.

None is shipped: inference/README.md says why, and shows how one is written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Protocol

import numpy as np
from PIL import Image

from catalogs.campaigns.watermark import GROUP, Mark, Watermark
from catalogs.errors import nearest, one_line
from catalogs.requests import Reason
from inference.engine import Pixels
from inference.finishing.encode import FinishingError
from inference.finishing.sign import Edit

MAX_VERSION = 64
_TOLD = 200  # characters of what a plug-in says


@dataclass(frozen=True, slots=True)
class MarkedAsset:
    """What a plug-in is told of the file that its pixels go into.

    Attributes:
        fingerprint: the asset's, 64 hex digits, by which it is found in the asset catalog.
        channel: its name.
        format: jpeg, png, webp or avif.
    """

    fingerprint: str
    channel: str
    format: str


class Plugin(Protocol):
    """What an entry point of `packshot.watermarks` gives, called once a process and shard with the settings.

    Attributes:
        version: of what it does to pixels; another one finishes all files of a campaign anew.
    """

    version: str

    def mark(self, pixels: Pixels, asset: MarkedAsset) -> Pixels:
        """The marked pixels. Called from several threads; the same arguments must give the same pixels.

        Args:
            pixels: uint8 of shape (height, width, 3), sRGB; a copy, which may be written into.
        """


class BadPlugin(Exception):
    """A plug-in that cannot be used.

    Attributes:
        key: of the campaign's `watermark:`.
    """

    def __init__(self, key: str, problem: str, fix: str) -> None:
        self.key, self.problem, self.fix = key, problem, fix
        super().__init__(f"{key}: {problem}; {fix}")


class WatermarkFailed(FinishingError):
    """A plug-in failed on a picture, or gave something that is none: of the asset that says nothing."""

    reason = Reason.WATERMARK_FAILED
    final = False


class Marker:
    """A plug-in with its settings, as a campaign or a plan names them.

    Attributes:
        planned: what a plan carries of it.
    """

    def __init__(self, chosen: Watermark, plugin: Plugin) -> None:
        self._plugin = plugin
        self.planned = Mark(plugin=chosen.plugin, settings=chosen.settings, version=plugin.version)

    def of(self, asset: MarkedAsset) -> FileMarker:
        """What marks one file."""
        return FileMarker(self, asset)

    def marked(self, picture: Image.Image, asset: MarkedAsset) -> Image.Image:
        """A marked RGB picture.

        Raises:
            WatermarkFailed: the plug-in failed, or gave something else than pixels of the same shape.
        """
        pixels = np.array(picture)
        shape = pixels.shape
        try:
            found: object = self._plugin.mark(pixels, asset)
        except Exception as error:
            raise self._failed(f"{type(error).__name__}: {one_line(str(error))[:_TOLD]}") from error
        if not isinstance(found, np.ndarray):
            raise self._failed(f"it gave {type(found).__name__}, not an array of pixels")
        if found.dtype != np.uint8 or found.shape != shape:
            raise self._failed(f"it gave {found.dtype} of shape {found.shape}, not uint8 of shape {shape}")
        return Image.fromarray(np.ascontiguousarray(found))

    def _failed(self, problem: str) -> WatermarkFailed:
        return WatermarkFailed(f"watermark {self.planned.plugin!r}: {problem}")


@dataclass(frozen=True, slots=True)
class FileMarker:
    """What marks one file."""

    marker: Marker
    asset: MarkedAsset

    @property
    def edit(self) -> Edit:
        """How a content credential tells it."""
        planned = self.marker.planned
        return Edit("watermark", {"plugin": planned.plugin, "version": planned.version})

    def marked(self, picture: Image.Image) -> Image.Image:
        """A marked RGB picture; raises WatermarkFailed."""
        return self.marker.marked(picture, self.asset)


def load_marker(chosen: Watermark) -> Marker:
    """The plug-in that a campaign or plan names, made with its settings.

    Raises:
        BadPlugin: there is none of that name, or it cannot be loaded, or refuses its settings.
    """
    make = _loaded(_entry(chosen.plugin))
    try:
        plugin = make(dict(chosen.settings))
    except ValueError as error:
        problem = one_line(str(error))[:_TOLD] or "the plug-in refuses them"
        raise BadPlugin("settings", problem, f"correct what {chosen.plugin!r} is called with") from None
    except Exception as error:
        raise _unusable(chosen.plugin, error) from error
    version = getattr(plugin, "version", None)
    if not isinstance(version, str) or not version.strip() or len(version) > MAX_VERSION:
        problem = f"{chosen.plugin!r} says no version of itself"
        raise BadPlugin("plugin", problem, f"give what it makes a text `version` of at most {MAX_VERSION} characters")
    if not callable(getattr(plugin, "mark", None)):
        raise BadPlugin("plugin", f"{chosen.plugin!r} has no method `mark`", "make it as inference/README.md shows")
    return Marker(chosen, plugin)


def _entry(name: str) -> EntryPoint:
    installed = sorted(entry_points(group=GROUP), key=lambda entry: entry.name)
    found = {entry.value: entry for entry in installed if entry.name == name}
    if len(found) == 1:
        return next(iter(found.values()))
    if found:
        problem = f"{name!r} is what several packages call theirs: {', '.join(sorted(found))}"
        raise BadPlugin("plugin", problem, "uninstall all but one")
    fix = nearest(name, dict.fromkeys(entry.name for entry in installed)) if installed else ""
    problem = f"no plug-in {name!r} is installed here"
    raise BadPlugin("plugin", problem, fix or f"install the package that brings it (entry points {GROUP})")


def _loaded(entry: EntryPoint) -> Callable[[Mapping[str, Any]], Plugin]:
    try:
        make: object = entry.load()
    except Exception as error:
        raise _unusable(entry.name, error) from error
    if not callable(make):
        raise BadPlugin(
            "plugin", f"{entry.name!r} is nothing that can be called", "make it as inference/README.md shows"
        )
    return make


def _unusable(name: str, error: Exception) -> BadPlugin:
    problem = f"{name!r} cannot be loaded ({type(error).__name__}: {one_line(str(error))[:_TOLD]})"
    return BadPlugin("plugin", problem, "install its package again")
