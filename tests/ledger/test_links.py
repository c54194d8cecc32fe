"""The accounting server over time: what a poll and a link answer when, how many wait, and whom the key was shown to."""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests.ledger.account import Account
from tests.ledger.customer import BODY, KEY, KLEIN, PRICE, Customer, size
from tests.ledger.rules import Rules
from tests.ledger.running import LedgerApi, ledger_api


def expiry(link: str) -> float:
    return datetime.fromisoformat(parse_qs(urlsplit(link).query)["se"][0]).timestamp()


def test_a_link_lives_as_long_as_it_says(customer: Customer) -> None:
    customer.api.rules(link_ttl=30, renew_links=False)
    task = customer.task()
    before = time.time()
    link = customer.link(task)
    assert before + 30 <= expiry(link) <= time.time() + 31
    assert customer.get(link).status_code == 200
    customer.api.rules(clock=32)
    expired = customer.get(link)
    assert expired.status_code == 403
    assert "AuthenticationFailed" in expired.text
    assert customer.link(task) == link
    customer.api.rules(renew_links=True)
    fresh = customer.link(task)
    assert expiry(fresh) - expiry(link) == pytest.approx(32, abs=1)
    assert (customer.get(link).status_code, customer.get(fresh).status_code) == (403, 200)
    assert customer.api.submits()[0]["links"] == [link, link, fresh]
    assert customer.api.submits()[0]["delivered"] == 2
    forged = re.sub(r"se=[^&]*", "se=2099-01-01T00%3A00%3A00Z", link)
    assert expiry(forged) > 4e9
    assert customer.get(forged).status_code == 403


def test_a_link_may_be_given_expired(customer: Customer) -> None:
    customer.api.rules(link_ttl=-1)
    assert customer.get(customer.link(customer.task())).status_code == 403
    assert customer.api.delivered() == []


@pytest.mark.parametrize(("rule", "code"), [("link_404_for", 404), ("link_403_for", 403)])
def test_links_that_come_late(customer: Customer, rule: str, code: int) -> None:
    customer.api.rules(**{rule: 20})
    link = customer.link(customer.task())
    assert customer.get(link).status_code == code
    customer.api.rules(clock=21)
    assert customer.get(link).status_code == 200


@pytest.mark.parametrize(
    ("rule", "code", "body"), [("poll_404_for", 404, b'{"detail": "Not Found"}'), ("poll_503_for", 503, b"")]
)
def test_polls_that_come_too_early(customer: Customer, rule: str, code: int, body: bytes) -> None:
    customer.api.rules(**{rule: 20})
    task = customer.task()
    early = customer.poll(task)
    assert (early.status_code, early.content) == (code, body)
    customer.api.rules(clock=21)
    assert customer.poll(task).json()["status"] == "Ready"
    assert customer.api.submits()[0]["polls"] == 2


def test_a_task_is_forgotten_after_its_life(customer: Customer) -> None:
    customer.api.rules(task_life=600)
    task = customer.task()
    assert customer.poll(task).status_code == 200
    customer.api.rules(clock=601)
    assert (customer.poll(task).status_code, customer.poll(task).json()) == (404, {"detail": "Not Found"})


def test_redirects(customer: Customer) -> None:
    customer.api.rules(link_redirects=2)
    link = customer.link(customer.task())
    first = customer.get(link)
    assert first.status_code == 302
    got = customer.web.get(link, follow_redirects=True)
    assert ([each.status_code for each in got.history], size(got.content)) == ([302, 302], (256, 128))
    customer.api.rules(link_redirects=0, link_to="http://169.254.169.254/latest")
    assert customer.get(link).headers["location"] == "http://169.254.169.254/latest"
    customer.api.rules(link_host="delivery.example:81")
    assert customer.link(customer.task()).startswith("http://delivery.example:81/results/")
    assert len(customer.api.delivered()) == 1


def test_the_key_is_seen_where_it_must_not_be(customer: Customer) -> None:
    link = customer.link(customer.task())
    customer.get(link)
    assert customer.api.ledger()["totals"]["key_leaks"] == 0
    customer.web.get(link, headers={"x-key": "any"})
    customer.web.get(link, headers={"authorization": f"Bearer {KEY}"})
    customer.get(f"{link}&key={KEY}")
    ledger = customer.api.ledger()
    assert ledger["totals"]["key_leaks"] == 3
    assert [f"{customer.api.pictures}{path}" for path in ledger["key_leaks"]] == [link, link, f"{link}&key={KEY}"]


def test_billed_before_it_is_answered(customer: Customer) -> None:
    customer.api.rules(answer_after=30)
    with pytest.raises(httpx.ReadTimeout):
        customer.web.post(f"{customer.api.url}/v1/{KLEIN}", json=BODY, headers={"x-key": KEY}, timeout=0.2)
    assert customer.api.billed() == PRICE
    deadline = time.monotonic() + 5
    while customer.api.submits()[0]["answered"] is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert customer.api.submits()[0]["answered"] == "gone"


