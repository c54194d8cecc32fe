"""Photos that no model should be shown: refused, or told by one counted line a kind; and what measuring them takes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from catalogs.references.fitness import Doubts, unfit
from catalogs.references.memory import MemoryBudget
from catalogs.references.pictures import Measures, measure
from catalogs.references.probes import ReferenceProbe
from tests.catalogs.references.photos import encoded
from tests.flows.projects import Project

GRADIENT = Image.linear_gradient("L")
NOISE = np.random.default_rng(0)


def noisy(grey: int, spread: int, kind: str = "PNG", **options: Any) -> bytes:
    values = NOISE.integers(grey - spread, grey + spread, (90, 120, 3), endpoint=True).astype(np.uint8)
    return encoded(Image.fromarray(values), kind, **options)


def clear(alpha: int, under: Image.Image = GRADIENT) -> bytes:
    picture = under.convert("RGBA")
    picture.putalpha(alpha)
    return encoded(picture)


def cut_out() -> bytes:
    """White paint shown in part alone: its form is in the alpha channel."""
    picture = Image.new("RGBA", GRADIENT.size, "#FFFFFF")
    picture.putalpha(GRADIENT)
    return encoded(picture)


def speck(mode: str, colour: Any) -> bytes:
    picture = Image.new(mode, (400, 300), "white" if mode != "I;16" else 65535)
    picture.paste(colour, (100, 100, 130, 130))
    return encoded(picture)


@pytest.mark.parametrize(
    ("data", "is_clear", "is_blank"),
    [
        pytest.param(encoded(Image.new("RGB", (100, 90), "#FFFFFF")), False, True, id="white"),
        pytest.param(encoded(Image.new("L", (100, 90), 0)), False, True, id="black, grey"),
        pytest.param(encoded(Image.new("I;16", (100, 90), 900)), False, True, id="16 bits"),
        pytest.param(encoded(Image.new("P", (100, 90), 3), "GIF"), False, True, id="palette"),
        pytest.param(encoded(Image.new("CMYK", (100, 90), (9, 9, 9, 9)), "TIFF"), False, True, id="CMYK"),
        pytest.param(encoded(Image.new("1", (100, 90), 1), "TIFF"), False, True, id="one bit"),
        pytest.param(noisy(200, 3), False, True, id="noise of a scanner"),
        pytest.param(noisy(200, 4, "JPEG", quality=60), False, True, id="noise in a JPEG"),
        pytest.param(noisy(200, 40), False, False, id="texture"),
        pytest.param(encoded(GRADIENT, "JPEG"), False, False, id="gradient"),
        pytest.param(encoded(GRADIENT, "JPEG", progressive=True), False, False, id="progressive"),
        pytest.param(speck("RGB", "#303030"), False, False, id="a small thing on white"),
        pytest.param(speck("L", 40), False, False, id="a small thing, grey"),
        pytest.param(speck("I;16", 9000), False, False, id="a small thing, 16 bits"),
        pytest.param(clear(0), True, False, id="transparent"),
        pytest.param(clear(4), True, False, id="nearly transparent"),
        pytest.param(clear(90), False, False, id="half transparent"),
        pytest.param(clear(90, Image.new("L", (99, 99), 30)), False, True, id="half transparent, one colour"),
        pytest.param(cut_out(), False, False, id="white, cut out"),
    ],
)
def test_what_shows_nothing_is_known(data: bytes, is_clear: bool, is_blank: bool) -> None:
    measures = measure(data)
    assert (measures.is_clear, measures.is_blank) == (is_clear, is_blank)


@pytest.mark.parametrize(
    ("width", "height", "problem"),
    [
        (64, 64, None),
        (63, 64, "is 63 x 64 pixels, a reference needs 64 a side"),
        (1000, 12, "is 1000 x 12 pixels, a reference needs 64 a side"),
        (512, 64, None),
        (64, 512, None),
        (513, 64, "is 513 x 64 pixels, a reference is at most 8 times as long as wide"),
        (64, 513, "is 64 x 513 pixels, a reference is at most 8 times as long as wide"),
        (9999, 9999, None),
    ],
)
def test_sizes_that_the_pipelines_refuse(width: int, height: int, problem: str | None) -> None:
    found = unfit(width, height)
    assert (found and found[0]) == problem


def test_doubts_are_counted_once_a_photo() -> None:
    doubts = Doubts()
    for uri in ("a", "b", "a"):
        for size in (1024, 1400):
            doubts.look(ReferenceProbe(uri, "", *Measures(341, 200, "PNG", "RGB", is_blank=True)), size, 512)
    doubts.look(ReferenceProbe("c", "", *Measures(342, 100, "PNG", "RGB")), 1024, 1024)
    assert doubts.lines() == [
        "photos that are nearly blank, of one colour: 2 (first: a)",
        "photos that are smaller than a third of the picture they are for: 2 (first: a, 341 x 200 for 1024 x 512)",
    ]


def test_plan_and_check_tell_doubts_and_the_good_ones_are_planned(tmp_path: Path) -> None:
    project = Project.of(tmp_path, 6)
    project.campaign["shots"]["hero"]["size"] = "512x512"
    Image.new("RGBA", (600, 600)).save(tmp_path / "clear.png")
    Image.new("RGB", (600, 600), "#FFFFFF").save(tmp_path / "blank.png")
    GRADIENT.resize((600, 600)).save(tmp_path / "good.png")
    names = ("clear.png", "blank.png", "photo.png", "good.png", "good.png", "clear.png")
    for product, name in zip(project.products, names, strict=True):
        product["reference_images"] = [{"uri": name, "role": "hero"}]
    project.write()
    summary = project.plan().summary
    assert (summary["looks"], summary["rejected"]) == (6, 0)
    assert summary["warnings"] == [
        f"photos that are fully transparent: 1 (first: {tmp_path}/clear.png)",
        f"photos that are nearly blank, of one colour: 1 (first: {tmp_path}/blank.png)",
        f"photos that are smaller than a third of the picture they are for: 1 (first: {tmp_path}/photo.png, "
        "96 x 72 for 512 x 512)",
    ]


LARGE = """
import resource, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from catalogs.references.book import ReferenceBook
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
book = ReferenceBook(Path(sys.argv[1]))
with ThreadPoolExecutor(8) as pool:
    probes = list(pool.map(lambda path: book.probe("/", path), sys.argv[2:]))
assert {(probe.width, probe.height) for probe in probes} == {(9999, 9999)}
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_the_largest_photos_share_one_budget_of_memory(tmp_path: Path, kind: str) -> None:
    """Eight threads at pictures that take 400 MB each: one goes alone."""
    first = tmp_path / "0"
    first.write_bytes(encoded(GRADIENT.resize((9999, 9999), Image.Resampling.NEAREST).convert("RGB"), kind))
    paths = [str(first)]
    for number in range(1, 4):
        os.link(first, tmp_path / str(number))
        paths.append(str(tmp_path / str(number)))
    done = subprocess.run(
        [sys.executable, "-c", LARGE, str(tmp_path / "cache"), *paths], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 560
    assert done.stderr == ""


def test_a_budget_lets_pass_what_fits_and_the_largest_alone() -> None:
    budget = MemoryBudget(10)
    with budget.holding(4), budget.holding(6):
        assert budget._held == 10
    with budget.holding(1000):
        assert budget._held == 10
    assert budget._held == 0
