"""Where servers are, as a campaign says it; without httpx, as every plan asks."""

from __future__ import annotations

import ipaddress
import re
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
    every = [_address(part.strip()) for part in text.split(",") if part.strip()]
    found = tuple({_place(address): address for address in reversed(every)}.values())[::-1]
    if not found:
        raise BadAddress("names no server")
    if len(found) > MOST:
        raise BadAddress(f"names {len(found)} servers, of at most {MOST}")
    return found


def _place(address: str) -> tuple[str, str | None, int, str]:
    """The same for two spellings of one server."""
    parts = urlsplit(address)
    host = "127.0.0.1" if parts.hostname in ("localhost", "::1") else parts.hostname
    return parts.scheme, host, parts.port or (443 if parts.scheme == "https" else 80), parts.path


def _is_host(host: str) -> bool:
    """Whether a name may be one of DNS, or an address; docker and Kubernetes take underscores too."""
    if ":" in host:  # urlsplit has seen to its brackets
        return True
    labels = host.removesuffix(".").split(".")
    return len(host) < 254 and all(re.fullmatch("[A-Za-z0-9_-]{1,63}", label) for label in labels)


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
    if port == 0 or not _is_host(host):
        raise BadAddress(f"{text!r} is no address of a server")
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
