"""What an import proposes for a person to look at: brands, a campaign, and a list of what to decide."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from importlib.resources import files
from pathlib import Path

from catalogs.campaigns.channels import builtin_channels
from catalogs.campaigns.enlargement import suggested_megapixels
from catalogs.imports.catalog_folder import BRANDS, CAMPAIGN, PRODUCTS
from catalogs.imports.merge import RowWriter
from catalogs.imports.report import Report
from catalogs.inputs.schemas import BRANDS as BRAND_SCHEMA
from catalogs.vocabulary.languages import DEFAULT

SQUARE, MERCHANT, PORTRAIT, WIDE = "shopify", "google-merchant", "instagram-portrait", "open-graph"
_LONGEST_NAME = 60
_NEUTRAL = {
    "style": "clean commercial product photograph, true colours, fine texture",
    "mood": "calm and bright",
    "lighting": "large softbox from the upper left, weak fill from the right, neutral white balance",
    "background": "seamless light grey paper",
}


def slug(name: str) -> str:
    """Letters and digits of a name, as ids and campaigns are called."""
    plain = unicodedata.normalize("NFKD", name.lower())
    words = re.findall(r"[a-z0-9]+", "".join(one for one in plain if not unicodedata.combining(one)))
    return "-".join(words)[:_LONGEST_NAME].strip("-") or "shop"


def write_brands(path: Path, brand_ids: Mapping[str, str]) -> None:
    """A row a brand: its name, and neutral words that a person replaces.

    Args:
        brand_ids: by the brands' names.
    """
    with closing(RowWriter(path, BRAND_SCHEMA)) as writer:
        for name, brand_id in brand_ids.items():
            writer.add({"brand_id": brand_id, "name": name, **_NEUTRAL})


def campaign_text(report: Report, name: str, roots: Iterable[str], texts: Iterable[str]) -> str:
    """A commented campaign of three shots.

    Args:
        name: of the export.
        roots: folders that its pictures are read from.
        texts: columns in other languages, `title@de`.
    """
    channels = builtin_channels()
    looks = [option.name for option in report.options if option.changes_look]
    hosts = _listed("reference_hosts", sorted(report.hosts), "Hosts that photos are fetched from, once.")
    places = _listed("reference_roots", roots, "Folders beside this one that photos are read from.")
    values = {
        "SOURCE": " ".join(report.source.split()),
        "FILE": CAMPAIGN,
        "NAME": slug(name),
        "LOOK_OPTIONS": f"the values of {' '.join(', '.join(looks).split())}" if looks else "nothing in this export",
        "LOCALE": _locale(texts),
        "MEGAPIXELS": f"{suggested_megapixels(channels[one] for one in (SQUARE, MERCHANT, PORTRAIT, WIDE)):g}",
        "PLACES": hosts + places,
        "SQUARE": SQUARE,
        "MERCHANT": MERCHANT,
        "PORTRAIT": PORTRAIT,
        "WIDE": WIDE,
    }
    text = files("catalogs.imports").joinpath("campaign.txt").read_text("utf-8")
    return re.sub("@([A-Z_]+)@", lambda found: values[found[1]], text)


def _locale(texts: Iterable[str]) -> str:
    """A key that a person may switch on."""
    languages = list(dict.fromkeys(text.rpartition("@")[2] for text in texts))
    if not languages:
        return ""
    first = languages[0]
    return (
        f"# Texts are there in {', '.join(languages)} too; with this, product.title is title@{first} where it is\n"
        f"# filled.\n# locale: {first}\n"
    )


def _listed(key: str, values: Iterable[str], comment: str) -> str:
    """A key of the campaign, or nothing where it has no values."""
    listed = "".join(f"\n  - {json.dumps(value, ensure_ascii=False)}" for value in values)
    return f"\n# {comment}\n{key}:{listed}\n" if listed else ""


def undecided(report: Report) -> Iterator[str]:
    """What a person should look at, a line each."""
    if not report.is_language_told and report.language != DEFAULT:
        yield f"the texts are read as {report.language}, by their words; `--language` says otherwise"
    for option in report.options:
        if not option.is_sure:
            what = "changes the look" if option.changes_look else "leaves the look as it is"
            yield f"option {option.name!r} was taken as one that {what}: {option.reason}"
    if missing := report.accepted + report.inactive - report.nouns:
        yield f"{missing:,} rows have no noun: fill the column `noun` of {PRODUCTS}"
    if lost := report.pictures["named but missing"] + report.pictures["named nowhere"]:
        yield f"{lost:,} rows have no photo, and are left out of shots that show one"
    if report.colours["none"] and report.hosts:
        what = f"{report.colours['none']:,} rows have no word for their colour"
        yield f"{what}: after `packshot fetch` the next import looks at their photos"
    if report.hosts:
        yield f"photos are fetched from {', '.join(sorted(report.hosts))}: look at reference_hosts in {CAMPAIGN}"
    yield f"style, mood and background of the {len(report.brands):,} brands in {BRANDS} are neutral words"
