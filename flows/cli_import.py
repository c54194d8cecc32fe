"""`packshot import`."""

from __future__ import annotations

from pathlib import Path
from shlex import quote

import click

from flows.cli_output import answer
from tasks.log_lines import say


@click.command("import")
@click.argument("source")
@click.argument("folder", required=False, type=click.Path(file_okay=False))
@click.option("--map", "map_file", type=click.Path(dir_okay=False), help="A column map, for a table of your own.")
@click.option("--propose", is_flag=True, help="Print a column map for SOURCE, to edit and give back with --map.")
@click.option("--brand", default="", help="Brand of rows that name none; else the file's name.")
@click.option("--currency", default="", metavar="EUR", help="Of prices that name none.")
@click.option("--language", default="", metavar="de", help="Of the texts; else their words tell it.")
@click.option("--dry-run", is_flag=True, help="Write nothing, only say what would be done.")
@click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
def import_command(
    source: str, folder: str | None, propose: bool, dry_run: bool, as_json: bool, **options: str
) -> None:
    """Make catalogs and a campaign in FOLDER of a shop's own export.

    SOURCE is a file, a folder or an s3:// prefix: a product export of Shopify, WooCommerce or Magento 2, a Google
    Merchant feed, a Meta catalog, or any CSV, TSV, JSON, JSONL, Excel or Parquet table.
    """
    from catalogs.errors import OptionError
    from catalogs.imports.importing import ImportOptions, import_catalog, propose_map
    from catalogs.imports.mapped import NEEDED

    if propose:
        proposed = propose_map(source)
        click.echo(proposed.as_json(), nl=False)
        if untold := [name for name in NEEDED if name not in proposed.fields]:
            click.echo(f"no column is named as {' or '.join(untold)} is: write into the map which it is", err=True)
        return
    if folder is None:
        raise OptionError("import", source, "needs a folder to write to", f"packshot import {quote(source)} catalog")
    chosen = ImportOptions(dry_run=dry_run, **{name: value or "" for name, value in options.items()})
    report = import_catalog(source, folder, chosen, say)
    after = [] if dry_run else [f"next: packshot plan {quote(str(Path(folder, 'campaign.yaml')))}"]
    answer(as_json, report.as_dict(), [*report.lines(), *after])
