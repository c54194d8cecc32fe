"""Signs of life of a flow run, so that a dead one is told from one that works on, and what the run list is filtered by.

A run sends `packshot.run.alive` as it begins and every half minute, from a thread of its own, and `packshot.run.ended`
as the last event of all. An automation marks one as crashed that fell silent before it ended. Prefect's own heartbeat
(3.8.8) will not do: it has no last word, and the state event that would be one is held back for 15 minutes where a
schedule made the run.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.events import emit_event
from prefect.runtime import deployment, flow_run

from catalogs.journal.lease import boot_name, is_dead, started
from tasks.settings import beat_seconds

ALIVE, ENDED = "packshot.run.alive", "packshot.run.ended"
PART_ALIVE, PART_ENDED = "packshot.part.alive", "packshot.part.ended"
"""Of a run within another: the death of both is told once."""
MISSED = 5
"""Beats that a run misses before it counts as dead."""


@contextmanager
def alive(tags: Sequence[str] = ()) -> Iterator[None]:
    """Send signs of life of the flow run while the block runs, and tag it.

    Args:
        tags: besides those that say where its process is.
    """
    seconds, ended = beat_seconds(), threading.Event()
    send = _Sender()
    sign, last_word = (PART_ALIVE, PART_ENDED) if flow_run.parent_flow_run_id else (ALIVE, ENDED)
    tag(UUID(flow_run.id), [*tags, *process_tags()])
    send(sign)

    def beat() -> None:
        while not ended.wait(seconds):
            send(sign)

    thread = threading.Thread(target=beat, name="alive", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        send(last_word)


class _Sender:
    """Sends events of one flow run from whichever thread."""

    def __init__(self) -> None:
        self._resource = {"prefect.resource.id": f"prefect.flow-run.{flow_run.id}"}
        self._resource["prefect.resource.name"] = str(flow_run.name)
        made_by = {"prefect.resource.id": f"prefect.deployment.{deployment.id}", "prefect.resource.role": "deployment"}
        self._related = [made_by] if deployment.id else []

    def __call__(self, event: str) -> None:
        with suppress(Exception):  # a server that is away hears the next one
            emit_event(event, resource=self._resource, related=self._related)


def process_tags() -> list[str]:
    """Where a run's process is: its host, and which process of which boot of which machine."""
    named = f"process:{os.getpid()}:{started(os.getpid())}:{_machine()}:{boot_name()}"
    return [f"host:{socket.gethostname()}", named]


def is_gone(tags: Sequence[str]) -> bool:
    """Whether tags are those of a process of this host that is known to have ended."""
    if f"host:{socket.gethostname()}" not in tags:
        return False
    named = [tag.split(":", 4) for tag in tags if tag.startswith("process:")]
    return bool(named) and all(len(parts) == 5 and _has_ended(*parts[1:]) for parts in named)


def _has_ended(pid: str, begun: str, machine: str, boot: str) -> bool:
    if not pid.isdigit() or not boot:
        return False
    if boot != boot_name():
        # Of another container of this boot it may live; so may it on another machine that has this one's name.
        is_rebooted = boot.partition("/")[0] != boot_name().partition("/")[0]
        return is_rebooted and bool(machine) and machine == _machine()
    return is_dead(boot, int(pid)) or started(int(pid)) != begun


def _machine() -> str:
    """What stays when a machine boots again, "" where it has no such thing, as containers have not."""
    try:
        return Path("/etc/machine-id").read_text().strip()
    except OSError:
        return ""


def tag(run: UUID, tags: Sequence[str]) -> None:
    """Add tags to a flow run; a server that is away costs them, and not the run."""
    with suppress(Exception), get_client(sync_client=True) as client:
        known = client.read_flow_run(run).tags
        client.update_flow_run(run, tags=sorted({*known, *tags}))
