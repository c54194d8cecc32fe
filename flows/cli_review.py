"""`packshot review`: the pictures that wait for somebody, and what somebody says of them."""

from __future__ import annotations

from dataclasses import asdict
from shlex import quote
from typing import TYPE_CHECKING

import click

from flows.cli_options import CAMPAIGN, JSON
from flows.cli_output import answer

if TYPE_CHECKING:
    from tasks.review import Decided, Waiting

SHOWN = 20


@click.command()
@CAMPAIGN
@click.option("--accept", multiple=True, metavar="FILE", help="This picture is good; of several takes, it stands.")
@click.option("--reject", multiple=True, metavar="FILE", help="Make another take of this picture.")
@click.option("--from", "saved", metavar="CSV", help="Take the verdicts that the gallery saved, review.csv.")
@click.option("--accept-rest", is_flag=True, help="Accept what else is to be looked at.")
@click.option("--why", default="", metavar="TEXT", help="What is written beside the verdict.")
@click.option("--all", "everything", is_flag=True, help=f"List every picture, not the first {SHOWN}.")
@JSON
def review(
    campaign: str,
    accept: tuple[str, ...],
    reject: tuple[str, ...],
    saved: str | None,
    accept_rest: bool,
    why: str,
    everything: bool,
    as_json: bool,
) -> None:
    """List the pictures that are to be looked at; or say of pictures what you saw, which wins over every check.

    A FILE is an asset key, as this list and the gallery show it, or its path or URI. The verdict is of the picture: for
    all its channels.
    """
    from catalogs.assets.takes import Verdict
    from tasks.outcome import open_campaign
    from tasks.review import Named, decide, named_in, waiting

    opened, store = open_campaign(campaign)
    named = [Named(name, Verdict.ACCEPTED, "--accept") for name in accept]
    named += [Named(name, Verdict.REJECTED, "--reject") for name in reject]
    named += named_in(saved) if saved is not None else []
    if not (named or saved or accept_rest):
        if why:
            raise click.UsageError("--why is said of pictures: name some by --accept or --reject")
        found = waiting(opened, store)
        answer(as_json, {"waiting": [asdict(one) for one in found]}, _listed(found, campaign, everything))
        return
    decided = decide(opened, store, named, accept_rest, why)
    left = len(waiting(opened, store))
    answer(as_json, {**asdict(decided), "waiting": left}, _decided(decided, left, campaign))


def _listed(found: list[Waiting], campaign: str, everything: bool) -> list[str]:
    if not found:
        return ["no picture waits to be looked at"]
    shown = found if everything else found[:SHOWN]
    lines = [line for one in shown for line in _told(one)]
    if len(shown) < len(found):
        lines.append(f"... and {len(found) - len(shown)} more (--all)")
    what = "1 picture is" if len(found) == 1 else f"{len(found)} pictures are"
    command = f"packshot review {quote(campaign)}"
    return [
        *lines,
        f"{what} to be looked at: open the gallery (`packshot report {quote(campaign)}`), say there what you see,",
        f"and save it: `{command} --from review.csv`; or `{command} --reject FILE --accept-rest`",
    ]


def _told(one: Waiting) -> list[str]:
    from catalogs.inputs.reject_file import called

    more = f" and {len(one.asset_keys) - 1} more channels" if len(one.asset_keys) > 1 else ""
    which = f"{one.shot}, variation {one.variation}, take {one.take}"
    why = one.why.removeprefix("to be looked at: ")
    return [f"{called(one.product_id, one.title)}: {which}: {why}", f"  {one.asset_keys[0]}{more}"]


def _decided(decided: Decided, left: int, campaign: str) -> list[str]:
    before = f", {decided.said_before} rejected before" if decided.said_before else ""
    lines = [f"{decided.accepted} accepted, {decided.rejected} rejected{before}; {left} more to be looked at"]
    if decided.rejected:
        lines.append(f"`packshot render {quote(campaign)}` makes another take of each that is rejected")
    return lines
