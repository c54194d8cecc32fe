"""What commands say to people: a plan, a run, a table."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from shlex import quote
from typing import TYPE_CHECKING, Any

import click

from catalogs.errors import WorkError, one_line, printable
from catalogs.money import micro, shown
from catalogs.plans.clock import by_the_clock
from tasks.log_lines import say

if TYPE_CHECKING:
    from catalogs.inputs.reject_file import Reject
    from tasks.unread import Quarantined
    from tasks.verify import Verified


def plan_lines(summary: Mapping[str, Any]) -> list[str]:
    """A plan's summary for people."""
    model = f"{summary['model']} {summary['model_revision']}".strip()
    actions = ", ".join(f"{count} {name}" for name, count in sorted(summary["actions"].items()))
    lines = [
        f"campaign  {summary['campaign']} ({summary['kind']}, {model})",
        f"licence   {summary['licence']}",
        f"looks     {summary['looks']} of {summary['products']} products",
        f"assets    {summary['assets']}: {actions or 'none'}",
        f"to do     {summary['renders']} renders, about {_engine_time(summary)}",
    ]
    if sizes := summary.get("sizes"):
        lines.append(f"sizes     {sizes_line(sizes)}{_of_one(summary)}")
    if summary["cost_high"]:
        low, high = shown(micro(summary["cost_low"])), shown(micro(summary["cost_high"]))
        lines.append(f"cost      {low} to {high} USD by the published prices")
    if summary["paid"]:
        lines.append(f"paid      {summary['paid']} renders of an earlier run, only to be collected")
    if summary["spent"]:
        lines.append(f"spent     {shown(micro(summary['spent']))} USD so far")
    lines += [f"warning   {warning}" for warning in summary["warnings"]]
    if summary["failed_before"]:
        # What another try costs at a hosted model the warnings say.
        advice = "" if summary["model"].startswith("bfl/") else "; --retry-failed tries them again"
        lines.append(f"failed    {summary['failed_before']} for good{advice}")
    lines.append(f"plan      {_place(summary, summary['plan_key'])}")
    if left_out := left_out_line(summary):
        lines.append(f"rejected  {left_out}")
    return lines


def _engine_time(summary: Mapping[str, Any]) -> str:
    """And what it is by the clock, where several image servers share it."""
    told, count = f"{summary['seconds']:.0f} s of engine time", summary.get("servers", 0)
    return f"{told}, {by_the_clock(summary, summary['seconds']):.0f} s on {count} image servers" if count > 1 else told


def _of_one(summary: Mapping[str, Any]) -> str:
    return " of engine time" if summary.get("servers", 0) > 1 else ""


def sizes_line(sizes: Mapping[str, Any]) -> str:
    """All renders of a campaign with its `megapixels`, beside those with a size a channel."""
    with_limit = f"{sizes['renders']} renders with megapixels {sizes['megapixels']:g}, about {sizes['seconds']:.0f} s"
    ladder = f"{sizes['ladder_renders']} with a size a channel, about {sizes['ladder_seconds']:.0f} s"
    return f"{with_limit}; {ladder}"


def left_out_line(summary: Mapping[str, Any]) -> str:
    """What a plan leaves out, "" where it leaves out nothing."""
    counts = []
    if summary["rejected"]:
        counts.append(f"{summary['rejected']} catalog rows left out")
    if summary.get("refused"):
        counts.append(f"{summary['refused']} that no right covers")
    return f"{', '.join(counts)}, see {_place(summary, summary['rejects_key'])}" if counts else ""


def _place(summary: Mapping[str, Any], key: str) -> str:
    return f"{summary['output'].rstrip('/')}/{key}"


COMMITS_SHOWN = 3


def unread_line(unread: Sequence[Mapping[str, str]]) -> str:
    """What is said of commits that could not be read, "" where there was none: the first of them, and how many."""
    if not unread:
        return ""
    count = "a commit cannot" if len(unread) == 1 else f"{len(unread)} commits cannot"
    what = "its" if len(unread) == 1 else "their"
    told = ", ".join(f"{one['commit']}: {one['problem']}" for one in unread[:COMMITS_SHOWN])
    more = f" and {len(unread) - COMMITS_SHOWN} more" if len(unread) > COMMITS_SHOWN else ""
    return f"warning: {count} be read, and {what} rows count for nothing here: {told}{more}; {unread[0]['fix']}"


