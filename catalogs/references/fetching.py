"""Photos over http(s), from hosts that a campaign lists and addresses of the public internet alone.

No cookies, no credentials, no proxy: a proxy would ask for names itself, and nobody could say which address it took.
What comes is bounded in bytes (before and after a content encoding), time, redirects and tries.
"""

from __future__ import annotations

import socket
import ssl
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial

import httpcore

from catalogs.references.addresses import PUBLIC, Network
from catalogs.references.checked_network import CheckedBackend, Deadline, RefusedAddress
from catalogs.references.pace import Pace
from catalogs.references.problems import InvalidReference, MissingReference, UnreachableReference
from catalogs.storage.web_urls import BadUrl, Hosts, WebUrl

_AGENT = b"packshot (+https://pypi.org/project/packshot)"
_ACCEPT = b"image/avif, image/webp, image/png, image/jpeg, image/*;q=0.8"
_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_GONE = frozenset((404, 410))
_LATER = frozenset((408, 425, 429, 500, 502, 503, 504))
_PLAIN = frozenset(("", "identity"))
_ZLIB = frozenset(("gzip", "x-gzip", "deflate"))
_EITHER = zlib.MAX_WBITS | 32  # zlib tells the two apart
_LONGEST_WORD = 300


@dataclass(frozen=True)
class Limits:
    """What a photo may cost.

    Attributes:
        bytes: of one, as it is sent and as it is unpacked.
        seconds: for one, with all its tries and redirects, what a host asks to wait not counted.
        connect_seconds: until a connection stands.
        read_seconds: between two pieces of an answer.
        redirects: from one URL to the next.
        tries: of a request that is not answered, or with "later".
        backoff: seconds before the second try, doubled for each that follows.
        longest_wait: seconds that a Retry-After may ask for; a host that asks for more is left for another run.
        a_second: requests a second at one host.
        at_once: requests under way at one host.
        silent_after: photos in a row that fail before a host is asked no more in this run.
    """

    bytes: int = 64 * 2**20
    seconds: float = 60.0
    connect_seconds: float = 10.0
    read_seconds: float = 20.0
    redirects: int = 5
    tries: int = 3
    backoff: float = 0.5
    longest_wait: float = 60.0
    a_second: float = 20.0
    at_once: int = 6
    silent_after: int = 5


LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Fetched:
    """A photo as it came.

    Attributes:
        etag: for the next time, "" where the server gives none; so is `last_modified`.
    """

    data: bytes
    etag: str = ""
    last_modified: str = ""


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    headers: Mapping[str, str]
    data: bytes = b""


class _Later(Exception):
    """A request may be answered at the next try."""

    def __init__(self, problem: str, delay: float | None = None, of_host: bool = False, final: bool = False) -> None:
        self.problem, self.delay, self.of_host, self.final = problem, delay, of_host, final
        super().__init__(problem)


