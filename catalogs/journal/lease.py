"""Who renders a campaign into an output just now: a small object with an expiry, renewed while the run lives.

A lease only saves work that would be done twice. No commit depends on it: two runs that both believe they hold
it, or both go on by force, end in one right view, as `catalogs/assets/commits.py` describes. Expiry is judged by the
reader's clock, so clocks that differ cost at most a wait or some waste: a claim that reaches further ahead than any
clock may be wrong stands only if it is renewed before the reader's eyes. One of a newer format is somebody's too: its
end is judged the same way where it names one, and where it names none it stands until it is gone.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from catalogs.errors import NewerFormat, OptionError, StorageError
from catalogs.storage.store import Store

LEASE_FORMAT = 1
LEASE_SECONDS = 60.0
RENEWALS_A_LEASE = 4
FOLDER = "leases"
KINDS = ("proof", "render")
# No two clocks are thought to differ by more; what reaches further ahead was written by a wrong one.
CLOCKS_DIFFER = timedelta(minutes=5)
# One renewal, and what a slow store takes for it.
LOOK_SECONDS = LEASE_SECONDS / RENEWALS_A_LEASE + 5.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Lease:
    """One run's claim.

    Attributes:
        host: name of the machine.
        boot: its boot and process namespace, "" where the system does not tell: a process id means something
            only inside them.
        token: tells this claim from a later one.
        until: end of the claim, UTC, unless it is renewed.
        format: the version of what is written.
    """

    run_id: str
    host: str
    boot: str
    pid: int
    token: str
    until: datetime
    format: int = LEASE_FORMAT

    @classmethod
    def of_this_process(cls, run_id: str, seconds: float) -> Lease:
        return cls(run_id, socket.gethostname(), boot_name(), os.getpid(), secrets.token_hex(8), _in(seconds))

    @classmethod
    def read(cls, store: Store, key: str) -> Lease | None:
        """The claim that stands, None when there is none; what cannot be read is none."""
        try:
            found = json.loads(store.read_or_none(key) or b"null")
            if isinstance(found, dict) and found.get("format", 1) > LEASE_FORMAT:
                return cls._of_newer(found)
            # A moment without an offset cannot be compared with one that has one: nobody here ever wrote it.
            return cls(**{**found, "until": moment_of(found["until"])}) if found else None
        except (ValueError, TypeError, KeyError, OverflowError):
            return None

    @classmethod
    def _of_newer(cls, found: Mapping[str, Any]) -> Lease:
        """What can be said of a claim of a newer format."""
        try:
            until = moment_of(found["until"])
        except (ValueError, TypeError, KeyError, OverflowError):
            until = _in(LEASE_SECONDS)
        pid = found.get("pid")
        return cls(
            run_id=str(found.get("run_id", "?")),
            host=str(found.get("host", "?")),
            boot="",
            pid=pid if isinstance(pid, int) else 0,
            token=str(found.get("token")),
            until=until,
            format=found["format"],
        )

    def as_json(self) -> bytes:
        return json.dumps({**asdict(self), "until": self.until.isoformat()}).encode()

    @property
    def is_over(self) -> bool:
        """Expired, or its process is known to be dead."""
        return self.until <= datetime.now(UTC) or (
            bool(self.boot) and self.boot == boot_name() and not is_alive(self.pid)
        )

    @property
    def is_far_ahead(self) -> bool:
        """Reaches further than a claim of a right clock can: its end says nothing."""
        return self.until > _in(LEASE_SECONDS) + CLOCKS_DIFFER

    @property
    def end(self) -> str:
        """When it runs out, for people; a run that lives renews it before."""
        return f"until {self.until:%Y-%m-%d %H:%M:%S} UTC or longer"

    def __str__(self) -> str:
        run = f"run {self.run_id} on {self.host} (process {self.pid})"
        newer = f", whose claim {NewerFormat('lease', self.format, LEASE_FORMAT)},"
        return run + (newer if self.format > LEASE_FORMAT else "")


def lease_key(campaign: str, kind: str) -> str:
    """Proofs and renders of one campaign never do each other's work."""
    return f"{FOLDER}/{campaign}.{kind}.json"


def live_leases(store: Store, campaign: str | None = None) -> list[Lease]:
    """The claims that stand in an output, of all kinds and of one campaign or all."""
    mine = {lease_key(campaign, kind) for kind in KINDS} if campaign else None
    keys = [key for key in store.list(FOLDER) if key.endswith(".json") and (mine is None or key in mine)]
    looked = [_look(store, key) for key in keys]
    return [lease for lease, stands in looked if lease is not None and stands]


