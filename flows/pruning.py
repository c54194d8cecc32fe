"""What `packshot prune` does and answers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

from catalogs.campaigns.calendar import Entry, read_calendar
from catalogs.campaigns.campaign import Campaign, load_campaign
from catalogs.campaigns.retention import USUAL, Retention
from catalogs.errors import CampaignError, PackshotError, one_line
from catalogs.identity import FOLDERS
from catalogs.storage.store import Store
from flows.cli_output import Answer
from tasks.prune import KINDS, Found, Output, delete, find
from tasks.unread import naming

Say = Callable[[str], None]
_USUAL = ", ".join(f"{kind}: {time}" for kind, time in USUAL.model_dump().items())
_FIX = f"add `retention: {{{_USUAL}}}` with times of yours, or take these with --usual-times"


def prune(path: str, do_delete: bool, usual_times: bool, list_one: Say) -> Answer:
    """List what the retention of a campaign, or of all of a folder, lets go, and delete it if asked to.

    Args:
        usual_times: for campaigns that say nothing.
        list_one: called with a line for each file before any of its campaign is deleted.
    """
    if not os.path.isdir(path):
        campaign = load_campaign(path)
        with naming(path):
            data, lines = _prune(campaign, _retention(campaign, usual_times), {}, do_delete, list_one)
        return Answer({"campaigns": [data], "silent": [], "problems": []}, lines)
    told, lines, problems, silent, code = [], [], [], [], 0
    outputs: dict[str, Output] = {}
    for entry in read_calendar(path):
        if entry.campaign and not entry.campaign.retention and not usual_times:
            silent.append(entry.path)
            continue
        try:
            with naming(entry.path):
                data, said = _prune_one(entry, outputs, do_delete, usual_times, list_one)
        except PackshotError as error:  # one file must not keep the others from it
            problems.append(one_line(str(error)))
            code = max(code, error.exit_code)
        else:
            told.append(data)
            lines += said
    if silent and not told and not problems:
        raise CampaignError(path, "retention", "no campaign says it, and nothing is deleted that no file allows", _FIX)
    lines += [f"{one} has no `retention:`, and all of it stays" for one in silent]
    return Answer({"campaigns": told, "silent": silent, "problems": problems}, lines, code, "; ".join(problems))


def _prune_one(
    entry: Entry, outputs: dict[str, Output], do_delete: bool, usual_times: bool, list_one: Say
) -> tuple[dict[str, Any], list[str]]:
    if entry.campaign is None:
        raise _Broken(entry.problem)
    return _prune(entry.campaign, _retention(entry.campaign, usual_times), outputs, do_delete, list_one)


class _Broken(PackshotError):
    """A campaign file of a folder that cannot be used."""

    exit_code = 2


def _retention(campaign: Campaign, usual_times: bool) -> Retention:
    """What a campaign says, else the usual times where they are asked for.

    Raises:
        CampaignError: it says nothing.
    """
    if campaign.retention is not None:
        return campaign.retention
    if usual_times:
        return USUAL
    raise campaign.problem("retention", "is missing, and nothing is deleted that no file allows", _FIX)


def _prune(
    campaign: Campaign, retention: Retention, outputs: dict[str, Output], do_delete: bool, list_one: Say
) -> tuple[dict[str, Any], list[str]]:
    store = Store.at(campaign.output)
    store.refuse_files(FOLDERS)
    if store.root not in outputs:
        outputs[store.root] = Output(store)
    output = outputs[store.root]
    found = find(output, campaign, retention)
    for kind in KINDS:
        for item in found.items[kind]:
            list_one(f"{item.bytes:>12} {kind:<10} {item.keys[-1]}")
    gone = delete(output, found) if do_delete else None
    times = retention.model_dump()
    data = {
        "campaign": campaign.name,
        "kind": found.owner[1],
        "source": campaign.source,
        "output": store.root,
        "kinds": {
            kind: {
                "kept": times[kind],
                "count": len(found.items[kind]),
                "bytes": found.bytes(kind),
                "deleted": gone[kind] if gone else 0,
                "keys": [key for item in found.items[kind] for key in item.keys],
            }
            for kind in KINDS
        },
        "paid": found.paid,
        "held": found.held,
        "runs": [str(run) for run in output.now.runs],
    }
    return data, list(_lines(data, output, found, gone))


def _lines(data: dict[str, Any], output: Output, found: Found, gone: dict[str, int] | None) -> Iterator[str]:
    yield f"{data['campaign']} ({data['kind']}) in {data['output']}"
    for kind, told in data["kinds"].items():
        if told["kept"] == "keep":
            yield f"  {kind:<10}  kept"
        else:
            deleted = f"; {told['deleted']} deleted" if gone is not None else ""
            yield f"  {kind:<10}  {told['count']}, {told['bytes']} bytes, older than {told['kept']}{deleted}"
    if found.paid:
        yield f"  {found.paid} masters stay, as they were paid for"
    if found.held:
        sweep = "`packshot sweep --forget-quarantined` gives them up"
        yield f"  {found.held} files stay, as a commit in quarantine may name them; {sweep}"
    unknown = output.now.asked is None
    for run in data["runs"]:
        yield f"  {run} is at work: {'every picture stays' if unknown else 'what its plan asks for stays'}"
    if gone is None and found.count:
        yield "  --delete removes them"
