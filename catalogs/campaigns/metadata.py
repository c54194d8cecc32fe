"""What a campaign says of metadata: what a delivered file tells the public of itself (IPTC Photo Metadata 2025.1)."""

from __future__ import annotations

import re
from typing import Any

from pydantic import field_validator

from catalogs.campaigns.section import Section

METADATA_RECIPE = 1
"""Enters the fingerprint of files that tell something else than usual: raise it when the same choices come to write
other metadata."""

MAX_TEXT = 500
_URL = re.compile(r"https?://[^\s/@?#]+([/?#]\S*)?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff\ufffe\uffff]")


class Metadata(Section):
    """What a delivered file tells of itself; what stands here is told without the key too, and by proofs always.

    That AI made the picture (Iptc4xmpExt:DigitalSourceType) is in every file and no choice: platforms ask for it. Names
    in content credentials follow these choices; those of files and folders do not.

    Attributes:
        product: name of the product or look: dc:title, and in dc:description and EXIF ImageDescription; off takes the
            file names of reference photos out of content credentials too.
        brand: name of the brand, in the same description and as credit; off takes out those file names too.
        model: what made the picture, Iptc4xmpExt:AISystemUsed and AISystemVersionUsed; off takes it out of content
            credentials too.
        prompt: the prompt as the model was given it, Iptc4xmpExt:AIPromptInformation, its first 5,000 characters.
        prompt_writer: who wrote it, Iptc4xmpExt:AIPromptWriterName.
        credit: photoshop:Credit; on is the brand, a text is written instead.
        rights: dc:rights and EXIF Copyright; on is the brand's legal line, a text is written instead.
        web_statement: page with the terms of use, xmpRights:WebStatement.
        licensor_url: page where a licence can be had, plus:LicensorURL.
        fingerprint: that of the asset, by which it is found in the asset catalog, as dc:identifier.
    """

    product: bool = True
    brand: bool = True
    model: bool = True
    prompt: bool = False
    prompt_writer: str | None = None
    credit: bool | str = True
    rights: bool | str = True
    web_statement: str | None = None
    licensor_url: str | None = None
    fingerprint: bool = True

    @field_validator("credit", "rights", mode="before")
    @classmethod
    def _switch_or_text(cls, value: object) -> object:
        if not isinstance(value, bool | str):
            raise ValueError("write on, off, or one line of text in quotes")
        return value

    @field_validator("prompt_writer", "credit", "rights")
    @classmethod
    def _line(cls, value: str | bool | None) -> str | bool | None:
        if isinstance(value, str) and (not value.strip() or len(value) > MAX_TEXT or _CONTROL.search(value)):
            raise ValueError(f"write one line of text, of at most {MAX_TEXT} characters")
        return value

    @field_validator("web_statement", "licensor_url")
    @classmethod
    def _url(cls, value: str | None) -> str | None:
        if value is not None and (not _URL.fullmatch(value) or len(value) > MAX_TEXT):
            raise ValueError("write an address as https://HOST/PATH, without a name or password in it")
        return value

    def said(self) -> dict[str, Any]:
        """What is another than without the key, for a plan's header; {} where nothing is."""
        return {name: value for name, value in self if value != type(self).model_fields[name].default}

    def finishing_spec(self) -> dict[str, Any]:
        """All of it that enters an asset's fingerprint; {} where nothing is another than without the key."""
        said = self.said()
        return {**said, "recipe": METADATA_RECIPE} if said else {}

    def rights_of(self, legal_line: str) -> str:
        """The rights that a file of a brand with this legal line tells."""
        return self.rights if isinstance(self.rights, str) else legal_line if self.rights else ""

    def credit_of(self, brand: str) -> str:
        """The credit of a file of this brand; a brand that is not told is no credit either."""
        return self.credit if isinstance(self.credit, str) else brand if self.credit and self.brand else ""

    @property
    def tells_photo_names(self) -> bool:
        """Whether content credentials name reference photos by their files, which often say product and brand."""
        return self.product and self.brand


def of_kind(metadata: Metadata, kind: str) -> Metadata:
    """What pictures of a kind tell: a proof is no picture to be shown, and tells what it always does."""
    return metadata if kind == "render" else Metadata()
