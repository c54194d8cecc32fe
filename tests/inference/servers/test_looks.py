"""What a server says while it is used: that it is not ready, or that it serves something else by now."""

from __future__ import annotations

import time
from typing import Any

import pytest

from catalogs.errors import EngineError
from inference.engine import Failed
from inference.servers import asked, fleet
from inference.servers.asked import ask_servers
from tests.image_server import image_server, image_servers
from tests.inference.servers.asking import engine, rendered, requests

OTHER = "black-forest-labs/FLUX.2-klein-9B"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet, "backoff", lambda *_: 0.05)
    monkeypatch.setattr(fleet, "LOOK_EVERY", 0.2)


@pytest.mark.parametrize(
    ("kind", "health", "is_ready"),
    [
        ("vllm-omni", 200, True),
        ("vllm-omni", 404, True),
        ("vllm-omni", 503, False),
        ("vllm-omni", 500, False),
        ("sglang", 503, True),  # whose documentation does not name the route
    ],
)
def test_one_of_vllm_is_ready_when_its_health_says_so(
    monkeypatch: pytest.MonkeyPatch, kind: str, health: int, is_ready: bool
) -> None:
    monkeypatch.setattr(asked, "WARM_UP", 0.5)
    with image_server(kind=kind, health=health) as one:
        if is_ready:
            assert list(ask_servers([one.url], None).served) == [one.url]
            return
        with pytest.raises(EngineError, match=rf"no server answers: .*HTTP {health}"):
            ask_servers([one.url], None)
        monkeypatch.setattr(asked, "WARM_UP", 30.0)
        one.switch(health=200)
        assert ask_servers([one.url], None).served


def test_one_that_is_not_ready_any_more_is_waited_for() -> None:
    with image_server(kind="vllm-omni", seconds=0.02) as one:
        made = engine([one], precision="")
        results, seen, fleet_of = [], "", made._connection.fleet
        for result in made.render(requests(150)):
            results.append(result)
            if len(results) == 20:
                one.switch(health=503)
            if fleet_of.servers[0].trouble:
                seen = seen or fleet_of.troubles()
                one.switch(health=200)
        assert "HTTP 503" in seen
        assert sorted(picture.request.seed for picture in rendered(results)) == list(range(150))


@pytest.mark.parametrize("switches", [{"model": OTHER}, {"precision": "fp8"}])
def test_one_that_serves_something_else_by_now_is_left_out(switches: dict[str, Any]) -> None:
    with image_servers({"seconds": 0.02}, {"seconds": 0.02}) as both:
        made, results = engine(both), []
        for result in made.render(requests(200)):
            results.append(result)
            if len(results) == 20:
                both[0].switch(**switches)
        assert len(rendered(results)) == 200
        used = {server.name: server.is_other for server in made._connection.fleet.servers}
        assert used == {both[0].url: True, both[1].url: False}
        asked_by_then = both[0].seen["asked"]
        rendered(list(made.render(requests(20, prompt="a cup"))))
        assert both[0].seen["asked"] == asked_by_then


def test_a_server_is_asked_at_once_when_it_refuses_what_another_model_would(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet, "LOOK_EVERY", 3600.0)
    with image_servers({"kind": "vllm-omni"}, {"kind": "vllm-omni"}) as both:
        made = engine(both, precision="")
        rendered(list(made.render(requests(20))))
        both[0].switch(model=OTHER)
        assert len(rendered(list(made.render(requests(40, prompt="a cup"))))) == 40
        both[1].switch(refuse="a jug")
        [failure] = made.render(requests(1, prompt="a jug"))
        assert isinstance(failure, Failed)
        assert failure.final


def test_nobody_is_asked_who_is_not_used() -> None:
    with image_server() as one:
        rendered(list(engine([one]).render(requests(2))))
        time.sleep(0.6)  # a last look, at what was asked
        before = one.seen["models"]
        time.sleep(0.6)
        assert one.seen["models"] == before


def test_a_server_that_is_not_used_is_in_no_record() -> None:
    with image_servers({"seed": "ignored"}, {}) as both:
        made = engine(both)
        rendered(list(made.render(requests(60))))
        assert made.versions["seed"] == "honoured"


def test_one_that_refuses_its_first_pictures_is_left_out_soon() -> None:
    with image_server(refuse="a white ceramic mug") as one:
        with pytest.raises(EngineError, match=r"no server can be used: .*HTTP 400: the prompt is refused"):
            list(engine([one]).render(requests(1)))
        assert one.seen["refused"] == fleet.TRIES
