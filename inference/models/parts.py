"""The parts of a FLUX.2 pipeline by their sizes: what they weigh, and how wide what passes through them is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from inference.models.flops import TransformerShape
from inference.models.specs import Family


@dataclass(frozen=True, slots=True)
class TextShape:
    """A language model up to the last layer that is read: no head, no vision tower.

    Attributes:
        layers: that are kept, of those the checkpoint has.
    """

    width: int
    layers: int
    heads: int
    key_heads: int
    inner: int
    vocabulary: int
    head: int = 128

    @staticmethod
    def of(config: Mapping[str, Any], layers: int) -> TextShape:
        """From the configuration of a checkpoint's text encoder, of which so many layers are read."""
        text = config.get("text_config") or config
        heads = text["num_attention_heads"]
        return TextShape(
            width=text["hidden_size"],
            layers=min(layers, text["num_hidden_layers"]),
            heads=heads,
            key_heads=text.get("num_key_value_heads") or heads,
            inner=text["intermediate_size"],
            vocabulary=text["vocab_size"],
            head=text.get("head_dim") or text["hidden_size"] // heads,
        )

    @property
    def layer_parameters(self) -> int:
        attention = self.width * self.head * (2 * self.heads + 2 * self.key_heads)
        return attention + 3 * self.width * self.inner

    @property
    def parameters(self) -> int:
        return self.layers * self.layer_parameters + self.vocabulary * self.width


@dataclass(frozen=True, slots=True)
class VaeShape:
    """An `AutoencoderKLFlux2`.

    Attributes:
        channels: of the encoder, from the pixels inwards.
        decoder_channels: of the decoder, in the same order.
        latent: channels of an unpacked latent.
        layers: residual blocks of each level of the encoder; the decoder has one more.
    """

    channels: tuple[int, ...] = (128, 256, 512, 512)
    decoder_channels: tuple[int, ...] = (128, 256, 512, 512)
    latent: int = 32
    layers: int = 2

    @staticmethod
    def of(config: Mapping[str, Any]) -> VaeShape:
        """From the configuration of a checkpoint."""
        channels = tuple(config["block_out_channels"])
        return VaeShape(
            channels=channels,
            decoder_channels=tuple(config.get("decoder_block_out_channels") or channels),
            latent=config["latent_channels"],
            layers=config["layers_per_block"],
        )

    @property
    def parameters(self) -> int:
        levels, up = self.channels, self.decoder_channels[::-1]
        encoder = _convolution(3, levels[0]) + _levels((levels[0], *levels), self.layers) + _middle(levels[-1])
        encoder += 2 * levels[-1] + _convolution(levels[-1], 2 * self.latent)
        decoder = _convolution(self.latent, up[0]) + _middle(up[0]) + _levels((up[0], *up), self.layers + 1)
        decoder += 2 * up[-1] + _convolution(up[-1], 3)
        inwards = _convolution(2 * self.latent, 2 * self.latent, 1)
        return encoder + inwards + decoder + _convolution(self.latent, self.latent, 1)


def _convolution(inputs: int, outputs: int, side: int = 3) -> int:
    return side * side * inputs * outputs + outputs


def _residual(inputs: int, outputs: int) -> int:
    shortcut = 0 if inputs == outputs else _convolution(inputs, outputs, 1)
    return 2 * inputs + _convolution(inputs, outputs) + 2 * outputs + _convolution(outputs, outputs) + shortcut


def _levels(channels: tuple[int, ...], layers: int) -> int:
    """Residual blocks of each level, and what changes the resolution between two."""
    total = sum(_convolution(level, level) for level in channels[1:-1])
    for before, level in pairwise(channels):
        total += _residual(before, level) + (layers - 1) * _residual(level, level)
    return total


def _middle(channels: int) -> int:
    attention = 4 * _convolution(channels, channels, 1) + 2 * channels
    return 2 * _residual(channels, channels) + attention


@dataclass(frozen=True, slots=True)
class Parts:
    """What a local model is made of."""

    family: Family
    transformer: TransformerShape
    text: TextShape
    vae: VaeShape = VaeShape()

    @staticmethod
    def of(
        family: Family,
        transformer: Mapping[str, Any],
        text_encoder: Mapping[str, Any],
        vae: Mapping[str, Any],
        text_layers: int,
    ) -> Parts:
        """From the configurations of a checkpoint's parts, whatever their sizes.

        Args:
            text_layers: the last layer of the text encoder that is read.
        """
        return Parts(
            family, TransformerShape.of(transformer), TextShape.of(text_encoder, text_layers), VaeShape.of(vae)
        )


_QWEN_4B = TextShape(2560, 27, 32, 8, 9728, 151_936)
_QWEN_8B = TextShape(4096, 27, 32, 8, 12288, 151_936)
_MISTRAL_24B = TextShape(5120, 30, 32, 8, 32768, 131_072)
_FOUR = TransformerShape(3072, 5, 20, 7680)
_NINE = TransformerShape(4096, 8, 24, 12288)
_DEV = TransformerShape(6144, 8, 48, 15360, guided=True)

PARTS: dict[str, Parts] = {
    "klein-4b": Parts("klein", _FOUR, _QWEN_4B),
    "klein-base-4b": Parts("base", _FOUR, _QWEN_4B),
    "klein-9b": Parts("klein", _NINE, _QWEN_8B),
    "klein-9b-kv": Parts("kv", _NINE, _QWEN_8B),
    "klein-base-9b": Parts("base", _NINE, _QWEN_8B),
    "dev": Parts("dev", _DEV, _MISTRAL_24B),
}
"""Of the published checkpoints, by name in the model table."""
