"""The command `packshot stats`."""

from __future__ import annotations

import click

from flows.cli_options import JSON, named
from flows.cli_output import end, say_problems, say_unread


@click.command()
@click.argument("target", metavar="[CAMPAIGN|FOLDER]", default=".", type=click.Path())
@click.option("--since", metavar="DAY", help="Only from this day on (UTC): 2026-11-01, or 30d for 30 days ago.")
@click.option(
    "--by",
    default="day",
    show_default=True,
    type=click.Choice(["day", "campaign", "brand", "shot", "model", "engine"]),
    help="What the table is told by.",
)
@click.option(
    "--page", type=click.Path(dir_okay=False), callback=named, help="Also write a page with plots to this HTML file."
)
@JSON
def stats(target: str, since: str | None, by: str, page: str | None, as_json: bool) -> None:
    """Assets, failures, speed, GPU hours and money over time, of a campaign or of all outputs of a folder."""
    from flows.statistics import tell

    found = tell(target, since, by, page)
    say_unread(found.data["unread"])
    say_problems(found.data["problems"])
    end(as_json, found)