def quarantined_lines(done: Quarantined) -> list[str]:
    """What was moved aside, and what it held."""
    if not done.moved:
        return ["every commit can be read" if not done.left else "no commit was moved aside"]
    lines = [f"{len(done.moved)} commits that cannot be read were moved aside; render again to take up what they named"]
    for moved in done.moved:
        lines += [
            f"  {moved['commit']}: {moved['problem']}",
            f"    held: {moved['held']}",
            f"    now {moved['moved_to']}",
        ]
    return lines


def outcome_lines(summary: Mapping[str, Any]) -> list[str]:
    """A run's summary for people."""
    outcome, work = summary["outcome"], summary["work"]
    lines = [
        f"{outcome['delivered']} of {outcome['planned']} planned assets delivered; "
        f"{work['rendered']} rendered, {work['adopted']} adopted now"
    ]
    for reason, count in outcome["reasons"].items():
        said = summary["details"].get(reason)
        lines.append(f"  {count} failed: {reason}" + (f", for example: {said}" if said else ""))
    lines += [f"  {count} delivered, but {remark}" for remark, count in summary["remarks"].items()]
    if outcome["rejected"]:
        lines.append(f"  {rejected_line(outcome['rejected'])}")
    if outcome["missing"]:
        lines.append(f"  {outcome['missing']} missing" + ("" if summary["problems"] else "; run again to go on"))
    lines += [f"  {problem}" for problem in summary["problems"]]
    if outcome["unread"]:
        lines.append(f"  {outcome['unread']} commits could not be read, whose rows are not counted")
    if outcome["superseded"]:
        lines.append(f"  {outcome['superseded']} replaced by what a run asked for that was started later")
    if outcome["unwanted"]:
        lines.append(f"  {outcome['unwanted']} no longer wanted; --retire takes them out")
    if outcome["retired"]:
        lines.append(f"  {outcome['retired']} no longer wanted, retired now")
    if outcome["withdrawn"]:
        lines.append(f"  {outcome['withdrawn']} withdrawn: a right to a photo has ended")
    lines += cost_lines(summary["costs"])
    if summary.get("gallery"):
        lines.append(f"gallery: {summary['gallery']}")
    if left_out := left_out_line(summary["plan"]):
        lines.append(left_out)
    return lines


def rejected_line(count: int) -> str:
    """What is said of assets that are there and rejected, by checks or by a person."""
    look = "look at them; `packshot review --accept` keeps what is good, `--reject` has `render` make another take"
    again = "or change the prompt, or allow more attempts (quality.max_attempts)"
    limits = "a changed limit holds for them with `render --rejudge`"
    return f"{_assets(count)} rejected: {look}; {again}; {limits}"


def _assets(count: int) -> str:
    return f"{count} asset is" if count == 1 else f"{count} assets are"


def status_lines(found: Mapping[str, Any]) -> list[str]:
    """What of a campaign is not there, by the names people know."""
    lines = [f"  {rejected_line(found['rejected'])}"] if found["rejected"] else []
    if waiting := found["needs_review"]:
        lines.append(f"  {_assets(waiting)} to be looked at: see `packshot review`")
    lines += [f"  {count} {reason}" for reason, count in found["reasons"].items()]
    for title, key in (("failed", "failures"), ("left out", "left_out")):
        told = found[key]
        more = ", the first" if len(told) >= 10 else ""
        lines += [f"{title}{more}:", *[f"  {one['line']}" for one in told]] if told else []
    return lines


def cost_lines(costs: Mapping[str, Any]) -> list[str]:
    """What a run spent, [] where nothing was."""
    line = cost_line(costs)
    if not line:
        return []
    sums = [(name, key, cost) for name in ("brand", "shot") for key, cost in costs[f"by_{name}"].items()]
    return [f"cost: {line}", *[f"  {name} {key or '-'}: {shown(micro(cost))}" for name, key, cost in sums]]


