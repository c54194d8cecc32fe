"""Linear layers that keep their weights in 8 bits and compute in 8 bits: `weight_precision: float8-dynamic`.

Weights have one scale an output channel, activations one a token, found anew at each call: no token's numbers depend
on what else is in the batch. Only the projections inside the repeated blocks are replaced; embedders, modulation,
norms and the last projection steer every number of a picture and are a few percent of the weights.
"""

from __future__ import annotations

import logging
from typing import Any

import torch

from catalogs.errors import EngineError
from inference.local.cards import own_device

LEAST_CAPABILITY = (8, 9)
"""Of an NVIDIA card with 8-bit floating-point matrix units: Ada, and Hopper after it."""

_ASKED = "weight_precision: float8-dynamic"
_NUMBERS = torch.float8_e4m3fn
_LARGEST = torch.finfo(_NUMBERS).max
# Of a row of zeros the scale would be zero, and zero by zero no number.
_LEAST_PEAK = 1e-12
# The matrix units take rows and columns in sixteens.
_MULTIPLE = 16
_logger = logging.getLogger(__name__)


class Float8Linear(torch.nn.Module):
    """A linear layer computed in 8 bits; bfloat16 comes out, and takes no gradient.

    Attributes:
        weight: float8_e4m3fn of shape (out, in).
        weight_scale: float32 of shape (1, out).
        bias: bfloat16 of shape (out,), or None.
    """

    def __init__(self, linear: torch.nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        weight, scale = quantised(linear.weight.detach())
        self.weight = torch.nn.Parameter(weight, requires_grad=False)
        self.weight_scale = torch.nn.Parameter(scale.t().contiguous(), requires_grad=False)
        bias = None if linear.bias is None else linear.bias.detach().to(torch.bfloat16)
        self.bias = None if bias is None else torch.nn.Parameter(bias, requires_grad=False)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """(..., in) of any floating type to (..., out) of bfloat16."""
        rows, scale = quantised(inputs.reshape(-1, self.in_features))
        # Without fast accumulation Hopper's row-wise kernels are about as slow as bfloat16. It adds products with some
        # 14 bits of mantissa, of factors that have 4.
        made = torch._scaled_mm(
            rows,
            self.weight.t(),
            scale_a=scale,
            scale_b=self.weight_scale,
            bias=self.bias,
            out_dtype=torch.bfloat16,
            use_fast_accum=True,
        )
        return made.reshape(*inputs.shape[:-1], self.out_features)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


def quantised(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows in 8 bits, each to its own scale: float8_e4m3fn (rows, columns), and float32 (rows, 1) to multiply them by.

    A row with a number that is not finite has none that is: it is not hidden.
    """
    peaks = rows.abs().amax(dim=-1, keepdim=True).to(torch.float32)
    scale = peaks.clamp(min=_LEAST_PEAK) / _LARGEST
    # No number is larger than the scale allows by more than a rounding, which the conversion takes back.
    return (rows / scale).to(_NUMBERS, memory_format=torch.contiguous_format), scale


def check_capability(capability: tuple[int, int]) -> None:
    """Raise EngineError for a card that does not compute in 8 bits."""
    if capability < LEAST_CAPABILITY:
        has, least = (".".join(map(str, pair)) for pair in (capability, LEAST_CAPABILITY))
        raise EngineError(
            f"{_ASKED} needs a GPU of compute capability {least} or newer, not {has}; choose float8 or bfloat16"
        )


def check_device() -> None:
    """Raise EngineError where the GPU of this process does not compute in 8 bits; every CPU does."""
    if torch.cuda.is_available():
        check_capability(torch.cuda.get_device_capability(own_device()))


def compute_in_float8(transformer: Any) -> None:
    """Replace the projections inside a transformer's repeated blocks, one by one: no two copies of all are held.

    Those whose sides are no multiples of 16 stay as they are, which is logged.

    Raises:
        EngineError: none could be replaced.
    """
    replaced, left = 0, []
    for path in _projections(transformer):
        # By name, one at a time: whoever holds the layers holds their weights.
        linear = transformer.get_submodule(path)
        if linear.in_features % _MULTIPLE or linear.out_features % _MULTIPLE:
            left.append(path)
            continue
        parent, _, name = path.rpartition(".")
        setattr(transformer.get_submodule(parent), name, Float8Linear(linear))
        replaced += 1
    if not replaced:
        raise EngineError(f"{_ASKED}: no layer of this model can be computed in 8 bits")
    if left:
        _logger.warning(
            "%d of %d layers have sides that are no multiples of %d and stay in bfloat16, %s first",
            len(left), len(left) + replaced, _MULTIPLE, left[0],
        )  # fmt: skip


def _projections(transformer: Any) -> list[str]:
    """Paths of the linear layers inside the blocks that diffusers compiles by themselves."""
    kinds = transformer._repeated_blocks
    blocks = [(path, block) for path, block in transformer.named_modules() if type(block).__name__ in kinds]
    return [
        f"{path}.{name}"
        for path, block in blocks
        for name, module in block.named_modules()
        if type(module) is torch.nn.Linear
    ]
