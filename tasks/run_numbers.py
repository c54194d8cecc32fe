"""What summaries of runs say that no row of the asset catalog does: what was unchanged, what taken over, how long."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import pyarrow as pa

from catalogs.assets.starts import latest_start
from catalogs.errors import PackshotError
from catalogs.identity import run_key
from catalogs.storage.store import Store
from tasks.run_summary import SUMMARY_NAME

READERS = 16
ON_A_CPU = "cpu"
_ENGINES = {"bfl/": "bfl", "server/": "server"}
RUNS = pa.schema(
    [
        *((name, pa.string()) for name in ("kind", "campaign", "model", "engine")),
        ("day", pa.date32()),
        *((name, pa.int64()) for name in ("planned", "unchanged", "adopted", "run_rendered")),
        ("run_seconds", pa.float64()),
    ]
)
"""A row a run that wrote its summary; it has no brand and no shot, as a run is of many."""


def run_facts(
    store: Store, campaign: str | None, since: datetime | None, made_by: Iterable[str], problems: list[str]
) -> tuple[pa.Table, list[str]]:
    """Runs begun since a moment, and those of `made_by` whose pictures a CPU made.

    Args:
        campaign: whose runs count, None for all.
        problems: takes what cannot be read.
    """
    moments = {run_id: latest_start([run_id]) for run_id in store.folders("runs")}
    makers = {*made_by}
    asked = [name for name, moment in sorted(moments.items()) if name in makers or _counts(moment, since)]
    with ThreadPoolExecutor(READERS, thread_name_prefix="runs") as pool:
        read = list(pool.map(lambda run_id: _read(store, run_id), asked))
    rows, cpu_runs = [], []
    for run_id, found in zip(asked, read, strict=True):
        moment = moments[run_id]
        if isinstance(found, str):
            problems.append(found)
            continue
        if found is None or moment is None:
            continue
        if found.pop("device") == ON_A_CPU:
            cpu_runs.append(run_id)
        if _counts(moment, since) and campaign in (None, found["campaign"]):
            rows.append({**found, "day": moment.date()})
    return pa.Table.from_pylist(rows, schema=RUNS), cpu_runs


def _counts(moment: datetime | None, since: datetime | None) -> bool:
    return moment is not None and (since is None or moment >= since)


def _read(store: Store, run_id: str) -> dict[str, Any] | str | None:
    """The numbers of a run, None where it wrote none, or what is wrong with them."""
    key = run_key(run_id, SUMMARY_NAME)
    try:
        data = store.read_or_none(key)
        return None if data is None else _numbers(json.loads(data))
    except PackshotError as error:
        return str(error)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return f"{store.uri(key)}: is no summary of a run; its numbers are left out"


def _numbers(summary: Mapping[str, Any]) -> dict[str, Any]:
    plan, work = summary["plan"], summary["work"]
    model = _text(plan["model"])
    kind = _text(plan["kind"])
    engine = next((name for start, name in _ENGINES.items() if model.startswith(start)), "diffusers")
    given_up = _whole(plan.get("failed_before", 0))
    return {
        "kind": kind,
        "campaign": _text(plan["campaign"]),
        "model": model,
        "engine": "proof" if kind == "proof" else engine,
        "planned": _whole(plan["assets"]),
        # A plan calls unchanged also what failed for good, and is not tried again.
        "unchanged": max(0, _whole(plan["actions"].get("unchanged", 0)) - given_up),
        "adopted": _whole(work["adopted"]),
        "run_rendered": _whole(work["rendered"]),
        "run_seconds": _seconds(summary["seconds"]),
        "device": (summary.get("profile") or {}).get("device", ""),
    }


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    value.encode()  # half a surrogate is no text
    return value


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**53:
        raise ValueError(value)
    return value


def _seconds(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e12:
        raise ValueError(value)
    return float(value)
