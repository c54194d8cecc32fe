"""A fetcher against a real server: what it takes, what it gives up, and what it costs at most."""

from __future__ import annotations

import gzip
import ssl
import threading
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from catalogs.errors import ReferenceImageError
from catalogs.references.addresses import Network
from catalogs.references.fetching import Fetched, Fetcher, Limits
from catalogs.references.problems import InvalidReference, MissingReference, UnreachableReference
from catalogs.storage.web_urls import Hosts
from tests.photo_server import (
    HERE,
    PhotoServer,
    Resolver,
    Respond,
    body,
    bomb,
    certificates,
    cut,
    drip,
    drip_headers,
    endless,
    photo,
    redirect,
    serving,
    status,
    tagged,
)

QUICK = Limits(
    bytes=100_000, seconds=0.8, connect_seconds=0.4, read_seconds=0.2, backoff=0.01, longest_wait=2, a_second=1000
)
HOSTS = Hosts(("http://a.test", "http://b.test"), "shop.yaml")
PHOTO = photo()
URL = "http://a.test/a.png"


@pytest.fixture
def shop() -> Iterator[PhotoServer]:
    with serving() as server:
        server.routes["/a.png"] = body(PHOTO)
        yield server


_open: list[Fetcher] = []


@pytest.fixture(autouse=True)
def _closing() -> Iterator[None]:
    yield
    while _open:
        _open.pop().close()


def fetcher(shop: PhotoServer, limits: Limits = QUICK, hosts: Hosts = HOSTS, network: Network | None = None) -> Fetcher:
    _open.append(Fetcher(hosts, limits, network or shop.network("a.test", "b.test")))
    return _open[-1]


def fetch(shop: PhotoServer) -> Fetched | None:
    return fetcher(shop).fetch(URL)


TAKEN: dict[str, Respond | list[Respond]] = {
    "plain": body(PHOTO),
    "called something else": body(PHOTO, Content_Type="text/html"),
    "packed": lambda handler: handler.send(200, gzip.compress(PHOTO), {"Content-Encoding": "gzip"}),
    "deflated": lambda handler: handler.send(200, zlib.compress(PHOTO), {"Content-Encoding": "deflate"}),
    "after 503": [status(503), body(PHOTO)],
    "after 500 and 502": [status(500), status(502), body(PHOTO)],
    "after 429": [status(429, Retry_After="1"), body(PHOTO)],
    "after 429 with a date of before": [status(429, Retry_After="Fri, 13 Nov 2020 10:00:00 GMT"), body(PHOTO)],
    "after 429 with nonsense": [status(429, Retry_After="soon"), body(PHOTO)],
    "after a broken answer": [cut(PHOTO), body(PHOTO)],
    "after a slow answer": [drip(PHOTO, 0.4), body(PHOTO)],
    "after a cookie": [lambda handler: handler.send(503, headers={"Set-Cookie": "a=b"}), body(PHOTO)],
}


@pytest.mark.parametrize("how", TAKEN)
def test_a_photo_is_taken(shop: PhotoServer, how: str) -> None:
    answers = TAKEN[how]
    shop.routes["/a.png"] = list(answers) if isinstance(answers, list) else answers
    found = fetch(shop)
    assert found is not None
    assert found.data == PHOTO
    for _, headers in shop.requests:
        assert headers["Host"] == "a.test"
        assert headers["Accept-Encoding"] == "identity"
        assert not {"Cookie", "Authorization", "Referer", "Proxy-Authorization"} & set(headers)


