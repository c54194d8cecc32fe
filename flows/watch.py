"""A polling sensor: looks at the files of a campaign folder and sends an event for each campaign that changed.

Prefect's own server has no webhooks, and not every store sends events; so this looks, at names, sizes and tags
alone and never into a catalog. What it saw is not kept: at its start every campaign counts as changed, and the run
that follows finds out that there is nothing to do.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from prefect.events import emit_event

from catalogs.campaigns.calendar import Entry, input_stamp, read_calendar
from catalogs.errors import PackshotError
from flows.marketing import engine_of

CHANGED = "packshot.campaign.changed"

_log = logging.getLogger(__name__)


@dataclass
class Watcher:
    """Compares a campaign folder with what it was at the last look."""

    folder: str
    _told: dict[str, str] = field(default_factory=dict)
    _seen: dict[str, str] = field(default_factory=dict)
    _problem: str = ""
    _unread: dict[str, str] = field(default_factory=dict)
    _doubles: frozenset[str] = frozenset()

    def changed(self) -> list[Entry]:
        """The campaigns whose files have changed and lay still since the last call. Broken ones are left out, and
        those of one name and output logged once.

        Lying still: a catalog that is being copied must not be read half. At the beginning all count as changed.
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
        return [entry for entry in found if entry.campaign]

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


def _one_line(error: Exception) -> str:
    return str(error) if isinstance(error, PackshotError) else " ".join(f"{type(error).__name__}: {error}".split())


def send_changed(entry: Entry) -> None:
    """Send the event that an automation of deployments/automations.yaml waits for."""
    assert entry.campaign is not None
    resource = {
        "prefect.resource.id": f"packshot.campaign.{entry.name}",
        "prefect.resource.name": entry.name,
        "packshot.engine": engine_of(entry.campaign).value,
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
            except Exception as error:  # of one campaign: the others are watched on
                _log.error("%s: its event was not sent: %s", entry.name, _one_line(error))
        if wait(seconds):
            return
