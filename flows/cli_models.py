"""`packshot models`: the table of models, and whether a hosted one or image servers answer."""

from __future__ import annotations

import click

from flows.cli_options import JSON
from flows.cli_output import answer as _answer
from flows.cli_output import table_lines
from tasks.log_lines import say

MODEL_DETAILS = ("repository", "revision", "engine", "tokens", "pinned")


@click.command()
@click.option(
    "--check",
    metavar="NAME|URL",
    help="Make one small picture with a hosted model, which BFL_API_KEY pays for; or six with an image server.",
)
@click.option("--base-url", default="https://api.bfl.ai", help="The API's host for --check.")
@click.option("--yes", is_flag=True, help="Do not ask before --check pays.")
@JSON
def models(check: str | None, base_url: str, yes: bool, as_json: bool) -> None:
    """The table of models, a paid check of a hosted one, or a test of image servers."""
    from inference.models.listing import table

    if check and "://" in check:
        _check_servers(check, as_json)
        return
    if check:
        _check_model(check, base_url, yes, as_json)
        return
    rows = table()
    # What only machines read goes into --json: the table is for a terminal's width.
    shown = [{name: value for name, value in row.items() if name not in MODEL_DETAILS} for row in rows]
    _answer(as_json, rows, table_lines(shown))


def _check_servers(listed: str, as_json: bool) -> None:
    from tasks.servers import try_servers

    found = try_servers(listed)
    lines = [f"{name:<12} {value}" for server in found for name, value in server.items()]
    _answer(as_json, found, lines)


def _check_model(name: str, base_url: str, yes: bool, as_json: bool) -> None:
    from inference.hosted.check import check_model, price_of_check
    from inference.hosted.client import key_from_environment

    low, high = price_of_check(name)
    key = key_from_environment()
    say(f"one picture of 256x256 pixels costs {low:.3f} to {high:.3f} USD")
    if not yes:
        click.confirm("pay for it?", abort=True, err=True)
    found = check_model(name, base_url, key)
    _answer(as_json, found, [f"{key:<12} {value}" for key, value in found.items()])
