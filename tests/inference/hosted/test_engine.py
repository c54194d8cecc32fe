"""The hosted engine against a server that speaks the protocol with all its traps."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from catalogs.errors import OptionError, SpendError
from catalogs.identity import render_fingerprint
from catalogs.journal.records import Ending, PaidTask
from catalogs.journal.spend import Journal
from catalogs.journal.sums import read_spent
from catalogs.money import micro
from catalogs.requests import Reason, Reference, RenderRequest
from catalogs.storage.store import Store
from inference.engine import Failed, Rendered
from inference.hosted.account import close_accounts
from inference.hosted.client import ApiKey
from inference.hosted.engine import BflEngine
from inference.hosted.hosts import check_base_url, may_have_key
from inference.hosted.pace import Pace
from inference.hosted.purchase import other_seed
from inference.hosted.settings import HostedSettings
from tests.bfl_server import KEY, SWITCHES, HostedApi, hosted_api
from tests.ledger.judged import Law


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostedApi]:
    with hosted_api(tmp_path_factory.mktemp("bfl") / "log") as api:
        yield api
        close_accounts()


@pytest.fixture
def api(server: HostedApi, law: Law) -> HostedApi:
    server.set(**SWITCHES)
    law.watch(server)
    return server


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    from inference.hosted import client, purchase
    from inference.remote import backoff

    monkeypatch.setattr(backoff, "FIRST", 0.05)
    monkeypatch.setattr(backoff, "MOST", 0.5)
    monkeypatch.setattr(client, "TASK_LIFE", 0.5)
    monkeypatch.setattr(purchase, "MONEY_PATIENCE", 0.5)


class Bench:
    """One output and the engines of successive starts on it."""

    def __init__(self, api: HostedApi, folder: Path) -> None:
        self.api, self.store, self.starts = api, Store.at(str(folder)), 0
        self.before = len(api.tasks())
        self.stopping = threading.Event()

    def render(self, requests: list[RenderRequest], key: str = KEY, **settings: Any) -> list[Rendered | Failed]:
        self.starts += 1
        run = f"{self.store.root}-{self.starts}"
        settings["max_cost"] = None if settings.get("max_cost") is None else micro(settings["max_cost"])
        chosen = HostedSettings(self.api.url, **{"in_flight": 24, **settings})
        engine = BflEngine(
            requests[0].model,
            chosen,
            Journal(self.store, "spring", run),
            lambda reference: Image.new("RGB", (reference.width, reference.height), "#AA3344"),
            ApiKey(key),
            self.stopping,
        )
        return list(engine.render(requests))

    def tasks(self) -> list[dict[str, Any]]:
        return self.api.tasks()[self.before :]


@pytest.fixture
def bench(api: HostedApi, tmp_path: Path) -> Bench:
    return Bench(api, tmp_path / "out")


def request(number: int = 0, model: str = "bfl/klein-4b", **rest: Any) -> RenderRequest:
    fields: dict[str, Any] = {"references": (), "width": 64, "height": 64, "take": 0, "steps": 4, "guidance": None}
    fields |= {"model_revision": "", "weight_precision": "", "options": "{}", **rest}
    return RenderRequest(prompt=f"mug {number}", seed=number, model=model, **fields)


def only(results: list[Rendered | Failed]) -> Any:
    assert len(results) == 1
    return results[0]


def test_a_picture_with_its_price_seed_and_prompt(bench: Bench) -> None:
    made = only(bench.render([request(7, "bfl/max")]))
    assert isinstance(made, Rendered)
    assert made.pixels.shape == (64, 64, 3)
    assert (made.seed, made.prompt_used) == (7, "")
    assert made.cost == pytest.approx(0.07)
    assert read_spent(bench.store, "spring").total == micro(0.07)


@pytest.mark.parametrize(
    ("model", "sent", "kept"),
    [
        ("bfl/klein-9b", set(), True),
        ("bfl/pro", {"disable_pup": True}, True),
        ("bfl/flex", {"prompt_upsampling": False, "steps": 30, "guidance": 4.0}, True),
    ],
)
def test_every_model_gets_the_fields_it_has(bench: Bench, model: str, sent: Any, kept: bool) -> None:
    reference = Reference("x.png", "00", "hero", 80, 60)
    asked = request(1, model, steps=30, guidance=4.0, references=(reference, reference))
    made = only(bench.render([asked]))
    body = bench.tasks()[0]["body"]
    extra = {k: v for k, v in body.items() if k in ("disable_pup", "prompt_upsampling", "steps", "guidance")}
    assert extra == dict(sent)
    assert {"input_image", "input_image_2"} < set(body)
    assert isinstance(made, Rendered)
    assert made.prompt_used == ""
    assert not bench.api.ledger()["seen"].get("unknown_field")


@pytest.mark.parametrize("model", ["bfl/pro-preview", "bfl/flex"])
def test_a_rewritten_prompt_is_kept(bench: Bench, model: str) -> None:
    made = only(bench.render([request(2, model, steps=30, guidance=4.0)], prompt_upsampling=True))
    assert made.prompt_used == "a richer mug 2"


@pytest.mark.parametrize(
    "switches",
    [
        {"poll_503": 0.5},
        {"poll_503_body": 1.0},
        {"poll_429": 0.5},
        {"poll_drop": 0.5},
        {"unknown_status": 1.0, "seconds": 0.3},
        {"stale_link": 1.0},
        {"download_503": 0.5},
        {"download_torn": 0.5},
        {"submit_503": 0.5},
        {"storm": 6},
    ],
)
def test_trouble_that_passes_costs_nothing(bench: Bench, switches: dict[str, Any]) -> None:
    bench.api.set(**switches)
    results = bench.render([request(number) for number in range(4)])
    assert [type(result) for result in results] == [Rendered] * 4
    assert len(bench.tasks()) == 4
    assert read_spent(bench.store, "spring").total == micro(4 * 0.014)


@pytest.mark.parametrize(
    ("fate", "reason", "final"),
    [
        ("request_moderated", Reason.MODERATED, True),
        ("content_moderated", Reason.MODERATED, True),
        ("error", Reason.ENGINE_ERROR, False),
        ("error_422", Reason.ENGINE_ERROR, False),
        ("not_found", Reason.PAID_EXPIRED, False),
        ("dead_link", Reason.PAID_EXPIRED, False),
    ],
)
def test_a_task_without_a_picture_is_a_typed_failure(bench: Bench, fate: str, reason: Reason, final: bool) -> None:
    bench.api.set(**{fate: 1.0})
    failed = only(bench.render([request()]))
    assert (failed.reason, failed.final) == (reason, final)
    assert failed.cost == pytest.approx(0.014)
    if reason == Reason.MODERATED:
        assert "Derivative Works Filter" in failed.detail


def test_moderated_and_expired_are_not_paid_for_again(bench: Bench) -> None:
    for fate in ("content_moderated", "dead_link"):
        bench.api.set(**{"content_moderated": 0.0, "dead_link": 0.0, fate: 1.0})
        asked = request(1 if fate == "dead_link" else 2)
        before = len(bench.tasks())
        bench.render([asked])
        bench.api.set(**{fate: 0.0})
        again = only(bench.render([asked]))
        assert isinstance(again, Failed)
        assert len(bench.tasks()) == before + 1
        word = {"retry_failed": True} if fate == "content_moderated" else {"resubmit": True}
        assert isinstance(only(bench.render([asked], **word)), Rendered)
        assert len(bench.tasks()) == before + 2


def test_a_moderated_picture_may_get_one_other_seed(bench: Bench) -> None:
    bench.api.set(content_moderated=1.0)
    failed = only(bench.render([request(5)], retry_moderated=True))
    assert failed.reason == Reason.MODERATED
    assert [task["body"]["seed"] for task in bench.tasks()] == [5, other_seed(5)]
    assert isinstance(only(bench.render([request(5)], retry_moderated=True)), Failed)
    assert len(bench.tasks()) == 2


@pytest.mark.parametrize("fault", ["submit_drop_before", "submit_drop_after"])
def test_a_lost_answer_is_sent_again_only_by_word(bench: Bench, fault: str) -> None:
    bench.api.set(**{fault: 1.0})
    failed = only(bench.render([request()]))
    assert (failed.reason, failed.final) == (Reason.POSSIBLY_BILLED, True)
    assert read_spent(bench.store, "spring").possible == micro(0.014)
    bench.api.set(**{fault: 0.0})
    before = len(bench.tasks())
    journal = Journal(bench.store, "spring", "x")
    _age(bench.store, render_fingerprint(request()))
    assert only(bench.render([request()])).reason == Reason.POSSIBLY_BILLED
    assert len(bench.tasks()) == before
    assert isinstance(only(bench.render([request()], resubmit=True)), Rendered)
    last = journal.last(render_fingerprint(request()))
    assert last is not None
    assert last.number == 1


def _age(store: Store, fingerprint: str) -> None:
    """As if the intent's process had died long ago."""
    key = f"spend/{fingerprint}/0000.json"
    import json

    content = json.loads(store.read(key))
    store.write(key, json.dumps({**content, "pid": 2**22 + 1}).encode())


