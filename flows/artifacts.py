"""What a person sees of a run in the Prefect UI while it works and after it.

Progress, the table of shards and the contact sheet are one artifact each, changed in place: a new version for
every change would fill the server's database. Pictures are data: URIs, so they show with no web server beside
the object store. An artifact is for people only: one that cannot be written is logged and costs the run nothing.
"""

from __future__ import annotations

import base64
import contextvars
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from shlex import quote as shell_quote
from time import monotonic
from typing import Any
from uuid import UUID

from prefect import get_run_logger
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.client.orchestration import get_client
from prefect.runtime import flow_run

from catalogs.assets.commits import Status, read_commit
from catalogs.columns import Row, is_master, with_identity
from catalogs.identity import thumbnail_key
from catalogs.inputs.reject_file import called
from catalogs.plans.clock import by_the_clock
from catalogs.storage.store import MissingKey, Store
from flows.alerts import Kind, alert, mended
from flows.summary_page import artifact_key, bar, duration, plain
from tasks.progress import AssetProgress

TICK_SECONDS = 5.0
SHEET_SECONDS = 20.0
SHEET_PICTURES = 24
SHEET_COLUMNS = 4  # what fits beside the page's own column
SHEET_READS = with_identity("master", "created_at", "status", "product_id", "title", "sha256")
SHEET_BYTES = 600_000  # Prefect refuses events from about 1.5 MB and holds what it takes twice
TABLE_ROWS = 400
OVERDUE_FACTOR, OVERDUE_LEAST_SECONDS = 2.0, 600.0
FAILING_SHARE, FAILING_LEAST_ASSETS = 0.02, 50
NOTHING = "–"  # a plain dash is the sign of a list, and shown as one

Report = Mapping[str, Any]


