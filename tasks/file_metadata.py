"""What a row's file tells of itself, as its campaign chose it."""

from __future__ import annotations

from catalogs.campaigns.metadata import Metadata
from catalogs.columns import Row
from inference.finishing.metadata import AssetMetadata


def metadata_of(row: Row, chosen: Metadata, signed: bool) -> AssetMetadata:
    """The metadata of one file; what is kept private is empty in it.

    Args:
        signed: whether a content credential is signed over the file.
    """
    return AssetMetadata(
        fingerprint=row["fingerprint"] if chosen.fingerprint else "",
        brand=row["brand_id"] if chosen.brand else "",
        product=row["look"] if chosen.product else "",
        proof=row["kind"] == "proof",
        model=row["model"] if chosen.model else "",
        model_revision=row["model_revision"] if chosen.model else "",
        rights=chosen.rights_of(row["legal_line"]),
        signed=signed,
        credit=chosen.credit_of(row["brand_id"]),
        prompt=row["prompt"] if chosen.prompt else "",
        prompt_writer=chosen.prompt_writer or "",
        web_statement=chosen.web_statement or "",
        licensor_url=chosen.licensor_url or "",
    )
