"""Downloads: links that lead anywhere are followed with care, and believed by their own end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from catalogs.requests import Reason
from inference.hosted.hosts import why_not_fetched
from inference.hosted.links import expiry_of
from tests.inference.hosted.buyers import Buyer, reasons, request

pytestmark = pytest.mark.usefixtures("quick")


@pytest.mark.parametrize(
    ("url", "moment"),
    [
        ("https://x/y?se=2026-11-21T21%3A39%3A00Z&sig=1", "2026-11-21T21:39:00+00:00"),
        ("https://x/y?se=1795294740.5", "2026-11-21T20:59:00.500000+00:00"),
        ("https://x/y?se=2026-11-21T21:39:00", "2026-11-21T21:39:00+00:00"),
        ("https://x/y", None),
        ("https://x/y?se=soon", None),
        ("https://x/y?se=nan", None),
        ("https://x/y?se=1e400", None),
        ("https://[x/", None),
    ],
)
def test_when_a_link_ends(url: str, moment: str | None) -> None:
    found = expiry_of(url)
    assert (found.isoformat() if found else None) == moment


@pytest.mark.parametrize(
    "rules",
    [
        {"link_redirects": 3},
        {"link_to": "http://10.0.0.1/x.png"},
        {"link_to": "http://169.254.169.254/latest/meta-data"},
        {"link_to": "file:///etc/passwd"},
        {"link_host": "192.168.1.1:80"},
        {"big_link": 70 * 2**20},
    ],
)
def test_a_link_is_followed_with_care(buyer: Buyer, rules: dict[str, Any]) -> None:
    buyer.api.rules(**rules)
    assert reasons(buyer.render([request()], deadline=1.0)) == [(Reason.NOT_READY, False)]
    buyer.api.rules(link_redirects=2, link_to=None, link_host=None, big_link=None)
    assert reasons(buyer.render([request()])) == ["picture"]
    assert buyer.api.ledger()["totals"]["key_leaks"] == 0


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("https://delivery-eu.bfl.ai/x.png", None),
        ("http://delivery-eu.bfl.ai/x.png", "is not https"),
        ("https://127.0.0.1/x", "leads into a private network"),
        ("https://localhost/x", "leads into a private network"),
        ("https://10.1.2.3/x", "leads into a private network"),
        ("https://[::1]/x", "leads into a private network"),
        ("https://169.254.169.254/x", "leads into a private network"),
        ("https://0x7f000001/x", "leads into a private network"),
        ("ftp://files.example/x", "is not https"),
        ("https:///x", "is not https"),
        ("https://[bad/", "is no URL"),
        ("https://a:99999/", "is no URL"),
    ],
)
def test_what_is_fetched_at_all(url: str, problem: str | None) -> None:
    assert asyncio.run(why_not_fetched(url, "https://api.bfl.ai")) == problem
