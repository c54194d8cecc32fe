"""`credentials:` of a campaign: what it may say, and what of it enters a fingerprint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from catalogs.campaigns.campaign import load_campaign
from catalogs.campaigns.channels import Channel
from catalogs.campaigns.credentials import Credentials, of_kind
from catalogs.errors import CampaignError
from catalogs.identity import asset_fingerprint
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
    return load_campaign(str(tmp_path / "campaign.yaml")).credentials


@pytest.mark.parametrize("text", ["", "credentials: off", "credentials: no", "credentials:"])
def test_off(tmp_path: Path, text: str) -> None:
    assert loaded(tmp_path, text) is None


@pytest.mark.parametrize("text", ["credentials: on", "credentials: {}", "credentials: yes"])
def test_on(tmp_path: Path, text: str) -> None:
    folder = tmp_path / "credentials"
    assert loaded(tmp_path, text) == Credentials(key=str(folder / "key.pem"), chain=str(folder / "chain.pem"))


def test_paths_are_placed(tmp_path: Path) -> None:
    found = loaded(tmp_path, "credentials: {key: ../k.pem, chain: /etc/c.pem}")
    assert (found.key, found.chain) == (str(tmp_path.parent / "k.pem"), "/etc/c.pem")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("credentials: always", "credentials: write on, off, or a section"),
        ("credentials: [a]", "credentials: write on, off, or a section"),
        ("credentials: {training: no}", "credentials.training: unknown key"),
        ("credentials: {training_mining: maybe}", "credentials.training_mining: "),
        ("credentials: {timestamp: required}", "credentials: timestamp: required wants a timestamp_url"),
        ("credentials: {timestamp_url: ftp://x}", "credentials.timestamp_url: write an address"),
        ("credentials: {timestamp_url: 'https://me:hush@tsa.example/'}", "credentials.timestamp_url: write an address"),
        ("finishing: {credentials: on}", "finishing.credentials: content credentials are a section of their own"),
    ],
)
def test_mistakes(tmp_path: Path, text: str, line: str) -> None:
    with pytest.raises(CampaignError) as caught:
        loaded(tmp_path, text)
    assert line in str(caught.value)


def test_off_keeps_the_fingerprint_and_on_is_hashed_as_it_stands_here() -> None:
    assert finished_fingerprint("00" * 32, WEB, "(c)") == asset_fingerprint(
        "00" * 32, WEB.finishing_spec(), {"rights": "(c)"}
    )
    assert Credentials().finishing_spec() == {"profile": {"training_mining": "not-allowed"}, "recipe": 1}
    signed = finished_fingerprint("00" * 32, WEB, "(c)", Credentials())
    assert signed == asset_fingerprint(
        "00" * 32, WEB.finishing_spec(), {"rights": "(c)", "credentials": Credentials().finishing_spec()}
    )
    assert signed == "682363b6fb3f88d1a40ba33d419aa6822f31dfe92b961cb0a899766e3879780d"


def test_only_what_a_file_says_is_hashed() -> None:
    def fingerprint(**credentials: Any) -> str:
        return finished_fingerprint("00" * 32, WEB, "(c)", Credentials(**credentials))

    assert fingerprint(training_mining="allowed") != fingerprint()
    url = "http://tsa.example/"
    for other in (
        {"key": "k"},
        {"chain": "c"},
        {"timestamp_url": url},
        {"timestamp_url": url, "timestamp": "required"},
    ):
        assert fingerprint(**other) == fingerprint()


def test_masters_and_proofs_are_not_signed() -> None:
    assert finished_fingerprint("00" * 32, None, "", Credentials()) == finished_fingerprint("00" * 32, None, "")
    assert of_kind(Credentials(), "proof") is None
    assert of_kind(Credentials(), "render") == Credentials()
