"""`packshot prune`."""

from __future__ import annotations

import click

from flows.cli_output import end


@click.command()
@click.argument("campaign", type=click.Path(), metavar="CAMPAIGN|FOLDER")
@click.option("--delete", "do_delete", is_flag=True, help="Delete what was listed.")
@click.option(
    "--usual-times",
    is_flag=True,
    help="For a campaign without `retention:` take plans 30d, superseded 90d, withdrawn 7d, masters keep.",
)
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
def prune(campaign: str, do_delete: bool, usual_times: bool, as_json: bool) -> None:
    """List what a campaign's `retention` lets go: old plans, replaced and withdrawn pictures; --delete removes it."""
    from flows.pruning import prune as look

    end(as_json, look(campaign, do_delete, usual_times, (lambda line: None) if as_json else click.echo))
