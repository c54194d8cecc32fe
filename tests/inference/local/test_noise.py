"""Whose generator draws the noise of a seed: what a notebook made of it is made here too, or it is told."""

from __future__ import annotations

import pytest
import torch
from diffusers.utils.torch_utils import randn_tensor

from catalogs.errors import EngineError
from inference.local.denoising import check_seed_device, noise
from tests.inference.local.engines import Model, new_engine, request

GPU = torch.cuda.is_available()


def drawn(seed: int, dtype: torch.dtype, device: str = "cpu") -> torch.Tensor:
    """Of a picture of 96x64, as the stock pipelines draw it for a caller's generator."""
    where = torch.device(device)
    return randn_tensor((1, 32, 4, 6), generator=torch.Generator(where).manual_seed(seed), device=where, dtype=dtype)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_every_sample_is_drawn_as_diffusers_draws_it(klein: Model, precision: str) -> None:
    checkpoint = new_engine(klein.folder, weight_precision=precision)._checkpoint
    made = noise(checkpoint, [request(seed=seed) for seed in (1, 2, 2**31 - 1)])
    assert made.dtype == getattr(torch, precision)
    for place, seed in enumerate((1, 2, 2**31 - 1)):
        assert torch.equal(made[place : place + 1].cpu(), drawn(seed, made.dtype))


@pytest.mark.skipif(GPU, reason="this machine has a GPU")
@pytest.mark.parametrize("asked", [["cuda"], ["cpu", "cuda"], ["cuda", "cpu"]])
def test_without_a_gpu_a_cuda_generator_is_refused_in_one_line(klein: Model, asked: list[str]) -> None:
    requests = [request(seed=seed, seed_device=device) for seed, device in enumerate(asked)]
    with pytest.raises(EngineError) as caught:
        noise(klein.engine._checkpoint, requests)
    assert str(caught.value) == (
        "seed_device: cuda needs a GPU that torch can use, and this machine has none; "
        "render where there is one, or leave seed_device out, which makes other pictures"
    )
    check_seed_device("cpu")


@pytest.mark.skipif(not GPU, reason="needs a GPU")
def test_on_a_gpu_noise_is_that_of_its_own_generator(klein: Model) -> None:
    checkpoint = klein.engine._checkpoint
    made = noise(checkpoint, [request(seed=1, seed_device="cuda"), request(seed=1)])
    assert torch.equal(made[:1], drawn(1, made.dtype, "cuda"))
    assert torch.equal(made[1:].cpu(), drawn(1, made.dtype))