class Fetcher:
    """Fetches photos; threads may share it. Close it at the end.

    Args:
        hosts: those that are asked, at the first request as after every redirect.
        network: the way to them; tests hand in another one here, and nothing else does.
    """

    def __init__(self, hosts: Hosts, limits: Limits = LIMITS, network: Network = PUBLIC) -> None:
        self.hosts, self.limits = hosts, limits
        self._deadline = Deadline()
        self._pace = Pace(limits.a_second, limits.at_once, limits.silent_after)
        self._pool = httpcore.ConnectionPool(
            ssl_context=network.tls(),
            max_connections=64,
            max_keepalive_connections=16,
            keepalive_expiry=10.0,
            network_backend=CheckedBackend(network, self._deadline),
        )
        self._timeout = {
            "connect": limits.connect_seconds,
            "read": limits.read_seconds,
            "write": limits.read_seconds,
            "pool": limits.seconds,
        }

    def close(self) -> None:
        """End what waits, and all connections."""
        self._pace.stop()
        self._pool.close()

    def fetch(self, url: str, etag: str = "", last_modified: str = "") -> Fetched | None:
        """A photo, or None where it is what it was.

        Args:
            etag: what it had when it was fetched before, "" to have it in any case; so is `last_modified`.

        Raises:
            MissingReference: there is none.
            UnreachableReference: it cannot be had in this run.
            InvalidReference: it may not be asked for, or is too large.
        """
        asked = {"If-None-Match": etag, "If-Modified-Since": last_modified}
        conditions = {name: value for name, value in asked.items() if value and value.isascii() and value.isprintable()}
        self._deadline.start(self.limits.seconds)
        answer = self._followed(url, conditions)
        if answer.status == 304 and conditions:
            return None
        if answer.status in _GONE:
            raise MissingReference(url, "", f"there is no such photo (HTTP {answer.status})", "correct the url")
        if answer.status != 200:
            raise _unreachable(url, f"is not given out (HTTP {answer.status})")
        return Fetched(answer.data, answer.headers.get("etag", ""), answer.headers.get("last-modified", ""))

    def _followed(self, url: str, conditions: Mapping[str, str]) -> _Answer:
        place = self._listed(url, partial(WebUrl.of, url))
        for _ in range(self.limits.redirects + 1):
            answer = self._asked(url, place, conditions)
            if answer.status not in _REDIRECTS:
                return answer
            location = answer.headers.get("location", "")
            place = self._listed(url, partial(place.joined, location), location)
        raise InvalidReference(url, "", f"is redirected more than {self.limits.redirects} times", "correct the url")

    def _listed(self, url: str, parse: Callable[[], WebUrl], location: str | None = None) -> WebUrl:
        """A URL of a listed host, as it was written or as a redirect names it."""
        where = "" if location is None else f"is redirected to {_shown(location)!r}: "
        try:
            place = parse()
        except BadUrl as bad:
            raise InvalidReference(url, "", f"{where}{bad.problem}", bad.fix) from None
        if refusal := self.hosts.refusal(place):
            problem, fix = refusal
            raise InvalidReference(url, "", f"{where}{problem}", fix)
        return place

    def _asked(self, url: str, place: WebUrl, conditions: Mapping[str, str]) -> _Answer:
        """One request, tried again while that may help."""
        host, limits = place.entry, self.limits
        problem = ""
        for attempt in range(1, limits.tries + 1):
            self._refuse_silent(url, host)
            try:
                with self._pace.turn(host) as waited:
                    self._deadline.extend(waited)
                    self._refuse_silent(url, host)  # it may have fallen silent while this one waited
                    answer = self._request(url, place, conditions)
            except RefusedAddress as refused:
                self._pace.failed(host, str(refused), True)
                raise _refused(url, host, str(refused)) from None
            except _Later as later:
                problem = later.problem
                if later.delay is not None and later.delay > limits.longest_wait:
                    problem, later.of_host, later.final = f"{problem}, wait {later.delay:.0f} s", True, True
                if later.final or attempt == limits.tries or self._deadline.left() <= 0 or self._pace.is_stopped:
                    self._pace.failed(host, problem, later.of_host)
                    raise _unreachable(url, problem) from None
                self._rest(host, limits.backoff * 2 ** (attempt - 1), later.delay)
            else:
                self._pace.answered(host)
                return answer
        raise _unreachable(url, problem)

    def _refuse_silent(self, url: str, host: str) -> None:
        if why := self._pace.silent(host):
            if why.startswith(_REFUSED):
                raise _refused(url, host, why)
            raise _unreachable(url, f"{host} is asked no more in this run ({why})")

    def _rest(self, host: str, backoff: float, asked: float | None) -> None:
        """Wait before the next try; what a host asks for holds for all of its photos."""
        if asked is not None:
            self._pace.hold_off(host, asked)
        else:
            self._pace.wait(min(backoff, max(0.0, self._deadline.left())))

    def _request(self, url: str, place: WebUrl, conditions: Mapping[str, str]) -> _Answer:
        headers: list[tuple[bytes | str, bytes | str]] = [("User-Agent", _AGENT), ("Accept", _ACCEPT)]
        headers += [("Accept-Encoding", "identity"), *conditions.items()]
        target = httpcore.URL(
            scheme=place.scheme.encode(), host=place.host.encode(), port=place.port, target=place.target.encode()
        )
        try:
            with self._pool.stream("GET", target, headers=headers, extensions={"timeout": self._timeout}) as response:
                named = {key.decode("latin-1").lower(): value.decode("latin-1") for key, value in response.headers}
                if response.status in _LATER:
                    raise _Later(f"the server answers HTTP {response.status}", _retry_after(named))
                # Other bodies are not read: nobody looks at them, and they may have no end.
                data = self._body(url, response, named) if response.status == 200 else b""
                return _Answer(response.status, named, data)
        except httpcore.ConnectError as error:
            cause = error.__context__  # the pool raises its errors "from None"
            is_tls, no_name = isinstance(cause, ssl.SSLError), _is_unknown_name(cause)
            is_forged = isinstance(cause, ssl.SSLCertVerificationError)
            said = "its certificate is not good" if is_forged else "cannot connect"
            raise _Later(f"{said}: {_shown(str(error))}", of_host=True, final=is_tls or no_name) from None
        except httpcore.ConnectTimeout:
            raise _Later("cannot connect: no answer", of_host=True) from None
        except httpcore.TimeoutException:
            if self._deadline.left() <= 0:
                raise _Later(f"takes longer than {self.limits.seconds:g} s", final=True) from None
            raise _Later(f"no answer for {self.limits.read_seconds:g} s") from None
        except (httpcore.NetworkError, httpcore.ProtocolError) as error:
            raise _Later(f"the answer broke off ({_shown(str(error)) or type(error).__name__})") from None

    def _body(self, url: str, response: httpcore.Response, headers: Mapping[str, str]) -> bytes:
        """The bytes of a photo, unpacked; what is too long is not read to its end."""
        limit, length = self.limits.bytes, headers.get("content-length", "")
        if length.isdigit() and int(length) > limit:
            raise _too_long(url, limit)
        data, received = bytearray(), 0
        for piece in self._unpacked(url, response.iter_stream(), headers.get("content-encoding", "").strip().lower()):
            received += piece.received
            data += piece.data
            if max(received, len(data)) > limit:
                raise _too_long(url, limit)
        return bytes(data)

    def _unpacked(self, url: str, pieces: Iterator[bytes], encoding: str) -> Iterator[_Piece]:
        if encoding in _PLAIN:
            for piece in pieces:
                yield _Piece(len(piece), piece)
            return
        if encoding not in _ZLIB:
            raise InvalidReference(url, "", f"is packed as {_shown(encoding)!r}", "have the server send it as it is")
        unpacker = zlib.decompressobj(_EITHER)
        try:
            for piece in pieces:
                # One byte over the limit tells that it is passed: a bomb is never unpacked further than that.
                yield _Piece(len(piece), unpacker.decompress(piece, self.limits.bytes + 1))
        except zlib.error:
            raise InvalidReference(url, "", f"is not packed as {encoding}, as its server says", "correct it") from None