def refuse_if_held(store: Store, campaign: str, kind: str) -> None:
    """Raise OptionError in one line when another run works at the campaign."""
    lease, stands = _look(store, lease_key(campaign, kind))
    if lease is not None and stands:
        raise _held(store, campaign, lease)


def _held(store: Store, campaign: str, lease: Lease) -> OptionError:
    problem = f"{lease} renders {campaign} here, {lease.end}"
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
    renewed: Callable[[], object] = lambda: None,
) -> Iterator[Lease]:
    """Hold the lease while the block runs.

    Args:
        force: take it whoever holds it; whom it is taken from is logged as a warning.
        patience: seconds to wait for another's lease to run out, as that of a killed machine does; one that is
            renewed meanwhile is refused at once.
        seconds: how long the claim stands without renewal.
        renewed: called when it was taken, and after every renewal.

    Raises:
        OptionError: another run holds it.
    """
    key = lease_key(campaign, kind)
    over: Lease | None = None
    if not force:
        over, stands = _look(store, key, patience)
        if over is not None and stands:
            raise _held(store, campaign, over)
    lease = _take(store, key, campaign, Lease.of_this_process(run_id, seconds), force, over)
    renewed()
    ended = threading.Event()
    arguments = (store, key, lease, ended, seconds, renewed)
    renewing = threading.Thread(target=_renew, args=arguments, name="lease", daemon=True)
    renewing.start()
    try:
        yield lease
    finally:
        ended.set()
        renewing.join()
        let_go(store, campaign, kind, lease)


def _look(store: Store, key: str, patience: float = 0.0) -> tuple[Lease | None, bool]:
    """The claim under a key, and whether it stands: it did not run out in that time, or somebody renewed it."""
    first = found = Lease.read(store, key)
    wrong = found is not None and found.is_far_ahead and not found.is_over
    if found is not None and wrong:
        patience = LOOK_SECONDS
        _log.warning("%s: %s, %s, too far ahead; is it renewed in %.0f s?", store.uri(key), found, found.end, patience)
    deadline = time.monotonic() + patience
    while found is not None and not found.is_over:
        if found != first:
            return found, True
        if time.monotonic() >= deadline:
            return found, not wrong
        time.sleep(min(1.0, patience))
        found = Lease.read(store, key)
    return found, False


def _take(store: Store, key: str, campaign: str, wanted: Lease, force: bool, over: Lease | None) -> Lease:
    if not store.create(key, wanted.as_json()):
        found = Lease.read(store, key)
        if found is not None and not found.is_over and found != over:
            if not force:
                raise _held(store, campaign, found)
            _log.warning("goes on beside %s, which renders %s here, %s", found, campaign, found.end)
        # Two that take over an old one at once both go on: that is waste, never damage.
        store.write(key, wanted.as_json())
    return wanted


def _renew(
    store: Store, key: str, lease: Lease, ended: threading.Event, seconds: float, renewed: Callable[[], object]
) -> None:
    while not ended.wait(seconds / RENEWALS_A_LEASE):
        try:
            found = Lease.read(store, key)
            if found is not None and found.token != lease.token:
                return  # taken by force; both go on
            store.write(key, Lease(**{**asdict(lease), "until": _in(seconds)}).as_json())
            renewed()
        except StorageError:
            continue  # the run itself finds out whether the store is gone


def let_go(store: Store, campaign: str, kind: str, lease: Lease) -> None:
    """End a claim before its time; one that is not there any more, or somebody else's, stays as it is."""
    key = lease_key(campaign, kind)
    try:
        found = Lease.read(store, key)
        if found is not None and found.token == lease.token:
            store.delete([key])
    except StorageError:
        return  # it expires


def moment_of(text: str) -> datetime:
    """A moment as files have it; raises ValueError where it has no offset."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no offset")
    return moment.astimezone(UTC)


def _in(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


def boot_name() -> str:
    """Boot and process namespace of this process, "" where the system does not tell."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def is_dead(boot: str, pid: int) -> bool:
    """Whether a process is known to have ended: it ran in this boot and namespace, and does no more."""
    return bool(boot) and boot == boot_name() and not is_alive(pid)


def is_alive(pid: int) -> bool:
    """Whether a process of this id runs here, whoever owns it."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def started(pid: int) -> str:
    """When a process began, as its system counts: ids are given again. "" where it has ended or nobody tells."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if fields[0] in "ZX" else fields[19]  # one whose end nobody took note of runs no more
    except (OSError, IndexError):
        return ""
