"""The command line. Imports stay inside the commands: `packshot --help` answers at once."""

from __future__ import annotations

import json
import signal
import sys
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from catalogs.errors import PackshotError, one_line
from flows.cli_channels import channels
from flows.cli_credentials import credentials
from flows.cli_fetch import fetch
from flows.cli_import import import_command
from flows.cli_models import models
from flows.cli_options import CAMPAIGN, JSON, Finite, engine_options, metrics_options, named, planning_options
from flows.cli_outliers import outliers
from flows.cli_output import answer as _answer
from flows.cli_output import end, outcome_lines, plan_lines, reject_lines, say_unread, status_lines
from flows.cli_prune import prune
from flows.cli_review import review
from flows.cli_stats import stats
from flows.signals import handled
from tasks.log_lines import check_log_setting, say, set_up

if TYPE_CHECKING:
    from pathlib import Path


def main() -> None:
    """Entry point: every error packshot raises on purpose is one line and its exit code."""
    try:
        check_log_setting()
        set_up()
        with handled(_as_ctrl_c, signal.SIGTERM):
            cli.main(standalone_mode=False)
    except PackshotError as error:
        _fail(str(error), error.exit_code)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except click.ClickException as error:
        _fail(error.format_message(), 2)
    except (click.Abort, KeyboardInterrupt):
        is_render = sys.argv[1:2] == ["render"]
        _fail("stopped" + ("; what was finished is committed, run again to go on" if is_render else ""), 130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)


def _as_ctrl_c(number: int, frame: FrameType | None) -> None:
    """Unwind a command, so that nothing half-written stays; runs have a way of their own."""
    raise KeyboardInterrupt


def _fail(message: str, code: int) -> None:
    say(f"error: {one_line(message)}")
    if "--json" in sys.argv:
        with suppress(OSError):  # which may be the error
            click.echo(json.dumps({"error": message, "exit_code": code}))
    sys.exit(code)


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    commands=[channels, credentials, fetch, outliers, prune, review, stats],
)
@click.version_option(package_name="packshot")
def cli() -> None:
    """Catalog-driven batch production of marketing images with FLUX.2, on Prefect."""


cli.add_command(import_command)
cli.add_command(models)


@cli.command()
@click.argument("folder", type=click.Path(file_okay=False))
@click.option("--exist-ok", is_flag=True, help="Do nothing when the folder holds a campaign already.")
@click.option("--output", metavar="URI", callback=named, help="Where its campaigns write to: a folder, s3://...")
@JSON
def init(folder: str, exist_ok: bool, output: str | None, as_json: bool) -> None:
    """Write a sample: catalogs, drawn product photos, campaign files and a key to try signing with."""
    from pathlib import Path

    from catalogs.errors import OptionError
    from catalogs.sample.sample import write_sample

    if "://" in folder:
        raise OptionError("init", folder, "the sample is written to a local folder", "name one")
    if exist_ok and (Path(folder) / "campaign.yaml").exists():
        return
    written = [str(path) for path in [*write_sample(Path(folder), output), *_key_for_trying(Path(folder))]]
    _answer(as_json, {"files": written}, [f"wrote {len(written)} files to {folder}", _next(folder)])


def _key_for_trying(folder: Path) -> list[Path]:
    """What the sample's pictures are signed with, where there is none yet."""
    from inference.credentials.development import write_development_chain

    chain = folder / "credentials"
    return [] if chain.exists() else write_development_chain(chain)


def _next(folder: str) -> str:
    return f"next: packshot render {folder}/campaign.yaml"


@cli.command()
@CAMPAIGN
@click.option("--all-references", is_flag=True, help="Read every reference, not only those the shots use.")
@click.option("--all", "everything", is_flag=True, help="Print every row, not the first of each kind.")
@click.option("--strict", is_flag=True, help="Exit with 2 where a row is left out.")
@JSON
def check(campaign: str, all_references: bool, everything: bool, strict: bool, as_json: bool) -> None:
    """Validate campaign, catalogs and references; every problem with file, row, column and reason."""
    from dataclasses import asdict

    from tasks.prepare import check_catalogs

    checked = check_catalogs(campaign, all_references)
    rejects, warnings = checked.rejects, checked.warnings
    found = {"problems": [asdict(reject) for reject in rejects], "warnings": warnings, "unread": checked.unread}
    say_unread(checked.unread)
    _answer(as_json, found, [*(f"warning: {line}" for line in warnings), *reject_lines(rejects, everything)])
    if checked.is_nothing_left or (strict and rejects):
        sys.exit(2)


