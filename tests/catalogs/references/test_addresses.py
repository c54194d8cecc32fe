"""Which addresses photos may be fetched from."""

from __future__ import annotations

import pytest

from catalogs.references.addresses import why_not_public

REFUSED = {
    "0.0.0.0": "unspecified",
    "0.1.2.3": "unspecified",
    "10.0.0.1": "private",
    "100.64.0.1": "shared by a carrier",
    "100.100.100.200": "shared by a carrier",
    "127.0.0.1": "loopback",
    "127.255.255.254": "loopback",
    "168.63.129.16": "metadata",
    "169.254.169.254": "link-local",
    "172.16.0.1": "private",
    "172.31.255.255": "private",
    "192.0.0.192": "reserved",
    "192.0.2.1": "reserved",
    "192.88.99.1": "a tunnel",
    "192.168.1.1": "private",
    "198.18.0.1": "reserved",
    "198.51.100.7": "reserved",
    "203.0.113.7": "reserved",
    "224.0.0.1": "multicast",
    "239.255.255.250": "multicast",
    "240.0.0.1": "reserved",
    "255.255.255.255": "reserved",
    "::": "unspecified",
    "::1": "loopback",
    "::127.0.0.1": "an IPv4 address inside an IPv6 one",
    "::ffff:127.0.0.1": "an IPv4 address inside an IPv6 one",
    "::ffff:8.8.8.8": "an IPv4 address inside an IPv6 one",
    "64:ff9b::7f00:1": "an IPv4 address inside an IPv6 one",
    "64:ff9b:1::a00:1": "an IPv4 address inside an IPv6 one",
    "2002:7f00:1::1": "an IPv4 address inside an IPv6 one",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2": "a tunnel",
    "2001:db8::1": "reserved",
    "2001:10::1": "reserved",
    "3fff::1": "reserved",
    "5f00::1": "reserved",
    "100::1": "reserved",
    "fc00::1": "private",
    "fd00:ec2::254": "private",
    "fe80::1": "link-local",
    "fe80::1%eth0": "link-local",
    "fec0::1": "private",
    "ff02::1": "multicast",
    "4000::1": "reserved",
    "2a00:1450:4001:80b::200e%eth0": "reserved",
    "localhost": "no address",
    "": "no address",
}


@pytest.mark.parametrize("address", REFUSED)
def test_what_is_not_public_is_refused(address: str) -> None:
    assert why_not_public(address) == REFUSED[address]


@pytest.mark.parametrize(
    "address", ["23.227.38.65", "8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::6810:1", "2a00:1450:4001:80b::200e"]
)
def test_what_is_public_is_not(address: str) -> None:
    assert why_not_public(address) is None
