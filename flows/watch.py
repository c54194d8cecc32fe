"""A polling sensor: looks at the files of a campaign folder and sends an event for each campaign that changed.

Prefect's own server has no webhooks, and not every store sends events; so this looks, at names, sizes and tags
alone and never into a catalog. What it told of is kept in the cache folder: when it starts again, only what changed
since then counts as changed. A campaign whose dates are over is not told of.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from prefect.events import emit_event
from prefect.settings import get_current_settings

from catalogs.campaigns.calendar import Entry, input_stamp, read_calendar
from catalogs.campaigns.schedule import Standing
from catalogs.errors import PackshotError
from inference.models.weights import cache_folder, keep_json
from tasks.engines import engine_of

CHANGED = "packshot.campaign.changed"

_log = logging.getLogger(__name__)


@dataclass
class Watcher:
    """Compares a campaign folder with what it was at the last look."""

    folder: str
    _told: dict[str, str] = field(init=False)
    _seen: dict[str, str] = field(default_factory=dict)
    _problem: str = ""
    _unread: dict[str, str] = field(default_factory=dict)
    _doubles: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        named = f"{get_current_settings().api.url} {os.path.abspath(self.folder)}"
        self._file = f"watched-{hashlib.sha256(named.encode()).hexdigest()[:16]}.json"
        self._told = _kept(self._file)

    def changed(self) -> list[Entry]:
        """The campaigns whose files have changed and lay still since the last call. Broken ones are left out, and
        those of one name and output logged once.

        Lying still: a catalog that is being copied must not be read half. Without a cache folder, or at the very
        first, all count as changed.
        A folder, or a campaign's catalog, that cannot be read now is logged once and looked at again.
        """
        try:
            entries = {entry.path: entry for entry in read_calendar(self.folder)}
        except Exception as error:  # the next look may find the folder in order
            self._tell_folder(error)
            return []
        stamps = self._stamps(entries)
        self._tell_doubles(entries.values())
        still = {path: stamp for path, stamp in stamps.items() if self._seen.get(path) == stamp}
        found = [entries[path] for path, stamp in still.items() if self._told.get(path) != stamp]
        self._problem, self._seen = "", stamps
        self._told.update(still)
        return [entry for entry in found if entry.campaign and not _is_over(entry)]

    def told(self) -> None:
        """Keep what was told of for the next start; where it cannot be kept, all counts as changed then."""
        with suppress(OSError):
            keep_json(self._file, self._told)

    def not_told(self, entry: Entry) -> None:
        """Tell of a campaign again at the next look."""
        self._told.pop(entry.path, None)

    def _stamps(self, entries: Mapping[str, Entry]) -> dict[str, str]:
        """The stamps of those campaigns whose catalogs can be looked at: one that cannot holds up no other."""
        stamps, unread = {}, {}
        for path, entry in entries.items():
            try:
                stamps[path] = input_stamp(entry)
            except Exception as error:  # a catalog may lie wherever its URI says
                unread[path] = _one_line(error)
                if self._unread.get(path) != unread[path]:
                    _log.error("%s is not watched: %s", path, unread[path])
        self._unread = unread
        return stamps

    def _tell_folder(self, error: Exception) -> None:
        said = _one_line(error)
        if said != self._problem:
            _log.error("%s", said)
        self._problem = said

    def _tell_doubles(self, entries: Iterable[Entry]) -> None:
        problems = frozenset(entry.problem for entry in entries if entry.doubles)
        for problem in sorted(problems - self._doubles):
            _log.error("%s", problem)
        self._doubles = problems


def _kept(file: str) -> dict[str, str]:
    try:
        kept = json.loads((cache_folder() / file).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(path): str(stamp) for path, stamp in kept.items()} if isinstance(kept, dict) else {}


def _is_over(entry: Entry) -> bool:
    return entry.schedule.standing(datetime.now(UTC)) is Standing.OVER


def _one_line(error: Exception) -> str:
    return str(error) if isinstance(error, PackshotError) else " ".join(f"{type(error).__name__}: {error}".split())


def send_changed(entry: Entry) -> None:
    """Send the event that an automation of deployments/automations.yaml waits for."""
    assert entry.campaign is not None
    resource = {
        "prefect.resource.id": f"packshot.campaign.{entry.name}",
        "prefect.resource.name": entry.name,
        "packshot.engine": engine_of(entry.campaign),
    }
    emit_event(CHANGED, resource=resource, payload={"campaign": entry.name, "file": entry.path})


def watch(folder: str, seconds: float, wait: Callable[[float], bool], say: Callable[[str], None]) -> None:
    """Look every so many seconds until `wait` answers true."""
    watcher = Watcher(folder)
    while True:
        for entry in watcher.changed():
            say(f"changed      {entry.name}")
            try:
                send_changed(entry)
            except Exception as error:  # of one campaign: the others are watched on, and it is told of at the next look
                _log.error("%s: its event was not sent: %s", entry.name, _one_line(error))
                watcher.not_told(entry)
        watcher.told()
        if wait(seconds):
            return