@dataclass
class LiveRun:
    """A run's artifacts, kept up to date; `live_run` makes one.

    Attributes:
        planned_seconds: what the plan says that it takes; 0.0 where it cannot say.
    """

    store: Store
    run_id: str
    campaign: str
    assets: int
    shards: int
    planned_seconds: float
    progress: AssetProgress
    reports: list[Report] = field(default_factory=list)
    lost: int = 0

    def __post_init__(self) -> None:
        self._started = monotonic()
        self._said: set[str] = set()
        self._seen: dict[str, list[Row]] = {}
        self._last_sheet = 0.0
        self._logger = get_run_logger()
        self._run, self._path = flow_run.id, str(flow_run.parameters.get("campaign", ""))
        self._progress: UUID | None = None
        self._table: UUID | None = None
        self._sheet: UUID | None = None
        with self._optional():
            self._progress = _created(
                create_markdown_artifact(
                    self.progress_page(), key=artifact_key("progress", self.campaign), description=self.line()
                )
            )

    def shard_done(self, report: Report) -> None:
        """Count a shard; an empty report is one that failed as a whole."""
        if report:
            self.reports.append(report)
            self._logger.info(shard_line(report))
        else:
            self.lost += 1
        self.tick()
        # The first pictures at once, the next when the server has had its rest.
        if monotonic() - self._last_sheet >= SHEET_SECONDS or not self._last_sheet:
            self.show()

    def show(self) -> None:
        """Write the table of shards and the contact sheet as they are now."""
        self._last_sheet = monotonic()
        with self._optional():
            self._show_table()
        with self._optional():
            self._show_sheet()

    def tick(self) -> None:
        """Write the progress and send what an alert may wait for."""
        self._warn(*self.counts())
        if self._progress is not None:
            with self._optional():
                _patch(self._progress, self.progress_page(), self.line())

    def counts(self) -> tuple[int, int]:
        """Assets done (whether delivered or failed), and failed. Shards in other processes count when they end."""
        done = sum(report["delivered"] + report["failed"] + report["skipped"] for report in self.reports)
        failed = sum(report["failed"] for report in self.reports)
        return max(done, self.progress.delivered + self.progress.failed), max(failed, self.progress.failed)

    def line(self) -> str:
        """The run in one line."""
        done, failed = self.counts()
        finished = len(self.reports) + self.lost
        rate = done / max(monotonic() - self._started, 1e-9)
        said = [f"{done} of {self.assets} assets", f"{failed} failed", f"{finished} of {self.shards} shards"]
        if done:
            said.append(f"{rate:.1f} assets/s")
        if 0 < done < self.assets:
            said.append(f"about {duration((self.assets - done) / rate)} left")
        return " · ".join(said)

    def progress_page(self) -> str:
        """The run as a bar with its line below."""
        share = self.counts()[0] / max(1, self.assets)
        return f"## {plain(self.campaign)}: {min(1.0, share):.0%}\n\n`{bar(share)}`\n\n{self.line()}"

    def _warn(self, done: int, failed: int) -> None:
        seconds = monotonic() - self._started
        limit = max(OVERDUE_LEAST_SECONDS, OVERDUE_FACTOR * self.planned_seconds)
        if self.planned_seconds and seconds > limit:
            text = f"runs for {duration(seconds)}, planned were {duration(self.planned_seconds)}; {self.line()}"
            self._alert(Kind.OVERDUE, text, "it goes on")
        if done >= FAILING_LEAST_ASSETS and failed > FAILING_SHARE * done:
            text = f"{failed} of {done} assets failed ({failed / done:.1%})"
            self._alert(Kind.FAILING, text, f"it goes on; `packshot status {shell_quote(self._path)}` tells why")

    def _alert(self, kind: Kind, problem: str, advice: str) -> None:
        if kind not in self._said:
            self._said.add(kind)
            self._logger.warning("%s: %s", self.campaign, problem)
            alert(self._path, self.campaign, kind, problem, advice, self._run)

    def ended(self) -> None:
        """Tell that what was wrong with an earlier run was not with this one."""
        for kind in (Kind.OVERDUE, Kind.FAILING):
            if kind not in self._said:
                mended(self._path, self.campaign, kind, self._run)

    def _show_table(self) -> None:
        if not self.reports:
            return
        rows = shard_rows(self.reports)
        if self._table is None:
            text = "What became of every shard; images/s and GPU memory are the engine's own"
            self._table = _created(
                create_table_artifact(table=rows, key=artifact_key("shards", self.campaign), description=text)
            )
        else:
            _patch(self._table, json.dumps(rows))  # a list would be stored, and break the page

    def _show_sheet(self) -> None:
        newest = self._newest()
        if not newest:
            return
        if self._sheet is None:
            text = f"The newest finished assets of {self.campaign}"
            waiting = "Pictures are on their way."
            self._sheet = _created(
                create_markdown_artifact(waiting, key=artifact_key("contact-sheet", self.campaign), description=text)
            )
        _patch(self._sheet, contact_sheet(self.store, newest))

    def _newest(self) -> list[Row]:
        """Delivered rows of this run, the newest first, as many as a sheet shows."""
        for key in self.store.list(f"catalog/{self.run_id}"):
            if key not in self._seen:
                rows: list[Row] = read_commit(self.store, key, SHEET_READS).to_pylist()
                delivered = [r for r in rows if r["status"] == Status.DELIVERED and r["sha256"] and not is_master(r)]
                self._seen[key] = delivered[-SHEET_PICTURES:]
        seen = [row for rows in self._seen.values() for row in rows]
        return sorted(seen, key=lambda row: row["created_at"], reverse=True)[:SHEET_PICTURES]

    @contextmanager
    def _optional(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if "artifact" not in self._said:
                self._said.add("artifact")
                self._logger.warning("an artifact could not be written (%s: %s)", type(error).__name__, error)


@contextmanager
def live_run(
    store: Store, run_id: str, plan: Mapping[str, Any], shards: int, assets: int, progress: AssetProgress
) -> Iterator[LiveRun]:
    """Keep a run's artifacts up to date while the block runs.

    Args:
        plan: the plan's summary.
        progress: what counts assets within a shard.
    """
    planned = by_the_clock(plan, plan["seconds"])
    live = LiveRun(store, run_id, plan["campaign"], assets, shards, planned, progress)
    stop = threading.Event()

    def tick() -> None:
        while not stop.wait(TICK_SECONDS):
            live.tick()

    thread = threading.Thread(target=contextvars.copy_context().run, args=(tick,), daemon=True, name="artifacts")
    thread.start()
    try:
        yield live
    finally:
        stop.set()
        thread.join(TICK_SECONDS)
        live.tick()
        live.show()
    live.ended()


def _created(artifact: Any) -> UUID:
    """An artifact's id, which Prefect types as if it might have to be awaited."""
    made: UUID = artifact
    return made


def _patch(artifact: UUID, data: Any, description: str | None = None) -> None:
    # Not client.update_artifact: it sends the whole content a second time, as an event.
    body = {"data": data} | ({"description": description} if description else {})
    with get_client(sync_client=True) as client:
        client.request("PATCH", "/artifacts/{id}", json=body, path_params={"id": artifact})


def shard_line(report: Report) -> str:
    """A shard for the log."""
    reasons = "".join(f", {count} {reason}" for reason, count in sorted(report["reasons"].items()))
    delivered = report["delivered"] + report["skipped"]
    said = f"{delivered} of {report['assets']} delivered in {report['seconds']:.1f} s{reasons}"
    return f"shard {report['number']:04}: {said}"


def shard_rows(reports: Sequence[Report]) -> list[dict[str, Any]]:
    """The table of shards: those with failures first, then the newest; no more than a page can show."""
    rows = sorted(reports, key=lambda report: (not report["failed"], -report["number"]))[:TABLE_ROWS]
    return [_shard_row(report) for report in rows]


def _shard_row(report: Report) -> dict[str, Any]:
    profile = report.get("profile") or {}
    busy, peak = report["engine_seconds"], profile.get("peak_bytes", 0)
    reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(report["reasons"].items()))
    return {
        "shard": report["number"],
        "stage": report["stage"],
        "assets": report["assets"],
        "done": report["delivered"] + report["skipped"],
        "failed": report["failed"],
        "images/s": round(report["rendered"] / busy, 2) if busy and report["rendered"] else NOTHING,
        "GPU GiB": round(peak / 2**30, 1) if peak else NOTHING,
        "seconds": round(report["seconds"], 1),
        "why": reasons or NOTHING,
    }


