"""What a campaign says of content credentials (C2PA): signed into every delivered file that is no proof."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import field_validator, model_validator

from catalogs.campaigns.section import Section

CREDENTIALS_RECIPE = 1
"""Enters the fingerprint of every signed asset: raise it when the same choices come to say something else of a file."""

TrainingMining = Literal["not-allowed", "allowed", "unsaid"]
_URL = re.compile(r"https?://[^\s/@]+(/\S*)?")


class Credentials(Section):
    """How delivered files are signed; `credentials: on` takes what stands here.

    Attributes:
        training_mining: what a file says of its use for training models and for data mining (cawg.training-mining).
        timestamp_url: a time-stamp authority (RFC 3161); without a time stamp a file's credential ends with the
            certificate.
        timestamp: what becomes of a picture that gets no time stamp; `required` fails it, to be tried again, `wanted`
            delivers it without one and says so in its row.
        key: file with the private key, PEM, where PACKSHOT_CREDENTIALS_KEY is not set.
        chain: file with its certificate and those of its issuers, PEM, where PACKSHOT_CREDENTIALS_CHAIN is not set.
    """

    training_mining: TrainingMining = "not-allowed"
    timestamp_url: str | None = None
    timestamp: Literal["wanted", "required"] = "wanted"
    key: str = "credentials/key.pem"
    chain: str = "credentials/chain.pem"

    @field_validator("timestamp_url")
    @classmethod
    def _url(cls, value: str | None) -> str | None:
        if value is not None and not _URL.fullmatch(value):
            raise ValueError("write an address as http://HOST/PATH, without a name or password in it")
        return value

    @model_validator(mode="after")
    def _required_of_somebody(self) -> Credentials:
        if self.timestamp == "required" and self.timestamp_url is None:
            raise ValueError("timestamp: required wants a timestamp_url, the address of a time-stamp authority")
        return self

    def finishing_spec(self) -> dict[str, Any]:
        """All of it that enters an asset's fingerprint: what a file says, never who signs it or when."""
        return {"profile": {"training_mining": self.training_mining}, "recipe": CREDENTIALS_RECIPE}


def of_kind(credentials: Credentials | None, kind: str) -> Credentials | None:
    """How pictures of a kind are signed: a proof makes no claim to be a picture of anything, and never is."""
    return credentials if kind == "render" else None
