"""Position ids of pictures, references and text, and their rotary embeddings: made once a geometry."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from cachetools import LRUCache

from inference.local.device import on_device

if TYPE_CHECKING:
    import torch

Grid = tuple[int, int]
"""Rows and columns of tokens."""

GEOMETRIES = 64
EMBEDDED = 8
"""Rotary embeddings held: a kilobyte a token, so 16 MB for three references of a megapixel."""


class Positions:
    """Ids as the stock pipelines make them: the picture at time 0, each reference at a time of its own."""

    def __init__(self, pipe: Any, device: torch.device) -> None:
        self._pipe, self._device = pipe, device
        self._kept: LRUCache[Any, Any] = LRUCache(GEOMETRIES)
        pipe.transformer.pos_embed = remembered(pipe.transformer.pos_embed)

    def picture(self, grid: Grid, references: Sequence[Grid] = ()) -> torch.Tensor:
        """(tokens, 4) of a picture and the references that follow it."""
        import torch

        def made() -> torch.Tensor:
            ids = [self._pipe._prepare_latent_ids(torch.empty(1, 1, *grid))]
            return torch.cat([*ids, *self._reference_ids(references)], dim=1)

        return self._of(("picture", grid, tuple(references)), made)

    def references(self, grids: Sequence[Grid]) -> torch.Tensor:
        """(tokens + 1, 4) of references, and of the one token beside them that the transformer insists on."""
        import torch

        def made() -> torch.Tensor:
            (ids,) = self._reference_ids(grids)
            return torch.cat([ids, ids.new_zeros(1, 1, ids.shape[-1])], dim=1)

        return self._of(("references", tuple(grids)), made)

    def text(self, tokens: int) -> torch.Tensor:
        """(tokens, 4)."""
        import torch

        return self._of(("text", tokens), lambda: self._pipe._prepare_text_ids(torch.empty(1, tokens, 1)))

    def _reference_ids(self, grids: Sequence[Grid]) -> list[Any]:
        import torch

        return [self._pipe._prepare_image_ids([torch.empty(1, 1, *grid) for grid in grids])] if grids else []

    def _of(self, key: Any, make: Callable[[], torch.Tensor]) -> torch.Tensor:
        """Two dimensions: the transformer would take the first sample's anyway."""
        if key not in self._kept:
            self._kept[key] = on_device(make()[0], self._device)
        kept: torch.Tensor = self._kept[key]
        return kept


def remembered(embed: Any) -> Any:
    """A `pos_embed` that computes each tensor of ids once: the transformer asks at every step."""
    import torch

    class Remembered(torch.nn.Module):
        """By identity: the tensor is held, so that no other can have its place."""

        def __init__(self) -> None:
            super().__init__()
            self.embed = embed
            self._kept: LRUCache[int, tuple[Any, Any]] = LRUCache(EMBEDDED)

        @property
        def held(self) -> list[Any]:
            """Everything kept now."""
            return list(self._kept.values())

        def forward(self, ids: torch.Tensor) -> Any:
            held = self._kept.get(id(ids))
            if held is None or held[0] is not ids:
                held = self._kept[id(ids)] = (ids, self.embed(ids))
            return held[1]

    return embed if type(embed).__name__ == "Remembered" else Remembered()
