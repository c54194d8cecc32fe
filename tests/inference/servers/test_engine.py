"""The engine against servers of every temper: what is asked, what is believed, and what is lost, which is nothing."""

from __future__ import annotations

import gc
import logging
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from catalogs.errors import EngineError, OptionError
from catalogs.requests import Reason
from inference.engine import Failed
from inference.servers import fleet
from inference.servers.client import KEY_VARIABLE, ServerKey
from inference.servers.engine import close_connections
from tests.image_server import SWITCHES, ImageServer, image_server, image_servers
from tests.inference.servers.asking import BLUE, RED, engine, rendered, requests


@pytest.fixture(scope="module")
def started() -> Iterator[ImageServer]:
    with image_server() as server:
        yield server


@pytest.fixture
def server(started: ImageServer) -> ImageServer:
    """One server for many tests, as it was when it started."""
    started.switch(**SWITCHES)
    return started


@pytest.mark.parametrize("kind", ["sglang", "vllm-omni"])
def test_pictures_of_each_kind(kind: str) -> None:
    with image_server(kind=kind) as one:
        told = {"precision": ""} if kind == "vllm-omni" else {}
        made = engine([one], **told)
        plain, two = requests(3), requests(2, references=(BLUE, RED))
        pictures = rendered(list(made.render([*plain, *two])))
        assert {picture.request for picture in pictures} == {*plain, *two}
        assert all(picture.pixels.shape == (48, 64, 3) for picture in pictures)
        swapped = rendered(list(made.render(requests(1, references=(RED, BLUE)))))[0]
        first = next(one for one in pictures if one.request == two[0])
        assert not np.array_equal(first.pixels, swapped.pixels)
        assert made.versions["server"] == kind
        assert [made.versions[name] for name in ("seed", "steps", "references")] == ["honoured"] * 3


def test_the_same_request_is_the_same_picture_of_any_server() -> None:
    with image_servers({}, {}) as both:
        one = rendered(list(engine(both[:1]).render(requests(4))))
        other = rendered(list(engine(both[1:]).render(requests(4))))
    by_seed = {picture.request.seed: picture.pixels for picture in one}
    assert all(np.array_equal(by_seed[picture.request.seed], picture.pixels) for picture in other)


@pytest.mark.parametrize(
    ("switches", "reason", "final", "said"),
    [
        ({"size": 16}, Reason.ENGINE_ERROR, False, "80x64 pixels instead of 64x48"),
        ({"answer": "html"}, Reason.ENGINE_ERROR, False, "HTTP 200 without a picture: <!doctype html>"),
        ({"answer": "nothing"}, Reason.ENGINE_ERROR, False, "answered 0 pictures instead of one"),
        ({"answer": "odd"}, Reason.ENGINE_ERROR, False, "the picture is no base64"),
        ({"answer": "elsewhere"}, Reason.REFUSED, True, "the picture is on another host"),
        ({"count": 2}, Reason.ENGINE_ERROR, False, "answered 2 pictures instead of one"),
        ({"refuse": "mug"}, Reason.REFUSED, True, "the prompt is refused"),
        ({"redirect": "http://192.0.2.7/v1/images/generations"}, Reason.REFUSED, True, "leads to another host"),
        ({"error": 1.0}, Reason.ENGINE_ERROR, False, "an illegal memory access"),
        ({"drop": 1.0}, Reason.ENGINE_ERROR, False, "the connection was lost 8 times"),
    ],
)
def test_an_answer_that_is_none_fails_alone(
    server: ImageServer,
    monkeypatch: pytest.MonkeyPatch,
    switches: dict[str, Any],
    reason: Reason,
    final: bool,
    said: str,
) -> None:
    monkeypatch.setattr(fleet, "backoff", lambda *_: 0.01)
    made = engine([server])
    rendered(list(made.render(requests(1))))  # which is tested before
    server.switch(**switches)
    [failure] = made.render(requests(1))
    assert isinstance(failure, Failed)
    assert (failure.reason, failure.final) == (reason, final)
    assert said in failure.detail
    server.switch(**SWITCHES)
    rendered(list(made.render(requests(3))))


