"""What is paid is collected, what is billed is written down, what is limited stays limited."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from catalogs.identity import render_fingerprint
from catalogs.journal.records import Ending
from catalogs.journal.spend import Journal
from catalogs.journal.sums import entries
from catalogs.requests import Reason
from inference.engine import Failed, Rendered
from inference.hosted import client, purchase, till
from inference.hosted.prices import PriceWatch
from tests.inference.hosted.buyers import PRICE, Buyer, reasons, request, requests

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture
def short_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "TASK_LIFE", 0.3)


def only(results: list[Any]) -> Any:
    assert len(results) == 1
    return results[0]


# Paid and lost.


@pytest.mark.parametrize(
    "rules",
    [
        {"poll_404_for": 1.0},
        {"poll_503_for": 0.6},
        {"link_404_for": 1.0},
        {"link_403_for": 1.0},
        {"link_404_for": 0.5, "poll_404_for": 0.5, "renew_links": False},
    ],
)
def test_a_404_that_passes_loses_nothing(buyer: Buyer, rules: dict[str, Any]) -> None:
    buyer.api.rules(**rules)
    assert reasons(buyer.render(requests(6))) == ["picture"] * 6
    assert len(buyer.api.submits()) == 6
    assert buyer.spent.tasks == buyer.api.billed() == 6 * PRICE


def test_a_404_that_lasts_is_left_to_the_next_run_until_the_task_is_old(buyer: Buyer) -> None:
    buyer.api.rules(p_gone=1.0)
    assert reasons(buyer.render(requests(2), deadline=0.8)) == [(Reason.NOT_READY, False)] * 2
    _age(buyer, seconds=700)
    failed = buyer.render(requests(2), deadline=2.0)
    assert reasons(failed) == [(Reason.PAID_EXPIRED, False)] * 2
    assert "0.014 USD were paid for it; the next run asks for it once more" in failed[0].detail  # type: ignore[union-attr]
    failed = buyer.render(requests(2), deadline=2.0)
    assert reasons(failed) == [(Reason.PAID_EXPIRED, True)] * 2
    assert "--resubmit buys it again" in failed[0].detail  # type: ignore[union-attr]
    assert len(buyer.api.submits()) == 2


def _age(buyer: Buyer, seconds: float) -> None:
    """As if all tasks had been made so long ago."""
    for key in buyer.store.list("spend"):
        if ".task." in key:
            then = time.time() - seconds
            os.utime(buyer.store.uri(key), (then, then))


def test_what_expired_is_asked_for_once_more_and_comes_after_all(buyer: Buyer, short_life: None) -> None:
    buyer.api.rules(poll_404_for=3.0)
    assert reasons(buyer.render(requests(3))) == [(Reason.PAID_EXPIRED, False)] * 3
    assert not buyer.spent.tasked
    assert len(buyer.spent.uncollected) == 3
    buyer.api.rules(poll_404_for=0.0)
    assert reasons(buyer.render(requests(3))) == ["picture"] * 3
    assert buyer.spent.tasks == buyer.api.billed() == 3 * PRICE


def test_a_dead_link_is_believed_only_by_its_own_end(buyer: Buyer) -> None:
    buyer.api.rules(link_ttl=-5, renew_links=False)
    assert reasons(buyer.render([request()], deadline=3.0)) == [(Reason.PAID_EXPIRED, False)]
    buyer.api.rules(link_ttl=600, link_403_for=60)  # refused, and says itself that it holds for ten minutes
    assert reasons(buyer.render([request(1)], deadline=1.0)) == [(Reason.NOT_READY, False)]
    buyer.api.rules(link_403_for=0)
    assert reasons(buyer.render([request(1)])) == ["picture"]


def test_waiting_is_no_attempt_and_costs_nothing(buyer: Buyer) -> None:
    buyer.api.rules(seconds=2.0)
    for _ in range(4):
        assert reasons(buyer.render([request()], deadline=0.3)) == [(Reason.NOT_READY, False)]
    assert reasons(buyer.render([request()])) == ["picture"]
    assert len(buyer.api.submits()) == 1


def test_a_picture_of_nearly_the_right_size_is_brought_to_it(buyer: Buyer) -> None:
    buyer.api.rules(p_wrong_size=1.0)
    made = only(buyer.render([request(width=256, height=256)]))
    assert isinstance(made, Rendered)
    assert made.pixels.shape == (256, 256, 3)
    assert "instead of 256x256; cropped and resized" in made.note


def test_a_picture_of_another_shape_is_kept_and_bought_again_at_a_word(buyer: Buyer) -> None:
    buyer.api.rules(p_wrong_ratio=1.0)
    failed = only(buyer.render([request()]))
    assert (failed.reason, failed.final) == (Reason.ENGINE_ERROR, True)
    kept = buyer.store.list("leftovers/paid")
    assert len(kept) == 2
    reason = json.loads(buyer.store.read(next(key for key in kept if key.endswith(".json"))))["reason"]
    assert "instead of 64x64" in reason
    assert next(key for key in kept if key.endswith(".png")) in failed.detail
    assert "--retry-failed buys another" in failed.detail
    assert buyer.collect([request()]) == []
    assert reasons(buyer.render([request()])) == [(Reason.ENGINE_ERROR, True)]
    assert len(buyer.api.submits()) == 1
    buyer.api.rules(p_wrong_ratio=0.0)
    assert reasons(buyer.render([request()], retry_failed=True)) == ["picture"]
    assert buyer.spent.tasks == buyer.api.billed() == 2 * PRICE


def test_what_is_no_picture_may_be_one_later(buyer: Buyer) -> None:
    buyer.api.rules(p_not_an_image=1.0)
    assert reasons(buyer.render([request()], deadline=1.0)) == [(Reason.NOT_READY, False)]
    assert not buyer.store.list("leftovers/paid")


@pytest.mark.parametrize("unanswered", [1, 4])
def test_no_more_submits_wait_for_their_answer_than_allowed(buyer: Buyer, unanswered: int) -> None:
    buyer.api.rules(answer_after=0.1)
    assert len(buyer.render(requests(12), unanswered=unanswered)) == 12
    assert buyer.api.ledger()["totals"]["unanswered_peak"] == unanswered


def test_paid_pictures_are_collected_whoever_wants_them(buyer: Buyer) -> None:
    buyer.api.rules(seconds=1.0)
    assert reasons(buyer.render(requests(5), deadline=0.3)) == [(Reason.NOT_READY, False)] * 5
    collected = buyer.collect(requests(7))
    assert {picture.fingerprint for picture in collected} == {render_fingerprint(asked) for asked in requests(5)}
    made = {render_fingerprint(result.request): result for result in buyer.render(requests(5))}
    for picture in collected:
        assert np.array_equal(picture.pixels, made[picture.fingerprint].pixels)  # type: ignore[union-attr]
        assert picture.prompt_used == ""
    assert len(buyer.api.submits()) == 5


# Billed and not written.


@pytest.mark.parametrize("rule", ["p_bill_then_500", "p_bill_then_502", "p_bill_then_503_bare", "p_bill_then_cut"])
def test_an_answer_that_says_nothing_may_have_been_billed(buyer: Buyer, rule: str) -> None:
    buyer.api.rules(**{rule: 1.0})
    assert reasons(buyer.render(requests(3))) == [(Reason.POSSIBLY_BILLED, True)] * 3
    assert len(buyer.api.submits()) == 3
    assert (buyer.spent.tasks, buyer.spent.possible) == (0, 3 * PRICE) == (0, buyer.api.billed())
    buyer.api.rules(**{rule: 0.0})
    assert reasons(buyer.render(requests(3))) == [(Reason.POSSIBLY_BILLED, True)] * 3
    assert reasons(buyer.render(requests(3), resubmit=True)) == ["picture"] * 3
    assert buyer.spent.total == buyer.api.billed() == 6 * PRICE


def test_what_says_that_nothing_was_made_is_sent_again_for_nothing(buyer: Buyer) -> None:
    buyer.api.rules(p_503_body=0.5, storm=3, seed=5)
    assert reasons(buyer.render(requests(6))) == ["picture"] * 6
    assert buyer.spent.total == buyer.api.billed() == 6 * PRICE
    assert len(buyer.api.submits()) > 9


def test_to_resend_is_the_users_word_and_every_send_counts(buyer: Buyer) -> None:
    buyer.api.rules(p_bill_then_500=0.5, seed=3)
    results = buyer.render(requests(6), resend_unknown=True, in_flight=1)
    assert reasons(results).count("picture") >= 5
    submits = buyer.api.submits()
    assert len(submits) > 6
    assert buyer.spent.total == buyer.api.billed() == PRICE * len(submits)


def test_a_gateway_that_answers_for_the_api_stops_the_run(buyer: Buyer) -> None:
    buyer.api.rules(p_bill_then_502=1.0)
    results = buyer.render(requests(40), in_flight=4)
    assert "the last 8 submits may each have been billed" in buyer.stopped
    assert till.SILENT_SUBMITS <= len(buyer.api.submits()) == len(results) <= till.SILENT_SUBMITS + 4
    assert buyer.spent.possible == buyer.api.billed()


@pytest.mark.parametrize("factor", [2.0, 3.0, 100.0])
def test_twice_the_price_stops_the_run_at_once(buyer: Buyer, factor: float) -> None:
    buyer.api.rules(price_factor=factor)
    results = buyer.render(requests(30), in_flight=6, unanswered=2)
    assert f"{0.014 * factor:g}" in buyer.stopped.replace("0 USD", " USD")
    assert "for a picture of 0.014" in buyer.stopped
    assert "--accept-price" in buyer.stopped
    assert len(buyer.api.submits()) <= 2
    assert reasons(results) == ["picture"] * len(buyer.api.submits())  # what was billed is collected
    assert buyer.spent.tasks == buyer.api.billed()


@pytest.mark.parametrize("factor", [1.1, 0.5])
def test_the_tenth_odd_price_stops_the_run(buyer: Buyer, factor: float) -> None:
    buyer.api.rules(price_factor=factor)
    buyer.render(requests(30), in_flight=4, unanswered=1)
    assert "10 pictures were not billed at their published price" in buyer.stopped
    assert len(buyer.api.submits()) == 10
    assert len(buyer.render(requests(30), accept_price=True)) == 30
    assert buyer.stopped == ""
    assert buyer.spent.tasks == buyer.api.billed()


@pytest.mark.parametrize("said", ['"4.2"', "-1", "1e14", "true", "[1]", "NaN"])
def test_a_price_that_is_none_stops_the_run(buyer: Buyer, said: str) -> None:
    buyer.api.rules(cost_says=said)
    buyer.render(requests(20), in_flight=4, unanswered=1)
    assert "is no price of a picture, which counts as 0.014 USD; run again with --accept-price" in buyer.stopped
    assert len(buyer.api.submits()) == 1
    assert buyer.spent.tasks == PRICE
    assert len(buyer.render(requests(4), accept_price=True)) == 4


def test_a_price_that_is_not_said_is_the_highest(buyer: Buyer) -> None:
    buyer.api.rules(cost_says="null")
    assert reasons(buyer.render(requests(12))) == ["picture"] * 12
    assert buyer.spent.tasks == 12 * PRICE


def test_a_run_that_accepts_prices_knows_those_of_earlier_ones(buyer: Buyer) -> None:
    buyer.api.rules(price_factor=3.0)
    buyer.render(requests(1))
    buyer.render(requests(30, 1), accept_price=True, max_cost=0.2)
    assert "max_cost" in buyer.stopped
    assert buyer.api.billed() == buyer.spent.tasks == 4 * 42_000


def test_a_record_that_cannot_be_read_stops_its_picture_alone(buyer: Buyer) -> None:
    buyer.api.rules(seconds=1.0)
    buyer.render(requests(3), deadline=0.2)
    key = f"spend/{render_fingerprint(request(1))}/0000.json"
    before = buyer.store.read(key)
    buyer.store.write(key, b"garbage")
    assert len(buyer.collect(requests(3))) == 2
    results = buyer.render(requests(5))
    assert sorted(map(str, reasons(results))) == sorted(map(str, ["picture"] * 4 + [(Reason.ENGINE_ERROR, False)]))
    assert any("is no journal record that can be read" in r.detail for r in results if isinstance(r, Failed))
    buyer.store.delete([key])
    [failed] = buyer.render([request(1)])
    assert isinstance(failed, Failed)
    assert "attempt 0 has no intent: what was spent cannot be known; put back what was written there" in failed.detail
    buyer.store.write(key, before)
    assert reasons(buyer.render(requests(3))) == ["picture"] * 3
    assert len(buyer.api.submits()) == 5


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("0000.json", {"model": "bfl/of-tomorrow"}),
        ("0000.task.spring.14000.json", {"polling_url": 5}),
        ("0000.task.spring.14000.json", {"id": None}),
    ],
)
def test_a_record_that_says_what_nobody_knows_keeps_no_other_from_being_collected(
    buyer: Buyer, name: str, change: dict[str, Any]
) -> None:
    buyer.api.rules(seconds=1.0)
    buyer.render(requests(3), deadline=0.2)
    key = f"spend/{render_fingerprint(request(1))}/{name}"
    before = buyer.store.read(key)
    buyer.store.write(key, json.dumps({**json.loads(before), **change}).encode())
    assert len(buyer.collect(requests(3))) == 2
    buyer.store.write(key, before)
    assert len(buyer.collect(requests(3))) == 3


def test_prices_that_were_billed_are_reserved_from_then_on() -> None:
    watch = PriceWatch(accept=True)
    assert watch.expected(14_000) == 14_000
    assert watch.answered(14_000, 14_000, 42_000) is None
    assert watch.expected(14_000) == 42_000
    assert watch.expected(10_001) == 30_003
    assert watch.answered(14_000, 14_000, 7_000) is None
    assert watch.expected(14_000) == 42_000


# Limits.


def test_a_limit_equal_to_the_price_is_kept_and_not_refused(buyer: Buyer) -> None:
    assert len(buyer.render(requests(11), max_cost=0.154)) == 11
    assert buyer.stopped == ""
    assert buyer.api.billed() == 154_000


def test_two_runs_at_once_keep_one_limit(buyer: Buyer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purchase, "MONEY_PATIENCE", 0.2)
    other = Buyer(buyer.api, Path(buyer.store.root))
    other.starts = 50
    threads = [
        threading.Thread(target=one.render, args=(requests(12, first),), kwargs={"max_cost": 0.12})
        for one, first in ((buyer, 0), (other, 100))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert buyer.api.billed() <= 120_000
    assert buyer.api.billed() == buyer.spent.total
    assert buyer.stopped or other.stopped
    assert len(buyer.api.submits()) >= 6


def test_what_a_dead_run_had_set_aside_is_free_again_but_for_what_it_spent(buyer: Buyer) -> None:
    from catalogs.journal.book import Book
    from catalogs.journal.purse import Budget, Purse

    engine = buyer.engine(max_cost=0.07)
    purse = Purse(Book(buyer.store), "spring", "dead-run", Budget(70_000, "spring"))
    share = purse.reserve(PRICE, 5 * PRICE)  # all of it
    journal = Journal(buyer.store, "spring", "dead-run")
    assert journal.begin("ab" * 32, 0, "bfl/klein-4b", 1, PRICE, share.hold.id)
    _bury(buyer, share.hold.id)
    assert len(list(engine.render(requests(4)))) == 4
    assert buyer.spent.total == 5 * PRICE
    buyer.render(requests(1, 50), max_cost=0.07)
    assert "0.07 USD are spent, and one more picture may cost 0.014: over 0.07" in buyer.stopped


def _bury(buyer: Buyer, hold: str) -> None:
    """As if the process of a hold had died."""
    for key in buyer.store.list("budget/book"):
        page = json.loads(buyer.store.read(key))
        for one in page["holds"]:
            one["pid"] = 2**22 + 1 if one["id"] == hold else one["pid"]
        buyer.store.write(key, json.dumps(page).encode())


def test_a_clock_that_is_ahead_is_not_asked(buyer: Buyer, caplog: pytest.LogCaptureFixture) -> None:
    fingerprint = render_fingerprint(request())
    journal = Journal(buyer.store, "spring", "other-run")
    journal.begin(fingerprint, 0, "bfl/klein-4b", 0, PRICE)
    key = f"spend/{fingerprint}/0000.json"
    content = json.loads(buyer.store.read(key))
    elsewhere = {"host": "far", "boot": "another", "pid": 7, "at": "2026-11-22T06:00:00+00:00"}
    buyer.store.write(key, json.dumps({**content, **elsewhere}).encode())
    then = time.time() - 88.5
    os.utime(buyer.store.uri(key), (then, then))
    started = time.monotonic()
    assert reasons(buyer.render([request()], resubmit=True)) == ["picture"]
    assert 0.5 < time.monotonic() - started < 10
    assert "for run other-run on far (process 7), whose submits may still be answered" in caplog.text
    assert "waits up to" in caplog.text


def test_an_intent_of_a_submit_that_still_runs_is_never_paid_over(buyer: Buyer) -> None:
    buyer.api.rules(answer_after=1.5)
    other = Buyer(buyer.api, Path(buyer.store.root))
    other.starts = 50
    thread = threading.Thread(target=buyer.render, args=([request()],))
    thread.start()
    time.sleep(0.7)
    assert reasons(other.render([request()], resubmit=True)) == ["picture"]
    thread.join()
    assert len(buyer.api.submits()) == 1


@pytest.mark.parametrize("tries", [1, 2, 4])
def test_an_error_is_bought_again_as_often_as_was_asked(buyer: Buyer, tries: int) -> None:
    buyer.api.rules(p_error=1.0)
    for number in range(1, tries + 3):
        failed = only(buyer.render([request()], tries=tries))
        assert (failed.reason, failed.final) == (Reason.ENGINE_ERROR, number >= tries)
    assert len(buyer.api.submits()) == tries
    buyer.api.rules(p_error=0.0)
    assert reasons(buyer.render([request()], tries=tries, retry_failed=True)) == ["picture"]


def test_an_error_that_this_run_found_is_not_bought_again_by_it(buyer: Buyer) -> None:
    buyer.api.rules(p_error=1.0, seconds=0.5)
    assert reasons(buyer.render([request()], deadline=0.1)) == [(Reason.NOT_READY, False)]
    buyer.api.rules(p_error=0.0)
    engine = buyer.engine()
    assert list(engine.collect([render_fingerprint(request())])) == []
    assert reasons(list(engine.render([request()]))) == [(Reason.ENGINE_ERROR, False)]
    assert len(buyer.api.submits()) == 1
    assert reasons(buyer.render([request()])) == ["picture"]


def test_an_attempt_that_was_not_answered_is_written_down_as_that(buyer: Buyer) -> None:
    buyer.api.rules(p_bill_then_500=1.0)
    buyer.render([request()])
    [entry] = entries(buyer.store)
    assert (entry.paid, entry.possible, entry.ending) == (0, PRICE, Ending.UNANSWERED)
