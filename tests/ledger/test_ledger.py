"""The accounting server itself: prices, refusals, every rule, and that its books are right."""

from __future__ import annotations

import base64
import hashlib
import io
import time
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.ledger.customer import BODY, KEY, KLEIN, PRICE, Customer, size


def png(width: int, height: int) -> str:
    out = io.BytesIO()
    Image.new("RGB", (width, height)).save(out, "PNG")
    return base64.b64encode(out.getvalue()).decode()


def test_a_picture_is_bought_and_fetched(customer: Customer) -> None:
    task = customer.task()
    assert task == {
        "id": task["id"],
        "polling_url": f"{customer.api.polls}/v1/get_result?id={task['id']}",
        "cost": 1.4,
        "input_mp": 0.0,
        "output_mp": 0.03,
    }
    polled = customer.poll(task)
    assert polled.headers["retry-after"] == "1"
    assert polled.json()["result"] | {"sample": "", "start_time": 0} == {
        "start_time": 0,
        "prompt": "a mug",
        "seed": 7,
        "sample": "",
    }
    link = polled.json()["result"]["sample"]
    assert link.startswith(f"{customer.api.pictures}/results/20")
    got = customer.get(link)
    assert (got.status_code, got.headers["content-type"], size(got.content)) == (200, "image/png", (256, 128))
    assert base64.b64decode(got.headers["content-md5"]) == hashlib.md5(got.content).digest()
    with Image.open(io.BytesIO(got.content)) as image:
        assert sorted(count for count, _ in image.getcolors() or ()) == [1, 256 * 128 - 1]
    (line,) = customer.api.submits()
    assert line.pop("time") <= line.pop("collected_at") <= time.time()
    assert line == {
        "n": 1,
        "path": KLEIN,
        "body": hashlib.sha256(
            b'{"height":128,"output_format":"png","prompt":"a mug","seed":7,"width":256}'
        ).hexdigest(),
        "prompt": hashlib.sha256(b"a mug").hexdigest(),
        "seed": 7,
        "width": 256,
        "height": 128,
        "outcome": "made",
        "task": task["id"],
        "billed": PRICE,
        "answered": 200,
        "polls": 1,
        "links": [link],
        "delivered": 1,
        "ended": "Ready",
    }
    assert customer.api.body(1) == BODY


@pytest.mark.parametrize(
    ("model", "width", "height", "inputs", "price"),
    [
        ("flux-2-klein-4b", 256, 256, [], 14_000),
        ("flux-2-klein-4b", 1024, 1024, [], 14_000),
        ("flux-2-klein-4b", 2048, 2048, [], 17_000),
        ("flux-2-klein-4b", 1024, 1536, [], 14_500),
        ("flux-2-klein-4b", 1024, 1024, [(1024, 1024)], 15_000),
        ("flux-2-klein-9b", 1024, 2048, [(512, 1024)], 18_000),
        ("flux-2-klein-9b-preview", 1024, 1024, [], 15_000),
        ("flux-2-pro", 1024, 1024, [(1024, 1024), (1024, 512)], 52_500),
        ("flux-2-pro-preview", 2048, 1024, [], 45_000),
        ("flux-2-flex", 2048, 1024, [], 100_000),
        ("flux-2-max", 1024, 1024, [(512, 512)], 77_500),
        ("flux-2-max", 1040, 1030, [], 70_469),
        ("flux-2-max", 1040, 1056, [], 71_421),
    ],
)
def test_prices(
    customer: Customer, model: str, width: int, height: int, inputs: list[tuple[int, int]], price: int
) -> None:
    fields = {f"input_image{f'_{n}' if n > 1 else ''}": png(*sides) for n, sides in enumerate(inputs, 1)}
    cost = customer.submit(model, width=width, height=height, **fields).json()["cost"]
    assert (cost, customer.api.billed()) == (price / 10_000, price)


