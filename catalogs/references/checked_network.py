"""Connections to addresses that were looked at, and within a time that no slow answer stretches."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterable

import httpcore

from catalogs.references.addresses import Network

_ADDRESSES_TRIED = 4


class RefusedAddress(Exception):
    """A host that leads to where nothing is fetched from."""


class Deadline(threading.local):
    """Until when the photo that this thread fetches must be there."""

    def __init__(self) -> None:
        self._end = float("inf")

    def start(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def extend(self, seconds: float) -> None:
        """What was waited for by agreement does not count."""
        self._end += seconds

    def left(self, bound: float | None = None) -> float:
        """Seconds that an operation may take; 0 or less when time is up."""
        left = self._end - time.monotonic()
        return left if bound is None else min(left, bound)


class CheckedBackend(httpcore.NetworkBackend):
    """Resolves a name, refuses it if one of its addresses may not be reached, and connects to those very addresses.

    The name is not asked for again: who answers otherwise a moment later wins nothing. TLS is checked for the name.
    """

    def __init__(self, network: Network, deadline: Deadline) -> None:
        self._network, self._deadline = network, deadline
        self._sockets = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Raises RefusedAddress, and as httpcore does."""
        try:
            places = list(self._network.resolve(host, port))
        except OSError as error:
            raise httpcore.ConnectError(f"it has no address ({error.strerror or error})") from error
        for address, _ in places:
            if kind := self._network.refuse(address):
                raise RefusedAddress(f"leads to {address}, which is {kind}")
        failure: httpcore.NetworkError | httpcore.TimeoutException = httpcore.ConnectError("it has no address")
        for address, its_port in places[:_ADDRESSES_TRIED]:
            try:
                left = self._left(timeout)
                stream = self._sockets.connect_tcp(address, its_port, left, socket_options=socket_options)
                return _Timed(stream, self._deadline)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None
    ) -> httpcore.NetworkStream:
        """Never."""
        raise httpcore.UnsupportedProtocol("no photo is behind a socket")

    def _left(self, timeout: float | None) -> float:
        left = self._deadline.left(timeout)
        if left <= 0:
            raise httpcore.ConnectTimeout("time is up")
        return left


class _Timed(httpcore.NetworkStream):
    """A stream whose operations end with the deadline: a server that sends a byte a second is cut off as well."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._stream, self._deadline = stream, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._left(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        stream = self._stream.start_tls(ssl_context, server_hostname, self._left(timeout))
        return _Timed(stream, self._deadline)

    def get_extra_info(self, info: str) -> object:
        return self._stream.get_extra_info(info)

    def _left(self, timeout: float | None) -> float:
        left = self._deadline.left(timeout)
        if left <= 0:
            raise httpcore.ReadTimeout("time is up")
        return left
