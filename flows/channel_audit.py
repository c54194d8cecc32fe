"""Pictures on this machine against the rules of built-in channels."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from catalogs.campaigns.channel_rules import ChannelRules, builtin_rules
from catalogs.errors import OptionError, nearest
from catalogs.references.pictures import BadPicture
from catalogs.storage.local_files import open_file
from flows.cli_output import Answer
from inference.quality.channel_audit import Finding, Verdict, audit
from inference.quality.facts import Facts, facts_of

MAX_FILE_BYTES = 128 * 2**20
"""A larger file is not read: no channel takes more than 100 MB."""

_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".avif", ".tif", ".tiff", ".bmp", ".gif"})


def tell(named: Sequence[str], channels: Sequence[str]) -> Answer:
    """The verdicts of channels on pictures; `unreadable` of its data says of which files there is none, and why.

    Args:
        named: files, and folders whose pictures are taken, in folders below them too.
        channels: names of built-in channels, all of them when empty.

    Raises:
        OptionError: nothing is named, or a channel is unknown.
    """
    asked = _asked(channels)
    if not named:
        raise OptionError("--check", "", "no picture is named", "name files, or folders of pictures")
    files, problems = _files(named)
    pictures, lines, counts = [], [], {"accepted": 0, "refused": 0}
    for path in files:
        try:
            facts = facts_of(_read(path))
        except BadPicture as error:
            problems.append(_problem(path, error.problem, error.fix))
            continue
        verdicts = [audit(facts, rules) for rules in asked]
        for verdict in verdicts:
            counts["accepted" if verdict.is_accepted else "refused"] += 1
            lines += verdict_lines(path, verdict)
        pictures.append(_row(path, facts, verdicts))
    numbers = {"pictures": len(pictures), "channels": len(asked), **counts}
    lines.append(", ".join(f"{name} {count}" for name, count in numbers.items()))
    code = 2 if problems else 1 if channels and counts["refused"] else 0
    return Answer({"pictures": pictures, **counts, "unreadable": problems}, lines, code)


def _asked(channels: Sequence[str]) -> list[ChannelRules]:
    known = builtin_rules()
    for name in channels:
        if name not in known:
            raise OptionError("--channel", name, "there is no such channel", nearest(name, known))
    return [known[name] for name in dict.fromkeys(channels or known)]


def _files(named: Sequence[str]) -> tuple[list[str], list[dict[str, str]]]:
    """Files to look at, each once and in order, and what is wrong with other names."""
    found: dict[str, None] = {}
    problems = []
    for name in named:
        if "://" in name:
            problems.append(_problem(name, "is not on this machine", "copy it to a local folder"))
        elif os.path.isdir(name):
            pictures, unread = _pictures_below(name)
            found |= dict.fromkeys(pictures)
            problems += unread
            if not pictures and not unread:
                problems.append(_problem(name, "the folder holds no picture", "name another"))
        else:
            found[name] = None
    return list(found), problems


def _pictures_below(folder: str) -> tuple[list[str], list[dict[str, str]]]:
    """Pictures by the ends of their names, in order, and folders that cannot be read.

    Links to folders are not followed, so that none leads round in a circle; hidden files are what systems leave.
    """
    errors: list[OSError] = []
    paths = [
        os.path.join(place, name)
        for place, _, names in os.walk(folder, onerror=errors.append)
        for name in names
        if Path(name).suffix.lower() in _SUFFIXES and not name.startswith(".")
    ]
    return sorted(paths), [_problem(str(error.filename), _unread(error), "correct its rights") for error in errors]


def _read(path: str) -> bytes:
    try:
        with open_file(path) as file:
            data = file.read(MAX_FILE_BYTES + 1) or b""
    except (OSError, ValueError) as error:
        raise BadPicture(_unread(error), "check its name and rights") from None
    if len(data) > MAX_FILE_BYTES:
        raise BadPicture(f"has more than {MAX_FILE_BYTES:,} bytes", "make it smaller")
    return data


def _unread(error: OSError | ValueError) -> str:
    return f"cannot be read ({getattr(error, 'strerror', None) or error})"


def _problem(file: str, problem: str, fix: str) -> dict[str, str]:
    return {"file": file, "problem": problem, "fix": fix}


def verdict_lines(path: str, verdict: Verdict) -> list[str]:
    """A verdict for people: one line, or one a broken rule, each naming file and channel."""
    start = f"{path}: {verdict.channel}: {verdict}"
    if verdict.broken:
        return [f"{start}: {_broken(finding)}" for finding in verdict.broken]
    unjudged = ", ".join(f"{finding.rule} ({finding.why})" for finding in verdict.not_judged)
    return [start + (f"; not judged: {unjudged}" if unjudged else "")]


def _broken(finding: Finding) -> str:
    """What the file has, what the channel wants, and who says so."""
    note = f"; {finding.origin.note}" if finding.origin.note else ""
    return f"{finding.rule}: has {finding.has}, wants {finding.wants} [{finding.origin}{note}]"


def _row(path: str, facts: Facts, verdicts: Sequence[Verdict]) -> dict[str, Any]:
    ground = facts.ground
    box = ground.subject if ground else None
    return {
        "file": path,
        "bytes": facts.size,
        **facts.header._asdict(),
        "off_white": ground.off_white if ground else None,
        "subject": [box.left, box.top, box.right, box.bottom] if box else None,
        "fill": ground.fill if ground and box else None,
        "verdicts": [_verdict_row(verdict) for verdict in verdicts],
    }


def _verdict_row(verdict: Verdict) -> dict[str, Any]:
    rules = [
        {
            "rule": finding.rule,
            "outcome": str(finding.outcome),
            "has": finding.has,
            "wants": finding.wants,
            "why": finding.why,
            **finding.origin._asdict(),
            "checked_on": str(finding.origin.checked_on or "") or None,
        }
        for finding in verdict.findings
    ]
    return {"channel": verdict.channel, "verdict": str(verdict), "accepted": verdict.is_accepted, "rules": rules}
