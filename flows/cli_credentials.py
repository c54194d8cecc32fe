"""`packshot credentials`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from flows.cli_options import JSON
from flows.cli_output import Answer, answer, end

if TYPE_CHECKING:
    from tasks.credentials_check import Checked

_SHOWN = 20
_WORDS = {
    "trusted": "trusted",
    "unknown_issuer": "valid, unknown issuer",
    "development": "valid, development certificate",
    "expired": "certificate has ended",
    "tampered": "tampered",
    "stripped": "stripped",
    "none": "none",
    "unreadable": "unreadable",
}


@click.group()
def credentials() -> None:
    """Content credentials (C2PA): a key to try them with, and whether those of files hold."""


@credentials.command()
@click.argument("folder", type=click.Path(file_okay=False), default="credentials")
@JSON
def init(folder: str, as_json: bool) -> None:
    """Write a key and a development certificate of its own, which nobody trusts; nothing is overwritten."""
    from pathlib import Path

    from catalogs.errors import OptionError
    from inference.credentials.development import write_development_chain

    if "://" in folder:
        raise OptionError("credentials init", folder, "keys are written to a local folder", "name one")
    files = [str(path) for path in write_development_chain(Path(folder))]
    lines = [
        f"wrote a key and a development certificate to {folder}, which nobody trusts: for trying out alone",
        "campaigns in the folder above it sign with it; PACKSHOT_CREDENTIALS_KEY and PACKSHOT_CREDENTIALS_CHAIN win",
    ]
    answer(as_json, {"files": files}, lines)


@credentials.command()
@click.argument("target", type=click.Path(), metavar="FILE|FOLDER|CAMPAIGN")
@click.option("--in", "within", metavar="CAMPAIGN", help="Look files up among those that this campaign delivered.")
@click.option(
    "--trust",
    type=click.Path(),
    metavar="PEM",
    envvar="PACKSHOT_CREDENTIALS_TRUST",
    help="Root certificates of signers to trust; PACKSHOT_CREDENTIALS_TRUST says it too.",
)
@JSON
def check(target: str, within: str | None, trust: str | None, as_json: bool) -> None:
    """Say of each file whether its content credential is there and holds; exit code 1 where one is not, or does not."""
    from tasks.credentials_check import anchors_of, counts, is_fine
    from tasks.credentials_check import check as look

    found = list(look(target, anchors_of(trust), within))
    data = {"files": [one.as_dict() for one in found], "counts": counts(found)}
    end(as_json, Answer(data, _lines(found), 0 if is_fine(found) else 1))


def _lines(found: list[Checked]) -> list[str]:
    from tasks.credentials_check import counts, is_fine

    # Of many, those that somebody must look at.
    told = found if len(found) <= _SHOWN else [one for one in found if not is_fine([one])]
    lines = [line for one in told for line in _told(one)]
    total = ", ".join(f"{count} {_WORDS[verdict]}" for verdict, count in counts(found).items())
    return [*lines, f"{len(found)} files: {total}" if found else "no delivered file is to be signed"]


def _told(one: Checked) -> list[str]:
    found = one.found
    has_credential = found.issuer or found.made_by or found.source_type
    signed = f"signed by {found.issuer or 'nobody named'}" if has_credential else ""
    stamped = f"on {found.signed_at}" if found.signed_at else ("without a time stamp" if signed else "")
    iptc = f"IPTC digital source type: {found.iptc}" if found.iptc else "no IPTC digital source type"
    detail = [" ".join(filter(None, (signed, stamped))), found.made_by and f"made by {found.made_by}", iptc]
    training = f"training and mining: {found.training}" if found.training else ""
    return [
        f"{_WORDS[found.verdict]}: {one.file}" + (f": {found.why}" if found.why else ""),
        "  " + "; ".join(filter(None, (*detail, training))),
        *([f"  record: {one.record}"] if one.record else []),
    ]
