"""Content credentials of a run: whether there is something to sign with, and what a row's file says of its making.

What signs is loaded only where a campaign asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING

from catalogs.campaigns.campaign import Campaign
from catalogs.campaigns.channels import FORMATS
from catalogs.campaigns.credentials import of_kind
from catalogs.campaigns.metadata import Metadata
from catalogs.columns import Row
from catalogs.errors import OptionError
from catalogs.plans.file import PlanHeader
from catalogs.requests import RENDER_SCHEME
from inference.finishing.sign import Edit
from tasks.versions import installed

if TYPE_CHECKING:
    from inference.credentials.chain import Chain
    from inference.credentials.manifest import Making, Source
    from inference.credentials.signing import Signing

SIGNED_WITH = "c2pa"
"""Key of a row's `versions` that only rows of signed files have."""
NO_STAMP = "signed without a time stamp: when the certificate ends, so does what it says"
_DEVELOPMENT = "files are signed with a development certificate, which nobody trusts"
SOON = timedelta(days=30)


def check_signing(header: PlanHeader) -> None:
    """Find out before a run starts that it cannot sign what it is to sign.

    Raises:
        OptionError: one line about the key or chain that is missing, or that readers would not accept.
    """
    if credentials := header.signing:
        from inference.credentials.keys import load_key
        from inference.credentials.signing import try_key

        try_key(load_key(credentials, header.source, probe=True))


def signing_warnings(campaign: Campaign, kind: str) -> list[str]:
    """What a plan says of the signatures of its files.

    Raises:
        OptionError: there is a key or chain that readers would not accept.
    """
    credentials = of_kind(campaign.credentials, kind)
    if credentials is None:
        return []
    from inference.credentials.keys import NoKey, load_key
    from inference.credentials.signing import try_key

    try:
        key = load_key(credentials, campaign.source)
    except NoKey as error:
        return [f"a render ends here: {error}"]
    if key.callback is None:  # a plan asks no KMS
        try_key(key)
    return list(_doubts(key.chain, credentials.timestamp_url is not None))


def _doubts(chain: Chain, has_timestamp: bool) -> Iterator[str]:
    if chain.is_development:
        yield f"{_DEVELOPMENT}; see `packshot credentials init`"
        return
    if not chain.has_issuer:
        yield "the certificate chain lacks the issuer: readers that do not hold it call the signer unknown"
    if chain.ends - datetime.now(UTC) < SOON:
        yield f"the certificate that signs ends on {chain.ends:%Y-%m-%d}: renew it"
    if not has_timestamp:
        what = "without credentials.timestamp_url every signature is invalid once its certificate has ended"
        yield f"{what}, on {chain.ends:%Y-%m-%d}"


def certificate_note(header: PlanHeader) -> str:
    """What a report says of the certificate that signs a plan's files, "" where that is nothing."""
    if header.signing is None:
        return ""
    from inference.credentials.keys import load_key

    try:
        chain = load_key(header.signing, header.source).chain
    except OptionError:  # of another machine, or gone since
        return ""
    return _DEVELOPMENT if chain.is_development else ""


class RowSigner:
    """Signs the files of a plan's rows, in any number of threads."""

    def __init__(self, signing: Signing, telling: Metadata) -> None:
        self._signing, self._telling = signing, telling

    def of(self, row: Row) -> FileSign:
        """What signs one row's file."""
        return FileSign(self._signing, FORMATS[row["format"]].mime, making_of(row, self._telling))


class FileSign:
    """`inference.finishing.sign.Sign` of one file.

    Attributes:
        note: what its row must say of the signature, "" where all is as it was asked for.
    """

    def __init__(self, signing: Signing, mime: str, making: Making) -> None:
        self._signing, self._mime, self._making = signing, mime, making
        self.note = ""

    def __call__(self, data: bytes, edits: Sequence[Edit]) -> bytes:
        signed = self._signing.sign(data, self._mime, self._making, edits)
        self.note = signed.note
        return signed.data


def signer_of(header: PlanHeader) -> RowSigner | None:
    """What signs the files of a plan, None where they are not signed.

    Raises:
        OptionError: there is no usable key here.
    """
    credentials = header.signing
    if credentials is None:
        return None
    from inference.credentials.keys import load_key
    from inference.credentials.signing import Signing

    return RowSigner(Signing(load_key(credentials, header.source), credentials), header.telling)


def making_of(row: Row, telling: Metadata) -> Making:
    """What a row's credential says of its making: the pictures the model saw, and the photos behind other shots'.

    Args:
        telling: what files tell; names that they keep private stand in no credential.
    """
    from inference.credentials.manifest import Making

    return Making(
        title=row["look"] if telling.product else "",
        model=row["model"] if telling.model else "",
        model_revision=row["model_revision"] if telling.model else "",
        sources=tuple(_sources(row, telling.tells_photo_names)),
        version=_packshot(),
    )


def _sources(row: Row, named: bool) -> Iterator[Source]:
    from inference.credentials.manifest import Source

    seen = set()
    for reference in (*(row["references"] or ()), *(row["upstream_references"] or ())):
        if reference["sha256"] in seen:
            continue
        seen.add(reference["sha256"])
        if reference["uri"].startswith(RENDER_SCHEME):
            yield Source("generated picture of the same product", "image/png", reference["sha256"], "shot")
        else:
            yield Source.photo(reference["uri"], reference["sha256"], reference["role"], named)


@cache
def _packshot() -> str:
    return installed()


@cache
def signed_with() -> dict[str, str]:
    """What a row of a signed file adds to its `versions`."""
    return {SIGNED_WITH: version("c2pa-python")}
