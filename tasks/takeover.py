"""Whose assets a start may retire: its own campaign's, and another's of that name only where somebody says so.

Assets are told by the campaign's name alone, and so a second campaign of one name sees those of the first as wanted no
longer. What is another campaign is judged by what its plans hold and not by where its file lies: one that was moved, or
copied with its catalogs, goes on as the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from catalogs.assets.commits import CATALOG
from catalogs.campaigns.campaign import Campaign
from catalogs.errors import CampaignError, OptionError
from catalogs.identity import canonical_json, run_key
from catalogs.inputs.reader import Catalog
from catalogs.plans.file import PLAN_NAME, PlanFile, PlanHeader
from catalogs.storage.store import MissingKey, Store

RETIRING_NAME = "retiring.json"
SIGNATURE_NAME = "signature.json"
READERS = 16

Signature = Mapping[str, Any]


def signature_of(campaign: Campaign, brands: Catalog, products: Catalog) -> dict[str, Any]:
    """What tells a campaign from another of its name.

    Returns:
        `shots`, name -> hash of what the campaign says of it; `brands` and `products`, the `uri` and a hash of the
        `content` of each catalog.
    """
    # Without defaults: a key that a later version adds changes no hash.
    shots = {name: shot.model_dump(mode="json", exclude_defaults=True) for name, shot in campaign.shots.items()}
    return {
        "shots": {name: hashlib.sha256(canonical_json(said).encode()).hexdigest() for name, said in shots.items()},
        "brands": {"uri": campaign.catalogs.brands, "content": brands.content_hash()},
        "products": {"uri": campaign.catalogs.products, "content": products.content_hash()},
    }


def difference(theirs: Signature, mine: Signature) -> str:
    """What makes two signatures those of two campaigns, "" where they are one's."""
    found = []
    here, there = mine["products"], theirs["products"]
    if here["uri"] != there["uri"] and here["content"] != there["content"]:
        found.append(f"its products are those of {there['uri']}, not of {here['uri']}")
    names, others = mine["shots"], theirs["shots"]
    if names.keys().isdisjoint(others) and set(names.values()).isdisjoint(others.values()):
        found.append(f"its shots are {', '.join(others)}, not {', '.join(names)}")
    return " and ".join(found)


def check_take_over(retire: bool, take_over: bool) -> None:
    """Raises OptionError where --take-over has nothing to work on."""
    if take_over and not retire:
        raise OptionError("--take-over", "", "does nothing without --retire", "give both, or leave it out")


def refuse_another(store: Store, header: PlanHeader, run_id: str) -> None:
    """Refuse to retire what another campaign of this name has made.

    Args:
        header: of the plan that is to be rendered in the start `run_id`.

    Raises:
        CampaignError: another campaign has made assets here since this one last retired some.
    """
    other = _another(store, header, run_id) if header.signature else None
    if other is None:
        return
    start, theirs = other
    what = difference(theirs.signature, header.signature)
    problem = f"--retire would take out what another campaign {header.campaign!r} has made: {theirs.source}"
    fix = "rename one of the two, or add --take-over if this one replaces it"
    raise CampaignError(header.source, "name", f"{problem} (start {start}); {what}", fix)


def note_retiring(store: Store, header: PlanHeader, run_id: str) -> None:
    """Write down that a start may retire: what was made before it is this campaign's from now on."""
    said = {"campaign": header.campaign, "kind": header.kind}
    store.write(run_key(run_id, RETIRING_NAME), json.dumps(said).encode())


@dataclass(frozen=True)
class Told:
    """What is known of the plan of a start, also where the plan itself was pruned."""

    campaign: str
    kind: str
    source: str
    signature: Signature


def note_signature(store: Store, run_id: str, header: PlanHeader) -> None:
    """Write down what tells the campaign of a plan from others of its name, before the plan is deleted."""
    if header.signature:  # a plan without one says as much as none
        told = Told(header.campaign, header.kind, header.source, header.signature)
        store.write(run_key(run_id, SIGNATURE_NAME), json.dumps(asdict(told), sort_keys=True).encode())


def _another(store: Store, header: PlanHeader, run_id: str) -> tuple[str, Told] | None:
    """The newest start of another campaign, of those since this campaign last retired.

    Not the newest plan alone is looked at: this campaign's own, rendered once without --retire, would hide the other's.
    A plan of which nothing was committed has made nothing that could be lost. One campaign changes step by step, so a
    plan is its own that is like any of its later ones.
    """
    ours: list[Signature] = [header.signature]
    made: set[str] = set(store.folders(CATALOG))
    keys = store.list("runs")
    starts = {key.split("/")[1] for key in keys if key.endswith((f"/{PLAN_NAME}", f"/{SIGNATURE_NAME}"))}
    for start, found in _all_told(store, sorted(starts - {run_id}, reverse=True)):
        if (found.campaign, found.kind) != (header.campaign, header.kind):
            continue
        if not found.signature:  # a plan of before signatures, and so are all that follow
            return None
        if all(difference(found.signature, mine) for mine in ours):
            if start in made:
                return start, found
        elif run_key(start, RETIRING_NAME) in keys:
            return None
        elif found.signature not in ours:
            ours.append(found.signature)
    return None


def _all_told(store: Store, starts: list[str]) -> Iterator[tuple[str, Told]]:
    """What the plans of some starts say of themselves, in this order; what is no plan is passed over."""
    with ThreadPoolExecutor(READERS) as pool:
        for first in range(0, len(starts), READERS):
            window = starts[first : first + READERS]
            for start, told in zip(window, pool.map(lambda start: _told(store, start), window), strict=True):
                if told is not None:
                    yield start, told


def _told(store: Store, start: str) -> Told | None:
    try:
        header = PlanFile(store, run_key(start, PLAN_NAME)).header
        return Told(header.campaign, header.kind, header.source, header.signature)
    except CampaignError:  # pruned, damaged, or of another version
        pass
    try:
        return Told(**json.loads(store.read(run_key(start, SIGNATURE_NAME))))
    except (MissingKey, ValueError, TypeError):
        return None  # it cannot be judged
