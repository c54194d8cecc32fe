"""What makes a bucket quicker after a warm-up: compiled blocks, another attention, a folded and compiled decoder.

Left to itself the engine renders as the stock pipeline computes, and goes over to the quicker way for a bucket once the
pictures known of it pay for the warm-up. The first batch of such a bucket is computed both ways: where the outputs
differ by more than rounding, or a compiler or kernel fails, the bucket stays as it was, and the profile says why.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inference.engine import EngineOptions
from inference.local.checkpoints import lacking_attention
from inference.local.decoding import fold_upsamplers
from inference.local.faults import is_lost, is_out_of_memory, one_line
from inference.local.measured import recall, remember

if TYPE_CHECKING:
    import torch

    from inference.local.checkpoints import Checkpoint

_KIND = "warm_ups"
EAGER_SHARE = 0.45
"""Of the dense rate, which the blocks reach as they are; estimated until a bucket was measured."""
FAST_SHARE = 0.65
WARM_UP = 60.0
"""Seconds until compiled blocks and decoder run at their rate; estimated until it was measured."""
TOLERANCES = {"torch.float32": 1e-3, "torch.bfloat16": 5e-2}
"""Largest relative difference (of the Euclidean norms) of one forward that counts as rounding."""

# Each new combination of batch and geometry compiles anew up to this often; torch's 8 would then fall back to eager.
_RECOMPILE_LIMIT = 128


@dataclass(frozen=True)
class Way:
    """How transformer and decoder run.

    Attributes:
        attention: a backend of diffusers, "" for torch's own choice.
    """

    compile: bool = False
    attention: str = ""
    folded: bool = False

    def __str__(self) -> str:
        """As rows and measurements name it; "" for the stock way."""
        parts = ["compile"] * self.compile + [self.attention] * bool(self.attention) + ["folded"] * self.folded
        return " ".join(parts)


class Acceleration:
    """Chooses the way of each bucket and switches to it."""

    def __init__(self, checkpoint: Checkpoint, options: EngineOptions) -> None:
        """
        Raises:
            OptionError: the attention backend that was asked for cannot be used here.
        """
        self._checkpoint = checkpoint
        # Weights that are fetched or cast as a layer is called cannot be compiled; the decoder can.
        self._blocks_compile = not checkpoint.is_hooked
        self._decoders: dict[tuple[bool, bool], Any] = {(False, False): checkpoint.vae.decoder}
        self._are_compiled = False
        self.asked = Way(options.compile == "on", options.attention, options.decoder == "folded")
        self.quick = _quick_way(checkpoint, options)
        self._now = Way()
        self._model = f"{checkpoint.shape.width}x{checkpoint.shape.blocks}|{checkpoint.family}|{self.quick}"
        self._decided: dict[Hashable, Way] = {}
        self._warm: set[Hashable] = set()
        self._seen: dict[Hashable, int] = {}
        self._counts: dict[Hashable, int] = {}
        self._eager: dict[Hashable, float] = {}
        self.notes: dict[str, None] = {}
        self._switch(self.asked)

    def begin(self, counts: dict[Hashable, int]) -> None:
        """A shard begins: so many pictures of each bucket. Inside one the way of a bucket changes no more."""
        self._counts, self._decided = counts, {}

    def way(self, bucket: Hashable, estimated: Callable[[], float]) -> Way:
        """The way of a bucket in this shard.

        Args:
            estimated: seconds of one picture of it, as the stock pipeline computes.
        """
        if bucket not in self._decided:
            count = self._counts.get(bucket, 0)
            self._decided[bucket] = self.quick if self.quick and self._pays(bucket, count, estimated) else self.asked
            # What was rendered the slow way speaks for more of it: no more is lost so than a warm-up takes.
            self._seen[bucket] = self._seen.get(bucket, 0) + count
        return self._decided[bucket]

    def _pays(self, bucket: Hashable, count: int, estimated: Callable[[], float]) -> bool:
        if bucket in self._warm:
            return True
        known = self._seen.get(bucket, 0) + count
        each = self._eager.get(bucket) or estimated()
        saved = known * each * (1 - EAGER_SHARE / FAST_SHARE)
        return saved > recall(_KIND).get(self._model, WARM_UP)

    def measured(self, bucket: Hashable, way: Way, seconds: float, count: int) -> None:
        """A batch took so long: of the first quick one of a bucket nearly all is warm-up."""
        if way != self.quick:
            known = self._eager.get(bucket)
            self._eager[bucket] = min(known, seconds / count) if known else seconds / count
        elif bucket not in self._warm:
            self._warm.add(bucket)
            remember(_KIND, {self._model: round(seconds, 1)})

    @contextmanager
    def using(self, way: Way) -> Iterator[None]:
        """Run transformer and decoder so."""
        import torch

        self._switch(way)
        if self._are_compiled and not way.compile:
            with torch.compiler.set_stance("force_eager"):
                yield
            return
        yield

    def is_proven(self, bucket: Hashable, way: Way) -> bool:
        """Whether there is nothing to show of a way: it is what was asked for, or the bucket has gone it."""
        return way != self.quick or way == self.asked or bucket in self._warm

    def proven(self, bucket: Hashable, way: Way, forward: Callable[[], torch.Tensor]) -> Way:
        """The way to go for a bucket: the quick one where a forward both ways shows that it computes the same.

        Args:
            forward: one forward of the transformer for the bucket's first batch, the same at each call.
        """
        if self.is_proven(bucket, way):
            return way
        problem = self._problem(way, forward)
        if problem:
            # Nothing that was to be proven here is worth another try in this process.
            self.quick = None
            self._decided = dict.fromkeys(self._decided, self.asked)
            self.notes[f"not accelerated ({way}): {problem}"] = None
        return self._decided.get(bucket, self.asked)

    def _problem(self, way: Way, forward: Callable[[], torch.Tensor]) -> str:
        """Why the way is not to be gone, "" where nothing speaks against it."""
        try:
            with self.using(self.asked):
                expected = forward().float()
            with self.using(way):
                made = forward().float()
                self._decode_nothing()
        except Exception as error:
            if is_lost(error):
                raise
            return "no room for it" if is_out_of_memory(error) else one_line(error)
        difference = float((made - expected).norm() / expected.norm())
        allowed = TOLERANCES.get(str(self._checkpoint.vae.dtype), TOLERANCES["torch.bfloat16"])
        return "" if difference <= allowed else f"its output differs by {difference:.1%}"

    def _decode_nothing(self) -> None:
        """Meet a decoder that cannot be compiled before pictures depend on it."""
        import torch

        vae = self._checkpoint.vae
        latents = torch.zeros(1, vae.config.latent_channels, 8, 8, device=self._checkpoint.device, dtype=vae.dtype)
        vae.decode(latents, return_dict=False)

    def _switch(self, way: Way) -> None:
        if way == self._now:
            return
        if way.attention != self._now.attention:
            self._attend_with(way.attention)
        if way.compile and not self._are_compiled:
            self._compile_blocks()
        self._checkpoint.vae.decoder = self._decoder(way.folded, way.compile)
        self._now = way

    def _attend_with(self, backend: str) -> None:
        try:
            # To reset it would leave the last one in force: diffusers keeps it for the whole process.
            self._checkpoint.transformer.set_attention_backend(backend or "native")
        except (ValueError, ImportError, RuntimeError) as error:  # a package or a kernel it needs is not here
            raise lacking_attention(backend, error) from None

    def _compile_blocks(self) -> None:
        import torch._dynamo

        self._are_compiled = True
        torch._dynamo.config.recompile_limit = _RECOMPILE_LIMIT
        # Said of a version check in diffusers' upsampler; its answer is the same at every call.
        warnings.filterwarnings("ignore", message="Dynamo detected a call to a `functools.lru_cache`")
        if self._blocks_compile:
            self._checkpoint.transformer.compile_repeated_blocks(fullgraph=True)
        else:
            self.notes["weights that are cast or fetched layer by layer are not compiled; the decoder is"] = None

    def _decoder(self, folded: bool, compiled: bool) -> Any:
        """The decoder of a way; each way has one of its own, of some 100 MB."""
        import torch

        if (folded, compiled) not in self._decoders:
            made = copy.deepcopy(self._decoders[False, False])
            if folded:
                fold_upsamplers(made)
            if compiled:
                # channels_last alone makes the decoder slower; compiled it makes it faster.
                made = torch.compile(made.to(memory_format=torch.channels_last))
            self._decoders[folded, compiled] = made
        return self._decoders[folded, compiled]


def _quick_way(checkpoint: Checkpoint, options: EngineOptions) -> Way | None:
    """What buckets go over to by themselves; none on a CPU, which compiles longer than it gains."""
    if checkpoint.device.type != "cuda" or options.compile != "auto":
        return None
    import torch

    # cuDNN's attention is the quicker one from Hopper on.
    hopper = torch.cuda.get_device_capability(checkpoint.device) >= (9, 0)
    return Way(
        compile=not checkpoint.is_hooked,
        attention=options.attention or ("_native_cudnn" if hopper else ""),
        folded=options.decoder != "stock",
    )
