"""The mode a loaded checkpoint is laid out in, by what its device has free and what the plan asks for."""

from __future__ import annotations

from typing import Any, get_args

import pytest
import torch

from catalogs.errors import EngineError
from inference.engine import EngineOptions
from inference.local.checkpoints import TEXT_LAYERS, Checkpoint, _cut_text_encoder, _memory_mode
from inference.local.decoding import decode, tile
from inference.local.tiny import Family, build_tiny
from inference.models.flops import TransformerShape
from inference.models.workload import Workload
from tests.inference.local.engines import stock_pipeline

GIB = 2**30
WIDE = Workload.of(4096, 1024, [(1024, 1024)] * 4)


@pytest.fixture(scope="module")
def pipes(tmp_path_factory: pytest.TempPathFactory) -> dict[Family, Any]:
    folder = tmp_path_factory.mktemp("pipes")
    return {family: stock_pipeline(family, build_tiny(folder / family, family)) for family in get_args(Family)}


def checkpoint(pipes: dict[Family, Any], family: Family, device: str = "cuda") -> Checkpoint:
    pipe = pipes[family]
    pipe.vae.use_tiling = False
    encoder = pipe.text_encoder
    cut = _cut_text_encoder(pipe, family)
    pipe.text_encoder = encoder
    assert len(cut.layers) == max(TEXT_LAYERS[family])
    shape = TransformerShape.of(pipe.transformer.config)
    return Checkpoint(family, pipe, cut, torch.device(device), "resident", shape)


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
    pipes: dict[Family, Any],
    monkeypatch: pytest.MonkeyPatch,
    family: Family,
    free: float,
    asked: Any,
    workload: Workload,
    expected: Any,
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (int(free * GIB), 80 * GIB))
    made, options = checkpoint(pipes, family), EngineOptions(memory=asked)
    if isinstance(expected, str):
        with pytest.raises(EngineError) as caught:
            _memory_mode(made, "float32", options, workload)
        message = str(caught.value)
        assert message.startswith(expected)
        assert "take a card with" in message
        assert "\n" not in message
        return
    mode, tiled = expected
    assert (_memory_mode(made, "float32", options, workload), made.vae.use_tiling) == (mode, tiled)


def test_tiles_are_taken_where_one_picture_fits_in_no_other_way(
    pipes: dict[Family, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A picture of 64 MP without references decodes in 8.6 GB, is denoised in 1.8, and weighs 0.3 in tiles."""
    made, huge = checkpoint(pipes, "klein"), Workload.of(8192, 8192)
    for free, tiled in ((12.0, False), (5.2, True)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _, free=free: (int(free * GIB), 80 * GIB))
        assert _memory_mode(made, "float32", EngineOptions(), huge) == "resident"
        assert made.vae.use_tiling is tiled


@pytest.mark.parametrize("asked", ["auto", "resident", "two-phase", "offload"])
def test_without_a_gpu_nothing_is_asked_of_memory(pipes: dict[Family, Any], asked: Any) -> None:
    made = checkpoint(pipes, "klein", "cpu")
    expected = "resident" if asked == "auto" else asked
    assert _memory_mode(made, "float32", EngineOptions(memory=asked), Workload()) == expected


def test_a_picture_in_tiles_is_near_the_whole_one(pipes: dict[Family, Any]) -> None:
    made = checkpoint(pipes, "klein", "cpu")
    latents = torch.randn((1, 40 * 40, 32), generator=torch.Generator().manual_seed(3)) * 0.2
    with torch.no_grad():
        whole, _ = decode(made.pipe, latents, 40, 40)
        tile(made.vae)
        parts, verdicts = decode(made.pipe, latents, 40, 40)
    assert whole.shape == parts.shape == (1, 640, 640, 3)
    assert verdicts.all()
    assert not torch.equal(whole, parts)  # norms see one tile each
    difference = (whole.int() - parts.int()).abs().float()
    assert difference.mean() < 8
