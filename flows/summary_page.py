"""A run's last word in the Prefect UI, and how words and files are written there."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from prefect.artifacts import create_markdown_artifact

from flows.cli_output import cost_line, left_out_line
from tasks.profile import profile_lines

LINKS = "PACKSHOT_LINKS"
GALLERIES = "PACKSHOT_GALLERIES"
"""Address of the server of galleries (`flows.gallery_server`); `packshot serve` sets it for its workers."""
BAR_CELLS = 40
_NOT_IN_KEYS = re.compile(r"[^a-z0-9]+")


def artifact_key(what: str, campaign: str) -> str:
    """A key that has a history of its own for each campaign: Prefect takes lower case letters, digits and dashes."""
    return f"{what}-{_NOT_IN_KEYS.sub('-', campaign.lower()).strip('-') or 'campaign'}"


def plain(text: str) -> str:
    """Text of a catalog as markdown that is only text."""
    return "".join(f"\\{mark}" if mark in "\\`*_{}[]()#+!|<>~" else mark for mark in text)


def publish_summary(summary: Mapping[str, Any]) -> None:
    """Leave the run's last word as an artifact."""
    campaign = summary["plan"]["campaign"]
    said = f"What the run of {campaign} delivered"
    create_markdown_artifact(summary_markdown(summary), key=artifact_key("summary", campaign), description=said)


def summary_markdown(summary: Mapping[str, Any]) -> str:
    """The summary for the Prefect UI."""
    outcome, plan = summary["outcome"], summary["plan"]
    verdict = "Complete" if summary["complete"] else "Not complete"
    lines = [
        f"## {plan['campaign']}: {verdict.lower()}, {outcome['delivered']} of {outcome['planned']} assets delivered",
        "",
        *_pairs(_numbers(summary)),
        "",
        *_reasons(outcome["reasons"]),
        *_remarks(summary["remarks"]),
        *_pairs(_places(summary)),
        "",
        *_speed(summary),
        "Read the asset catalog anywhere:",
        "",
        "```python",
        "pyarrow.dataset.dataset(",
        f'    "{plan["output"]}/catalog"',
        ").to_table()",
        "```",
    ]
    return "\n".join(lines)


def _numbers(summary: Mapping[str, Any]) -> dict[str, str]:
    outcome, plan, work = summary["outcome"], summary["plan"], summary["work"]
    profile = summary.get("profile") or {}
    numbers = {
        "Delivered": f"{outcome['delivered']} of {outcome['planned']}",
        "Rejected by checks": str(outcome["rejected"] or ""),
        "Failed": str(outcome["failed"]),
        "Missing": str(outcome["missing"]),
        "Rendered now": f"{work['rendered']}, {work['adopted']} taken over from an earlier start",
        "Model": f"{plan['model']} ({plan['kind']})",
        "Time": duration(summary["seconds"]),
        "Cost": cost_line(summary.get("costs") or {}),
        "Speed": f"{profile['images_per_second']:g} images/s" if profile.get("images_per_second") else "",
        "GPU": f"{profile['device']}, {profile['memory_gib']:g} GiB at most" if profile.get("memory_gib") else "",
        "Rows left out": left_out_line(plan),
        "Replaced by a later start": str(outcome["superseded"] or ""),
        "No longer wanted": str(outcome["unwanted"] or ""),
        "Retired": str(outcome["retired"] or ""),
        "Withdrawn": f"{outcome['withdrawn']}, a right to a photo has ended" if outcome["withdrawn"] else "",
    }
    return {name: said for name, said in numbers.items() if said}


def _places(summary: Mapping[str, Any]) -> dict[str, str]:
    plan, run_id = summary["plan"], summary["run_id"]
    root = plan["output"].rstrip("/")
    gallery = {"Gallery": _gallery(root, summary["gallery"])} if summary["gallery"] else {}
    return {
        **gallery,
        "Asset catalog": link(f"{root}/catalog"),
        "Plan": link(f"{root}/{plan['plan_key']}"),
        "Run": f"`{run_id}`",
    }


def _speed(summary: Mapping[str, Any]) -> list[str]:
    if not summary.get("profile") or not summary["work"]["rendered"]:
        return []
    return ["### How fast", "", "```", *profile_lines(summary["profile"]), "```", ""]


def _gallery(root: str, uri: str) -> str:
    base = os.environ.get(GALLERIES)
    key = uri.removeprefix(root).lstrip("/")
    return f"[open it]({base}/{slug(root)}/{quote(key)})" if base else link(uri)


def slug(output: str) -> str:
    """Names an output in an address of the server of galleries, without telling its path."""
    return hashlib.sha256(output.rstrip("/").encode()).hexdigest()[:16]


def link(uri: str) -> str:
    """A stored file for people: a link where PACKSHOT_LINKS says which web address shows it, else its place.

    PACKSHOT_LINKS holds `PREFIX=ADDRESS` pairs, a blank between them: `s3://shop/=https://files.example.com/`.
    """
    for pair in os.environ.get(LINKS, "").split():
        prefix, _, address = pair.partition("=")
        if prefix and address and uri.startswith(prefix):
            return f"[{plain(uri)}]({address}{quote(uri.removeprefix(prefix))})"
    return f"`{uri}`"


def _pairs(pairs: Mapping[str, str]) -> list[str]:
    """A table of two columns; its head is the first pair, as markdown has no table without one."""
    first, *rest = pairs.items()
    return [f"| {first[0]} | {first[1]} |", "|---|---|", *[f"| **{name}** | {said} |" for name, said in rest]]


def _reasons(reasons: Mapping[str, int]) -> list[str]:
    if not reasons:
        return []
    rows = sorted(reasons.items(), key=lambda item: -item[1])
    return ["### Why assets failed", "", "| reason | assets |", "|---|---:|", *[f"| {r} | {n} |" for r, n in rows], ""]


def _remarks(remarks: Mapping[str, int]) -> list[str]:
    if not remarks:
        return []
    rows = [f"| {remark} | {count} |" for remark, count in remarks.items()]
    return ["### Delivered, but", "", "| remark | assets |", "|---|---:|", *rows, ""]


def bar(share: float) -> str:
    """A share of 1 as text that looks like a bar; a page of Prefect's second UI draws none."""
    full = round(BAR_CELLS * min(1.0, max(0.0, share)))
    return "█" * full + "░" * (BAR_CELLS - full)


def duration(seconds: float) -> str:
    """A time as people say it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02} min"
