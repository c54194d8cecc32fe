"""Proofs that are drawn anew since the drawing has changed: how many, and why, in a line of the plan."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from catalogs.assets.commits import Pair, identity_of, pair_of, read_commits, rows_of
from catalogs.columns import Row, is_master, with_identity
from catalogs.plans.decision import Action, Work
from tasks.plan_inputs import Inputs


class Redrawn:
    """Watches a plan's rows go by, and tells at the end what of them another revision of the drawing had made."""

    def __init__(self, inputs: Inputs) -> None:
        self._inputs = inputs
        self._changed: list[bytes] = []

    def watch(self, looks: Iterable[Sequence[Row]]) -> Iterator[Sequence[Row]]:
        """The rows as they come."""
        is_proof = self._inputs.model.kind == "proof"
        for rows in looks:
            if is_proof:
                self._changed += [identity_of(row).digest() for row in rows if _is_drawn_anew(row)]
            yield rows

    def lines(self) -> list[str]:
        """What a plan says of them, [] where there are none."""
        count = self._count()
        if not count:
            return []
        from inference.proofs.engine import PROOF_CHANGES

        what = "a proof is" if count == 1 else f"{count} proofs are"
        return [f"{what} drawn anew, because proofs are drawn otherwise by this version: {PROOF_CHANGES}"]

    def _count(self) -> int:
        inputs = self._inputs
        currents = ((digest, inputs.history.current(digest)) for digest in self._changed)
        wanted: dict[Pair, str] = {(digest, known[0]): known[1].order[-1] for digest, known in currents if known}
        if not wanted:
            return 0
        found: set[Pair] = set()
        columns = with_identity("fingerprint", "model_revision")
        for table in read_commits(inputs.store, columns, keys=set(wanted.values()), unread=[]):
            for row in rows_of(table):
                if row["model_revision"] != inputs.model.revision and (pair := pair_of(row)) in wanted:
                    found.add(pair)
        return len(found)


def _is_drawn_anew(row: Row) -> bool:
    return row["action"] == Action.CHANGED and row["work"] == Work.RENDER and not is_master(row)
