"""Several servers of one model as one: who gets the next picture, who is asked no more, who is asked again.

- The server with least in flight comes first, within a limit that it found itself (`limit.Limit`).
- One that does not answer is left out until it answers again and serves the same model; its requests go to the others.
- One that is in use is asked now and then what it serves, and when it refuses a request.
- A request that takes three times the usual is asked of another server too, and the first answer counts.
"""

from __future__ import annotations

import asyncio
import logging
import statistics
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from catalogs.errors import EngineError
from inference.remote.backoff import backoff
from inference.servers.client import Ask, BadAnswer, BadKey, Busy, Client, Refused, ServerTrouble, Unreachable
from inference.servers.limit import Limit
from inference.servers.served import Served

TRIES = 3
"""Answers that are none, before a picture has failed for now."""
BAD_TESTS = 8
"""Answers in a row to test pictures that are none, before a server is left out: half a minute."""
LOST = 8
"""Connections that break under one picture, before it has failed for now."""
LATE = 3.0
"""Times the usual after which a picture is asked of another server too."""
KNOWN = 5
"""Answers after which what is usual is known."""
PATIENCE = 600.0
"""Seconds for which no server at all may answer: a cold start loads and compiles."""
LOOK_EVERY = 60.0
"""Seconds after which a server in use is asked again what it serves."""
_log = logging.getLogger(__name__)

Judge = Callable[["Server"], "Verdict | None"]
Read = Callable[[bytes, Ask], Awaitable[Any]]
Greet = Callable[["Server"], Awaitable["Verdict | None"]]


@dataclass(frozen=True)
class Verdict:
    """Why a server is asked nothing, in words for people."""

    why: str


@dataclass(eq=False)
class Server:
    """One server as this process knows it.

    Attributes:
        served: what it serves, None while it has not said so.
        model: its name of the wanted model.
        trouble: why it is left out, "" while it is not.
        is_other: it is left out for good: it serves another model, or does not what it is asked.
        paused: when by `time.monotonic` it may be asked again.
        answered: pictures it has answered.
        bad: answers in a row that were none.
        asked: requests since it was last asked what it serves.
    """

    client: Client
    limit: Limit = field(default_factory=Limit)
    served: Served | None = None
    model: str = ""
    trouble: str = "not asked yet"
    is_other: bool = False
    paused: float = 0.0
    in_flight: int = 0
    answered: int = 0
    bad: int = 0
    asked: int = 0

    @property
    def name(self) -> str:
        return self.client.base

    def takes(self) -> bool:
        """Whether it may be asked for a picture now."""
        return not self.trouble and time.monotonic() >= self.paused and self.limit.has_room(self.in_flight)


@dataclass(frozen=True, slots=True)
class Answer:
    """A picture.

    Attributes:
        picture: as it was read.
        seconds: its share of its server's time.
    """

    picture: Any
    seconds: float


@dataclass
class Counts:
    """What was done beyond asking once."""

    again: int = 0
    elsewhere: int = 0
    lost: int = 0


