"""The engine of image servers of one's own: many requests in flight, on as many servers as there are.

Nothing is paid and nothing journaled: what a killed run had under way is asked for again. Pictures come over as they
are done, from one event loop that all shards of a process share.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import httpx

from catalogs.errors import ReferenceImageError
from catalogs.requests import Reason, RenderRequest
from inference.engine import Engine, Failed, LoadReference, Pixels, Profile, Rendered, Result, failed_reference
from inference.remote.answers import Call, stream
from inference.remote.key import Key
from inference.remote.loop import Loop
from inference.remote.pictures import EncodedReferences, OtherPicture, exact_pixels
from inference.servers.client import Ask, BadAnswer, Client, Refused
from inference.servers.fleet import Counts, Fleet, Server, Verdict
from inference.servers.remembered import recall, remember
from inference.servers.settings import ServerSettings
from inference.servers.verdicts import HONOURED, IGNORED, Verdicts, judge

A_SERVER = 16
AT_ONCE = 256
AHEAD = 12
"""Pictures that may be finished and not taken over yet, beside those in flight."""
THREADS = 4
_log = logging.getLogger(__name__)

Units = Callable[[RenderRequest], float]
"""How much work a request is beside others."""


class Connection:
    """What all shards of a process share of a list of servers."""

    def __init__(self, settings: ServerSettings, key: Key | None) -> None:
        self._settings = settings
        self._loop = Loop("servers", THREADS)
        self.loop, self.thread = self._loop.loop, self._loop.thread
        self.verdicts: dict[str, Verdicts] = {}
        self.fleet = self._loop.call(self._open(settings, key))

    async def _open(self, settings: ServerSettings, key: Key | None) -> Fleet:
        clients = [Client(address, key) for address in settings.addresses]
        fleet = Fleet(clients, self._verdict, self._pixels, self._tested)
        fleet.open()
        return fleet

    def close(self) -> None:
        self._loop.close(self.fleet.close())

    async def _pixels(self, data: bytes, ask: Ask) -> tuple[Pixels, str]:
        """Pixels of the size that was asked for, and a note."""
        try:
            return await self.thread(exact_pixels, data, ask.width, ask.height)
        except OtherPicture as error:
            raise BadAnswer(str(error)) from None

    def _verdict(self, server: Server) -> Verdict | None:
        """Refuse a server that serves something else than was planned."""
        assert server.served is not None
        why = self._settings.why_not(server.served)
        server.model = server.served.model_for(self._settings.model) or ""
        return Verdict(why) if why else None

    async def _tested(self, server: Server) -> Verdict | None:
        """Find out once what a server does of what it is asked."""
        settings, served = self._settings, server.served
        assert served is not None
        found = recall(server.name, served)
        if found is None:
            found = await judge(server.client, served, server.model, settings.steps, settings.guidance, settings.many)
            await self.thread(remember, server.name, served, found)
        self.verdicts[server.name] = found
        if found.seed == IGNORED and not settings.may_ignore_seed:
            return Verdict("ignores the seed; `server_seed: ignored` in the campaign's model takes it all the same")
        if found.steps == IGNORED and settings.needs_steps:
            return Verdict(f"ignores steps, and a shot asks for others than {settings.steps}")
        if found.references == IGNORED and settings.needs_order:
            return Verdict("does not keep the order of references, and a shot has several")
        return None

    def worst(self, what: str) -> str:
        """What is true of all servers that were tested and are used."""
        used = [server.name for server in self.fleet.servers if not server.is_other]
        told = {getattr(self.verdicts[name], what) for name in used if name in self.verdicts}
        return HONOURED if told == {HONOURED} else ", ".join(sorted(told - {HONOURED})) if told else "not tested"


@dataclass
class _Job:
    """One request."""

    request: RenderRequest
    connection: Connection
    references: EncodedReferences
    units: float

    @property
    def label(self) -> str:
        return self.request.label or "a request"

    async def answer(self) -> Result:
        """Its picture, or why there is none."""
        request = self.request
        try:
            ask = await self.connection.thread(self._ask)
        except ReferenceImageError as error:
            return failed_reference(request, error)
        try:
            answer = await self.connection.fleet.picture(ask, self.units)
        except Refused as error:
            return Failed(request, Reason.REFUSED, f"the server refuses it: {error}", final=True)
        except BadAnswer as error:
            return Failed(request, Reason.ENGINE_ERROR, f"the servers gave no picture: {error}", final=False)
        pixels, note = answer.picture
        return Rendered(request, pixels, answer.seconds, note=note)

    def _ask(self) -> Ask:
        request = self.request
        photos = tuple(self.references.get(reference) for reference in request.references)
        return Ask(request.prompt, request.width, request.height, request.seed, request.steps, request.guidance, photos)


class ServerEngine(Engine):
    """Renders on image servers; implements `inference.engine.Engine`.

    Args:
        stopping: set by anybody to end the run: nothing new is asked, what is in flight is waited for.
    """

    name = "server"

    def __init__(
        self,
        settings: ServerSettings,
        load_reference: LoadReference,
        units: Units,
        key: Key | None,
        stopping: threading.Event,
    ) -> None:
        self._connection = connection_of(settings, key)
        self._settings, self._units, self._stopping = settings, units, stopping
        self._references = EncodedReferences(load_reference)
        self._counted = Counts()

    @property
    def versions(self) -> dict[str, str]:  # type: ignore[override]
        """What is known of the servers when a row is written."""
        connection = self._connection
        kinds = {server.served.kind for server in connection.fleet.servers if server.served and not server.is_other}
        told = {what: connection.worst(what) for what in ("seed", "steps", "references")}
        return {"server": ", ".join(sorted(kinds)), **told, "httpx": httpx.__version__}

    def bucket(self, request: RenderRequest) -> int:
        return 0

    def batch_size(self, request: RenderRequest) -> int:
        """A whole shard: the servers' limits, not the batch, say how many are in flight."""
        return 1_000_000

    def render(self, batch: Sequence[RenderRequest]) -> Iterator[Result]:
        """Render requests, answers in the order they are done; those it did not come to get no answer.

        Raises:
            EngineError: no server answers, or none may be used.
        """
        at_once = min(AT_ONCE, A_SERVER * len(self._settings.addresses)) + AHEAD
        call = Call(at_once, is_ending=self._stopping.is_set)
        jobs = (_Job(request, self._connection, self._references, self._units(request)) for request in batch)
        yield from stream(self._connection.loop, call, jobs, self._tell_of_waiting)
        if call.halt:
            raise call.halt

    def _tell_of_waiting(self, seconds: float) -> None:
        said = self._connection.fleet.troubles()
        _log.warning("waits for the servers since %.0f s%s", seconds, f": {said}" if said else "")

    def take_profile(self) -> Profile:
        counts, before = self._connection.fleet.counts, self._counted
        self._counted = Counts(counts.again, counts.elsewhere, counts.lost)
        told = {
            "asked again": counts.again - before.again,
            "asked elsewhere too": counts.elsewhere - before.elsewhere,
            "connections lost": counts.lost - before.lost,
        }
        return Profile(counts={name: count for name, count in told.items() if count})


_connections: dict[tuple[int, ServerSettings, str], Connection] = {}
_lock = threading.Lock()


def connection_of(settings: ServerSettings, key: Key | None) -> Connection:
    """The process's connection to a list of servers; a fork gets its own."""
    name = (os.getpid(), settings, key.text if key else "")
    with _lock:
        if name not in _connections:
            _connections[name] = Connection(settings, key)
        return _connections[name]


def close_connections() -> None:
    """Close the connections of this process; engines made later open new ones."""
    with _lock:
        mine = [name for name in _connections if name[0] == os.getpid()]
        connections = [_connections.pop(name) for name in mine]
    for connection in connections:
        connection.close()


atexit.register(close_connections)
