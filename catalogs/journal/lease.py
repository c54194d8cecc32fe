"""Who renders a campaign into an output just now: a small object with an expiry, renewed while the run lives.

A lease only saves work that would be done twice. No commit depends on it: two runs that both believe they hold
it, or both go on by force, end in one right view, as `catalogs/assets/commits.py` describes. Expiry is judged by the
reader's clock, so clocks that differ cost at most a wait or some waste.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from catalogs.errors import OptionError, StorageError
from catalogs.storage.store import Store

LEASE_SECONDS = 60.0
RENEWALS_A_LEASE = 4
KINDS = ("proof", "render")


@dataclass(frozen=True)
class Lease:
    """One run's claim.

    Attributes:
        host: name of the machine.
        boot: its boot and process namespace, "" where the system does not tell: a process id means something
            only inside them.
        token: tells this claim from a later one.
        until: end of the claim, UTC, unless it is renewed.
    """

    run_id: str
    host: str
    boot: str
    pid: int
    token: str
    until: datetime

    @classmethod
    def of_this_process(cls, run_id: str, seconds: float) -> Lease:
        return cls(run_id, socket.gethostname(), _boot(), os.getpid(), secrets.token_hex(8), _in(seconds))

    @classmethod
    def read(cls, store: Store, key: str) -> Lease | None:
        """The claim that stands, None when there is none; what cannot be read is none."""
        try:
            found = json.loads(store.read_or_none(key) or b"null")
            return cls(**{**found, "until": datetime.fromisoformat(found["until"])}) if found else None
        except (ValueError, TypeError, KeyError):
            return None

    def as_json(self) -> bytes:
        return json.dumps({**asdict(self), "until": self.until.isoformat()}).encode()

    @property
    def is_over(self) -> bool:
        """Expired, or its process is known to be dead."""
        return self.until <= datetime.now(UTC) or (bool(self.boot) and self.boot == _boot() and not is_alive(self.pid))


def lease_key(campaign: str, kind: str) -> str:
    """Proofs and renders of one campaign never do each other's work."""
    return f"leases/{campaign}.{kind}.json"


def refuse_if_held(store: Store, campaign: str, kind: str) -> None:
    """Raise OptionError in one line when another run works at the campaign."""
    lease = Lease.read(store, lease_key(campaign, kind))
    if lease is not None and not lease.is_over:
        raise _held(store, campaign, lease)


def live_leases(store: Store, campaign: str) -> list[Lease]:
    """The claims of the runs that work at a campaign just now."""
    claims = (Lease.read(store, lease_key(campaign, kind)) for kind in KINDS)
    return [lease for lease in claims if lease is not None and not lease.is_over]


def _held(store: Store, campaign: str, lease: Lease) -> OptionError:
    until = lease.until.astimezone(UTC).strftime("%H:%M:%S UTC")
    problem = (
        f"run {lease.run_id} on {lease.host} (process {lease.pid}) renders {campaign} here, until {until} or longer"
    )
    return OptionError(store.uri(), "", problem, "wait for it, or go on beside it with --force")


@contextmanager
def hold(
    store: Store,
    campaign: str,
    kind: str,
    run_id: str,
    force: bool = False,
    patience: float = 0.0,
    seconds: float = LEASE_SECONDS,
) -> Iterator[Lease]:
    """Hold the lease while the block runs.

    Args:
        force: take it whoever holds it.
        patience: seconds to wait for another's lease to run out, as that of a killed machine does; one that is
            renewed meanwhile is refused at once.
        seconds: how long the claim stands without renewal.

    Raises:
        OptionError: another run holds it.
    """
    key = lease_key(campaign, kind)
    if not force:
        _wait_for(store, key, campaign, patience)
    lease = _take(store, key, campaign, Lease.of_this_process(run_id, seconds), force)
    ended = threading.Event()
    renewing = threading.Thread(target=_renew, args=(store, key, lease, ended, seconds), name="lease", daemon=True)
    renewing.start()
    try:
        yield lease
    finally:
        ended.set()
        renewing.join()
        _release(store, key, lease)


def _wait_for(store: Store, key: str, campaign: str, patience: float) -> None:
    deadline = time.monotonic() + patience
    first: Lease | None = None
    while (found := Lease.read(store, key)) is not None and not found.is_over:
        first = first or found
        if found.until > first.until or found.token != first.token or time.monotonic() >= deadline:
            raise _held(store, campaign, found)
        time.sleep(min(1.0, patience))


def _take(store: Store, key: str, campaign: str, wanted: Lease, force: bool) -> Lease:
    if not store.create(key, wanted.as_json()):
        found = Lease.read(store, key)
        if not force and found is not None and not found.is_over:
            raise _held(store, campaign, found)
        # Two that take over an old one at once both go on: that is waste, never damage.
        store.write(key, wanted.as_json())
    return wanted


def _renew(store: Store, key: str, lease: Lease, ended: threading.Event, seconds: float) -> None:
    while not ended.wait(seconds / RENEWALS_A_LEASE):
        try:
            found = Lease.read(store, key)
            if found is not None and found.token != lease.token:
                return  # taken by force; both go on
            store.write(key, Lease(**{**asdict(lease), "until": _in(seconds)}).as_json())
        except StorageError:
            continue  # the run itself finds out whether the store is gone


def _release(store: Store, key: str, lease: Lease) -> None:
    try:
        found = Lease.read(store, key)
        if found is not None and found.token == lease.token:
            store.delete([key])
    except StorageError:
        return  # it expires


def _in(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


def _boot() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def is_alive(pid: int) -> bool:
    """Whether a process of this id runs here, whoever owns it."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