class Fleet:
    """Servers of one model; lives in one event loop.

    Args:
        judge: called with a server that has said what it serves; a verdict leaves it out for good.
        read: awaited with the bytes of a picture and what was asked; raises BadAnswer for what is no such picture.
        greet: awaited with a server before it gets its first picture, and again when it comes back.
    """

    def __init__(self, clients: Sequence[Client], judge: Judge, read: Read, greet: Greet | None = None) -> None:
        self.servers = [Server(client) for client in clients]
        self.counts = Counts()
        self._judge, self._read, self._greet = judge, read, greet
        self._changed = asyncio.Condition()
        self._took: deque[float] = deque(maxlen=64)
        self._visits: dict[Server, asyncio.Task[None]] = {}
        self._silent_since: float | None = time.monotonic()
        self._answered = time.monotonic()
        self._looks: asyncio.Task[None] | None = None

    async def close(self) -> None:
        for server in self.servers:
            await server.client.close()

    def open(self) -> None:
        """Ask every server what it serves, again and again until it says so."""
        for server in self.servers:
            self._visit(server)
        self._looks = asyncio.create_task(self._look_again_and_again())

    async def picture(self, ask: Ask, units: float) -> Answer:
        """One picture, from whichever server.

        Args:
            units: how much work it is beside others.

        Raises:
            Refused: a server does not take the request, and so would the others.
            BadAnswer: there was none in `TRIES` tries.
            EngineError: no server answers any more.
        """
        tries = lost = 0
        while True:
            try:
                return await self._raced(ask, units)
            except (Busy, Unreachable) as error:
                self.counts.again += 1  # of another server, or of this one later: the request is not to blame
                self._refuse_waiting(error)
                lost += isinstance(error, Unreachable)
                if lost >= LOST:  # unless it is
                    raise BadAnswer(f"the connection was lost {lost} times, last with {error}") from None
            except BadAnswer:
                tries += 1
                self.counts.again += 1
                if tries >= TRIES:
                    raise

    async def _raced(self, ask: Ask, units: float) -> Answer:
        """The first answer of one server, or of two where the first is late."""
        server = await self._free()
        racers = {asyncio.create_task(self._asked(server, ask, units))}
        try:
            done, _ = await asyncio.wait(racers, timeout=self._late(units))
            if not done and (other := self._spare(server)):
                self.counts.elsewhere += 1
                _log.info("%s is late with a picture; it is asked of %s too", server.name, other.name)
                racers.add(asyncio.create_task(self._asked(other, ask, units)))
            return await _first(racers)
        finally:
            for racer in racers:
                racer.cancel()

    def _spare(self, late: Server) -> Server | None:
        """A server with room beside the one that is late."""
        others = [server for server in self.servers if server is not late and not server.trouble]
        room = [server for server in others if server.in_flight <= server.limit.value]
        server = min(room, key=lambda one: one.in_flight, default=None)
        if server:
            server.in_flight += 1
        return server

    def _late(self, units: float) -> float | None:
        """Seconds after which a request of so much work is late."""
        if len(self._took) < KNOWN or len(self.servers) == 1:
            return None
        return LATE * statistics.median(self._took) * units

    async def _free(self) -> Server:
        """The server with least in flight of those that have room; it has one more then."""
        async with self._changed:
            while True:
                free = [server for server in self.servers if server.takes()]
                if free:
                    server = min(free, key=lambda one: (one.in_flight, one.answered))
                    server.in_flight += 1
                    return server
                self._refuse_silence()
                with suppress(TimeoutError):  # not wait_for, which until Python 3.12 may swallow that it is cancelled
                    async with asyncio.timeout(self._pause()):
                        await self._changed.wait()

    def _pause(self) -> float:
        """Seconds until a server may be asked again that is not to be asked now."""
        waits = [server.paused - time.monotonic() for server in self.servers if not server.trouble]
        return min([max(0.02, wait) for wait in waits if wait > 0] + [0.5])

    def _refuse_silence(self) -> None:
        if all(server.is_other for server in self.servers):
            raise EngineError(f"no server can be used: {self.troubles()}")
        if any(not server.trouble for server in self.servers):
            self._silent_since = None
            return
        self._silent_since = self._silent_since or time.monotonic()
        if time.monotonic() - self._silent_since > PATIENCE:
            raise EngineError(f"no server answers for {PATIENCE:.0f} s: {self.troubles()}")

    def _refuse_waiting(self, error: ServerTrouble) -> None:
        if time.monotonic() - self._answered > PATIENCE:
            raise EngineError(f"no picture came for {PATIENCE:.0f} s; a server last said: {error}") from None

    def troubles(self) -> str:
        """Why servers are left out, for people."""
        return "; ".join(f"{server.name}: {server.trouble}" for server in self.servers if server.trouble)

    async def _asked(self, server: Server, ask: Ask, units: float) -> Answer:
        """One picture of one server, whose room was taken before."""
        started, beside, served = time.monotonic(), server.in_flight, server.served
        server.asked += 1
        try:
            assert served is not None
            data = await server.client.picture(ask, served, server.model)
            if server.served != served:
                raise Unreachable("it serves something else since it was asked")
            picture = await self._read(data, ask)
        except Busy as error:
            server.limit.refused()
            server.paused = time.monotonic() + backoff(0, error.delay)
            raise
        except Refused as error:
            await self._look(server)
            if server.served != served:  # then it refuses every request, and none is to blame
                raise Unreachable(str(error)) from None
            raise
        except Unreachable as error:
            self.counts.lost += 1
            self._leave_out(server, str(error))
            raise
        except BadAnswer:
            # One that is broken answers at once and has least in flight: without a pause it would get most requests.
            server.bad += 1
            server.paused = time.monotonic() + (backoff(server.bad - 2) if server.bad > 1 else 0.0)
            raise
        except BadKey as error:
            raise EngineError(f"{server.name} {error}") from None
        except asyncio.CancelledError:  # another server was quicker
            server.limit.took((time.monotonic() - started) / units)
            raise
        finally:
            server.in_flight -= 1
            await self._tell()
        seconds = time.monotonic() - started
        server.limit.took(seconds / units)
        server.answered, server.bad = server.answered + 1, 0
        self._took.append(seconds / units)
        self._silent_since, self._answered = None, time.monotonic()
        return Answer(picture, seconds / max(1, beside))

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def _leave_out(self, server: Server, why: str) -> None:
        """Ask nothing of a server until it says again what it serves."""
        if server.is_other:
            return
        if not server.trouble:
            server.trouble = why
            _log.warning("%s is left out (%s); what it was asked is asked elsewhere", server.name, why)
        self._visit(server)

    async def _look_again_and_again(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            await asyncio.gather(*(self._look(server) for server in self.servers if server.asked))

    async def _look(self, server: Server) -> None:
        """Leave a server out that is not ready any more, or serves something else than when it was last asked."""
        server.asked = 0
        if server.trouble:
            return
        try:
            served = await server.client.served()
        except Busy as error:
            self._leave_out(server, str(error))
        except ServerTrouble:
            return  # what becomes of its pictures tells more
        else:
            if server.served != served and not server.trouble:
                server.served = served
                self._leave_out(server, f"it serves something else now: {served.says}")

    def _visit(self, server: Server) -> None:
        if server not in self._visits or self._visits[server].done():
            self._visits[server] = asyncio.create_task(self._visited(server))

    async def _visited(self, server: Server) -> None:
        """Ask a server what it serves until it says so."""
        tries, bad, first = 0, 0, not server.answered
        while True:
            is_tested = False
            try:
                server.served = await server.client.served()
                verdict = self._judge(server)
                is_tested = True
                if verdict is None and self._greet:
                    verdict = await self._greet(server)
            except BadKey as error:
                verdict = Verdict(str(error))
                server.trouble, server.is_other = verdict.why, True
                break
            except Refused as error:  # of a usual picture; others would fare no better
                server.trouble, server.is_other = str(error), tries + 1 >= TRIES
                if server.is_other:
                    break
            except BadAnswer as error:  # of a test picture, time and again: it is not starting, it is broken
                bad += is_tested
                server.trouble, server.is_other = str(error), bad >= BAD_TESTS
                if server.is_other:
                    break
            except ServerTrouble as error:
                server.trouble = str(error)
            except Exception as error:
                server.trouble = f"{type(error).__name__}: {error}"
            else:
                server.trouble, server.is_other = (verdict.why, True) if verdict else ("", False)
                break
            await asyncio.sleep(min(5.0, backoff(tries)))
            tries += 1
        if server.is_other:
            _log.error("%s is not used: %s", server.name, server.trouble)
        elif not first or tries:
            _log.warning("%s answers%s", server.name, "" if first else " again")
        server.limit = Limit()
        await self._tell()


async def _first(racers: set[asyncio.Task[Answer]]) -> Answer:
    """The first answer; where none comes, what the last server said."""
    left = set(racers)
    while True:
        done, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
        for racer in done:
            if not racer.exception():
                return racer.result()
        if not left:
            error = next(iter(done)).exception()
            assert error is not None
            raise error