def test_how_many_wait_for_an_answer(customer: Customer) -> None:
    customer.api.rules(answer_after=0.5)
    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(lambda seed: customer.submit(seed=seed).status_code, range(5)))
    assert answers == [200] * 5
    customer.api.rules(answer_after=0)
    customer.task()
    assert customer.api.ledger()["totals"] | {"in_flight": 0} == {
        **{"billed": 6 * PRICE, "delivered": 0, "in_flight": 0, "peak": 1, "unanswered_peak": 5, "key_leaks": 0}
    }
    assert sorted(each["seed"] for each in customer.api.submits()[:5]) == list(range(5))


def test_one_after_the_other_is_one_at_a_time(customer: Customer) -> None:
    for _ in range(20):
        customer.task()
    assert customer.api.ledger()["totals"]["unanswered_peak"] == 1


def test_a_large_picture_is_delivered_when_all_of_it_is(customer: Customer) -> None:
    link = customer.link(customer.task(width=2048, height=2048))
    assert size(customer.get(link).content) == (2048, 2048)
    assert customer.api.submits()[0]["delivered"] == 1


@pytest.mark.parametrize(
    ("cost", "said"), [("100000000000000", 1e14), ("null", None), ('"1.4"', "1.4"), ("-1.5", -1.5)]
)
def test_the_cost_may_be_anything(customer: Customer, cost: str, said: object) -> None:
    customer.api.rules(cost_says=cost)
    assert customer.task()["cost"] == said
    assert customer.api.billed() == PRICE
    customer.api.rules(cost_says="nonsense")
    assert '"cost": nonsense,' in customer.submit().text


def test_the_price_may_change(customer: Customer) -> None:
    customer.api.rules(price_factor=3.0)
    assert customer.task()["cost"] == 4.2
    customer.api.rules(price_factor=0.1)
    customer.task()
    assert [each["billed"] for each in customer.api.submits()] == [3 * PRICE, 1_400]


def test_bad_rules_change_nothing(api: LedgerApi) -> None:
    for name, value in {
        "speed": 1,
        "credits": 1.5,
        "p_error": 2,
        "seconds": "1",
        "renew_links": 1,
        "cap": None,
    }.items():
        with pytest.raises(ValueError, match=name):
            api.rules(storm=7, **{name: value})
        assert httpx.post(f"{api.url}/rules", json={name: value}).status_code == 400
    assert api.rules()["storm"] == 0


def test_forgetting_begins_anew(customer: Customer) -> None:
    customer.api.rules(cap=1, seconds=9)
    task = customer.task()
    customer.api.forget()
    assert customer.api.rules() == Rules(seconds=0).as_json()
    assert customer.poll(task).status_code == 404
    assert customer.api.submits() == []
    customer.task()
    assert customer.api.submits()[0]["n"] == 1


def test_a_server_ends_with_its_block(tmp_path: Path) -> None:
    with ledger_api(tmp_path / "log", storm=1) as api:
        assert httpx.post(f"{api.url}/v1/{KLEIN}", json=BODY, headers={"x-key": KEY}).status_code == 429
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{api.url}/ledger")
    with pytest.raises(ValueError, match="no_rule"), ledger_api(tmp_path / "log", no_rule=1):
        pass


def test_draws_hold_whatever_else_is_set() -> None:
    rules = Rules(p_error=0.3)
    drawn = [rules.happens("p_error", n) for n in range(1000)]
    assert 250 < sum(drawn) < 350
    rules.change({"p_gone": 0.3, "p_cut_free": 1.0})
    assert [rules.happens("p_error", n) for n in range(1000)] == drawn
    assert [rules.happens("p_gone", n) for n in range(1000)] != drawn
    rules.change({"seed": 1})
    assert [rules.happens("p_error", n) for n in range(1000)] != drawn


def test_the_books_balance() -> None:
    """Whatever happens, what is billed is what was taken off the credits, and only what was billed is delivered."""
    account = Account("polls", "pictures", clock=lambda: 1_000.0)
    shares = ("p_bill_then_500", "p_bill_then_cut", "p_503_body", "p_cut_free", "p_error", "p_gone", "slow")
    account.rules.change({"credits": 300 * PRICE, "cap": 1000, **dict.fromkeys(shares, 0.1)})
    for seed in range(500):
        body = b'{"prompt": "a mug", "width": 256, "height": 256, "seed": %d}' % seed
        submit, answer = account.submit(KLEIN, body, KEY)
        account.told(submit, answer.code or "cut")
    totals = account.ledger()["totals"]
    lines = account.submits
    assert totals["billed"] + account.rules.credits == 300 * PRICE
    assert all((line.billed == PRICE) == (line.outcome == "made") == (line.task is not None) for line in lines)
    assert {line.outcome for line in lines} == {"made", "refused", "nothing"}
    assert {line.answered for line in lines} == {200, 402, 500, 503, "cut"}
    assert totals["billed"] == 300 * PRICE
    assert totals["peak"] == 300
    assert len({line.body for line in lines}) == 500