@dataclass(frozen=True, slots=True)
class _Piece:
    received: int
    data: bytes


_REFUSED = "leads to "


def _refused(url: str, host: str, why: str) -> InvalidReference:
    return InvalidReference(url, "", f"{host} {why}", "photos are fetched from public addresses alone")


def _unreachable(url: str, problem: str) -> UnreachableReference:
    return UnreachableReference(url, "", problem, "try again later, or download the file and give its path")


def _too_long(url: str, limit: int) -> InvalidReference:
    return InvalidReference(url, "", f"is over the limit of {limit / 1e6:.0f} MB", "scale it down")


def _shown(text: str) -> str:
    """A server's words: as they stand, but not all of a long text."""
    return text if len(text) <= _LONGEST_WORD else text[:_LONGEST_WORD] + "..."


def _is_unknown_name(error: BaseException | None) -> bool:
    return isinstance(error, socket.gaierror) and error.errno in (socket.EAI_NONAME, socket.EAI_FAIL)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a server asks to wait, None where it does not say."""
    said = headers.get("retry-after", "").strip()
    if said.isascii() and said.isdigit():
        return float(said[:9])
    with suppress(ValueError, TypeError, OverflowError):
        moment = parsedate_to_datetime(said)
        then = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return max(0.0, (then - datetime.now(UTC)).total_seconds())
    return None
