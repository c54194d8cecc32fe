"""Local FLUX.2 through diffusers' modules, with a loop of our own around them.

The stock pipelines give one set of references to a whole batch, encode everything again at each call and cut
long prompts without a word. Here every sample has its own references and its own generator, prompts and
references are encoded once, and the pictures are those of the stock pipelines called once a request.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from functools import partial
from importlib.metadata import version
from typing import Any, TypeVar

from catalogs.errors import EngineError, ReferenceImageError
from catalogs.identity import PIXEL_RECIPE
from catalogs.requests import Reason, RenderRequest
from inference.engine import Engine, EngineOptions, Failed, LoadReference, Profile, Rendered, Result, failed_reference
from inference.local.batch_sizes import BatchSizes
from inference.local.batching import bucket_key, contents
from inference.local.checkpoints import Checkpoint, load_checkpoint
from inference.local.clock import StageClock, mark
from inference.local.decoding import decode
from inference.local.denoising import Conditions, denoise, flops_of, is_guided, noise
from inference.local.device import dense_flops, device_name, empty_cache, on_device, peak_bytes
from inference.local.faults import (
    Streak,
    breaks,
    broken_set_up,
    came_out_bad,
    does_not_fit,
    is_lost,
    is_out_of_memory,
    lost_device,
)
from inference.local.loading import Source
from inference.local.reference_encoding import ReferenceEncoder
from inference.local.started_batches import Flight, Sample
from inference.local.text_encoding import PromptTooLong, TextEncoder
from inference.models.workload import Workload

PREFETCHED = 16
"""Requests whose photos are loaded before their turn: each is megabytes."""

Made = TypeVar("Made")


class DiffusersEngine(Engine):
    """Renders with one checkpoint on one device."""

    name = "diffusers"

    def __init__(
        self, checkpoint: Checkpoint, load_reference: LoadReference, options: EngineOptions | None = None
    ) -> None:
        self._checkpoint, self._options = checkpoint, options or EngineOptions()
        self._clock = StageClock(checkpoint.device)
        self._text = TextEncoder(checkpoint, self._clock)
        self._references = ReferenceEncoder(checkpoint, self._clock, load_reference)
        self._sizes = BatchSizes(checkpoint, self._options)
        self._profile = Profile(device_name(checkpoint.device))
        self._streak = Streak(self._options)
        self._warm: set[Hashable] = set()
        self._taken: dict[str, int] = {}
        # Answers are consumed while the next batch is started, and a retry starts work too.
        self._lock = threading.RLock()
        self.versions = {name: version(name) for name in ("torch", "diffusers", "transformers")}
        self.versions["pixel_recipe"] = str(PIXEL_RECIPE)

    def load_with(self, load_reference: LoadReference) -> None:
        """Load references as the next shard does."""
        self._references.load_with(load_reference)

    def bucket(self, request: RenderRequest) -> Hashable:
        """One geometry; for the KV family one reference set, whose keys and values the whole batch shares."""
        key = bucket_key(request)
        if self._checkpoint.family == "kv" and request.references:
            return (contents(request), key)
        return ((), key)

    def batch_size(self, request: RenderRequest) -> int:
        return self._sizes.size(request)

    def prepare(self, upcoming: Sequence[RenderRequest]) -> None:
        with self._lock:
            self._text.expect(request.prompt for request in upcoming)
        self._references.prefetch([reference for request in upcoming[:PREFETCHED] for reference in request.references])

    def render(self, batch: Sequence[RenderRequest]) -> Iterable[Result]:
        """Render requests of one bucket; see `inference.engine.Engine`.

        Raises:
            EngineError: the batch mixes geometries, of which the transformer would take the first for all.
            DeviceError: the device failed, which its answers may tell too.
        """
        if len({self.bucket(request) for request in batch}) > 1:
            raise EngineError("a batch must hold one bucket: size, steps, guidance and reference sizes")
        if self._checkpoint.device.type != "cuda":
            # Work is done at once here: started when its answers are wanted, none of them waits for a later batch.
            return self._when_asked(list(batch))
        return self._collect(*self._start(list(batch)))

    def _when_asked(self, batch: list[RenderRequest]) -> Iterator[Result]:
        yield from self._collect(*self._start(batch))

    def take_profile(self) -> Profile:
        with self._lock:
            taken, self._profile = self._profile, Profile(device_name(self._checkpoint.device))
            for name, seconds in self._clock.take().items():
                taken.seconds[name] = taken.seconds.get(name, 0.0) + seconds
            counts = {**self._references.counts, "prompts_encoded": self._text.encoded}
            taken.counts |= {name: count - self._taken.get(name, 0) for name, count in counts.items()}
            if taken.images and self._checkpoint.vae.use_tiling:
                taken.counts["pictures_in_vae_tiles"] = taken.images
            self._taken = counts
            taken.limit_flops = dense_flops(self._checkpoint.device, self._checkpoint.vae.dtype)
            taken.peak_bytes = peak_bytes(self._checkpoint.device)
            return taken

    def _start(self, batch: list[RenderRequest]) -> tuple[list[Flight], list[Failed]]:
        import torch

        with self._lock, torch.no_grad():
            samples, failures = self._encoded(batch)
            flights = self._launch(samples, failures)
        return flights, failures

    def _encoded(self, batch: Sequence[RenderRequest]) -> tuple[list[Sample], list[Failed]]:
        """Encode prompts and references; a request whose own inputs are bad fails here, alone."""
        self._references.prefetch([reference for request in batch for reference in request.references])
        texts = self._texts(batch)
        samples: list[Sample] = []
        failures: list[Failed] = []
        for request in batch:
            text = texts.get(request.prompt)
            if isinstance(text, PromptTooLong):
                failures.append(Failed(request, Reason.ENGINE_ERROR, str(text), True))
                continue
            try:
                text = self._text_of(request) if text is None else text
                samples.append(self._with_room(partial(self._sample, request, text)))
            except ReferenceImageError as error:
                failures.append(failed_reference(request, error))
            except Exception as error:
                failures.append(self._failed(request, contents(request) or request.prompt, error))
        return samples, failures

    def _texts(self, batch: Sequence[RenderRequest]) -> dict[str, Any]:
        """Embeddings of a batch's prompts; nothing where encoding them together fails, to be tried one by one."""
        guided = any(is_guided(self._checkpoint, request) for request in batch)
        prompts = [request.prompt for request in batch] + [""] * guided
        try:
            return self._with_room(lambda: self._text.embeddings(prompts))
        except Exception as error:
            if is_lost(error):
                raise lost_device(error) from error
            return {}

    def _text_of(self, request: RenderRequest) -> Any:
        """The embedding of one prompt, encoded with no other.

        Raises:
            PromptTooLong: the model would cut it.
        """
        text = self._with_room(lambda: self._text.embeddings([request.prompt], alone=True))[request.prompt]
        if isinstance(text, PromptTooLong):
            raise text
        if is_guided(self._checkpoint, request):
            self._with_room(lambda: self._text.embeddings([""], alone=True))
        return text

    def _failed(self, request: RenderRequest, what: Hashable, error: BaseException) -> Failed:
        """The failure of a request that cannot be made, alone.

        Args:
            what: of the request did it.

        Raises:
            DeviceError: the device itself failed.
            EngineError: the set-up is broken, and no request is to blame.
        """
        if isinstance(error, PromptTooLong):
            return Failed(request, Reason.ENGINE_ERROR, str(error), True)
        if is_lost(error):
            raise lost_device(error) from error
        if is_out_of_memory(error):
            return does_not_fit(request, error)
        broken = broken_set_up(error, self._options)
        if broken:
            raise broken from error
        self._streak.broke(what, error)
        return breaks(request, error)

    def _with_room(self, make: Callable[[], Made]) -> Made:
        """What `make` returns, tried again with empty caches when memory runs out."""
        try:
            return make()
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        self._make_room()
        return make()

    def _make_room(self) -> None:
        self._references.drop_caches()
        empty_cache()

    def _sample(self, request: RenderRequest, text: Any) -> Sample:
        if not request.references:
            return Sample(request, text)
        import torch

        pipe = self._checkpoint.pipe
        grids = [self._references.latents(reference) for reference in request.references]
        packed = torch.cat([pipe._pack_latents(grid) for grid in grids], dim=1)
        return Sample(request, text, packed, on_device(pipe._prepare_image_ids(grids), packed.device))

    def _launch(self, samples: list[Sample], failures: list[Failed], last: bool = False) -> list[Flight]:
        """Give samples to the device; halve the batch when memory runs out, take it apart when it breaks.

        Args:
            last: the caches were emptied for this one already.

        Raises:
            DeviceError: the device itself failed.
        """
        if not samples:
            return []
        problem = None
        try:
            return [self._fly(samples)]
        except Exception as error:
            problem = error.with_traceback(None)  # its frames hold the tensors that must go
        if is_lost(problem):
            raise lost_device(problem)
        out_of_memory = is_out_of_memory(problem)
        broken = broken_set_up(problem, self._options)
        if broken:
            raise broken
        if out_of_memory and not last:
            # What is kept from earlier batches may be to blame, not the size of this one.
            self._make_room()
            return self._launch(samples, failures, last=True)
        if len(samples) == 1:
            request = samples[0].request
            failures.append(self._failed(request, (request.prompt, contents(request)), problem))
            return []
        half = len(samples) // 2 if out_of_memory else 1
        if out_of_memory:
            self._sizes.limit(samples[0].request, half)
        return [
            flight
            for start in range(0, len(samples), half)
            for flight in self._launch(samples[start : start + half], failures)
        ]

    def _fly(self, samples: list[Sample]) -> Flight:
        import torch

        checkpoint, request = self._checkpoint, samples[0].request
        begun = mark(checkpoint.device)
        start = noise(checkpoint, [sample.request for sample in samples])
        # Keys and values of a new reference set are made by the transformer too, in a stage of their own.
        conditions = self._conditions(samples)
        with self._clock.stage(self._stage("denoise", samples)):
            final = denoise(checkpoint, request, start, conditions)
        with self._clock.stage(self._stage("decode", samples)):
            pixels, verdicts = decode(checkpoint.pipe, final, *start.shape[-2:])
        self._count(samples)
        if checkpoint.device.type != "cuda":
            return Flight(samples, pixels, verdicts, None, mark(checkpoint.device) - begun)
        host = torch.empty(pixels.shape, dtype=torch.uint8, pin_memory=True)
        host.copy_(pixels, non_blocking=True)
        verdicts = verdicts.to("cpu", non_blocking=True)
        return Flight(samples, host, verdicts, mark(checkpoint.device), begun)

    def _conditions(self, samples: list[Sample]) -> Conditions:
        import torch

        text = torch.cat([sample.text for sample in samples])
        first = samples[0]
        unconditional: Any = None
        if is_guided(self._checkpoint, first.request):
            unconditional = self._text.embeddings([""])[""]
        if first.references is None:
            return Conditions(text, unconditional)
        if self._checkpoint.family == "kv":
            kept = self._references.keys_values(first.request.references, first.references, first.reference_ids)
            return Conditions(text, keys_values=kept)
        packed = torch.cat([sample.references for sample in samples])
        return Conditions(text, unconditional, packed, first.reference_ids)

    def _stage(self, name: str, samples: list[Sample]) -> str:
        """`warm-up` for the first batch of a shape, in which a GPU chooses or compiles its kernels."""
        device = self._checkpoint.device.type
        shape = (name, len(samples), bucket_key(samples[0].request))
        if shape in self._warm or not (self._options.compile or device == "cuda"):
            return name
        self._warm.add(shape)
        return "warm-up"

    def _count(self, samples: list[Sample]) -> None:
        request = samples[0].request
        shape = ("counted", len(samples), bucket_key(request))
        if (self._options.compile or self._checkpoint.device.type == "cuda") and shape not in self._warm:
            self._warm.add(shape)  # what was warm-up counts neither in pictures nor in operations
            return
        references = samples[0].references
        count = 0 if references is None else references.shape[1]
        self._profile.images += len(samples)
        self._profile.flops += len(samples) * flops_of(self._checkpoint, request, count)

    def _collect(self, flights: list[Flight], failures: list[Failed]) -> Iterator[Result]:
        """Answers of batches that were started; a picture that came out bad is made once more, alone."""
        yield from failures
        for flight in flights:
            for result in self._landed(flight):
                if isinstance(result, Failed):
                    yield self._once_more(result)
                else:
                    yield result

    def _landed(self, flight: Flight) -> Iterator[Result]:
        try:
            seconds, count = flight.seconds(), len(flight.samples)
        except RuntimeError as error:  # a fault on the device shows only now, and ends its context
            raise lost_device(error) from error
        self._sizes.measured(flight.samples[0].request, count, seconds)
        pixels, verdicts = flight.pixels.numpy(), flight.verdicts.tolist()
        for place, sample in enumerate(flight.samples):
            finite, varied = verdicts[place]
            if finite and varied:
                self._streak.ended()
                # A copy of its own: a view would keep the whole batch alive until the last is stored.
                yield Rendered(sample.request, pixels[place].copy(), seconds / count, count)
            else:
                yield came_out_bad(sample.request, finite)

    def _once_more(self, failed: Failed) -> Result:
        counts = self._profile.counts
        counts["retries"] = counts.get("retries", 0) + 1
        flights, failures = self._start([failed.request])
        return next((result for flight in flights for result in self._landed(flight)), (failures or [failed])[0])


_engines: dict[tuple[Source, EngineOptions], DiffusersEngine] = {}
_engines_lock = threading.Lock()


def load_engine(
    source: Source, load_reference: LoadReference, options: EngineOptions, largest: Workload | None = None
) -> DiffusersEngine:
    """The engine of a checkpoint in this process; loaded once and found again by the next shard.

    Args:
        largest: of what it will be asked for, when it is loaded: by it the parts are laid out.

    Raises:
        EngineError: diffusers is not installed, the weights cannot be loaded, or not even one picture would fit.
        ModelError: the model is none of this engine's.
    """
    with _engines_lock:
        engine = _engines.get((source, options))
        if engine is None:
            engine = _engines[source, options] = DiffusersEngine(
                load_checkpoint(source, options, largest), load_reference, options
            )
        engine.load_with(load_reference)
    return engine