@pytest.mark.parametrize(
    ("switches", "count"),
    [
        ({"storm_429": 12}, "429"),
        ({"storm_503": 12}, "503"),
        ({"error": 0.2}, "errors"),
        ({"drop": 0.2}, "dropped"),
        ({"answer": "url"}, "made"),
        ({"format": "WEBP"}, "made"),
        ({"format": "JPEG"}, "made"),
    ],
)
def test_trouble_costs_no_picture(
    server: ImageServer, monkeypatch: pytest.MonkeyPatch, switches: dict[str, Any], count: str
) -> None:
    monkeypatch.setattr(fleet, "backoff", lambda *_: 0.01)
    monkeypatch.setattr(fleet, "TRIES", 10)
    made = engine([server])
    rendered(list(made.render(requests(1))))
    before = server.seen[count]
    server.switch(**switches)
    pictures = rendered(list(made.render(requests(40))))
    assert sorted(picture.request.seed for picture in pictures) == list(range(40))
    assert server.seen[count] > before
    is_lossy = switches.get("format") in ("JPEG", "WEBP")
    assert all(bool(picture.note) is is_lossy for picture in pictures)


@pytest.mark.parametrize("switches", [{"error": 1.0}, {"size": 16}, {"answer": "html"}])
def test_a_broken_server_costs_no_picture(switches: dict[str, Any]) -> None:
    with image_servers({}, {}) as (broken, good):
        made = engine([broken, good])
        rendered(list(made.render(requests(10))))
        broken.switch(**switches)
        rendered(list(made.render(requests(80, prompt="a cup"))))
        assert good.seen["made"] >= 80


@pytest.mark.parametrize(
    ("switches", "said"),
    [({"answer": "html"}, "HTTP 200 without a picture"), ({"error": 1.0}, "an illegal memory access")],
)
def test_a_server_that_is_broken_from_the_first_is_left_out(
    monkeypatch: pytest.MonkeyPatch, switches: dict[str, Any], said: str
) -> None:
    monkeypatch.setattr(fleet, "backoff", lambda *_: 0.01)
    with image_servers(switches, {}) as (broken, good):
        rendered(list(engine([broken, good]).render(requests(10))))
        with pytest.raises(EngineError, match=said) as refused:
            list(engine([broken]).render(requests(1)))
    assert "no server can be used" in str(refused.value)


@pytest.mark.parametrize("content", ["", "[]", "{", '{"x": 1}', '{"x": {"at": "never"}}'])
def test_a_damaged_memory_of_verdicts_is_no_memory(server: ImageServer, tmp_path: Path, content: str) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "servers.json").write_text(content)
    rendered(list(engine([server]).render(requests(1))))


def test_a_server_that_warms_up_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet, "backoff", lambda *_: 0.05)
    with image_server(warm_up=3.0) as one:
        rendered(list(engine([one]).render(requests(5))))
        assert one.seen["warming"] > 0


def test_one_that_never_answers_ends_the_shard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet, "PATIENCE", 1.0)
    with image_server() as one:
        one.kill()
        with pytest.raises(EngineError, match=r"no server answers for 1 s: http://127\.0\.0\.1:.*ConnectError"):
            list(engine([one]).render(requests(3)))


@pytest.mark.parametrize(
    ("switches", "changes", "said"),
    [
        ({"model": "black-forest-labs/FLUX.2-klein-9B"}, {}, "serves black-forest-labs/FLUX.2-klein-9B, not"),
        ({"precision": "fp8"}, {}, "says of its precision fp8, where bf16 was planned"),
        ({"seed": "ignored"}, {}, "ignores the seed"),
        ({"steps": "ignored"}, {"needs_steps": True}, "ignores steps"),
        ({"order": "ignored"}, {"needs_order": True}, "does not keep the order of references"),
    ],
)
def test_a_server_that_is_not_to_be_trusted_is_not_used(
    switches: dict[str, Any], changes: dict[str, Any], said: str
) -> None:
    with image_servers(switches, {}) as both:
        with pytest.raises(EngineError, match=said):
            list(engine(both[:1], **changes).render(requests(2)))
        rendered(list(engine(both, **changes).render(requests(8))))
        assert both[0].seen["made"] <= 6  # which tell that
        assert both[1].seen["made"] >= 8


