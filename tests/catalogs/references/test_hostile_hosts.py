"""URLs, DNS answers and redirects that lead where nothing is fetched from: refused before a byte is sent.

A victim listens on every address of this machine. It counts connections: not one may come.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from catalogs.references.addresses import Network, why_not_public
from catalogs.references.fetching import Fetcher, Limits
from catalogs.references.problems import InvalidReference
from catalogs.storage.web_urls import Hosts
from tests.photo_server import HERE, Resolver, body, photo, redirect, serving

LIMITS = Limits(seconds=5, tries=1, a_second=1000)
LISTED = ("http://a.test", "cdn.test", "http://victim.test", "http://port.test:PORT", "*.many.test")


@dataclass
class Victim:
    """A socket that nobody may connect to."""

    port: int
    connections: list[Any] = field(default_factory=list)


@pytest.fixture(scope="module")
def victim() -> Iterator[Victim]:
    with socket.create_server(("", 0)) as server:
        found = Victim(server.getsockname()[1])

        def listen() -> None:
            while True:
                try:
                    found.connections.append(server.accept())
                except OSError:
                    return

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        yield found
        # Closing alone would not wake it: it would go on to take whoever comes to this port for another test.
        server.shutdown(socket.SHUT_RDWR)
        thread.join(10)
        assert not thread.is_alive()
        for connection, _ in found.connections:
            connection.close()


def fetcher(victim: Victim, network: Network) -> Fetcher:
    return Fetcher(
        Hosts(tuple(name.replace("PORT", str(victim.port)) for name in LISTED), "shop.yaml"), LIMITS, network
    )


def refused(victim: Victim, url: str, network: Network) -> str:
    """Why a URL is not fetched."""
    one = fetcher(victim, network)
    try:
        with pytest.raises(InvalidReference) as told:
            one.fetch(url.replace("PORT", str(victim.port)))
    finally:
        one.close()
    assert victim.connections == []
    assert "\n" not in str(told.value)
    return str(told.value)


NO_HOST = "is no host of this campaign; add"
ADDRESS = "names an address, not a host"
URLS = {
    "loopback": ("http://127.0.0.1:PORT/a.png", ADDRESS),
    "loopback, short": ("http://127.1:PORT/a.png", ADDRESS),
    "loopback as a number": ("http://2130706433:PORT/a.png", ADDRESS),
    "loopback, octal": ("http://0177.0.0.1:PORT/a.png", ADDRESS),
    "loopback, hexadecimal": ("http://0x7f.0.0.1:PORT/a.png", ADDRESS),
    "loopback, hexadecimal as a whole": ("http://0x7f000001:PORT/a.png", ADDRESS),
    "loopback, digits of another script": ("http://①②⑦.⓪.⓪.①:PORT/a.png", ADDRESS),
    "any address": ("http://0.0.0.0:PORT/a.png", ADDRESS),
    "IPv6 loopback": ("http://[::1]:PORT/a.png", ADDRESS),
    "IPv4 in IPv6": ("http://[::ffff:127.0.0.1]:PORT/a.png", ADDRESS),
    "with a zone": ("http://[fe80::1%25lo]:PORT/a.png", ADDRESS),
    "metadata": ("http://169.254.169.254/latest/meta-data/", ADDRESS),
    "localhost": ("http://localhost:PORT/a.png", "'localhost' is no host of the internet"),
    "a name of the network": ("http://intranet/a.png", "'intranet' is no host of the internet"),
    "not listed": ("https://evil.test/a.png", f"evil.test {NO_HOST} evil.test to reference_hosts in shop.yaml"),
    "http of an https host": ("http://cdn.test/a.png", f"http://cdn.test {NO_HOST} http://cdn.test to reference_hosts"),
    "another port": ("http://a.test:PORT/a.png", NO_HOST),
    "SSH's port": ("https://cdn.test:22/a.png", f"cdn.test:22 {NO_HOST}"),
    "a listed name in the front": ("https://cdn.test.evil.test/a.png", NO_HOST),
    "a listed name at the end": ("https://evilcdn.test/a.png", NO_HOST),
    "a listed name as the user": ("http://a.test@victim.test/a.png", "must not carry secrets"),
    "a listed name as user and secret": ("http://a.test:80@127.0.0.1:PORT/a.png", "must not carry secrets"),
    "a backslash": ("http://a.test\\@127.0.0.1:PORT/a.png", "is no URL that can be asked for"),
    "a line break": ("http://a.test/a.png\r\nHost: victim.test\r\n", "names|is no URL that can be asked for"),
    "a NUL": ("http://a.test\x00.evil.test/a.png", "is no URL that can be asked for"),
    "an escaped dot": ("http://a%2etest/a.png", "names no host"),
    "a wildcard's own name": ("https://many.test/a.png", f"many.test {NO_HOST}"),
    "no host": ("http:///a.png", "names"),
    "no port": ("http://a.test:99999/a.png", "is no port"),
    "too long": ("http://a.test/" + "a" * 9000, "is longer than 4096 characters"),
}


@pytest.mark.parametrize("name", URLS)
def test_a_hostile_url_asks_nobody(victim: Victim, name: str) -> None:
    url, problem = URLS[name]
    resolver = Resolver({})
    told = refused(victim, url, resolver.network())
    assert any(each in told for each in problem.split("|")), told
    assert resolver.asked == [], "not even its name"


ANSWERS: dict[str, tuple[list[Any], str]] = {
    "loopback": ([HERE], "leads to 127.0.0.1, which is loopback"),
    "another loopback": (["127.8.8.8"], "which is loopback"),
    "any address": (["0.0.0.0"], "which is unspecified"),
    "IPv6 loopback": (["::1"], "which is loopback"),
    "private": (["10.1.2.3"], "which is private"),
    "private, docker": (["172.17.0.1"], "which is private"),
    "private, a router": (["192.168.0.1"], "which is private"),
    "private IPv6": (["fd12:3456::1"], "which is private"),
    "metadata": (["169.254.169.254"], "which is link-local"),
    "metadata of Azure": (["168.63.129.16"], "which is metadata"),
    "metadata of Alibaba": (["100.100.100.200"], "which is shared by a carrier"),
    "metadata of Oracle": (["192.0.0.192"], "which is reserved"),
    "metadata over IPv6": (["fd00:ec2::254"], "which is private"),
    "IPv4 in IPv6": (["::ffff:127.0.0.1"], "which is an IPv4 address inside an IPv6 one"),
    "6to4": (["2002:7f00:1::"], "which is an IPv4 address inside an IPv6 one"),
    "NAT64": (["64:ff9b::7f00:1"], "which is an IPv4 address inside an IPv6 one"),
    "Teredo": (["2001:0:7f00:1::1"], "which is a tunnel"),
    "link-local with a zone": (["fe80::1%lo"], "which is link-local"),
    "multicast": (["224.0.0.251"], "which is multicast"),
    "broadcast": (["255.255.255.255"], "which is reserved"),
    "one of several, the last": (["23.227.38.65", "2606:4700::1", HERE], "leads to 127.0.0.1"),
    "one of several, the first": (["10.0.0.1", "23.227.38.65"], "leads to 10.0.0.1"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_a_hostile_dns_answer_is_not_connected_to(victim: Victim, name: str) -> None:
    addresses, problem = ANSWERS[name]
    places = [(address, victim.port) for address in addresses]
    resolver = Resolver({"victim.test": places})
    told = refused(victim, "http://victim.test/a.png", Network(resolver, why_not_public))
    assert problem in told
    assert "photos are fetched from public addresses alone" in told


CHAINS: dict[str, tuple[list[str], str]] = {
    "to loopback": (["http://127.0.0.1:PORT/"], ADDRESS),
    "to IPv6 loopback": (["http://[::1]:PORT/"], ADDRESS),
    "to a number": (["http://2130706433:PORT/"], ADDRESS),
    "to metadata": (["http://169.254.169.254/latest/"], ADDRESS),
    "to another host": (["https://evil.test/a.png"], NO_HOST),
    "to another port": (["http://a.test:PORT/a.png"], NO_HOST),
    "to http from https' host": (["http://cdn.test/a.png"], NO_HOST),
    "to a listed name that leads inside": (["http://victim.test/a.png"], "leads to 127.0.0.2, which is loopback"),
    "to it on a listed port": (["http://port.test:PORT/a.png"], "leads to 127.0.0.2, which is loopback"),
    "to it below a wildcard": (["https://x.many.test/a.png"], "leads to 169.254.169.254"),
    "at the second turn": (["/b", "http://victim.test/a.png"], "leads to 127.0.0.2"),
    "at the fifth turn": (["/b", "//a.test/c", "?d", "/e", "http://127.0.0.1:PORT/"], ADDRESS),
    "without a scheme": (["//127.0.0.1:PORT/"], ADDRESS),
    "with secrets": (["http://a.test:x@victim.test/"], "must not carry secrets"),
    "to a file": (["file:///etc/passwd"], "is no URL"),
    "to gopher": (["gopher://127.0.0.1:PORT/_x"], "is no URL"),
    "to data": (["data:image/png;base64,iVBORw0KGgo="], "is no URL"),
    "to a backslash": (["http://a.test\\@127.0.0.1:PORT/"], "is no URL"),
    "to a broken bracket": (["http://[::1/"], "is no URL|names"),
}


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("code", [302, 307])
def test_a_redirect_is_looked_at_as_the_first_url_is(victim: Victim, name: str, code: int) -> None:
    targets, problem = CHAINS[name]
    with serving() as shop:
        path = "/a.png"
        for target in targets:
            shop.routes[path] = redirect(target.replace("PORT", str(victim.port)), code)
            path = {"/b": "/b", "//a.test/c": "/c", "?d": "/c?d", "/e": "/e"}.get(target, path)
        inside = [("127.0.0.2", victim.port)]
        places = {
            "a.test": [(HERE, shop.port)],
            "victim.test": inside,
            "port.test": inside,
            "x.many.test": [("169.254.169.254", 80)],
        }
        told = refused(victim, "http://a.test/a.png", Resolver(places).network())
        assert any(each in told for each in problem.split("|")), told
        assert len(shop.requests) == len(targets)


def test_the_connection_is_made_to_the_address_that_was_looked_at(victim: Victim) -> None:
    """A name that is public when it is looked up, and private when it is looked up again."""
    with serving() as shop:
        shop.routes["/a.png"] = body(photo())
        good, bad = [(HERE, shop.port)], [("127.0.0.2", victim.port)]
        resolver = Resolver({"a.test": [good, bad, bad]})
        one = fetcher(victim, resolver.network())
        assert one.fetch("http://a.test/a.png") is not None
        assert resolver.asked == ["a.test"]
        one.close()
        told = refused(victim, "http://a.test/a.png", resolver.network())  # it asks anew, and sees
        assert "leads to 127.0.0.2" in told


def test_the_way_of_every_command_refuses_this_machine(victim: Victim) -> None:
    way = Network()
    for address, _ in way.resolve("localhost", victim.port):
        assert way.refuse(address) == "loopback"
    told = refused(victim, "http://victim.test/a.png", Network(Resolver({"victim.test": [(HERE, victim.port)]})))
    assert "leads to 127.0.0.1" in told


def test_a_good_host_beside_all_that_is_fetched_from(victim: Victim) -> None:
    with serving() as shop:
        shop.routes["/a.png"] = body(photo())
        one = fetcher(victim, shop.network("a.test"))
        assert one.fetch("http://a.test/a.png") is not None
        one.close()


def test_the_victim_would_have_counted(victim: Victim) -> None:
    with socket.create_connection((HERE, victim.port)), serving() as shop:
        while not victim.connections:
            time.sleep(0.01)
        assert shop.connections == 0


def test_there_are_many_of_them() -> None:
    assert len(URLS) >= 30
    assert len(ANSWERS) + len(CHAINS) >= 30