GONE = "is asked no more in this run"
NOT_TAKEN: dict[str, tuple[Respond, type[ReferenceImageError], str, int]] = {
    "404": (status(404), MissingReference, "there is no such photo (HTTP 404); correct the url", 1),
    "410": (status(410), MissingReference, "there is no such photo (HTTP 410)", 1),
    "401": (status(401), UnreachableReference, "is not given out (HTTP 401); try again later, or", 1),
    "403": (status(403), UnreachableReference, "is not given out (HTTP 403)", 1),
    "206": (status(206), UnreachableReference, "is not given out (HTTP 206)", 1),
    "304 unasked": (status(304), UnreachableReference, "is not given out (HTTP 304)", 1),
    "503 for ever": (status(503), UnreachableReference, "the server answers HTTP 503", 3),
    "500 for ever": (status(500), UnreachableReference, "the server answers HTTP 500", 3),
    "429 for hours": (status(429, Retry_After="7200"), UnreachableReference, "HTTP 429, wait 7200 s", 1),
    "broken": (cut(PHOTO), UnreachableReference, "the answer broke off", 3),
    "a slow body": (drip(PHOTO, 0.1), UnreachableReference, "takes longer than 0.8 s", 1),
    "a stuck body": (drip(PHOTO, 5), UnreachableReference, "no answer for 0.2 s", 3),
    "slow headers": (drip_headers(0.1), UnreachableReference, "takes longer than 0.8 s", 1),
    "too long": (body(bytes(100_001)), InvalidReference, "is over the limit of 0 MB; scale it down", 1),
    "without an end": (endless(bytes(10_000)), InvalidReference, "is over the limit", 1),
    "a bomb": (bomb(50_000_000), InvalidReference, "is over the limit", 1),
    "packed otherwise": (body(PHOTO, Content_Encoding="br"), InvalidReference, "is packed as 'br'", 1),
    "packed twice": (body(PHOTO, Content_Encoding="gzip, gzip"), InvalidReference, "is packed as 'gzip, gzip'", 1),
    "packed not at all": (body(PHOTO, Content_Encoding="gzip"), InvalidReference, "is not packed as gzip", 1),
    "round and round": (redirect("/a.png"), InvalidReference, "is redirected more than 5 times", 6),
    "no redirect": (redirect(""), InvalidReference, "is redirected more than 5 times", 6),
}


@pytest.mark.parametrize("how", NOT_TAKEN)
def test_a_photo_that_is_not_given_costs_little_and_is_told(shop: PhotoServer, how: str) -> None:
    respond, kind, problem, asked = NOT_TAKEN[how]
    shop.routes["/a.png"] = respond
    began = time.monotonic()
    with pytest.raises(kind) as told:
        fetch(shop)
    assert problem in str(told.value)
    assert type(told.value) is kind
    assert "\n" not in str(told.value)
    assert shop.asked == {"/a.png": asked}
    assert time.monotonic() - began < 4
    assert shop.sent < 5_000_000, "what the sockets hold is all that it was sent"


def test_a_chain_of_redirects_is_followed_to_its_end_over_listed_hosts(shop: PhotoServer) -> None:
    targets = ["http://b.test/1", "//a.test/2", "/3", "?4", "http://b.test/5.png"]
    for code, (path, target) in zip(
        (301, 302, 303, 307, 308), zip(("/a.png", "/1", "/2", "/3", "/3?4"), targets, strict=True), strict=True
    ):
        shop.routes[path] = redirect(target, code)
    shop.routes["/5.png"] = body(PHOTO)
    found = fetch(shop)
    assert found is not None
    assert found.data == PHOTO
    assert [headers["Host"][0] for _, headers in shop.requests] == list("abaaab")


def test_what_is_the_same_is_not_sent_again(shop: PhotoServer) -> None:
    shop.routes["/a.png"] = tagged(PHOTO, '"1"')
    one = fetcher(shop)
    found = one.fetch(URL)
    assert found == Fetched(PHOTO, '"1"')
    assert one.fetch(URL, '"1"', "Fri, 13 Nov 2026 10:00:00 GMT") is None
    assert shop.requests[-1][1]["If-Modified-Since"] == "Fri, 13 Nov 2026 10:00:00 GMT"
    assert one.fetch(URL, '"2"') == found
    assert one.fetch(URL, "\r\nX-Evil: 1") == found
    assert "X-Evil" not in shop.requests[-1][1]
    one.close()


def test_a_host_that_does_not_answer_is_asked_no_more(shop: PhotoServer) -> None:
    one = fetcher(shop, network=Resolver({"a.test": [(HERE, 9)], "b.test": [(HERE, shop.port)]}).network())
    with pytest.raises(UnreachableReference, match="cannot connect"):
        one.fetch(URL)
    with pytest.raises(UnreachableReference, match=r"a\.test is asked no more in this run \(cannot connect"):
        one.fetch("http://a.test/other.png")
    assert one.fetch("http://b.test/a.png") is not None
    with pytest.raises(UnreachableReference, match="it has no address"):
        fetcher(shop, hosts=Hosts(("http://nobody.test",))).fetch("http://nobody.test/a.png")


