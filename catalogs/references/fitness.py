"""Which photos no model should be shown: those that are refused, and those that a plan warns of."""

from __future__ import annotations

from catalogs.references.probes import ReferenceProbe

# What diffusers' Flux2 pipelines check of every picture they are given (Flux2ImageProcessor.check_image_input).
SMALLEST_SIDE = 64
WIDEST = 8

_SMALL = 3


def unfit(width: int, height: int) -> tuple[str, str] | None:
    """Problem and fix of a photo that the models' own pipelines would refuse; sizes in pixels."""
    size = f"is {width} x {height} pixels"
    if min(width, height) < SMALLEST_SIDE:
        return f"{size}, a reference needs {SMALLEST_SIDE} a side", "give a larger picture"
    if max(width, height) > WIDEST * min(width, height):
        return f"{size}, a reference is at most {WIDEST} times as long as wide", "crop it"
    return None


class Doubts:
    """What a plan warns of: photos that can be used, and hardly should; each is counted once."""

    def __init__(self) -> None:
        self._first: dict[str, str] = {}
        self._seen: dict[str, set[str]] = {}

    def look(self, probe: ReferenceProbe, width: int, height: int) -> None:
        """Look at a photo that a picture of `width` x `height` pixels is made from."""
        if probe.is_clear:
            self._add("fully transparent", probe.uri, "")
        elif probe.is_blank:
            self._add("nearly blank, of one colour", probe.uri, "")
        if max(probe.width, probe.height) * _SMALL < max(width, height):
            sizes = f", {probe.width} x {probe.height} for {width} x {height}"
            self._add("smaller than a third of the picture they are for", probe.uri, sizes)

    def lines(self) -> list[str]:
        """A line a kind of doubt."""
        return [
            f"photos that are {what}: {len(seen)} (first: {self._first[what]})" for what, seen in self._seen.items()
        ]

    def _add(self, what: str, uri: str, more: str) -> None:
        self._first.setdefault(what, f"{uri}{more}")
        self._seen.setdefault(what, set()).add(uri)
