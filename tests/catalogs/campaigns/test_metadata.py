"""`metadata:` of a campaign: what it may say, and what of it enters a fingerprint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from catalogs.campaigns.campaign import load_campaign
from catalogs.campaigns.channels import Channel
from catalogs.campaigns.metadata import Metadata, of_kind
from catalogs.errors import CampaignError
from catalogs.plans.finished import finished_fingerprint

CAMPAIGN = """
name: spring
model: klein-4b
catalogs: {brands: brands.parquet, products: products.parquet}
output: output
shots: {hero: {prompt: {scene: a mug}}}
channels: [shopify]
"""
WEB = Channel(name="web", width=64, height=64)


def loaded(tmp_path: Path, text: str) -> Any:
    (tmp_path / "campaign.yaml").write_text(CAMPAIGN + text)
    return load_campaign(str(tmp_path / "campaign.yaml")).metadata


def fingerprint(legal_line: str = "(c)", **metadata: Any) -> str:
    return finished_fingerprint("00" * 32, WEB, legal_line, metadata=Metadata(**metadata))


def test_as_it_is_written(tmp_path: Path) -> None:
    assert loaded(tmp_path, "") == loaded(tmp_path, "metadata: {}") == Metadata()
    text = (
        "metadata: {product: off, prompt: on, credit: Halden Studio, rights: no, web_statement: 'https://a.example/r'}"
    )
    assert loaded(tmp_path, text).said() == {
        "product": False,
        "prompt": True,
        "credit": "Halden Studio",
        "rights": False,
        "web_statement": "https://a.example/r",
    }


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("metadata: off", "metadata: must be a section"),
        ("metadata: {titel: off}", "metadata.titel: unknown key"),
        ("metadata: {product: maybe}", "metadata.product: must be true or false"),
        ("metadata: {credit: ''}", "metadata.credit: write one line of text"),
        ('metadata: {rights: "a\\nb"}', "metadata.rights: write one line of text"),
        (f"metadata: {{prompt_writer: {'x' * 501}}}", "metadata.prompt_writer: write one line of text"),
        ("metadata: {web_statement: ftp://x}", "metadata.web_statement: write an address"),
        ("metadata: {licensor_url: 'https://me:hush@a.example/'}", "metadata.licensor_url: write an address"),
        ("finishing: {metadata: {product: off}}", "finishing.metadata: what files tell is a section of its own"),
    ],
)
def test_mistakes(tmp_path: Path, text: str, line: str) -> None:
    with pytest.raises(CampaignError) as caught:
        loaded(tmp_path, text)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_only_what_is_another_than_usual_is_hashed() -> None:
    plain = finished_fingerprint("00" * 32, WEB, "(c)")
    assert fingerprint() == plain == fingerprint(product=True, prompt=False, credit=True)
    chosen = ("product", "brand", "model", "credit", "rights", "fingerprint")
    others = [{name: False} for name in chosen]
    others += [{"prompt": True}, *({name: "https://a.example/"} for name in ("web_statement", "licensor_url"))]
    others += [{name: "Ada"} for name in ("prompt_writer", "credit", "rights")]
    assert len({plain, *(fingerprint(**other) for other in others)}) == 1 + len(others)
    assert fingerprint(product=False) == "0b29eb0639a3f9ca8d6fcf692be1f6d7d4a3c30f7fc2f3e9e7daff3fb14e5a1a"


def test_a_legal_line_that_is_not_told_finishes_nothing_anew() -> None:
    assert fingerprint("(c) 2026") != fingerprint("(c) 2027")
    for rights in (False, "Ask us"):
        assert fingerprint("(c) 2026", rights=rights) == fingerprint("(c) 2027", rights=rights)


def test_what_is_told_follows_from_what_is_private() -> None:
    assert (Metadata().credit_of("acme"), Metadata().rights_of("(c)")) == ("acme", "(c)")
    assert Metadata(brand=False).credit_of("acme") == Metadata(credit=False).credit_of("acme") == ""
    assert Metadata(brand=False, credit="Studio").credit_of("acme") == "Studio"
    assert (Metadata(rights=False).rights_of("(c)"), Metadata(rights="Ask").rights_of("(c)")) == ("", "Ask")


def test_masters_and_proofs_tell_what_they_always_do() -> None:
    private = Metadata(product=False)
    assert finished_fingerprint("00" * 32, None, "", metadata=private) == finished_fingerprint("00" * 32, None, "")
    assert (of_kind(private, "proof"), of_kind(private, "render")) == (Metadata(), private)
