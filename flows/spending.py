"""What `packshot spend` does and answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from catalogs.money import shown
from catalogs.storage.store import Store
from flows.cli_output import Answer, table_lines
from tasks.outcome import open_campaign
from tasks.spending import SUMS, Spending, Sum, read_spending, write_view

LINES_SHOWN = 20


def tell(path: str, out: str | None) -> Answer:
    """What a campaign has spent, and its view in a file if one is named."""
    if out is not None:
        Store.at(out)  # refused before anything is read
    spending = read_spending(*open_campaign(path))
    if out is not None:
        write_view(spending, out)
    written = [f"view      {out}: {spending.view.num_rows} rows"] if out is not None else []
    return Answer(spending.as_dict(), [*spending_lines(spending), *written])


def spending_lines(spending: Spending) -> list[str]:
    """The money of a campaign for people."""
    of_all = ", with all campaigns of its output" if spending.scope == "output" else ""
    lines = [f"campaign  {spending.campaign}{of_all}", *_totals(spending)]
    for column in SUMS:
        if sums := spending.sums[column]:
            lines += ["", *_table(column.removesuffix("_id"), sums)]
    return lines


def _totals(spending: Spending) -> Iterator[str]:
    yield f"paid      {shown(spending.paid)} USD"
    if spending.possible:
        yield f"possibly  {shown(spending.possible)} USD more may have been billed, by submits of unknown fate"
        yield from _told(spending)
    if spending.limit is None:
        yield "limit     none; budget: {max_cost: ...} sets one"
    else:
        yield f"limit     {shown(spending.limit)} USD"
    for hold, amount in spending.holds:
        yield f"held      {shown(amount)} USD by {hold}"
    if spending.unread:
        yield f"held      cannot be told: {spending.unread}"
    if spending.left is not None:
        over = f"nothing, {shown(-spending.left)} USD over it" if spending.left < 0 else f"{shown(spending.left)} USD"
        yield f"left      {over}"


def _told(spending: Spending) -> Iterator[str]:
    told = spending.told
    if told.known:
        said = f"{shown(told.billed)} of {shown(told.known)} USD of them were billed"
        yield f"account   {said}, if nobody else spent from it meanwhile"
    for why, amount in told.unknown.items():
        yield f"account   cannot tell of {shown(amount)} USD: {why}"


def _table(name: str, sums: Sequence[Sum]) -> list[str]:
    rows = [
        {
            name: one.value or "-",
            "attempts": one.attempts,
            "paid": shown(one.paid),
            "possibly billed": shown(one.possible),
        }
        for one in sums[:LINES_SHOWN]
    ]
    more = len(sums) - LINES_SHOWN
    return table_lines(rows) + ([f"... and {more} more; --json says all"] if more > 0 else [])
