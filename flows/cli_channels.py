"""`packshot channels`: the table of built-in channels, and an audit of pictures against their rules."""

from __future__ import annotations

import click

from catalogs.errors import one_line
from flows.cli_options import JSON
from flows.cli_output import answer, end, table_lines
from tasks.log_lines import say


@click.command()
@click.argument("files", nargs=-1, type=click.Path(), metavar="[FILE|FOLDER]...")
@click.option(
    "--check",
    "is_check",
    is_flag=True,
    help="Hold these pictures, and those in these folders, against the rules of channels; writes nothing.",
)
@click.option(
    "--channel",
    "names",
    multiple=True,
    metavar="NAME",
    help="With --check: only this channel, may be repeated; and end with 1 where it refuses a picture.",
)
@JSON
def channels(files: tuple[str, ...], is_check: bool, names: tuple[str, ...], as_json: bool) -> None:
    """The table of built-in channels; with --check, which of them accept a picture, and why the others do not.

    With --channel, --check ends with 0 where every picture is accepted by all channels that are named, as far as
    that can be judged, and with 1 where one is not. Without, it tells which channels take a picture, and ends with
    0. With 2 where a file is no picture that can be read.
    """
    if is_check:
        from flows.channel_audit import tell

        found = tell(files, names)
        for row in found.data["unreadable"]:
            say(one_line(f"error: {row['file']}: {row['problem']}; {row['fix']}"))
        end(as_json, found)
        return
    if files or names:
        raise click.UsageError("pictures and --channel go with --check")
    from catalogs.campaigns.channels import table

    rows = table()
    answer(as_json, rows, table_lines(rows))
