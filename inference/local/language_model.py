"""The hidden states of a text encoder, layer by layer: what the stock pipelines read of it, and nothing after it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from catalogs.errors import EngineError
from inference.local.device import on_device
from inference.models.specs import Family

if TYPE_CHECKING:
    import torch

TEXT_LAYERS: dict[Family, tuple[int, ...]] = {
    "klein": (9, 18, 27),
    "base": (9, 18, 27),
    "kv": (9, 18, 27),
    "dev": (10, 20, 30),
}
"""Hidden layers each pipeline reads of its text encoder, by diffusers' defaults."""


@dataclass(frozen=True)
class Tokens:
    """One prompt as the model reads it.

    Attributes:
        ids: int64 (1, 512), padded.
        mask: int64 (1, 512), 0 where padded.
    """

    ids: torch.Tensor
    mask: torch.Tensor


class LanguageModel:
    """A bare decoder of transformers (Qwen3, Mistral), run prompt by prompt inside each layer.

    Layer by layer, so that layers can be streamed from the host once for many prompts. Prompt by prompt, so that an
    embedding does not depend on how many others wait with it.
    """

    def __init__(self, model: Any, family: Family, device: torch.device, layers: Iterable[Any] | None = None) -> None:
        """
        Args:
            model: of which `embed_tokens`, `rotary_emb`, `layers` and `config` are used.
            layers: what to walk through instead of `model.layers`: each with its weights on the device.

        Raises:
            EngineError: its attention is windowed, which no FLUX.2 text encoder's is.
        """
        windowed = getattr(model.config, "layer_types", None) or []
        if any(kind != "full_attention" for kind in windowed) or (not windowed and model.config.sliding_window):
            raise EngineError("the text encoder has windowed attention, which this engine does not know")
        self._model, self._device, self._read = model, device, TEXT_LAYERS[family]
        self._layers = model.layers if layers is None else layers
        self._positions: Any = None

    def hidden_states(self, prompts: Sequence[Tokens]) -> list[torch.Tensor]:
        """(1, 512, layers * width) by prompt on the device: the layers that are read, side by side."""
        import torch

        hidden = [self._embedded(prompt) for prompt in prompts]
        masks = [self._mask(prompt, hidden[0].dtype) for prompt in prompts]
        positions = self._rotary(hidden[0])
        caught: list[list[Any]] = [[] for _ in prompts]
        for number, layer in enumerate(self._layers, 1):
            for place, mask in enumerate(masks):
                hidden[place] = layer(hidden[place], attention_mask=mask, position_embeddings=positions)
                if number in self._read:
                    caught[place].append(hidden[place])
        hidden.clear()
        # One by one, so that a window's states and its embeddings are never there both.
        return [torch.cat(caught.pop(0), dim=-1) for _ in prompts]

    def _embedded(self, prompt: Tokens) -> torch.Tensor:
        """Looked up where the table lies: a streamed model leaves it on the host."""
        table = self._model.embed_tokens
        return on_device(table(prompt.ids.to(table.weight.device)), self._device)

    def _rotary(self, hidden: torch.Tensor) -> Any:
        """Cosines and sines of all positions, the same for every prompt."""
        import torch

        if self._positions is None:
            ids = torch.arange(hidden.shape[1], device=self._device)[None]
            self._positions = self._model.rotary_emb.to(self._device)(hidden, position_ids=ids)
        return self._positions

    def _mask(self, prompt: Tokens, dtype: torch.dtype) -> torch.Tensor | None:
        """The causal mask that transformers itself makes, on the host.

        Given a mask on the device it would ask whether anything is padded at all, and wait for the answer.
        """
        import torch
        from transformers.masking_utils import create_causal_mask

        shaped = torch.empty(*prompt.ids.shape, 1, dtype=dtype)
        made = create_causal_mask(self._model.config, shaped, prompt.mask, past_key_values=None)
        return None if made is None else on_device(made, self._device)
