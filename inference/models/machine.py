"""What this machine has free for a local model."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")
_MEBIBYTES = re.compile(r"[0-9]{1,12}")
_INSTANCE = re.compile(r"(MIG \S*?([0-9]{1,4})gb\S*) .*UUID: (MIG-[^)\s]+)")


@dataclass(frozen=True, slots=True)
class Machine:
    """Where local models run: the GPU with most free memory of those nvidia-smi names, else the host itself.

    Attributes:
        device_bytes: free memory of the GPU, of the host without one.
        host_bytes: free memory of the host.
    """

    name: str
    device_bytes: int
    host_bytes: int

    @property
    def is_gpu(self) -> bool:
        return self.name != "cpu"


@dataclass(frozen=True, slots=True)
class Card:
    """A GPU that this process may use.

    Attributes:
        uuid: as the driver names it.
        free_bytes: of its memory.
    """

    uuid: str
    name: str
    free_bytes: int


def this_machine() -> Machine:
    """What local models would run on."""
    host = free_host_bytes()
    found = cards()
    if not found:
        return Machine("cpu", host, host)
    best = max(found, key=lambda card: card.free_bytes)
    return Machine(best.name, best.free_bytes, host)


def cards() -> list[Card]:
    """Asked of the driver's own tool: to ask CUDA takes seconds, and memory on every card."""
    found: list[tuple[str, Card | None]] = []
    for line in _asked("--query-gpu=index,uuid,memory.free,name", "--format=csv,noheader,nounits").splitlines():
        fields = [field.strip() for field in line.split(",", 3)]
        if len(fields) == 4:
            # A card that is lost, or shares its memory with the host, says "[N/A]".
            free = int(fields[2]) * 2**20 if _MEBIBYTES.fullmatch(fields[2]) else None
            found.append((fields[0], None if free is None else Card(fields[1], fields[3], free)))
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return [card for _, card in found if card]
    return _left(visible, found)


def _asked(*question: str) -> str:
    """What nvidia-smi answers; nothing where it is not there, fails or hangs."""
    tool = shutil.which("nvidia-smi")
    if not tool:
        return ""
    try:
        answer = subprocess.run(
            [tool, *question], capture_output=True, encoding="utf-8", errors="replace", check=False, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout if answer.returncode == 0 else ""


def _left(visible: str, found: Sequence[tuple[str, Card | None]]) -> list[Card]:
    """The cards that `CUDA_VISIBLE_DEVICES` leaves to this process: CUDA reads it up to the first that is not there.

    https://docs.nvidia.com/cuda/cuda-c-programming-guide/#cuda-environment-variables
    """
    left: list[Card | None] = []
    for named in (one.strip() for one in visible.split(",")):
        if named.startswith("MIG-"):
            same = _instances(named)
        else:
            same = [card for index, card in found if named == index or (card and _is_named(card, named))]
        if len(same) != 1:
            break
        left += same
    return [card for card in left if card]


def _is_named(card: Card, named: str) -> bool:
    return named.startswith("GPU-") and card.uuid.startswith(named)


def _instances(named: str) -> list[Card | None]:
    """Slices of cards, by the begin of a name.

    The driver's tool says of one no more than its profile, as in `MIG 3g.20gb`, so all its memory counts as free.
    """
    slices = (_INSTANCE.search(line) for line in _asked("-L").splitlines())
    told = (one.groups() for one in slices if one)
    return [Card(uuid, profile, int(gigabytes) * 10**9) for profile, gigabytes, uuid in told if uuid.startswith(named)]


def free_host_bytes() -> int:
    """Memory that this process can still take: what the system has available, within its container's limit."""
    return min(_available(), _within_container())


def _available() -> int:
    try:
        for line in Path("/proc/meminfo").read_text("ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")  # another system: all it has


def _within_container() -> int:
    """What a container's limit leaves; pages of files that were read go when memory is wanted."""
    try:
        limit = int((_CGROUP / "memory.max").read_text("ascii"))
        used = int((_CGROUP / "memory.current").read_text("ascii"))
        stat = dict(line.split() for line in (_CGROUP / "memory.stat").read_text("ascii").splitlines())
        return max(0, limit - used + int(stat.get("inactive_file", 0)))
    except (OSError, ValueError):  # no limit ("max"), or no container of this kind
        return 2**63
