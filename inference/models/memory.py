"""What a local model needs of memory, and what this machine has: for the model table and the choice of a mode."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from typing import Literal

from inference.models.flops import TransformerShape
from inference.models.specs import ModelSpec

Mode = Literal["resident", "two-phase", "offload"]

WORKING_BYTES = 6 * 2**30
"""What a batch at one megapixel, the caches and the allocator take beside the weights."""

_VAE_WEIGHTS = 84_046_000
_BYTES = {"bfloat16": 2, "float32": 4, "float8": 1}


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

    @property
    def parameters(self) -> int:
        attention = self.width * self.head * (2 * self.heads + 2 * self.key_heads)
        return self.layers * (attention + 3 * self.width * self.inner) + self.vocabulary * self.width


_QWEN_4B = TextShape(2560, 27, 32, 8, 9728, 151_936)
_QWEN_8B = TextShape(4096, 27, 32, 8, 12288, 151_936)
_MISTRAL_24B = TextShape(5120, 30, 32, 8, 32768, 131_072)
_FOUR = TransformerShape(3072, 5, 20, 7680)
_NINE = TransformerShape(4096, 8, 24, 12288)
_DEV = TransformerShape(6144, 8, 48, 15360, guided=True)
_PARTS = {
    "klein-4b": (_FOUR, _QWEN_4B),
    "klein-base-4b": (_FOUR, _QWEN_4B),
    "klein-9b": (_NINE, _QWEN_8B),
    "klein-9b-kv": (_NINE, _QWEN_8B),
    "klein-base-9b": (_NINE, _QWEN_8B),
    "dev": (_DEV, _MISTRAL_24B),
}


@dataclass(frozen=True, slots=True)
class Need:
    """Bytes a model needs of its device, by mode.

    Attributes:
        host: bytes of the host's memory for the modes that keep weights there.
    """

    resident: int
    two_phase: int
    offload: int
    host: int


def need_of(spec: ModelSpec) -> Need | None:
    """None for models that are not in this machine's memory."""
    if spec.name not in _PARTS:
        return None
    transformer, text = _PARTS[spec.name]
    itemsize = _BYTES[spec.weight_precision]
    weights, encoder = transformer.parameters * itemsize, text.parameters * itemsize
    base = _VAE_WEIGHTS * itemsize + WORKING_BYTES
    return Need(
        resident=weights + encoder + base,
        two_phase=max(weights, encoder) + base,
        offload=base,
        host=weights + encoder,
    )


@dataclass(frozen=True, slots=True)
class Machine:
    """Where local models run: the first GPU that nvidia-smi names, else the host itself."""

    name: str
    device_bytes: int
    host_bytes: int

    @property
    def is_gpu(self) -> bool:
        return self.name != "cpu"


def this_machine() -> Machine:
    """Asked of the driver's own tool: importing torch to learn it takes seconds."""
    host = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    tool = shutil.which("nvidia-smi")
    if tool:
        query = [tool, "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
        answer = subprocess.run(query, capture_output=True, text=True, check=False, timeout=20)
        first = answer.stdout.splitlines()[:1] if answer.returncode == 0 else []
        if first and "," in first[0]:
            name, _, mebibytes = first[0].rpartition(",")
            return Machine(name.strip(), int(mebibytes) * 2**20, host)
    return Machine("cpu", host, host)


def fitting_mode(need: Need, machine: Machine) -> Mode | None:
    """The fastest mode the machine has room for; None where there is none."""
    if need.resident <= machine.device_bytes:
        return "resident"
    if not machine.is_gpu or need.host > machine.host_bytes:
        return None
    if need.two_phase <= machine.device_bytes:
        return "two-phase"
    return "offload" if need.offload <= machine.device_bytes else None