def test_what_is_not_said_is_the_servers_choice(customer: Customer) -> None:
    seedless = customer.task(seed=None, width=None, height=None, input_image=png(300, 200), output_format=None)
    got = customer.get(customer.link(seedless))
    assert (got.headers["content-type"], size(got.content)) == ("image/jpeg", (288, 192))
    assert isinstance(customer.poll(seedless).json()["result"]["seed"], int)
    webp = customer.get(customer.link(customer.task(output_format="webp")))
    assert webp.content[8:12] == b"WEBP"
    pro = customer.submit("flux-2-pro").json(), customer.submit("flux-2-pro", disable_pup=True).json()
    assert [customer.poll(task).json()["result"]["prompt"] == "a mug" for task in pro] == [False, True]
    hooked = customer.task(webhook_url="https://example.com/hook")
    assert "polling_url" not in hooked
    assert hooked["status"] == "Pending"


def test_refusals_make_nothing(customer: Customer) -> None:
    api = customer.api
    assert customer.submit(key="").json() == {"detail": "Not authenticated - Invalid Authentication"}
    api.rules(key="another")
    assert customer.submit().status_code == 403
    api.rules(key="")
    assert customer.submit("flux-1").json() == {"detail": "Not Found"}
    wrong: list[dict[str, Any]] = [{"width": 32}, {"height": "9"}, {"seed": 1.5}, {"safety_tolerance": 6}]
    wrong += [{"output_format": "gif"}, {"input_image": "%%"}, {"prompt": None}, {"webhook_url": ""}]
    for fields in wrong:
        answer = customer.submit(**fields)
        assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, ["body", *fields])
    assert customer.submit("flux-2-flex", steps=51).status_code == 422
    assert customer.submit(nobody_knows=1).status_code == 200
    codes = [403, 403, 404, *[422] * 9, 200]
    assert [each["answered"] for each in api.submits()] == codes
    assert [each["outcome"] for each in api.submits()] == [*["refused"] * 12, "made"]
    assert api.billed() == PRICE


def test_each_host_serves_its_own(customer: Customer) -> None:
    task = customer.task()
    query = f"/v1/get_result?id={task['id']}"
    assert customer.get(customer.api.url + query).json() == {"detail": "Not Found"}
    assert customer.get(customer.api.pictures + query).status_code == 404
    assert customer.get(f"{customer.api.polls}/v1/get_result?id=none").json() == {"detail": "Not Found"}
    assert customer.web.post(f"{customer.api.polls}/v1/{KLEIN}", json=BODY).status_code == 404
    link = customer.link(task)
    assert customer.get(link.replace(customer.api.pictures, customer.api.polls)).status_code == 404
    assert customer.get(link.replace("sig=", "sig=0")).status_code == 403


def test_credits(customer: Customer) -> None:
    api, url = customer.api, f"{customer.api.url}/v1/credits"
    api.rules(credits=2 * PRICE + 1)
    assert customer.get(url).status_code == 403
    assert customer.web.get(url, headers={"x-key": KEY}).json() == {"credits": 2.8001}
    assert [customer.submit().status_code for _ in range(3)] == [200, 200, 402]
    assert (api.billed(), api.rules()["credits"]) == (2 * PRICE, 1)


def test_tasks_run_and_fill_the_cap(customer: Customer) -> None:
    api = customer.api
    api.rules(seconds=100, cap=2)
    task = customer.task()
    customer.task()
    refused = customer.submit()
    assert (refused.status_code, refused.json()) == (429, {"detail": "Too many active tasks"})
    assert customer.poll(task).json() == {
        "id": task["id"],
        **{"status": "Pending", "result": None, "progress": None, "details": None, "preview": None},
    }
    api.rules(clock=60)
    polled = customer.poll(task).json()
    assert polled["status"] == "Generating"
    assert polled["progress"] == pytest.approx(0.6, abs=0.05)
    assert api.ledger()["totals"] | {"unanswered_peak": 1} == {
        **{"billed": 2 * PRICE, "delivered": 0, "in_flight": 2, "peak": 2, "unanswered_peak": 1, "key_leaks": 0}
    }
    assert [each["ended"] for each in api.submits()] == [None, None, None]
    api.rules(clock=101, slow=1.0, slow_seconds=500)
    slow = customer.task()
    api.rules(clock=300)
    assert (customer.poll(task).json()["status"], customer.poll(slow).json()["status"]) == ("Ready", "Pending")
    assert [each["ended"] for each in api.submits()] == ["Ready", "Ready", None, None]
    assert api.ledger()["totals"]["in_flight"] == 1


