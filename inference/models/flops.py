"""Floating-point operations and weights of the FLUX.2 architecture, from a transformer's own configuration.

One multiply-add counts as two operations; matrix products and attention only, the rest is bound by memory. The
tests hold the formulas against torch's own counter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

TEXT_TOKENS = 512
TOKEN_SIDE = 16
Mode = Literal["full", "extract", "cached"]


@dataclass(frozen=True, slots=True)
class TransformerShape:
    """The sizes of a `Flux2Transformer2DModel` that its cost depends on.

    Attributes:
        width: heads x head dimension.
        context: width of the text embeddings.
        channels: of a packed latent.
        guided: has an embedding of the guidance scale (dev).
    """

    width: int
    double_blocks: int
    single_blocks: int
    context: int
    channels: int = 128
    timestep_channels: int = 256
    mlp_ratio: float = 3.0
    guided: bool = False

    @staticmethod
    def of(config: Mapping[str, Any]) -> TransformerShape:
        """From the configuration of a checkpoint."""
        return TransformerShape(
            width=config["num_attention_heads"] * config["attention_head_dim"],
            double_blocks=config["num_layers"],
            single_blocks=config["num_single_layers"],
            context=config["joint_attention_dim"],
            channels=config["in_channels"],
            timestep_channels=config["timestep_guidance_channels"],
            mlp_ratio=config["mlp_ratio"],
            guided=config["guidance_embeds"],
        )

    @property
    def blocks(self) -> int:
        return self.double_blocks + self.single_blocks

    @property
    def parameters(self) -> int:
        """Weights: both streams of a double block have a full set, each as large as a single block's."""
        embeddings = (self.context + 2 * self.channels) * self.width
        modulation = (17 + self._time_layers) * self.width**2 + self._time_layers * self.timestep_channels * self.width
        return self.block_parameters + embeddings + modulation

    @property
    def block_parameters(self) -> int:
        """Those of the blocks' matrices, the part that is stored in 8 bits."""
        return int(self._block * (2 * self.double_blocks + self.single_blocks))

    @property
    def largest_matrix(self) -> int:
        """Weights of the largest leaf there is: a single block's fused q, k, v and gated MLP."""
        return int((3 + 2 * self.mlp_ratio) * self.width**2)

    @property
    def _time_layers(self) -> int:
        return 2 if self.guided else 1

    @property
    def _block(self) -> float:
        """Weights one token meets in one block: q, k, v, out and a gated MLP."""
        return (4 + 3 * self.mlp_ratio) * self.width**2

    def keys_values_bytes(self, tokens: int, itemsize: int = 2) -> int:
        """Memory of the keys and values of reference tokens in all blocks."""
        return 2 * self.width * itemsize * self.blocks * tokens


def tokens(width: int, height: int) -> int:
    """Tokens of a picture of so many pixels."""
    return (width // TOKEN_SIDE) * (height // TOKEN_SIDE)


def forward_flops(
    shape: TransformerShape, target: int, references: int, mode: Mode = "full", text: int = TEXT_TOKENS
) -> float:
    """Operations of one forward of one sample.

    Args:
        target: tokens of the picture being made.
        references: tokens of all its references.
        mode: `full`; of the KV checkpoints `extract` makes the references' keys and values, `cached` reads them.
    """
    sequence = text + target + references
    moving = sequence if mode != "cached" else text + target
    linear = 2 * shape._block * moving * shape.blocks
    attended = {
        "full": sequence**2,
        "extract": (text + target) * sequence + references**2,
        "cached": (text + target) * sequence,
    }[mode]
    attention = 4.0 * attended * shape.width * shape.blocks
    into = target if mode == "cached" else target + references
    out = target + references if mode == "full" else target
    edges = 2 * shape.channels * shape.width * (into + out) + 2 * shape.context * shape.width * text
    time = shape._time_layers * 2 * (shape.timestep_channels * shape.width + shape.width**2)
    modulation = 2 * 15 * shape.width**2
    if mode == "extract":
        time, modulation = 2 * time, modulation + 2 * 9 * shape.width**2
    return linear + attention + edges + time + modulation + 2 * 2 * shape.width**2
