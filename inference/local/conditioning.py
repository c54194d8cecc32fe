"""What steers a batch: its prompts and references encoded, each once, and laid out for the transformer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from catalogs.errors import ReferenceImageError
from catalogs.requests import Reason, RenderRequest
from inference.engine import Failed, LoadReference, failed_reference
from inference.local.batching import contents
from inference.local.checkpoints import Checkpoint
from inference.local.clock import StageClock
from inference.local.denoising import Conditions, is_guided
from inference.local.device import empty_cache
from inference.local.faults import Faults, is_lost, is_out_of_memory, lost_device
from inference.local.keys_values import KeysValues, ReferenceSet
from inference.local.positions import Positions
from inference.local.reference_encoding import ReferenceEncoder
from inference.local.started_batches import Sample
from inference.local.text_encoding import PromptTooLong, TextEncoder

PREFETCHED = 16
"""Requests whose photos are loaded before their turn: each is megabytes."""

Made = TypeVar("Made")


class Conditioning:
    """Encodes for one checkpoint; `expect` may be called from other threads than the rest."""

    def __init__(
        self, checkpoint: Checkpoint, clock: StageClock, load_reference: LoadReference, faults: Faults
    ) -> None:
        self._checkpoint, self._faults = checkpoint, faults
        self._positions = Positions(checkpoint.pipe, checkpoint.device)
        self.text = TextEncoder(checkpoint, clock)
        self.references = ReferenceEncoder(checkpoint, clock, load_reference)
        self.keys_values = KeysValues(checkpoint, self._positions, clock)

    @property
    def counts(self) -> dict[str, int]:
        """What was encoded and what was found, since the start."""
        return {**self.references.counts, **self.keys_values.counts, "prompts_encoded": self.text.encoded}

    def expect(self, upcoming: Sequence[RenderRequest]) -> None:
        """Told what comes next, in order."""
        self.text.expect(request.prompt for request in upcoming)
        self.references.prefetch([reference for request in upcoming[:PREFETCHED] for reference in request.references])

    def encoded(self, batch: Sequence[RenderRequest]) -> tuple[list[Sample], list[Failed]]:
        """Encode prompts and references; a request whose own inputs are bad fails here, alone."""
        self.references.prefetch([reference for request in batch for reference in request.references])
        texts = self._texts(batch)
        samples: list[Sample] = []
        failures: list[Failed] = []
        for request in batch:
            text = texts.get(request.prompt)
            try:
                text = self._text_of(request) if text is None else text
                if isinstance(text, PromptTooLong):
                    raise text
                samples.append(self._with_room(partial(self._sample, request, text)))
            except PromptTooLong as error:
                failures.append(Failed(request, Reason.ENGINE_ERROR, str(error), True))
            except ReferenceImageError as error:
                failures.append(failed_reference(request, error))
            except Exception as error:
                failures.append(self._faults.failed(request, contents(request) or request.prompt, error))
        return samples, failures

    def _texts(self, batch: Sequence[RenderRequest]) -> dict[str, Any]:
        """Embeddings of a batch's prompts; nothing where encoding them together fails, to be tried one by one."""
        guided = any(is_guided(self._checkpoint, request) for request in batch)
        prompts = [request.prompt for request in batch] + [""] * guided
        try:
            return self._with_room(lambda: self.text.embeddings(prompts))
        except Exception as error:
            if is_lost(error):
                raise lost_device(error) from error
            return {}

    def _text_of(self, request: RenderRequest) -> Any:
        """The embedding of one prompt, encoded with no other."""
        text = self._with_room(lambda: self.text.embeddings([request.prompt], alone=True))[request.prompt]
        if is_guided(self._checkpoint, request):
            self._with_room(lambda: self.text.embeddings([""], alone=True))
        return text

    def _with_room(self, make: Callable[[], Made]) -> Made:
        """What `make` returns, tried again with empty caches when memory runs out."""
        try:
            return make()
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        self.make_room()
        return make()

    def make_room(self) -> None:
        """Give the device's memory back: what is kept can be made again."""
        self.references.drop_caches()
        self.keys_values.clear()
        empty_cache()

    def _sample(self, request: RenderRequest, text: Any) -> Sample:
        if not request.references:
            return Sample(request, text)
        import torch

        latents = [self.references.latents(reference) for reference in request.references]
        packed = torch.cat([self._checkpoint.pipe._pack_latents(one) for one in latents], dim=1)
        grids = tuple((one.shape[-2], one.shape[-1]) for one in latents)
        key = tuple((reference.sha256, grid) for reference, grid in zip(request.references, grids, strict=True))
        return Sample(request, text, ReferenceSet(key, packed, grids))

    def conditions(self, samples: list[Sample], grid: Sequence[int]) -> Conditions:
        """What steers a batch.

        Args:
            grid: rows and columns of the picture, in tokens.
        """
        import torch

        picture = (grid[0], grid[1])
        text = torch.cat([sample.text for sample in samples])
        text_ids = self._positions.text(text.shape[1])
        unconditional: Any = None
        if is_guided(self._checkpoint, samples[0].request):
            unconditional = self.text.embeddings([""])[""]
        sets = [sample.references for sample in samples if sample.references]
        if not sets:
            return Conditions(text, self._positions.picture(picture), text_ids, unconditional)
        if self._checkpoint.family == "kv":
            laid = self.keys_values.laid_out(sets, text.shape[1] + grid[0] * grid[1])
            return Conditions(text, self._positions.picture(picture), text_ids, keys_values=laid)
        ids = self._positions.picture(picture, sets[0].grids)
        return Conditions(text, ids, text_ids, unconditional, torch.cat([one.packed for one in sets]))
