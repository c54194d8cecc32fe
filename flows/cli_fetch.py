"""`packshot fetch`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from flows.cli_output import Answer, end

if TYPE_CHECKING:
    from tasks.fetch import Fetched

_SHOWN = 20


@click.command()
@click.argument("campaign", type=click.Path())
@click.option("--refresh", is_flag=True, help="Ask servers also for photos that are there, whether they have changed.")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
def fetch(campaign: str, refresh: bool, as_json: bool) -> None:
    """Fetch the photos that are on web servers into the output; plans and renders then need no network."""
    from tasks.fetch import fetch_photos
    from tasks.unread import naming

    with naming(campaign):
        found = fetch_photos(campaign, refresh)
    end(as_json, Answer(found.as_dict(), fetched_lines(found), 1 if found.counts.failed else 0))


def fetched_lines(found: Fetched) -> list[str]:
    """What became of the photos, for people."""
    counts = found.counts
    lines = [problem["problem"] for problem in found.problems[:_SHOWN]]
    if more := len(found.problems) - _SHOWN:
        lines += [f"... and {more} more, see --json"] if more > 0 else []
    told = [f"{counts.fetched} fetched ({counts.bytes / 1e6:.1f} MB)", f"{counts.known} there already"]
    told += [f"{counts.changed} changed"] if counts.changed else []
    told += [f"{counts.unchanged} unchanged"] if counts.unchanged else []
    told += [f"{counts.failed} failed"] if counts.failed else []
    return [*(f"warning: {line}" for line in found.warnings), *lines, f"{found.photos} photos: {', '.join(told)}"]
