"""What `packshot verify` and `packshot sweep` do and answer."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from flows.cli_output import Answer, quarantined_lines, verified_lines
from tasks.leftovers import delete_leftovers, find_leftovers
from tasks.outcome import open_campaign
from tasks.unread import naming, quarantine
from tasks.verify import verify


def look(path: str, deep: bool, sure: bool) -> Answer:
    """Look whether every delivered file of a campaign is there."""
    verified = verify(*open_campaign(path), deep, sure)
    is_whole = not (verified.missing or verified.still or verified.left)
    return Answer(verified.as_dict(), verified_lines(verified, path), 0 if is_whole else 1)


def move_aside(path: str) -> Answer:
    """Move the commits of a campaign's output aside that cannot be read."""
    done = quarantine(*open_campaign(path))
    data = {"moved": done.moved, "left": [error.as_dict() for error in done.left]}
    error = str(done.left[0]) if done.left else ""
    return Answer(data, quarantined_lines(done), 2 if error else 0, error)


def sweep(path: str, hours: float, do_delete: bool, forget: bool, list_one: Callable[[str], None]) -> Answer:
    """List the leftovers of a campaign's output, and delete them if asked to.

    Args:
        list_one: called with a line for each before any is deleted.
    """
    _, store = open_campaign(path)
    with naming(path):
        found = find_leftovers(store, timedelta(hours=hours), forget)
        for item in found.leftovers:
            list_one(f"{item.bytes:>12} {item.key}")
        deleted = delete_leftovers(store, found) if do_delete else []
    keys, runs = [item.key for item in found.leftovers], [str(run) for run in found.runs]
    data = {"leftovers": keys, "bytes": found.bytes, "deleted": len(deleted), "runs": runs, "held": found.held}
    lines = [f"{run} is at work: kept is what was younger when it began" for run in runs]
    if found.held:
        lines.append(f"{found.held} more may be named by a commit in quarantine; --forget-quarantined gives them up")
    said = f"{len(keys)} leftovers, {found.bytes} bytes, older than {hours:g} hours"
    return Answer(data, [*lines, said + (f"; {len(deleted)} deleted" if do_delete else "; --delete removes them")])