def contact_sheet(store: Store, rows: Sequence[Row]) -> str:
    """Thumbnails as a markdown table, within SHEET_BYTES; assets whose thumbnail is gone are left out."""
    cells: list[tuple[str, str]] = []
    room = SHEET_BYTES
    for row in rows:
        try:
            data = store.read(thumbnail_key(str(row["sha256"])))
        except MissingKey:
            continue
        picture = base64.b64encode(data).decode()
        room -= len(picture)
        if room < 0:
            break
        name = plain(f"{called(row['product_id'] or row['look'], row['title'])} {row['shot']} {row['channel']}")
        cells.append((f"![{name}](data:image/webp;base64,{picture})", name))
    return "\n".join(_grid(cells))


def _grid(cells: Sequence[tuple[str, str]]) -> Iterator[str]:
    for start in range(0, len(cells), SHEET_COLUMNS):
        line = cells[start : start + SHEET_COLUMNS]
        line = [*line, *[("", "")] * (SHEET_COLUMNS - len(line))]
        if not start:
            yield "| " + " | ".join(" " for _ in line) + " |"
            yield "|" + ":---:|" * SHEET_COLUMNS
        yield "| " + " | ".join(picture for picture, _ in line) + " |"
        yield "| " + " | ".join(name for _, name in line) + " |"