def test_a_paid_task_of_a_dead_start_is_collected(bench: Bench) -> None:
    made = only(bench.render([request(3)]))
    again = only(bench.render([request(3)]))
    assert isinstance(again, Rendered)
    assert (again.pixels == made.pixels).all()
    assert len(bench.tasks()) == 1
    assert read_spent(bench.store, "spring").claimed == {render_fingerprint(request(3))}


@pytest.mark.parametrize("said", ["NaN", "-1.0", "Infinity", "1e400", '"0.014"', "null", "true"])
def test_a_cost_that_is_none_counts_as_the_highest(bench: Bench, said: str) -> None:
    bench.api.set(cost_says=said)
    [made] = bench.render([request()], accept_price=True)
    assert isinstance(made, Rendered)
    assert made.cost == pytest.approx(0.014)
    assert read_spent(bench.store, "spring").total == micro(0.014)


def test_a_link_that_is_none_ends_no_run(bench: Bench) -> None:
    for link in ("https://[bad/", "file:///etc/passwd", "\n", "https://a b/"):
        bench.api.set(sample_says=link)
        [made] = bench.render([request()], deadline=1.0)
        assert isinstance(made, Failed)
        assert (made.reason, made.final) == (Reason.NOT_READY, False)
    bench.api.set(sample_says="")
    [made] = bench.render([request()])
    assert isinstance(made, Rendered)
    assert len(bench.tasks()) == 1


