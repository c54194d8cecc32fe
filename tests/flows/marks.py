"""Watermark plug-ins for tests, installed as pip would: a module and its entry points in a folder on the path."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.test_pages import blocks

FAULTY = """
import numpy as np

class Raising:
    version = "1"
    def __init__(self, settings): self.settings = settings
    def mark(self, pixels, asset): raise RuntimeError("no licence\\nleft")

class Floating(Raising):
    def mark(self, pixels, asset): return pixels.astype(float)

class Smaller(Raising):
    def mark(self, pixels, asset): return pixels[1:]

class Silent(Raising):
    def mark(self, pixels, asset): return None

class Greying(Raising):
    def mark(self, pixels, asset): return np.minimum(pixels, 200)

class Unversioned:
    version = 3
    def __init__(self, settings): pass
    def mark(self, pixels, asset): return pixels

class Markless:
    version = "1"
    def __init__(self, settings): pass

class Broken:
    def __init__(self, settings): raise OSError("weights are missing")

NOTHING = 5
"""
POINTS = {
    "corner": "page_mark:Corner",
    **{name.lower(): f"faulty_mark:{name}" for name in ("Raising", "Floating", "Smaller", "Silent", "Greying")},
    **{name.lower(): f"faulty_mark:{name}" for name in ("Unversioned", "Markless", "Broken", "NOTHING")},
    "gone": "no_such_module:Mark",
}


def of_the_page() -> str:
    """The example of inference/README.md."""
    return next(block.text for block in blocks("inference/README.md") if block.language == "python")


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, points: Mapping[str, str] = POINTS, name: str = "") -> None:
    """Put the page's plug-in and the faulty ones on the path of this process and of those it starts."""
    found = folder / f"site{name}"
    information = found / f"marks{name}-1.0.dist-info"
    information.mkdir(parents=True)
    (found / "page_mark.py").write_text(of_the_page())
    (found / "faulty_mark.py").write_text(FAULTY)
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: marks{name}\nVersion: 1.0\n")
    lines = ["[packshot.watermarks]", *(f"{name} = {value}" for name, value in points.items())]
    (information / "entry_points.txt").write_text("\n".join(lines) + "\n")
    monkeypatch.syspath_prepend(str(found))
    monkeypatch.setenv("PYTHONPATH", str(found), prepend=":")
    for module in ("page_mark", "faulty_mark"):
        sys.modules.pop(module, None)
