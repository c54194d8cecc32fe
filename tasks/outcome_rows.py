"""The rows that a shard's commit will hold: what came of each of its assets."""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from collections.abc import Iterable

from catalogs.assets.commits import Status
from catalogs.columns import CARRIED, Row, is_master, part
from catalogs.requests import Reason
from tasks.shard_job import Progress, Render

MAX_ATTEMPTS = 3
# What says nothing about the asset itself, however often it happens: an upstream shot that is missing, a wait, a signer
# or a time-stamp authority that is away, a plug-in that fails, a shot that is stopped.
_NO_VERDICT = frozenset(
    (
        Reason.UPSTREAM_FAILED,
        Reason.NOT_READY,
        Reason.CREDENTIALS_FAILED,
        Reason.WATERMARK_FAILED,
        Reason.LINE_STOPPED,
    )
)


class OutcomeRows:
    """Outcomes as they come from several threads; those of masters are in no number.

    Args:
        is_paid: the engine is paid by the picture, and says itself what is final: it knows what each try cost.

    Attributes:
        reasons: of the failures.
        details: of each reason, what was said of the first.
        remarks: on what is delivered, each with how many assets it is of.
    """

    def __init__(self, shard: int, progress: Progress, is_paid: bool = False) -> None:
        self._shard, self._progress, self._is_paid = shard, progress, is_paid
        self._attempt = uuid.uuid4().hex
        self._lock = threading.Lock()
        self._rows: list[Row] = []
        self.delivered = self.failed = 0
        self.reasons: Counter[str] = Counter()
        self.details: dict[str, str] = {}
        self.remarks: Counter[str] = Counter()

    def deliver(self, row: Row, made: Row) -> None:
        """An asset that is stored.

        Args:
            row: of the plan.
            made: what the plan could not know of it.
        """
        self._add({**self._begun(row), **made, "status": Status.DELIVERED.value, "final": True})

    def fail(
        self,
        row: Row,
        reason: Reason,
        detail: str,
        final: bool,
        cost: float | None = None,
        master: str | None = None,
        judged: Row | None = None,
    ) -> None:
        """An asset that there will not be now.

        Args:
            cost: USD that were paid all the same.
            master: key of the picture, where that is kept.
            judged: what was said of the picture, where there is one.
        """
        begun = self._begun(row)
        if reason in (Reason.NOT_READY, Reason.LINE_STOPPED):
            begun["attempts"] -= 1  # to wait is no attempt
        gives_up = begun["attempts"] >= MAX_ATTEMPTS and not (self._is_paid and reason is Reason.ENGINE_ERROR)
        final = final or (gives_up and reason not in _NO_VERDICT)
        self._add(
            {
                **begun,
                **(judged or {}),
                "asset_key": None,
                "render_key": master,
                "cost": cost,
                "status": Status.FAILED.value,
                "reason": reason.value,
                "detail": detail,
                "final": final,
            }
        )

    def fail_all(self, render: Render, reason: Reason, detail: str, final: bool, cost: float = 0.0) -> None:
        """Every asset of a render that came to nothing."""
        for row in render.rows:
            self.fail(row, reason, detail, final, cost)

    def remark(self, remarks: Iterable[str]) -> None:
        """Count what is to be known of an asset that is delivered."""
        with self._lock:
            self.remarks.update(remarks)

    def rows(self) -> list[Row]:
        """The rows so far."""
        with self._lock:
            return list(self._rows)

    def _begun(self, row: Row) -> Row:
        return {
            **part(row, CARRIED),
            "attempts": (row["attempts"] or 0) + 1,
            "reason": None,
            "quality": {},
            "verdict": None,
            "score": None,
            "judged_by": None,
            "line": None,
            "shard": self._shard,
            "attempt_id": self._attempt,
        }

    def _add(self, row: Row) -> None:
        failed = row["status"] == Status.FAILED
        with self._lock:
            self._rows.append(row)
            if is_master(row):
                return
            if failed:
                self.failed += 1
                self.reasons[str(row["reason"])] += 1
                self.details.setdefault(str(row["reason"]), str(row["detail"]))
            else:
                self.delivered += 1
        self._progress(0 if failed else 1, 1 if failed else 0)