@pytest.mark.parametrize(
    ("switches", "changes", "what"),
    [
        ({"seed": "ignored"}, {"may_ignore_seed": True}, "seed"),
        ({"steps": "ignored"}, {}, "steps"),
        ({"order": "ignored"}, {}, "references"),
    ],
)
def test_what_a_server_ignores_is_recorded_where_it_is_allowed(
    switches: dict[str, Any], changes: dict[str, Any], what: str
) -> None:
    with image_server(**switches) as one:
        made = engine([one], **changes)
        rendered(list(made.render(requests(2))))
        assert made.versions[what] == "ignored"


def test_a_server_is_tested_once(server: ImageServer) -> None:
    rendered(list(engine([server]).render(requests(2))))
    before = server.seen["made"]
    close_connections()
    rendered(list(engine([server]).render(requests(2))))
    assert server.seen["made"] == before + 2


def test_connections_that_are_closed_under_way_leave_no_socket_open() -> None:
    with image_server(seconds=0.5) as busy:  # of its own: it goes on with what nobody waits for
        for _ in range(5):
            made = engine([busy]).render(requests(40))
            next(made)
            made.close()
            close_connections()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        gc.collect()
    assert [str(warning.message) for warning in told] == []


def test_the_key_goes_into_the_header_and_shows_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with image_server(key="very-secret-1") as one:
        rendered(list(engine([one], key=ServerKey("very-secret-1")).render(requests(2))))
        with pytest.raises(EngineError) as error:
            list(engine([one], key=ServerKey("wrong-secret-2")).render(requests(2)))
    assert "secret" not in caplog.text
    assert "HTTP 401: bad key Bearer ***" in str(error.value)
    for bad in ("two words", "schlüssel", "line\nbreak", ""):
        with pytest.raises(OptionError, match=KEY_VARIABLE) as refused:
            ServerKey(bad)
        assert not bad or bad not in str(refused.value)
    assert "hidden-3" not in repr(ServerKey("hidden-3"))


def test_a_stop_waits_for_what_is_under_way(server: ImageServer) -> None:
    server.switch(seconds=0.1)
    stopping = threading.Event()
    before, results = server.seen, []
    made = engine([server], stopping=stopping)  # its first question is asked at once, so what was seen is read before
    for result in made.render(requests(200)):
        results.append(result)
        stopping.set()
    asked = server.seen - before
    assert len(rendered(results)) == asked["made"] - 6 < 100  # six told what it honours
    assert asked["made"] == asked["asked"], asked


def test_a_dead_server_loses_nothing_and_is_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet, "backoff", lambda *_: 0.1)
    with image_servers({"seconds": 0.02}, {"seconds": 0.02}) as (one, other):
        results = []
        for result in engine([one, other]).render(requests(300)):
            results.append(result)
            if len(results) == 40:
                one.kill()
            if len(results) == 120:
                one.start()
                one.wait()
        assert sorted(picture.request.seed for picture in rendered(results)) == list(range(300))
        assert one.seen["made"] > 20  # after it came back


def test_a_slow_server_does_not_hold_back_the_rest() -> None:
    slow = {"seconds": 2.0}
    with image_servers({"seconds": 0.02}, {"seconds": 0.02}, {"seconds": 0.02}) as servers:
        made = engine(servers)
        rendered(list(made.render(requests(60))))
        servers[0].switch(**slow)
        began = time.monotonic()
        rendered(list(made.render(requests(120, prompt="a cup"))))
        assert made.take_profile().counts["asked elsewhere too"] > 0
        assert servers[0].seen["asked"] < 60
    assert time.monotonic() - began < 30  # of four minutes, were it waited for
