"""Which hosts may be given the key of the hosted API, and which are fetched from; without httpx, as every plan asks."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from urllib.parse import urlsplit

_LOOPBACK = frozenset(("127.0.0.1", "localhost", "::1"))


def check_base_url(url: str) -> str | None:
    """Why a base URL may not be given the key, or None."""
    if may_have_key(url, url):
        return None
    return "the key goes to https://*.bfl.ai only (or to this machine, for tests)"


def may_have_key(url: str, base_url: str) -> bool:
    """Whether a URL is the API's own: https below bfl.ai, or this machine where the base URL is."""
    try:
        parts, base = urlsplit(url), urlsplit(base_url)
    except ValueError:  # no URL at all
        return False
    host = parts.hostname or ""
    if base.hostname in _LOOPBACK:
        return parts.scheme in ("http", "https") and host in _LOOPBACK
    return parts.scheme == "https" and (host == "bfl.ai" or host.endswith(".bfl.ai"))


async def why_not_fetched(url: str, base_url: str) -> str | None:
    """Why nothing is fetched from a URL that a server answered, or None.

    Only https, and no address of a private network or of this machine, unless the base URL, as in tests, is this
    machine. A host that has no address is left to the request itself to find out: a proxy may know it.
    """
    try:
        parts, base = urlsplit(url), urlsplit(base_url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "is no URL"
    if base.hostname in _LOOPBACK and host in _LOOPBACK and parts.scheme in ("http", "https"):
        return None
    if parts.scheme != "https" or not host:
        return "is not https"
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port or 443, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        found = []
    addresses = [ipaddress.ip_address(str(place[0]).partition("%")[0]) for *_, place in found]
    return None if all(address.is_global for address in addresses) else "leads into a private network"
