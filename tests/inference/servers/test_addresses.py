from __future__ import annotations

import socket

import pytest

from inference.servers.addresses import BadAddress, addresses_of, is_open


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("http://gpu-a:30000", ("http://gpu-a:30000",)),
        ("http://gpu-a:30000, http://gpu-b:30000", ("http://gpu-a:30000", "http://gpu-b:30000")),
        ("gpu-a:30000,gpu-b", ("http://gpu-a:30000", "http://gpu-b")),
        ("http://gpu-a:30000/, http://gpu-a:30000", ("http://gpu-a:30000",)),
        ("https://images.example.com/v1", ("https://images.example.com",)),
        ("https://images.example.com/team/v1/", ("https://images.example.com/team",)),
        ("HTTP://GPU-A:8000", ("http://gpu-a:8000",)),
        ("http://[::1]:8000", ("http://[::1]:8000",)),
        ("http://localhost:1, http://127.0.0.1:1/, http://[::1]:1/v1", ("http://localhost:1",)),
        ("http://gpu-a, http://gpu-a:80, https://gpu-a, https://gpu-a:443/", ("http://gpu-a", "https://gpu-a")),
        ("http://gpu_a.images.svc.:1", ("http://gpu_a.images.svc.:1",)),
        (" http://a:1 ,, http://b:2 , ", ("http://a:1", "http://b:2")),
        ("http://10.0.0.7:30000", ("http://10.0.0.7:30000",)),
    ],
)
def test_addresses(text: str, wanted: tuple[str, ...]) -> None:
    assert addresses_of(text) == wanted


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "names no server"),
        (" , ", "names no server"),
        ("ftp://gpu-a", "is no address of http or https"),
        ("http://", "is no address of http or https"),
        ("http://gpu-a:99999", "is no address"),
        ("http://gpu-a:port", "is no address"),
        ("http://user:secret@gpu-a", "keys are taken from the environment"),
        ("http://gpu-a?key=secret", "has more than host, port and path"),
        ("http://gpu-a/#x", "has more than host, port and path"),
        ("http://gpu a:1", "characters that no address has"),
        ("http://gpü:1", "characters that no address has"),
        ("http://[::1", "is no address"),
        ("http://gpu-a:0", "is no address of a server"),
        ("%%%", "is no address of a server"),
        ("http://..", "is no address of a server"),
        (f"http://{'a' * 64}:1", "is no address of a server"),
        (",".join(f"http://gpu-{n}" for n in range(65)), "names 65 servers, of at most 64"),
        ("file:///etc/passwd", "is no address of http or https"),
        ("http://a:1,javascript://x", "is no address of http or https"),
    ],
)
def test_what_is_no_address(text: str, said: str) -> None:
    with pytest.raises(BadAddress, match=said) as error:
        addresses_of(text)
    assert "secret" not in str(error.value) or "key=" in text


@pytest.mark.parametrize(
    ("address", "found", "wanted"),
    [
        ("http://gpu-a:1", ["10.1.2.3"], False),
        ("http://gpu-a:1", ["127.0.0.1", "::1"], False),
        ("http://gpu-a:1", ["8.8.8.8"], True),
        ("http://gpu-a:1", ["10.1.2.3", "2001:4860:4860::8888"], True),
        ("https://gpu-a:1", ["8.8.8.8"], False),
    ],
)
def test_open_networks(monkeypatch: pytest.MonkeyPatch, address: str, found: list[str], wanted: bool) -> None:
    def resolved(*_: object, **__: object) -> list[tuple[int, int, int, str, tuple[str, int]]]:
        return [(2, 1, 6, "", (one, 1)) for one in found]

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    assert is_open(address) is wanted


def test_a_host_that_nobody_knows_is_left_to_the_request() -> None:
    assert is_open("http://no-such-host.invalid:1") is False