def test_a_host_that_fails_time_and_again_is_asked_no_more_and_one_that_lacks_photos_is(shop: PhotoServer) -> None:
    shop.routes["/broken"] = status(500)
    one = fetcher(shop, replace(QUICK, silent_after=3))
    for number in range(20):
        with pytest.raises(MissingReference, match="HTTP 404"):
            one.fetch(f"http://a.test/{number}")
    for _ in range(3):
        with pytest.raises(UnreachableReference, match="HTTP 500"):
            one.fetch("http://a.test/broken")
    asked = len(shop.requests)
    with pytest.raises(UnreachableReference, match=GONE):
        one.fetch(URL)
    assert len(shop.requests) == asked


@pytest.mark.parametrize("when", ["1", "date"])
def test_a_host_is_left_alone_as_long_as_it_asks(shop: PhotoServer, when: str) -> None:
    after = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True) if when == "date" else when
    shop.routes["/busy"] = [status(429, Retry_After=after), body(PHOTO)]
    one, began = fetcher(shop), time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(one.fetch, "http://a.test/busy")
        while not shop.requests:
            time.sleep(0.01)
        time.sleep(0.1)
        others = [pool.submit(one.fetch, URL) for _ in range(3)]
        assert all(each.result() for each in (first, *others))
    assert time.monotonic() - began >= 0.9
    assert shop.asked == {"/busy": 2, "/a.png": 3}


def test_a_host_is_asked_so_often_and_no_oftener(shop: PhotoServer) -> None:
    shop.routes["/slow"] = lambda handler: (time.sleep(0.1), handler.send(200, PHOTO))[1]
    at_once, most, lock = 0, 0, threading.Lock()
    inner = shop.routes["/slow"]

    def counted(handler: Any) -> None:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        inner(handler)  # type: ignore[operator]
        with lock:
            at_once -= 1

    shop.routes["/slow"] = counted
    one, began = fetcher(shop, replace(QUICK, a_second=40, at_once=2)), time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(one.fetch, ["http://a.test/slow"] * 12))
    assert most <= 2
    assert time.monotonic() - began >= 11 / 40


def test_connections_are_kept(shop: PhotoServer) -> None:
    one = fetcher(shop)
    assert all(one.fetch(URL) for _ in range(20))
    assert shop.connections == 1


def test_a_stopped_fetcher_waits_for_nothing(shop: PhotoServer) -> None:
    shop.routes["/a.png"] = status(503, Retry_After="1")
    one = fetcher(shop, replace(QUICK, longest_wait=3600, tries=100))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(one.fetch, URL)
        while not shop.requests:
            time.sleep(0.01)
        one.close()
        with pytest.raises(ReferenceImageError):
            waiting.result(timeout=3)


def test_https_is_checked_for_the_name_and_connected_to_the_address(tmp_path: Path) -> None:
    server, client = certificates(tmp_path, "a.test")
    with serving(server) as shop:
        shop.routes["/a.png"] = body(PHOTO)
        hosts = Hosts(("a.test", "b.test"))
        one = fetcher(shop, hosts=hosts, network=shop.network("a.test", "b.test", tls=client))
        found = one.fetch("https://a.test/a.png")
        assert found is not None
        assert found.data == PHOTO
        assert shop.requests[0][1]["Host"] == "a.test"
        with pytest.raises(UnreachableReference, match="its certificate is not good"):
            one.fetch("https://b.test/a.png")
        unknown = fetcher(shop, hosts=hosts, network=shop.network("a.test", tls=ssl.create_default_context()))
        with pytest.raises(UnreachableReference, match="its certificate is not good"):
            unknown.fetch("https://a.test/a.png")
        assert shop.asked == {"/a.png": 1}, "no request goes to a server that is not who it says"


def test_no_proxy_and_no_netrc_is_taken_from_the_environment(
    shop: PhotoServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://{HERE}:{proxy.port}")
        (tmp_path / ".netrc").write_text("machine a.test login me password secret\n")
        monkeypatch.setenv("HOME", str(tmp_path))
        assert fetch(shop)
        assert proxy.connections == 0
        assert "Authorization" not in shop.requests[0][1]
