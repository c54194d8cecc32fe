"""The mode a loaded checkpoint is laid out in, by what its device has free and what the plan asks for."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any, get_args

import pytest
import torch

from catalogs.errors import EngineError
from inference.engine import EngineOptions
from inference.local.checkpoints import _layout, placed
from inference.local.decoding import decode, tile
from inference.local.engine import load_engine
from inference.local.loading import Source, find_files
from inference.local.tiny import Family, build_tiny
from inference.models.choice import Choice
from inference.models.workload import Workload
from tests.inference.local.engines import load, stock_pipeline

GIB = 2**30
WIDE = Workload.of(4096, 1024, [(1024, 1024)] * 4)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[Family, Path]:
    folder = tmp_path_factory.mktemp("folders")
    return {family: build_tiny(folder / family, family) for family in get_args(Family)}


def layout(folder: Path, free: float, asked: Any, workload: Workload, device: str = "cuda") -> Choice:
    options, source = EngineOptions(memory=asked), Source(str(folder), "r", "float32")
    files = find_files(source, str(folder), {"local_files_only": True})
    room = (int(free * GIB), 64 * GIB)
    return _layout(files.parts, "float32", torch.device(device), options, workload, room)


# A tiny checkpoint weighs nothing. An ordinary picture takes, in fp32, 0.04 to decode (4 maps of 8 channels), 0.14 to
# denoise (26 maps of 8704 tokens, 64 wide), 0.5 for latents of references, 0.1 of waste and 1 for the context.
@pytest.mark.parametrize(
    ("family", "free", "asked", "workload", "expected"),
    [
        ("klein", 3.0, "auto", Workload(), ("resident", False)),
        ("base", 3.0, "auto", Workload(), ("resident", False)),
        ("kv", 3.0, "auto", Workload(), ("resident", False)),
        ("dev", 3.0, "auto", Workload(), ("resident", False)),
        ("klein", 3.0, "two-phase", Workload(), ("two-phase", False)),
        ("klein", 3.0, "offload", Workload(), ("offload", False)),
        ("klein", 3.0, "auto", WIDE, ("resident", False)),
        # what was asked for is tried, whatever the estimate says
        ("klein", 0.5, "resident", Workload(), ("resident", False)),
        ("klein", 0.5, "offload", WIDE, ("offload", False)),
        (
            "klein",
            0.5,
            "auto",
            Workload(),
            "the model does not fit: one picture of 1024x1024 with 4096 tokens of",
        ),
        ("dev", 0.5, "auto", WIDE, "the model does not fit: one picture of 4096x1024 with 16384 tokens of references"),
    ],
)
def test_the_mode_follows_from_free_memory_and_the_largest_that_is_planned(
    folders: dict[Family, Path], family: Family, free: float, asked: Any, workload: Workload, expected: Any
) -> None:
    if isinstance(expected, str):
        with pytest.raises(EngineError) as caught:
            layout(folders[family], free, asked, workload)
        message = str(caught.value)
        assert message.startswith(expected)
        assert "take a card with" in message
        assert "\n" not in message
        return
    assert layout(folders[family], free, asked, workload) == Choice(expected[0], 1, expected[1])


@pytest.mark.parametrize(("free", "tiled"), [(12.0, False), (5.2, True)])
def test_tiles_are_taken_where_one_picture_fits_in_no_other_way(
    folders: dict[Family, Path], free: float, tiled: bool
) -> None:
    """A picture of 64 MP without references decodes in 8.6 GB, is denoised in 1.8, and weighs 2.4 in tiles."""
    huge = Workload.of(8192, 8192)
    assert layout(folders["klein"], free, "auto", huge) == Choice("resident", 1, tiled)
    assert layout(folders["klein"], free, "two-phase", huge) == Choice("two-phase", 1, tiled)


@pytest.mark.parametrize("asked", ["auto", "resident", "two-phase", "offload"])
def test_without_a_gpu_nothing_is_asked_of_memory(folders: dict[Family, Path], asked: Any) -> None:
    expected = "resident" if asked == "auto" else asked
    assert layout(folders["klein"], 0.0, asked, Workload(), "cpu") == Choice(expected, 1)


def test_a_loaded_pipeline_is_laid_out_in_tiles_where_that_was_chosen(folders: dict[Family, Path]) -> None:
    pipe = stock_pipeline("klein", folders["klein"])
    made = placed(pipe, "klein", "float32", EngineOptions(), torch.device("cpu"), Choice("two-phase", 1, True))
    assert made.memory == "two-phase"
    assert made.vae.use_tiling


def test_a_picture_in_tiles_is_near_the_whole_one(folders: dict[Family, Path]) -> None:
    pipe = stock_pipeline("klein", folders["klein"])
    latents = torch.randn((1, 40 * 40, 32), generator=torch.Generator().manual_seed(3)) * 0.2
    with torch.no_grad():
        whole, _ = decode(pipe, latents, 40, 40)
        tile(pipe.vae)
        parts, verdicts = decode(pipe, latents, 40, 40)
    assert whole.shape == parts.shape == (1, 640, 640, 3)
    assert verdicts.all()
    assert not torch.equal(whole, parts)  # norms see one tile each
    assert (whole.int() - parts.int()).abs().float().mean() < 8


def test_a_larger_plan_of_the_same_process_lays_the_model_out_anew(folders: dict[Family, Path]) -> None:
    source, options = Source(str(folders["klein"]), "r", "float32"), EngineOptions()
    engine = load_engine(source, load, options, Workload())
    made = engine._checkpoint
    weight = weakref.ref(next(made.transformer.parameters()))
    made.room, made.device = 2 * GIB, torch.device("cuda")  # as if it had been laid out for such a card
    assert load_engine(source, load, options, Workload(512, 512, 2048, 1024)) is engine
    assert weight() is not None
    del engine, made
    again = load_engine(source, load, options, WIDE)
    assert weight() is None
    assert load_engine(source, load, options, Workload()) is again
    again._checkpoint.room, again._checkpoint.device = GIB, torch.device("cuda")
    with pytest.raises(EngineError, match="the model does not fit: one picture of 8192x1024"):
        load_engine(source, load, options, Workload.of(8192, 1024))
