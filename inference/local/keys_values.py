"""Keys and values of references, for the family whose references attend to one another only (FLUX.2 klein 9B KV).

They are the same for every prompt, seed, size and step that uses a set: made once a set, then laid side by side along
the batch, so that every sample of it may have a set of its own. Where the stock pipeline joins them to the picture's
at each layer and step, here they lie in the joined place already, and the picture's are written beside them.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cachetools import LRUCache

from catalogs.errors import EngineError
from inference.local.clock import StageClock
from inference.local.positions import Grid, Positions

if TYPE_CHECKING:
    import torch

    from inference.local.checkpoints import Checkpoint

HOST_ROOM = 2**30
"""Bytes of sets held where there is no GPU."""


@dataclass(frozen=True)
class ReferenceSet:
    """The references of one sample.

    Attributes:
        key: what they hold, in order.
        packed: (1, tokens, channels), all of them.
        grids: of each, in tokens.
    """

    key: Hashable
    packed: torch.Tensor
    grids: tuple[Grid, ...]

    @property
    def tokens(self) -> int:
        return int(self.packed.shape[1])


@dataclass
class LayerPlace:
    """Where one layer's keys and values lie: (batch, reference tokens + own tokens, heads, head dimension) each."""

    keys: torch.Tensor
    values: torch.Tensor
    references: int

    def first(self, batch: int) -> LayerPlace:
        """For a batch that is smaller."""
        return LayerPlace(self.keys[:batch], self.values[:batch], self.references)


class KeysValues:
    """Makes sets, holds a few, and lays them out for batches."""

    def __init__(self, checkpoint: Checkpoint, positions: Positions, clock: StageClock) -> None:
        self._checkpoint, self._positions, self._clock = checkpoint, positions, clock
        self._sets: LRUCache[Hashable, Any] = LRUCache(_room(checkpoint.device), getsizeof=_set_bytes)
        self._places: tuple[Any, list[LayerPlace]] = (None, [])
        self.counts = {"sets_encoded": 0, "set_hits": 0}
        if checkpoint.family == "kv":
            attend_in_place()

    def clear(self) -> None:
        """Give the device's memory back."""
        self._sets.clear()
        self._places = (None, [])

    def laid_out(self, sets: Sequence[ReferenceSet], own: int) -> Any:
        """Keys and values of a batch, as the transformer takes them (`Flux2KVCache` with a `LayerPlace` a layer).

        Args:
            sets: of each sample, of one geometry.
            own: tokens of prompt and picture, whose keys and values are written beside them at each step.
        """
        from diffusers.models.transformers.transformer_flux2 import Flux2KVCache

        for one in {each.key: each for each in sets}.values():
            made = self._made(one)  # no more than one beside those that are kept
            places = self._room_for(_layers(made), len(sets), one.tokens, own)
            for sample in (number for number, each in enumerate(sets) if each.key == one.key):
                for place, layer in zip(places, _layers(made), strict=True):
                    place.keys[sample, : one.tokens].copy_(layer.k_ref[0])
                    place.values[sample, : one.tokens].copy_(layer.v_ref[0])
        laid = Flux2KVCache(0, 0)
        doubles = len(made.double_block_caches)
        laid.double_block_caches, laid.single_block_caches = places[:doubles], places[doubles:]
        laid.num_ref_tokens = sets[0].tokens
        return laid

    def _room_for(self, layers: Sequence[Any], batch: int, references: int, own: int) -> list[LayerPlace]:
        """Places of so many tokens, those of the last batch where they do."""
        shape = (references, own, layers[0].k_ref.dtype)
        known, places = self._places
        if known != shape or len(places[0].keys) < batch:
            self._places = (None, [])  # the old go before the new come
            places = [_place(layer.k_ref, batch, references, own) for layer in layers]
            self._places = (shape, places)
        return [place.first(batch) for place in places]

    def _made(self, wanted: ReferenceSet) -> Any:
        found = self._sets.get(wanted.key)
        if found is not None:
            self.counts["set_hits"] += 1
            return found
        self.counts["sets_encoded"] += 1
        with self._clock.stage("references"):
            made = self._extracted(wanted)
        if _set_bytes(made) <= self._sets.maxsize:
            self._sets[wanted.key] = made
        return made

    def _extracted(self, wanted: ReferenceSet) -> Any:
        """One forward over the references, with one text and one picture token that the model insists on."""
        import torch

        transformer, packed = self._checkpoint.transformer, wanted.packed
        nothing = packed.new_zeros(1, 1, packed.shape[-1])
        _, kept = transformer(
            hidden_states=torch.cat([packed, nothing], dim=1),
            encoder_hidden_states=packed.new_zeros(1, 1, transformer.config.joint_attention_dim),
            timestep=packed.new_zeros(1),
            guidance=None,
            img_ids=self._positions.references(wanted.grids),
            txt_ids=self._positions.text(1),
            return_dict=False,
            kv_cache_mode="extract",
            num_ref_tokens=wanted.tokens,
        )
        return kept


def _room(device: torch.device) -> int:
    """Bytes for sets: 2 GiB a megapixel for klein-9b-kv, so a share of what the weights leave free."""
    if device.type != "cuda":
        return HOST_ROOM
    import torch

    return int(torch.cuda.mem_get_info(device)[0]) // 4


def _layers(kept: Any) -> list[Any]:
    return [*kept.double_block_caches, *kept.single_block_caches]


def _set_bytes(kept: Any) -> int:
    tensors = [tensor for layer in _layers(kept) for tensor in (layer.k_ref, layer.v_ref)]
    return sum(int(tensor.numel() * tensor.element_size()) for tensor in tensors)


def _place(like: torch.Tensor, batch: int, references: int, own: int) -> LayerPlace:
    shape = (batch, references + own, *like.shape[2:])
    return LayerPlace(like.new_empty(shape), like.new_empty(shape), references)


def attend_in_place() -> None:
    """Let diffusers' attention of the KV family write into a `LayerPlace` where it is given one.

    The processors of both kinds of blocks end in one function; all they do before it stays theirs.

    Raises:
        EngineError: this version of diffusers has no such function.
    """
    from diffusers.models.transformers import transformer_flux2 as module

    joined = getattr(module, "_flux2_kv_causal_attention", None)
    if joined is None:
        raise EngineError("this version of diffusers attends to kept references in another way: install 0.42")
    if getattr(joined, "in_place", False):
        return

    def attention(
        query: Any, key: Any, value: Any, text: int, references: int, kv_cache: Any = None, **rest: Any
    ) -> Any:
        if not isinstance(kv_cache, LayerPlace):
            return joined(query, key, value, text, references, kv_cache=kv_cache, **rest)
        # Positions are in the keys already, so it matters to no query in which order they lie.
        kv_cache.keys[:, kv_cache.references :].copy_(key)
        kv_cache.values[:, kv_cache.references :].copy_(value)
        return module.dispatch_attention_fn(query, kv_cache.keys, kv_cache.values, **rest)

    attention.in_place = True  # type: ignore[attr-defined]
    module._flux2_kv_causal_attention = attention