def cost_line(costs: Mapping[str, Any]) -> str:
    """What a run spent, in a line; "" where nothing was."""
    paid, possible = micro(costs.get("paid", 0.0)), micro(costs.get("possibly_billed", 0.0))
    said = f"{shown(paid)} USD" if paid or possible else ""
    return said + (f", and {shown(possible)} more that may have been billed" if possible else "")


def verified_lines(verified: Verified, campaign: str) -> list[str]:
    """What a look at the files found.

    Args:
        campaign: path of its file, for what to do next.
    """
    lines = [f"{verified.checked} files looked at, masters included"]
    again = f"make them again with `packshot render {quote(campaign)}`"
    if verified.missing:
        lines.append(f"  {verified.missing} gone or changed; {again}")
    if verified.still:
        lines.append(f"  {verified.still} more, known to be gone before, still are; {again} (unwanted ones: --retire)")
    if verified.left:
        lines.append(f"  {verified.left} gone that a run may be writing just now; look again when it has ended")
    if verified.found:
        lines.append(f"  {verified.found} that were missing are there again")
    if verified.masters_gone:
        lines.append(f"  {verified.masters_gone} masters are gone; what needs one renders it again")
    return lines


def table_lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Rows as aligned columns."""
    if not rows:
        return []
    names = list(rows[0])
    cells = [[_cell(row.get(name)) for name in names] for row in rows]
    widths = [max(len(name), *(len(line[i]) for line in cells)) for i, name in enumerate(names)]
    lines = ["  ".join(name.ljust(width) for name, width in zip(names, widths, strict=True)).rstrip()]
    for line in cells:
        lines.append("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    return lines


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return str(value)


SHOWN_A_CODE = 3


def reject_lines(rejects: Sequence[Reject], everything: bool) -> list[str]:
    """What is wrong with catalogs: by code, with the first rows of each, or all of them."""
    if not rejects:
        return ["no problems found"]
    lines = []
    for code, count in Counter(reject.code for reject in rejects).most_common():
        of_code = [reject for reject in rejects if reject.code == code]
        lines.append(f"{code}: {count}")
        shown_of = of_code[: None if everything else SHOWN_A_CODE]
        lines += [f"  {reject}" + (f" [{reject.who}]" if reject.title else "") for reject in shown_of]
        if not everything and count > SHOWN_A_CODE:
            lines.append(f"  ... and {count - SHOWN_A_CODE} more; --all prints them")
    rows = len({(reject.file, reject.row) for reject in rejects})
    return [*lines, f"{len(rejects)} problems in {rows} rows, which a plan leaves out as far as they go"]


@dataclass(frozen=True)
class Answer:
    """What a command says and how it ends.

    Attributes:
        data: for machines.
        lines: for people.
        error: a line for people beside them, "" where nothing is wrong.
    """

    data: dict[str, Any]
    lines: list[str]
    exit_code: int = 0
    error: str = ""


def end(as_json: bool, found: Answer) -> None:
    """Say what a command found, and end as it says."""
    answer(as_json, found.data, found.lines)
    if found.error:
        say(f"error: {one_line(found.error)}")
    if found.exit_code:
        sys.exit(found.exit_code)


def say_unread(unread: Sequence[Mapping[str, str]]) -> None:
    """Warn on stderr of commits that could not be read."""
    if line := unread_line(unread):
        say(one_line(line))


def say_problems(problems: Sequence[str]) -> None:
    """Warn on stderr of what could not be read."""
    for problem in problems:
        say(one_line(f"warning: {problem}"))


def answer(as_json: bool, data: object, lines: Sequence[str]) -> None:
    """Answer for machines or for people."""
    text = json.dumps(data, indent=2, default=str) if as_json else "\n".join(map(printable, lines))
    try:
        click.echo(text, nl=bool(text))
    except BrokenPipeError:
        raise
    except OSError as error:
        raise WorkError(f"the answer cannot be written: {error.strerror}") from None
