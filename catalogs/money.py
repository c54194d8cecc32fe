"""Money: whole millionths of a US dollar, so that sums are exact and a limit equal to a price is kept, not passed.

Files hold numbers of USD with up to six decimals, which read back to the same millionths.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Context, Decimal

Micro = int
"""Millionths of a USD."""

_MICRO = Decimal("1e6")
_EXACT = Context(prec=80)


def micro(usd: float | Decimal) -> Micro:
    """USD in millionths, the nearest; a float counts as the decimal number that it is written as."""
    return _scaled(usd, ROUND_HALF_EVEN)


def micro_up(usd: float | Decimal) -> Micro:
    """USD in millionths, upwards: for the highest that something may cost."""
    return _scaled(usd, ROUND_CEILING)


def micro_down(usd: float | Decimal) -> Micro:
    """USD in millionths, downwards: for a limit."""
    return _scaled(usd, ROUND_FLOOR)


def usd(amount: Micro) -> float:
    """USD as a number for files and tables."""
    return amount / 1_000_000


def shown(amount: Micro) -> str:
    """USD for people: exact, with at least two decimals."""
    text = f"{amount / _MICRO:.6f}".rstrip("0")
    whole, _, decimals = text.partition(".")
    return f"{whole}.{decimals:0<2}"


def _scaled(value: float | Decimal, rounding: str) -> Micro:
    exact = _EXACT.multiply(value if isinstance(value, Decimal) else Decimal(repr(value)), _MICRO)
    return int(exact.to_integral_value(rounding=rounding))