def test_a_storm_passes(customer: Customer) -> None:
    customer.api.rules(storm=2)
    assert [customer.submit().status_code for _ in range(3)] == [429, 429, 200]
    assert customer.api.billed() == PRICE


@pytest.mark.parametrize(
    ("rule", "code", "body", "outcome", "billed"),
    [
        ("p_bill_then_500", 500, "", "made", PRICE),
        ("p_bill_then_502", 502, "", "made", PRICE),
        ("p_bill_then_503_bare", 503, "", "made", PRICE),
        ("p_bill_then_cut", "cut", "", "made", PRICE),
        ("p_503_body", 503, "no task was created", "refused", 0),
        ("p_503_bare_free", 503, "", "nothing", 0),
        ("p_cut_free", "cut", "", "nothing", 0),
    ],
)
def test_bad_answers(customer: Customer, rule: str, code: int | str, body: str, outcome: str, billed: int) -> None:
    customer.api.rules(**{rule: 1.0})
    if code == "cut":
        with pytest.raises(httpx.TransportError):
            customer.submit()
    else:
        answer = customer.submit()
        assert answer.status_code == code
        assert body in answer.text
        assert bool(body) == bool(answer.text)
    (line,) = customer.api.submits()
    assert (line["answered"], line["outcome"], line["billed"]) == (code, outcome, billed)
    assert (line["task"] is not None) == bool(billed)
    assert (line["ended"] == "Ready") == bool(billed)


@pytest.mark.parametrize(
    ("rule", "status", "details"),
    [
        ("p_error", "Error", {"error": "the worker failed"}),
        ("p_request_moderated", "Request Moderated", {"Moderation Reasons": ["Content Policy Violation"]}),
        ("p_content_moderated", "Content Moderated", {"Moderation Reasons": ["Content Policy Violation"]}),
    ],
)
def test_bad_ends_are_billed(customer: Customer, rule: str, status: str, details: dict[str, Any]) -> None:
    customer.api.rules(**{rule: 1.0})
    polled = customer.poll(customer.task())
    assert polled.status_code == 200
    assert (polled.json()["status"], polled.json()["result"], polled.json()["details"]) == (status, None, details)
    (line,) = customer.api.submits()
    assert (line["ended"], line["billed"], line["links"]) == (status, PRICE, [])


def test_a_task_that_nobody_knows(customer: Customer) -> None:
    customer.api.rules(p_gone=1.0)
    task = customer.task()
    customer.api.rules(p_gone=0.0, clock=5000)
    answer = customer.poll(task)
    assert (answer.status_code, answer.content) == (404, b"")
    assert customer.api.submits()[0]["ended"] == "Gone"


@pytest.mark.parametrize(("rule", "sides"), [("p_wrong_ratio", (320, 128)), ("p_wrong_size", (259, 129))])
def test_pictures_of_another_size(customer: Customer, rule: str, sides: tuple[int, int]) -> None:
    customer.api.rules(**{rule: 1.0})
    assert size(customer.get(customer.link(customer.task())).content) == sides
    assert len(customer.api.delivered()) == 1


def test_what_is_no_picture_is_not_delivered(customer: Customer) -> None:
    customer.api.rules(p_not_an_image=1.0)
    answer = customer.get(customer.link(customer.task()))
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    customer.api.rules(p_not_an_image=0.0, big_link=700_000)
    assert customer.get(customer.link(customer.task())).content == bytes(700_000)
    assert customer.web.head(customer.link(customer.task())).status_code == 200
    assert customer.api.delivered() == []
