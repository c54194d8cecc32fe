"""Pictures of a hosted model that money was spent on in vain: what a plan says of buying them again."""

from __future__ import annotations

from collections.abc import Iterable, Set

from catalogs.columns import Row
from catalogs.money import micro, shown
from catalogs.plans.decision import PAID_REASONS, Work
from catalogs.plans.rows import Estimates
from catalogs.requests import Reason

_IN_VAIN: dict[str, str] = {
    Reason.PAID_EXPIRED: "{} that were paid for are gone; --resubmit buys them again, for {} to {} USD",
    Reason.POSSIBLY_BILLED: "{} may have been billed and never came; --resubmit buys them again, for {} to {} USD",
    Reason.ENGINE_ERROR: "{} ended in an error of the API and are bought once more, for {} to {} USD",
    "failed": "{} failed for good; --retry-failed buys them again, for {} to {} USD",
}

# What a new try of buys another picture; others are only finished anew, or wait for a shot.
_BOUGHT = frozenset((Reason.ENGINE_ERROR.value, Reason.MODERATED.value, Reason.REFUSED.value))


class BoughtAgain:
    """Pictures of a plan that were bought before: those that wait for somebody's word, and those that do not."""

    def __init__(self) -> None:
        self._prices: dict[str, dict[str, tuple[float, float]]] = {why: {} for why in _IN_VAIN}

    def add(self, rows: Iterable[Row], estimates: Estimates, unknown: Set[str] = frozenset()) -> None:
        """Look for some among rows of a plan.

        Args:
            unknown: render fingerprints that were submitted and never answered.
        """
        for row in rows:
            if row["engine"] == "bfl" and (why := _why(row, unknown)):
                self._prices[why][row["render_fingerprint"]] = estimates(row)[1:]

    def lines(self) -> list[str]:
        """What a plan says of them."""
        return [_line(text, prices) for why, text in _IN_VAIN.items() if (prices := self._prices[why])]


def _why(row: Row, unknown: Set[str]) -> str | None:
    said = row["reason"]
    if row["work"] == Work.RENDER and row["render_fingerprint"] in unknown and not row["asset_key"]:
        return Reason.POSSIBLY_BILLED
    if row["work"] == Work.NONE:
        if said in PAID_REASONS:
            return str(said)
        return "failed" if row["status"] == "failed" and row["final"] and said in _BOUGHT else None
    is_error = said == Reason.ENGINE_ERROR and row["work"] == Work.RENDER and row["estimated_cost_high"]
    return Reason.ENGINE_ERROR if is_error else None


def _line(text: str, prices: dict[str, tuple[float, float]]) -> str:
    low = sum(micro(price[0]) for price in prices.values())
    high = sum(micro(price[1]) for price in prices.values())
    count = f"{len(prices)} picture{'s' * (len(prices) != 1)}"
    line = text.format(count, shown(low), shown(high))
    if len(prices) > 1:
        return line
    return line.replace(" are ", " is ").replace(" were ", " was ").replace(" them ", " it ")
