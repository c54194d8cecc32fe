"""Which addresses photos are fetched from: only those of the public internet.

A name in a catalog may lead anywhere: to this machine, into the network it stands in, to the address where a cloud
hands out its keys. So every address that a name has is looked at, and the connection is made to the one looked at.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Place = tuple[str, int]
"""An IP address as text, and a port."""

# By IANA's registries of special-purpose addresses, and what clouds answer on beside them. Python's own `is_global`
# is asked too: it differs between versions, so it alone is not enough.
_NOT_PUBLIC = {
    "unspecified": ("0.0.0.0/8", "::/128"),
    "private": ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fec0::/10"),
    "shared by a carrier": ("100.64.0.0/10",),
    "loopback": ("127.0.0.0/8", "::1/128"),
    "link-local": ("169.254.0.0/16", "fe80::/10"),
    "metadata": ("168.63.129.16/32", "fd00:ec2::/32"),
    "multicast": ("224.0.0.0/4", "ff00::/8"),
    "an IPv4 address inside an IPv6 one": ("::ffff:0:0/96", "::/96", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16"),
    "a tunnel": ("2001::/32", "192.88.99.0/24"),
    "reserved": (
        "192.0.0.0/24",
        "192.0.2.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "240.0.0.0/4",
        "100::/64",
        "2001::/23",
        "2001:db8::/32",
        "3fff::/20",
        "5f00::/16",
    ),
}
_NETWORKS = [(kind, ipaddress.ip_network(text)) for kind, texts in _NOT_PUBLIC.items() for text in texts]
_UNICAST_6 = ipaddress.ip_network("2000::/3")


def why_not_public(address: str) -> str | None:
    """Of which kind an address is that nothing is fetched from; None for one of the public internet."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return "no address"
    for kind, network in _NETWORKS:
        if found.version == network.version and found in network:
            return kind
    is_odd = found.version == 6 and (found not in _UNICAST_6 or "%" in address)
    return "reserved" if is_odd or not found.is_global or found.is_multicast or found.is_reserved else None


def addresses_of(host: str, port: int) -> list[Place]:
    """Every address of a host by this machine's resolver; raises OSError."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:  # a label that its codec does not take
        raise OSError(str(error)) from None
    return list(dict.fromkeys((str(place[0]), int(place[1])) for *_, place in found))


def public_tls() -> ssl.SSLContext:
    """Certificates are checked against those that httpx brings, or SSL_CERT_FILE names."""
    import httpx

    return httpx.create_ssl_context()


@dataclass(frozen=True)
class Network:
    """The way to a host. Only tests hand another one to a fetcher: nothing that a user writes or sets becomes one.

    Attributes:
        resolve: host and port to the addresses and ports to connect to; raises OSError.
        refuse: why an address is not connected to, or None.
        tls: what certificates are checked by.
    """

    resolve: Callable[[str, int], Sequence[Place]] = addresses_of
    refuse: Callable[[str], str | None] = why_not_public
    tls: Callable[[], ssl.SSLContext] = public_tls


PUBLIC = Network()
