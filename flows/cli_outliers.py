"""`packshot outliers`: the pictures that stand apart from the others of their shot and brand."""

from __future__ import annotations

from dataclasses import asdict
from shlex import quote
from typing import TYPE_CHECKING

import click

from flows.cli_options import CAMPAIGN, JSON
from flows.cli_output import answer

if TYPE_CHECKING:
    from tasks.set_outliers import Apart, Sets


@click.command()
@CAMPAIGN
@click.option("--retake", is_flag=True, help="Reject them, so that the next render makes another take of each.")
@JSON
def outliers(campaign: str, retake: bool, as_json: bool) -> None:
    """Pictures that stand apart from their shot and brand in scale, ground, colour cast, light or sharpness.

    Each set is held against its own median; a picture that stands apart may be right all the same: look at it.
    Variations that are nearly the same are told too.
    """
    from tasks.outcome import open_campaign
    from tasks.set_outliers import judge_sets
    from tasks.set_outliers import retake as reject

    opened, store = open_campaign(campaign)
    found = judge_sets(opened, store)
    apart = [*found.apart, *found.alike]
    rejected = reject(opened, store, apart) if retake and apart else 0
    counts = {"apart": len(found.apart), "rejected": rejected}
    answer(as_json, asdict(found) | counts, _lines(found, campaign, retake))


def _lines(found: Sets, campaign: str, is_retake: bool) -> list[str]:
    lines: list[str] = []
    for one in found.sets:
        if one.apart:
            lines.append(f"{one.brand_id}, {one.shot} for {one.channel}: {len(one.apart)} of {one.pictures} apart")
            lines += map(_told, one.apart)
    if found.alike:
        lines += ["pictures that are nearly the same as another variation:", *map(_told, found.alike)]
    apart = len(found.apart)
    what = "1 picture stands apart from its set" if apart == 1 else f"{apart} pictures stand apart"
    lines.append(f"{what}, of {len(found.sets)} sets")
    if found.small:
        lines.append(f"  {found.small} sets have too few pictures to tell")
    if found.unmeasured:
        now = f"`packshot render {quote(campaign)} --rejudge` measures what is there"
        lines.append(f"  {found.unmeasured} assets have no numbers: with `quality: on` {now}")
    if not (apart or found.alike):
        return lines
    if is_retake:
        lines.append(f"rejected; `packshot render {quote(campaign)}` makes another take of each")
    else:
        lines.append(f"look at them; `packshot outliers {quote(campaign)} --retake` has them made again")
    return lines


def _told(picture: Apart) -> str:
    from catalogs.inputs.reject_file import called

    return f"  {called(picture.product_id, picture.title)}: {'; '.join(picture.why)}"