@cli.command()
@CAMPAIGN
@planning_options
@click.option(
    "--output", "-o", type=click.Path(dir_okay=False), callback=named, help="Also write the plan to this file."
)
@JSON
def plan(campaign: str, output: str | None, as_json: bool, **options: Any) -> None:
    """Say what would be made; writes nothing but the plan, and photos that it fetches."""
    from catalogs.storage.store import Store
    from tasks.prepare import copy_plan, prepare

    if output is not None:
        Store.at(output)  # refused before anything is planned
    prepared = prepare(campaign, options)
    if output is not None:
        copy_plan(prepared, output)
    say_unread(prepared.summary["unread"])
    _answer(as_json, prepared.summary, plan_lines(prepared.summary))


@cli.command()
@CAMPAIGN
@planning_options
@click.option("--plan", "plan_file", type=click.Path(), help="Make exactly this plan file.")
@click.option("--resume-shot", multiple=True, metavar="SHOT", help="Go on with a shot that was stopped.")
@click.option("--rejudge", is_flag=True, help="First judge what is there by today's limits and checks.")
@click.option("--retire", is_flag=True, help="Write tombstones for what left the selection.")
@click.option("--take-over", is_flag=True, help="With --retire: also what another campaign of this name has made.")
@click.option("--runner", type=click.Choice(["local", "ray"]), help="Where shards run: threads here, or Ray.")
@click.option("--address", metavar="HOST:PORT", help="Head node of the Ray cluster; without it Ray on this host.")
@click.option("--force", is_flag=True, help="Go on beside another run of this campaign.")
@click.option("--workers", type=click.IntRange(1, 64), help="Shards at once (proofs; a GPU takes one).")
@click.option("--shard-seconds", type=Finite(min=0, min_open=True), help="Estimated work a shard.")
@click.option("--shard-assets", type=click.IntRange(1), help="Assets a shard at most.")
@engine_options
@click.option("--profile", is_flag=True, help="Say how fast each stage was.")
@JSON
def render(campaign: str, plan_file: str | None, profile: bool, as_json: bool, **options: Any) -> None:
    """Render what is missing; resumable, exit code 0 only if every planned asset is delivered."""
    from flows.run import run_campaign
    from tasks.profile import profile_lines

    chosen = {name: value for name, value in options.items() if value is not None}
    summary = run_campaign(campaign, chosen, plan_file, say)
    _answer(
        as_json,
        summary,
        outcome_lines(summary) + (profile_lines(summary["profile"]) if profile else []),
    )
    if not summary["complete"]:
        sys.exit(2 if summary["plan"]["held"] else 1)


@cli.command()
@CAMPAIGN
@JSON
def status(campaign: str, as_json: bool) -> None:
    """What is delivered, missing and failed, from the asset catalog and the newest plan."""
    from tasks.outcome import newest_outcome

    found = newest_outcome(campaign)
    lines = [f"{name}: {value}" for name, value in found.items() if not isinstance(value, dict | list)]
    lines += status_lines(found)
    say_unread(found["unread"])
    _answer(as_json, found, lines)
    if found["unread"]:  # how much is delivered is not known
        sys.exit(1)


@cli.command()
@CAMPAIGN
@click.option(
    "--out",
    "-o",
    type=click.Path(dir_okay=False),
    callback=named,
    help="Also write it to this Parquet file, a row an attempt.",
)
@JSON
def spend(campaign: str, out: str | None, as_json: bool) -> None:
    """What was paid and may have been billed, from the journal, and what of the budget is left."""
    from flows.spending import tell

    end(as_json, tell(campaign, out))


@cli.command()
@CAMPAIGN
@JSON
def report(campaign: str, as_json: bool) -> None:
    """Write the gallery of everything the campaign has delivered."""
    from tasks.gallery import make_gallery
    from tasks.outcome import latest_run, open_campaign

    opened, store = open_campaign(campaign)
    unread: list[Any] = []
    page = make_gallery(store, opened.name, latest_run(store, opened), unread)
    told = [error.naming(campaign).as_dict() for error in unread]
    say_unread(told)
    _answer(as_json, {"gallery": page, "unread": told}, [page])


@cli.command()
@CAMPAIGN
@click.option("--deep", is_flag=True, help="Also read every file and compare its content.")
@click.option("--yes", is_flag=True, help="Record what is gone however much it is.")
@click.option("--quarantine", "move_aside", is_flag=True, help="Only move commits aside that cannot be read.")
@JSON
def verify(campaign: str, deep: bool, yes: bool, move_aside: bool, as_json: bool) -> None:
    """Look whether every delivered file is there; what is gone is recorded, and made again by the next render."""
    from flows.upkeep import look
    from flows.upkeep import move_aside as quarantine

    if move_aside and (deep or yes):
        raise click.UsageError("--quarantine looks at no file: give it alone")
    end(as_json, quarantine(campaign) if move_aside else look(campaign, deep, yes))