def test_never_more_in_flight_than_allowed(bench: Bench) -> None:
    results = bench.render([request(number) for number in range(30)], in_flight=5)
    assert len(results) == 30
    tasks = sorted(bench.tasks(), key=lambda task: task["started"])
    peak = max(sum(1 for t in tasks if t["started"] <= task["started"] < t["ready"]) for task in tasks)
    assert peak == 5


def test_402_ends_the_run_with_what_is_in_flight_collected(bench: Bench) -> None:
    bench.api.set(credits=1.4 * 7 + 0.1)
    engine_requests = [request(number) for number in range(40)]
    got: list[Any] = []
    with pytest.raises(SpendError, match="out of credits"):
        got.extend(_each(bench, engine_requests))
    assert bench.stopping.is_set()
    assert len(bench.tasks()) == 7
    assert sum(1 for task in bench.tasks() if task.get("fetched")) == 7
    assert read_spent(bench.store, "spring").total == micro(7 * 0.014)


def _each(bench: Bench, requests: list[RenderRequest]) -> list[Any]:
    return bench.render(requests)


def test_the_budget_is_not_passed_over_all_starts(bench: Bench) -> None:
    with pytest.raises(SpendError, match="max_cost"):
        bench.render([request(number) for number in range(40)], max_cost=0.1)
    assert len(bench.tasks()) == 7
    bench.stopping.clear()
    with pytest.raises(SpendError, match="max_cost"):
        bench.render([request(number) for number in range(50, 60)], max_cost=0.12)
    assert len(bench.tasks()) == 8


