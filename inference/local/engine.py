"""Local FLUX.2 through diffusers' modules, with a loop of our own around them.

The stock pipelines give one set of references to a whole batch, encode everything again at each call and cut
long prompts without a word. Here every sample has its own references and its own generator, prompts and
references are encoded once, and the pictures are those of the stock pipelines called once a request.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from functools import partial
from importlib.metadata import version
from typing import Any

from catalogs.errors import EngineError
from catalogs.identity import PIXEL_RECIPE
from catalogs.requests import RenderRequest
from inference.engine import Engine, EngineOptions, Failed, LoadReference, Profile, Rendered, Result
from inference.local.acceleration import EAGER_SHARE, Acceleration, Way
from inference.local.batch_sizes import BatchSizes
from inference.local.batching import bucket_key, contents, tokens_of
from inference.local.checkpoints import Checkpoint, is_laid_out_for, load_checkpoint
from inference.local.clock import StageClock, mark
from inference.local.conditioning import Conditioning
from inference.local.decoding import decode
from inference.local.denoising import first_forward, flops_of, noise
from inference.local.device import current, dense_flops, device_name, forget, peak_bytes
from inference.local.faults import Faults, came_out_bad, is_out_of_memory, lost_device
from inference.local.graphs import Graphs
from inference.local.kept_latents import Shelf
from inference.local.loading import Source
from inference.local.started_batches import Flight, Sample
from inference.models.workload import Workload


class DiffusersEngine(Engine):
    """Renders with one checkpoint on one device."""

    name = "diffusers"

    def __init__(
        self, checkpoint: Checkpoint, load_reference: LoadReference, options: EngineOptions | None = None
    ) -> None:
        self._checkpoint, self._options = checkpoint, options or EngineOptions()
        self._clock = StageClock(checkpoint.device)
        self._faults = Faults(self._options)
        self._conditioning = Conditioning(checkpoint, self._clock, load_reference, self._faults)
        self._sizes = BatchSizes(checkpoint, self._options)
        self._acceleration = Acceleration(checkpoint, self._options)
        self._graphs = Graphs(checkpoint)
        self._profile = Profile(device_name(checkpoint.device))
        self._warm: set[Hashable] = set()
        self._taken: dict[str, int] = {}
        # Answers are consumed while the next batch is started, and a retry starts work too.
        self._lock = threading.RLock()
        self.versions = {name: version(name) for name in ("torch", "diffusers", "transformers")}
        self.versions["pixel_recipe"] = str(PIXEL_RECIPE)

    def load_with(self, load_reference: LoadReference, shelf: Shelf | None = None) -> None:
        """Load references, and keep their latents, as the next shard does."""
        self._conditioning.references.load_with(load_reference, shelf)

    def is_laid_out_for(self, workload: Workload) -> bool:
        """Whether its parts would lie where they do if the model were loaded for this."""
        return is_laid_out_for(self._checkpoint, self._options, workload)

    def bucket(self, request: RenderRequest) -> Hashable:
        """One geometry: every sample has references of its own."""
        return bucket_key(request)

    def batch_size(self, request: RenderRequest) -> int:
        return self._sizes.size(request, str(self._way(request)))

    def begin(self, requests: Sequence[RenderRequest]) -> None:
        with self._lock:
            self._acceleration.begin(Counter(bucket_key(request) for request in requests))

    def _way(self, request: RenderRequest) -> Way:
        """How the request's bucket is rendered in this shard."""
        return self._acceleration.way(bucket_key(request), lambda: self._estimated_seconds(request))

    def _estimated_seconds(self, request: RenderRequest) -> float:
        """Of one picture, as the stock pipeline computes."""
        rate = dense_flops(self._checkpoint.device, self._checkpoint.vae.dtype)
        return flops_of(self._checkpoint, request, tokens_of(request)[1]) / (rate * EAGER_SHARE)

    def prepare(self, upcoming: Sequence[RenderRequest]) -> None:
        with self._lock:
            self._conditioning.expect(upcoming)

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
            counts = {**self._conditioning.counts, "pictures_replayed": self._graphs.replayed}
            taken.counts |= {name: count - self._taken.get(name, 0) for name, count in counts.items()}
            taken.notes = [*self._acceleration.notes, *self._graphs.notes]
            if taken.images and self._checkpoint.vae.use_tiling:
                taken.counts["pictures_in_vae_tiles"] = taken.images
            self._taken = counts
            taken.limit_flops = dense_flops(self._checkpoint.device, self._checkpoint.vae.dtype)
            taken.peak_bytes = peak_bytes(self._checkpoint.device)
            return taken

    def _start(self, batch: list[RenderRequest]) -> tuple[list[Flight], list[Failed]]:
        import torch

        with self._lock, torch.no_grad(), current(self._checkpoint.device):
            samples, failures = self._conditioning.encoded(batch)
            flights = self._launch(samples, failures)
        return flights, failures

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
        self._faults.end_if_broken(problem)
        out_of_memory = is_out_of_memory(problem)
        if out_of_memory and not last:
            # What is kept from earlier batches may be to blame, not the size of this one.
            self._conditioning.make_room()
            self._graphs.clear()
            return self._launch(samples, failures, last=True)
        if len(samples) == 1:
            request = samples[0].request
            failures.append(self._faults.failed(request, (request.prompt, contents(request)), problem))
            return []
        half = len(samples) // 2 if out_of_memory else 1
        if out_of_memory:
            request = samples[0].request
            self._sizes.limit(request, half, str(self._way(request)))
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
        conditions = self._conditioning.conditions(samples, start.shape[-2:])
        way = self._proven(request, partial(first_forward, checkpoint, request, start, conditions))
        with self._acceleration.using(way):
            with self._clock.stage(self._stage("denoise", samples, way)):
                final = self._graphs.denoise(request, start, conditions, way)
            with self._clock.stage(self._stage("decode", samples, way)):
                pixels, verdicts = decode(checkpoint.pipe, final, *start.shape[-2:])
        self._count(samples, way)
        if checkpoint.device.type != "cuda":
            return Flight(samples, way, pixels, verdicts, None, mark(checkpoint.device) - begun)
        host = torch.empty(pixels.shape, dtype=torch.uint8, pin_memory=True)
        host.copy_(pixels, non_blocking=True)
        verdicts = verdicts.to("cpu", non_blocking=True)
        return Flight(samples, way, host, verdicts, mark(checkpoint.device), begun)

    def _proven(self, request: RenderRequest, forward: Callable[[], Any]) -> Way:
        """The way of a batch; to show that a quick one computes the same compiles its blocks, which is warm-up."""
        bucket, way = bucket_key(request), self._way(request)
        if self._acceleration.is_proven(bucket, way):
            return way
        with self._clock.stage("warm-up"):
            return self._acceleration.proven(bucket, way, forward)

    def _stage(self, name: str, samples: list[Sample], way: Way) -> str:
        """`warm-up` for the first batch of a shape, in which a GPU chooses or compiles its kernels."""
        device = self._checkpoint.device.type
        shape = (name, len(samples), way, bucket_key(samples[0].request))
        if shape in self._warm or not (way.compile or device == "cuda"):
            return name
        self._warm.add(shape)
        return "warm-up"

    def _count(self, samples: list[Sample], way: Way) -> None:
        request = samples[0].request
        shape = ("counted", len(samples), way, bucket_key(request))
        if str(way):
            counts = self._profile.counts
            counts["pictures_accelerated"] = counts.get("pictures_accelerated", 0) + len(samples)
        if (way.compile or self._checkpoint.device.type == "cuda") and shape not in self._warm:
            self._warm.add(shape)  # what was warm-up counts neither in pictures nor in operations
            return
        references = samples[0].references
        count = references.tokens if references else 0
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
        request, way = flight.samples[0].request, flight.way
        self._sizes.measured(request, count, seconds, str(way))
        self._acceleration.measured(bucket_key(request), way, seconds, count)
        pixels, verdicts = flight.pixels.numpy(), flight.verdicts.tolist()
        for place, sample in enumerate(flight.samples):
            finite, varied = verdicts[place]
            if finite and varied:
                self._faults.ended()
                # A copy of its own: a view would keep the whole batch alive until the last is stored.
                yield Rendered(sample.request, pixels[place].copy(), seconds / count, count, how=str(way))
            else:
                yield came_out_bad(sample.request, finite)

    def _once_more(self, failed: Failed) -> Result:
        counts = self._profile.counts
        counts["retries"] = counts.get("retries", 0) + 1
        flights, failures = self._start([failed.request])
        return next((result for flight in flights for result in self._landed(flight)), (failures or [failed])[0])


_engines: dict[tuple[Source, EngineOptions], tuple[DiffusersEngine, Workload]] = {}
_engines_lock = threading.Lock()


def load_engine(
    source: Source,
    load_reference: LoadReference,
    options: EngineOptions,
    largest: Workload | None = None,
    shelf: Shelf | None = None,
) -> DiffusersEngine:
    """The engine of a checkpoint in this process; loaded once and found again by the next shard.

    Args:
        largest: of what it will be asked for: by it the parts are laid out, anew where a later plan asks for more than
            there is room for.
        shelf: where latents of references are kept for other processes.

    Raises:
        EngineError: diffusers is not installed, the weights cannot be loaded, or not even one picture would fit.
        ModelError: the model is none of this engine's.
    """
    wanted = largest or Workload()
    with _engines_lock:
        if known := _engines.get((source, options)):
            wanted = wanted.joined(known[1])
            if not known[0].is_laid_out_for(wanted):
                del known, _engines[source, options]
                forget()
        if (source, options) not in _engines:
            engine = DiffusersEngine(load_checkpoint(source, options, wanted), load_reference, options)
        else:
            engine = _engines[source, options][0]
        _engines[source, options] = engine, wanted
        engine.load_with(load_reference, shelf)
    return engine