@cli.command()
@CAMPAIGN
@click.option(
    "--grace-hours",
    default=24.0,
    show_default=True,
    type=Finite(0, 1_000_000),
    help="Keep what is younger, or was young when the first run at work here began; 12 at least.",
)
@click.option("--delete", "do_delete", is_flag=True, help="Delete what was listed.")
@click.option("--forget-quarantined", "forget", is_flag=True, help="Keep nothing for commits that were moved aside.")
@JSON
def sweep(campaign: str, grace_hours: float, do_delete: bool, forget: bool, as_json: bool) -> None:
    """List leftovers (bytes that nothing names) in the campaign's output; --delete removes them."""
    from flows.upkeep import sweep as look_for_leftovers

    list_one = (lambda line: None) if as_json else click.echo
    end(as_json, look_for_leftovers(campaign, grace_hours, do_delete, forget, list_one))


FOLDER = click.argument("folder", type=click.Path())
ALERT_URL = click.option("--alert-url", metavar="URL", help='Post alerts there as {"text": ...} (Slack, Mattermost).')
TIME_ZONE = click.option("--time-zone", default="UTC", show_default=True, help="IANA name the cron line is read in.")


@cli.command()
@FOLDER
@click.option("--cron", default="0 5 * * *", show_default=True, help="When to render what is due.")
@TIME_ZONE
@ALERT_URL
def deploy(folder: str, cron: str, time_zone: str, alert_url: str | None) -> None:
    """Register work pools, schedules and automations for a campaign folder, given as the workers see it.

    Goes to the server of PREFECT_API_URL; running it again changes what changed.
    """
    _no_telemetry()
    import os

    from catalogs.errors import OptionError
    from flows.deploy import Plan
    from flows.deploy import deploy as register

    if "://" in folder:
        raise OptionError("FOLDER", folder, "campaign files are read from a folder", "name one that the workers have")
    register(Plan(os.path.abspath(folder), cron, time_zone, alert_url), click.echo)


@cli.command()
@FOLDER
@click.option("--cron", help="When to render what is due; only changes start a run when left out.")
@TIME_ZONE
@click.option("--every", default=30.0, show_default=True, type=Finite(0, 86_400), help="Seconds; 0: never.")
@click.option(
    "--port",
    default=4200,
    show_default=True,
    type=click.IntRange(1, 65535),
    help="Of its Prefect server.",
)
@click.option(
    "--gallery-port",
    type=click.IntRange(0, 65535),
    help="Of the galleries of its campaigns, 0 for none; the one after --port when left out.",
)
@ALERT_URL
@metrics_options
def serve(
    folder: str,
    cron: str | None,
    time_zone: str,
    every: float,
    port: int,
    gallery_port: int | None,
    alert_url: str | None,
    metrics_host: str,
    metrics_port: int | None,
) -> None:
    """Everything on this machine until Ctrl-C: server, workers, schedule, and a look for changes."""
    _no_telemetry()
    from flows.serve import Service
    from flows.serve import serve as run

    metrics = metrics_host, metrics_port
    run(Service(folder, cron, time_zone, every, port, alert_url, gallery_port, metrics), say)


@cli.command(context_settings={"ignore_unknown_options": True})
@click.option("--pool", default="cpu", show_default=True, help="Work pool: cpu or gpu, or one of yours.")
@click.option("--limit", default=1, show_default=True, type=click.IntRange(1, 1000), help="Runs at once.")
@metrics_options
@click.argument("more", nargs=-1, type=click.UNPROCESSED, metavar="[OPTIONS OF prefect worker start]...")
def worker(pool: str, limit: int, metrics_host: str, metrics_port: int | None, more: tuple[str, ...]) -> None:
    """A Prefect worker that, told to end, waits until its runs have committed what they finished."""
    _no_telemetry()
    from flows.deploy import server_url
    from flows.metrics_page import metrics_page
    from flows.worker import work

    server_url()
    with metrics_page(metrics_host, metrics_port, say):
        code = work(pool, limit, more)
    sys.exit(code)


@cli.command()
@FOLDER
@click.option("--every", default=30.0, show_default=True, type=Finite(0.5, 86_400), help="Seconds.")
def watch(folder: str, every: float) -> None:
    """Look for changed campaigns and send an event for each, which starts a run (see deploy)."""
    _no_telemetry()
    import threading

    from catalogs.campaigns.calendar import read_calendar, refuse_doubles
    from flows.deploy import server_url
    from flows.watch import watch as look

    refuse_doubles(read_calendar(folder))
    server_url()
    look(folder, every, threading.Event().wait, say)


def _no_telemetry() -> None:
    import os

    os.environ.setdefault("DO_NOT_TRACK", "1")