def test_a_stop_submits_nothing_and_collects_what_is_in_flight(bench: Bench) -> None:
    bench.api.set(seconds=1.5)

    def stop() -> None:
        while len(bench.tasks()) < 6:
            time.sleep(0.02)
        bench.stopping.set()

    stopper = threading.Thread(target=stop)
    stopper.start()
    results = bench.render([request(number) for number in range(40)], in_flight=6)
    stopper.join()
    assert len(results) == len(bench.tasks()) == 6


def test_a_wrong_key_is_said_without_the_key(bench: Bench) -> None:
    with pytest.raises(OptionError, match="does not accept the key") as caught:
        bench.render([request()], key="wrong-key-1234")
    assert "wrong-key-1234" not in str(caught.value)
    assert "wrong-key" not in repr(ApiKey("wrong-key-1234"))
    for bad in ("", "two words", "new\nline", "schlüssel"):
        with pytest.raises(OptionError) as caught:
            ApiKey(bad)
        assert not bad or bad not in str(caught.value)


def test_a_refused_request_is_final_and_costs_nothing(bench: Bench) -> None:
    failed = only(bench.render([request()], safety_tolerance=9))
    assert (failed.reason, failed.final, failed.cost) == (Reason.REFUSED, True, 0.0)
    assert "body.safety_tolerance" in failed.detail
    assert read_spent(bench.store, "spring").total == 0


def test_a_slow_task_is_left_for_the_next_start(bench: Bench) -> None:
    bench.api.set(seconds=1.5)
    failed = only(bench.render([request()], deadline=0.4))
    assert (failed.reason, failed.final) == (Reason.NOT_READY, False)
    assert isinstance(only(bench.render([request()])), Rendered)
    assert len(bench.tasks()) == 1


def test_the_key_goes_to_its_own_hosts_only(bench: Bench) -> None:
    base = "https://api.bfl.ai"
    assert may_have_key("https://api.eu4.bfl.ai/v1/get_result?id=1", base)
    for other in (
        "https://[api.bfl.ai/",
        "https://api.bfl.ai@evil.example/",
        "https://bfl.ai.evil.example/",
        "http://api.bfl.ai/",
        "https://notbfl.ai/",
        "http://127.0.0.1/",
    ):
        assert not may_have_key(other, base)
    assert check_base_url("https://api.us.bfl.ai") is None
    assert check_base_url("https://proxy.example") is not None
    assert not may_have_key("https://api.bfl.ai/", "http://127.0.0.1:1")
    bench.render([request()])
    assert not bench.api.ledger()["seen"].get("key_on_download")


def test_two_writers_of_one_intent_have_one_winner(store: Store) -> None:
    journals = [Journal(store, "spring", f"run{n}") for n in range(2)]
    assert [j.begin("ab" * 32, 0, "bfl/pro", 1, micro(0.03)) for j in journals] == [True, False]
    journals[0].submitted("ab" * 32, 0, PaidTask("id", "https://api.eu1.bfl.ai/x", micro(0.0301)))
    last = journals[1].last("ab" * 32)
    assert last is not None
    assert last.task is not None
    assert (last.task.id, last.intent.run_id) == ("id", "run0")
    assert read_spent(store, "spring").total == micro(0.0301)
    assert read_spent(store, "autumn").total == 0
    journals[0].end("ab" * 32, 0, Ending.EXPIRED, "gone")
    assert read_spent(store, "spring").claimed == {"ab" * 32}  # asked for once more
    journals[0].end("ab" * 32, 0, Ending.GONE, "gone")
    assert read_spent(store, "spring").claimed == set()


def test_looks_are_close_around_the_usual_time_and_seldom_before() -> None:
    pace = Pace(2.0)
    assert pace.delay(0.0) == 2.0
    for _ in range(20):
        pace.took(2.02, before=1.98)  # done in between
    assert pace.delay(0.0) == pytest.approx(2.0)
    assert pace.delay(2.01) < 0.04
    assert 0.5 < pace.delay(20.0) <= 5.5
    for _ in range(5):
        pace.took(1.0)  # done already at the first look
    assert pace.delay(0.0) == pytest.approx(0.99)
