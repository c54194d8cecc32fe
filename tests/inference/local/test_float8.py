"""Layers that compute in 8 bits: their products, which layers they are, and the pictures that come of them."""

from __future__ import annotations

import logging
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from catalogs.errors import EngineError
from inference.engine import EngineOptions
from inference.local.float8 import Float8Linear, check_capability, check_device, compute_in_float8, quantised
from tests.inference.local.engines import Model, all_pixels, new_engine
from tests.inference.local.test_checkpoints import lora_file

pytestmark = pytest.mark.usefixtures("one_thread")
DYNAMIC = "float8-dynamic"


def drawn(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(torch.bfloat16)


def linear(columns: int, rows: int, bias: bool = False, seed: int = 2) -> torch.nn.Linear:
    made = torch.nn.Linear(columns, rows, bias=bias, dtype=torch.bfloat16)
    made.weight.data = drawn(rows, columns, seed=seed) / columns**0.5
    if bias:
        made.bias.data = drawn(rows, seed=seed + 1)
    return made


def dequantised(rows: torch.Tensor) -> torch.Tensor:
    numbers, scale = quantised(rows)
    return numbers.double() * scale


def with_outlier() -> torch.Tensor:
    """One token has a number a million times the others, and one token nothing but zeros."""
    inputs = drawn(6, 64)
    inputs[2, 5], inputs[4] = 1e6, 0.0
    return inputs


INPUTS = {
    "tokens": drawn(7, 64),
    "one token": drawn(1, 64),
    "a batch of sequences": drawn(2, 5, 64),
    "four dimensions": drawn(2, 3, 2, 64),
    "one token without a batch": drawn(64),
    "transposed": drawn(64, 9).t(),
    "every second token": drawn(2, 10, 64)[:, ::2],
    "the same token, expanded": drawn(1, 1, 64).expand(2, 4, 64),
    "part of wider rows": drawn(2, 5, 96)[..., 16:80],
    "float32": drawn(3, 64).float(),
    "zeros": torch.zeros(3, 64, dtype=torch.bfloat16),
    "an outlier": with_outlier(),
    "huge": drawn(3, 64) * 1e30,
    "tiny": drawn(3, 64) * 1e-10,
    "so tiny that nothing is left": drawn(3, 64) * 1e-30,
}


@pytest.mark.parametrize("bias", [False, True], ids=["no bias", "bias"])
@pytest.mark.parametrize("case", INPUTS)
def test_the_product_is_that_of_the_dequantised_factors(case: str, bias: bool) -> None:
    inputs, plain = INPUTS[case], linear(64, 48, bias)
    made = Float8Linear(plain)(inputs)
    left, right = dequantised(inputs.reshape(-1, 64)), dequantised(plain.weight.detach())
    exact = left @ right.t() + (plain.bias.double() if bias else 0.0)
    expected, size = exact.reshape(*inputs.shape[:-1], 48), (left.abs() @ right.abs().t()).reshape(made.shape)
    assert made.dtype == torch.bfloat16
    assert made.shape == (*inputs.shape[:-1], 48)
    assert made.isfinite().all()
    # Products of 8-bit numbers are exact in float32; the sum of 64 of them is off by as many roundings of 2^-24 at
    # most, and what comes out is rounded once to the 8 bits of bfloat16's mantissa, after the bias was added.
    assert ((made.double() - expected).abs() <= expected.abs() * 2**-8 + size * 64 * 2**-24 + 1e-38).all()


def test_the_product_is_near_the_whole_one_and_not_the_same() -> None:
    """A factor with 4 bits of mantissa is off by about 2.5 % of itself, two by the root of two times that."""
    inputs, plain = drawn(200, 256), linear(256, 128)
    exact = inputs.double() @ plain.weight.detach().double().t()
    error = (Float8Linear(plain)(inputs).double() - exact).norm() / exact.norm()
    assert 0.02 < error < 0.05


def test_an_outlier_costs_its_own_token_alone() -> None:
    inputs, layer = with_outlier(), Float8Linear(linear(64, 48))
    others = [0, 1, 3, 5]
    assert torch.equal(layer(inputs)[others], layer(inputs[others]))
    assert not layer(inputs)[4].any()


@pytest.mark.parametrize("row", [0, 17, 47])
def test_weights_of_zero_make_zero(row: int) -> None:
    plain = linear(64, 48)
    plain.weight.data[row] = 0.0
    made = Float8Linear(plain)(drawn(5, 64))
    assert not made[:, row].any()
    assert made.isfinite().all()


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_is_not_hidden(bad: float) -> None:
    inputs = drawn(3, 64)
    inputs[1, 3] = bad
    finite = Float8Linear(linear(64, 48))(inputs).isfinite().all(dim=-1)
    assert finite.tolist() == [True, False, True]


def test_a_token_is_quantised_the_same_whatever_is_beside_it() -> None:
    """What a batch may move is the order of a product's sums, as in bfloat16."""
    inputs, layer = drawn(9, 64), Float8Linear(linear(64, 48))
    numbers, scale = quantised(inputs)
    for place in range(9):
        alone, own = quantised(inputs[place : place + 1])
        assert torch.equal(alone.view(torch.uint8), numbers[place : place + 1].view(torch.uint8))
        assert torch.equal(own, scale[place : place + 1])
    together, single = layer(inputs).double(), torch.cat([layer(row[None]) for row in inputs]).double()
    assert ((together - single).abs() <= single.abs() * 2**-7 + 1e-6).all()


def test_the_largest_number_of_a_row_is_the_largest_there_is() -> None:
    numbers, scale = quantised(drawn(50, 64))
    assert (numbers.float().abs().amax(dim=-1) == 448).all()
    assert (scale > 0).all()


@pytest.mark.parametrize("capability", [(8, 9), (9, 0), (10, 0), (12, 0)])
def test_cards_with_8_bit_matrix_units_are_taken(capability: tuple[int, int]) -> None:
    check_capability(capability)


@pytest.mark.parametrize(("capability", "has"), [((7, 5), "7.5"), ((8, 0), "8.0"), ((8, 6), "8.6"), ((6, 1), "6.1")])
def test_older_cards_are_refused_in_one_line(capability: tuple[int, int], has: str) -> None:
    with pytest.raises(EngineError) as caught:
        check_capability(capability)
    assert str(caught.value) == (
        f"weight_precision: float8-dynamic needs a GPU of compute capability 8.9 or newer, not {has}; "
        "choose float8 or bfloat16"
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_cpu_is_taken() -> None:
    check_device()


def transformer(mlp_ratio: float = 3.0, heads: int = 4, axis: int = 4) -> Any:
    from diffusers import Flux2Transformer2DModel

    torch.manual_seed(3)
    made = Flux2Transformer2DModel(
        in_channels=32,
        num_layers=1,
        num_single_layers=2,
        attention_head_dim=4 * axis,
        num_attention_heads=heads,
        joint_attention_dim=48,
        timestep_guidance_channels=64,
        mlp_ratio=mlp_ratio,
        axes_dims_rope=(axis,) * 4,
        guidance_embeds=False,
    )
    return made.to(torch.bfloat16)


def kinds(model: torch.nn.Module) -> dict[str, set[str]]:
    """Names of the layers of each kind."""
    found: dict[str, set[str]] = {}
    for name, module in model.named_modules():
        found.setdefault(type(module).__name__, set()).add(name)
    return found


def test_projections_of_blocks_are_replaced_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    model = transformer()
    before = kinds(model)["Linear"]
    caplog.clear()
    compute_in_float8(model)
    after = kinds(model)
    assert after["Linear"] == {
        "time_guidance_embed.timestep_embedder.linear_1",
        "time_guidance_embed.timestep_embedder.linear_2",
        "double_stream_modulation_img.linear",
        "double_stream_modulation_txt.linear",
        "single_stream_modulation.linear",
        "x_embedder",
        "context_embedder",
        "norm_out.linear",
        "proj_out",
    }
    assert after["Float8Linear"] == before - after["Linear"]
    assert len(after["Float8Linear"]) == 12 + 2 * 2
    assert all(path.startswith(("transformer_blocks.", "single_transformer_blocks.")) for path in after["Float8Linear"])
    assert not caplog.records


def test_odd_sides_stay_in_bfloat16_and_are_told(caplog: pytest.LogCaptureFixture) -> None:
    model = transformer(mlp_ratio=2.6)  # 166 in the feed-forward layers
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        compute_in_float8(model)
    (record,) = caplog.records
    assert record.getMessage() == (
        "8 of 16 layers have sides that are no multiples of 16 and stay in bfloat16, "
        "transformer_blocks.0.ff.linear_in first"
    )
    left = {name for name in kinds(model)["Linear"] if "transformer_blocks" in name}
    assert left == {
        *(f"transformer_blocks.0.{part}.linear_{end}" for part in ("ff", "ff_context") for end in ("in", "out")),
        *(f"single_transformer_blocks.{n}.attn.{part}" for n in (0, 1) for part in ("to_qkv_mlp_proj", "to_out")),
    }
    assert len(kinds(model)["Float8Linear"]) == 8


def test_a_model_without_a_layer_to_compute_is_refused() -> None:
    with pytest.raises(EngineError, match="no layer of this model can be computed in 8 bits"):
        compute_in_float8(transformer(mlp_ratio=2.6, heads=3, axis=2))  # 24 and 62


def test_each_layer_gives_up_its_weights_before_the_next() -> None:
    """Counted at each conversion to 8 bits: the layers before are gone."""
    model = transformer()
    whole = [
        weakref.ref(module.weight)
        for name, module in model.named_modules()
        if type(module) is torch.nn.Linear and "transformer_blocks" in name
    ]
    alive = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if (kwargs or {}).get("dtype") == torch.float8_e4m3fn:
                alive.append(sum(weight() is not None for weight in whole))
            return function(*args, **(kwargs or {}))

    with Watch():
        compute_in_float8(model)
    assert alive == list(range(len(whole), 0, -1))
    size = sum(parameter.nbytes for parameter in model.transformer_blocks.parameters() if parameter.ndim == 2)
    numbers = sum(parameter.numel() for parameter in model.transformer_blocks.parameters() if parameter.ndim == 2)
    assert size < 1.1 * numbers


def test_a_block_is_one_graph() -> None:
    model = transformer()
    compute_in_float8(model)
    block = model.single_transformer_blocks[0].attn
    compiled = torch.compile(block, fullgraph=True, backend="aot_eager")
    rotary = (torch.ones(5, 16), torch.zeros(5, 16))
    with torch.no_grad():
        for batch in (1, 2, 3):
            inputs = drawn(batch, 5, 64, seed=batch)
            assert torch.allclose(compiled(inputs, None, rotary), block(inputs, None, rotary), atol=1e-2)


@pytest.mark.parametrize("tokens", [1, 5, 4608])
def test_a_gpu_takes_the_layouts(tokens: int) -> None:
    """Checked by torch's own rules for CUDA, on tensors that hold nothing."""
    with FakeTensorMode(allow_non_fake_inputs=True), torch.device("cuda"):
        plain = torch.nn.Linear(3072, 9216, bias=False, device="meta")
        plain.weight = torch.nn.Parameter(torch.empty(9216, 3072, dtype=torch.bfloat16))
        layer = Float8Linear(plain)
        for inputs in (torch.empty(2, tokens, 3072, dtype=torch.bfloat16), torch.empty(3072, tokens).t()):
            made = layer(inputs)
            assert (made.device.type, made.dtype) == ("cuda", torch.bfloat16)
            assert made.shape == (*inputs.shape[:-1], 9216)


def test_the_pictures_are_like_those_of_bfloat16(model: Model) -> None:
    asked = [model.request(f"p{i}", ["a"] if i % 2 else [], i) for i in range(4)]
    whole = all_pixels(new_engine(model.folder, weight_precision="bfloat16"), asked)
    engine = new_engine(model.folder, weight_precision=DYNAMIC)
    assert not engine._checkpoint.is_hooked
    made = all_pixels(engine, asked)
    for one in asked:
        difference = np.abs(made[one] - whole[one]).mean()
        assert 0 < difference < 60
        assert difference < np.abs(whole[one] - model.stock(replace(one, seed=one.seed + 10))).mean()


@pytest.mark.parametrize("memory", ["two-phase", "offload"])
def test_low_memory_modes_make_the_same_pictures(model: Model, memory: Any) -> None:
    asked = [model.request(f"p{i}", ["a"] if i % 2 else [], i) for i in range(4)]
    expected = all_pixels(new_engine(model.folder, weight_precision=DYNAMIC), asked)
    made = all_pixels(new_engine(model.folder, EngineOptions(memory=memory), weight_precision=DYNAMIC), asked)
    assert all(np.abs(made[one] - expected[one]).max() <= 1 for one in asked)


def test_a_lora_is_merged_before_the_weights_lose_bits(klein: Model, tmp_path: Path) -> None:
    name = "transformer_blocks.0.attn.to_q"
    path = lora_file(klein.pipe, tmp_path / "style.safetensors", name)

    def weights(precision: str, **source: Any) -> Any:
        engine = new_engine(klein.folder, weight_precision=precision, **source)
        return engine._checkpoint.transformer.get_submodule(name).weight.detach()

    merged, lora = weights("bfloat16", lora=((str(path), 0.5),)), weights(DYNAMIC, lora=((str(path), 0.5),))
    assert torch.equal(lora.view(torch.uint8), quantised(merged)[0].view(torch.uint8))
    assert not torch.equal(lora.view(torch.uint8), weights(DYNAMIC).view(torch.uint8))


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.slow
def test_compiled_blocks_make_like_pictures(klein: Model) -> None:
    """Not within rounding: what a fused kernel does not round to bfloat16 may fall to the next 8-bit number."""
    asked = [klein.request(f"p{i}", ["a"] if i % 2 else [], i) for i in range(2)]
    expected = all_pixels(new_engine(klein.folder, weight_precision=DYNAMIC), asked)
    compiled = new_engine(klein.folder, EngineOptions(compile="on"), weight_precision=DYNAMIC)
    blocks = [*compiled._checkpoint.transformer.transformer_blocks]
    assert all(block._compiled_call_impl is not None for block in blocks)
    made = all_pixels(compiled, asked)
    for one in asked:
        assert np.abs(made[one] - expected[one]).mean() < 30
