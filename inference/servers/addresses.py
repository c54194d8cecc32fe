"""Where servers are, as a campaign says it; without httpx, as every plan asks."""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

MOST = 64
"""Servers of one campaign."""


class BadAddress(ValueError):
    """What is no address of a server, in one line."""


def addresses_of(text: str) -> tuple[str, ...]:
    """The servers of a list between commas, each once, as `http://host:port`.

    Raises:
        BadAddress: one of them is no address, or there are none.
    """
    found = tuple(dict.fromkeys(_address(part.strip()) for part in text.split(",") if part.strip()))
    if not found:
        raise BadAddress("names no server")
    if len(found) > MOST:
        raise BadAddress(f"names {len(found)} servers, of at most {MOST}")
    return found


def _address(text: str) -> str:
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        raise BadAddress(f"{text!r} is no address") from None
    if parts.scheme not in ("http", "https") or not host:
        raise BadAddress(f"{text!r} is no address of http or https")
    if parts.username is not None or parts.password is not None:
        raise BadAddress("an address holds a user or a password; keys are taken from the environment")
    if parts.query or parts.fragment:
        raise BadAddress(f"{text!r} has more than host, port and path")
    if not all(mark.isascii() and mark.isprintable() and mark != " " for mark in f"{host}{parts.path}"):
        raise BadAddress(f"{text!r} holds characters that no address has")
    path = parts.path.rstrip("/").removesuffix("/v1")
    name = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{name}{'' if port is None else f':{port}'}{path}"


def is_open(address: str) -> bool:
    """Whether prompts, photos and key would travel readably over a public network."""
    parts = urlsplit(address)
    if parts.scheme == "https":
        return False
    try:
        found = socket.getaddrinfo(parts.hostname, parts.port or 80, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return False
    return any(ipaddress.ip_address(str(place[0]).partition("%")[0]).is_global for *_, place in found)
