"""What a local model needs of memory in each mode: weights, activations, caches, and what the allocator wastes.

One function, `need`, tells it; it chooses the mode, fills the model table and refuses what fits nowhere. The suite in
tests/fake_cuda holds its activations against those of the real modules.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from inference.models.flops import TEXT_TOKENS
from inference.models.parts import Parts
from inference.models.workload import Workload

Mode = Literal["resident", "two-phase", "offload"]
MODES: tuple[Mode, ...] = ("resident", "two-phase", "offload")
"""From the fastest to the one that needs least."""

TEXT_WINDOW = 64
"""Prompts that pass together through a text encoder that is streamed; without, only those of a batch do."""
TEXT_HELD = 80
"""Prompts whose embeddings are kept: a window's and a batch's."""
REFERENCE_LATENT_BYTES = 512 * 2**20
"""Of the device, for latents of references that may come again."""
TILE_SIDE = 512
"""Pixels of a tile, where the VAE takes a picture in tiles."""
CONTEXT_BYTES = 2**30
"""The driver's context, kernels, and the workspaces of cuBLAS and cuDNN: none of it is in torch's own sums."""
WASTE = 0.15
"""Share of activations and caches that the allocator holds in blocks which nothing else fits."""

_BYTES = {"bfloat16": 2, "float32": 4, "float8": 1, "float8-dynamic": 1}
# Maps of a layer's size that are alive at once, each as wide as its first level (encoder) or its second (decoder), and
# one more for the convolutions' workspace.
_ENCODER_MAPS, _DECODER_MAPS = 6, 4


@dataclass(frozen=True, slots=True)
class Need:
    """Bytes that a mode needs.

    Attributes:
        weights: that lie on the device.
        activations: of the phase with most of them.
        caches: reference latents, text embeddings, keys and values.
        reserve: the driver's context and what the allocator wastes.
        host: weights that stay in pinned memory of the host.
    """

    weights: int
    activations: int
    caches: int
    reserve: int
    host: int

    @property
    def device(self) -> int:
        """All of it that the device must have free before anything is loaded."""
        return self.weights + self.activations + self.caches + self.reserve


def need(parts: Parts, weight_precision: str, mode: Mode, workload: Workload, tiled: bool = False) -> Need:
    """What a model needs to make the largest of what is planned.

    Args:
        weight_precision: as in `Source`; the 8-bit ones store the matrices of the transformer's blocks in 8 bits, while
            its edges, the text encoder and the VAE stay as they are.
        tiled: whether the VAE takes large pictures in tiles.
    """
    compute = compute_bytes(weight_precision)
    shape, text = parts.transformer, parts.text
    stored = shape.block_parameters * _BYTES[weight_precision]
    transformer = stored + (shape.parameters - shape.block_parameters) * compute
    encoder, layers = text.parameters * compute, min(2, text.layers) * text.layer_parameters * compute
    leaves = 2 * shape.largest_matrix * _BYTES[weight_precision]
    on_device = {"resident": transformer + encoder, "two-phase": transformer + layers, "offload": leaves + layers}[mode]
    activations = max(phases(parts, weight_precision, mode, workload, tiled).values())
    caches = _caches(parts, compute, workload)
    return Need(
        weights=on_device + parts.vae.parameters * compute,
        activations=activations,
        caches=caches,
        reserve=CONTEXT_BYTES + int(WASTE * (activations + caches)),
        host={"resident": 0, "two-phase": encoder, "offload": encoder + transformer}[mode],
    )


def phases(parts: Parts, weight_precision: str, mode: Mode, workload: Workload, tiled: bool = False) -> dict[str, int]:
    """Bytes of activations by phase; no two of them are on the device at once."""
    compute = compute_bytes(weight_precision)
    return {
        "text": _text(parts, compute, streamed=mode != "resident"),
        "references": _encoding(parts, compute, workload, tiled),
        "keys and values": _keys_values(parts, weight_precision, workload),
        "denoise": _denoising(parts, weight_precision, workload),
        "decode": _decoding(parts, compute, workload, tiled),
    }


def compute_bytes(weight_precision: str) -> int:
    """Of one number of an activation; weights of 8 bits are computed with in bfloat16."""
    return max(2, _BYTES[weight_precision])


def _denoising(parts: Parts, weight_precision: str, workload: Workload) -> int:
    """A forward of the transformer: most is alive where a single block joins its attention and its MLP."""
    shape, compute = parts.transformer, compute_bytes(weight_precision)
    shared = parts.family == "kv" and workload.reference_tokens > 0
    sequence = TEXT_TOKENS + (workload.picture_tokens if shared else workload.tokens)
    # Residual, its norm, q k v and both halves of the MLP in one matrix; then normed q and k, attention, what both
    # halves make and the two side by side. The KV family's blocks hold on to what went into the matrix.
    joined = (10 + (parts.family == "kv") + 4 * shape.mlp_ratio) * sequence
    casting = _casting(parts, weight_precision, workload.batch * sequence)
    widest = workload.batch * joined * shape.width * compute + casting
    rotations = 4 * 2 * 128 * (sequence + workload.reference_tokens)
    text = (1 + workload.second_forward) * TEXT_TOKENS * shape.context
    latents = (6 + 2 * workload.second_forward) * sequence * shape.channels
    return int(widest + workload.batch * (text + latents) * compute + rotations)


def _keys_values(parts: Parts, weight_precision: str, workload: Workload) -> int:
    """The forward that makes keys and values of one reference set; its modulations are as long as the sequence."""
    if parts.family != "kv" or not workload.reference_tokens:
        return 0
    shape, compute = parts.transformer, compute_bytes(weight_precision)
    maps = (20 + 4 * shape.mlp_ratio) * workload.reference_tokens * shape.width
    return int(maps * compute) + _casting(parts, weight_precision, workload.reference_tokens)


def _casting(parts: Parts, weight_precision: str, sequence: int) -> int:
    """What computing with weights of 8 bits takes beside it."""
    shape, compute = parts.transformer, compute_bytes(weight_precision)
    if weight_precision == "float8":  # a layer's weights are cast when its turn comes
        return shape.largest_matrix * compute
    if weight_precision == "float8-dynamic":  # what goes into a matrix is scaled in 32 bits and stored in 8
        return int((1 + shape.mlp_ratio) * sequence * shape.width * (4 + 1))
    return 0


def _decoding(parts: Parts, compute: int, workload: Workload, tiled: bool) -> int:
    pixels = workload.width * workload.height
    at_once = min(pixels, TILE_SIDE**2) if tiled else pixels
    widest = max(parts.vae.decoder_channels[:2])
    whole = 3 * 3 * pixels * compute if tiled else 0  # rows of tiles, and the picture they make
    return workload.batch * (_DECODER_MAPS * widest * at_once * compute + whole)


def _encoding(parts: Parts, compute: int, workload: Workload, tiled: bool) -> int:
    """References are encoded one by one."""
    pixels = min(workload.reference_pixels, TILE_SIDE**2) if tiled else workload.reference_pixels
    return _ENCODER_MAPS * parts.vae.channels[0] * pixels * compute + 4 * 4 * 3 * workload.reference_pixels


def _text(parts: Parts, compute: int, streamed: bool) -> int:
    """Prompts go through a layer one by one, while the others of the window wait with what was read of them."""
    text, read = parts.text, parts.transformer.context
    prompts = TEXT_WINDOW if streamed else TEXT_HELD - TEXT_WINDOW
    waiting = prompts * TEXT_TOKENS * (text.width + read + TEXT_TOKENS) * compute
    return waiting + TEXT_TOKENS * (4 * text.inner + 12 * text.width) * compute


def _caches(parts: Parts, compute: int, workload: Workload) -> int:
    """What is kept between batches; of the KV family one set too, and for each picture the place of its set, with room
    for the picture's own keys and values."""
    shape = parts.transformer
    texts = TEXT_HELD * TEXT_TOKENS * shape.context * compute
    if not workload.reference_tokens:
        return texts
    kept = 0
    if parts.family == "kv":
        place = workload.reference_tokens + TEXT_TOKENS + workload.picture_tokens
        kept = shape.keys_values_bytes(workload.reference_tokens + workload.batch * place, compute)
    return texts + REFERENCE_LATENT_BYTES + kept
