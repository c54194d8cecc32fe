"""What this machine has free for a local model."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")
_MEBIBYTES = re.compile(r"[0-9]{1,12}")


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
    tool = shutil.which("nvidia-smi")
    if not tool:
        return []
    query = [tool, "--query-gpu=index,uuid,memory.free,name", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(query, capture_output=True, encoding="utf-8", errors="replace", check=False, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return []
    found = []
    for line in answer.stdout.splitlines() if answer.returncode == 0 else []:
        fields = [field.strip() for field in line.split(",", 3)]
        # A card that is lost, or shares its memory with the host, says "[N/A]".
        if len(fields) == 4 and _MEBIBYTES.fullmatch(fields[2]) and _is_visible(*fields[:2]):
            found.append(Card(fields[1], fields[3], int(fields[2]) * 2**20))
    return found


def _is_visible(index: str, uuid: str) -> bool:
    """Whether `CUDA_VISIBLE_DEVICES` leaves a card to this process."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return True
    named = [one.strip() for one in visible.split(",") if one.strip()]
    return any(one == index or (one.startswith("GPU-") and uuid.startswith(one)) for one in named)


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
