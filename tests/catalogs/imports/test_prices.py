from __future__ import annotations

from decimal import Decimal

import pytest

from catalogs.imports.exports import code, money
from catalogs.imports.rows import amount, writes_comma


@pytest.mark.parametrize(
    ("price", "has_comma", "wanted"),
    [
        ("1.299,00", True, "1299"),
        ("1.299,00", False, "1299"),
        ("1,299.00", False, "1299"),
        ("1,299.00", True, "1299"),
        ("12,50", False, "12.5"),
        ("12.50", True, "12.5"),
        ("1.299", True, "1299"),
        ("1.299", False, "1.299"),
        ("1,299", True, "1.299"),
        ("1,299", False, "1299"),
        ("1 299,00", True, "1299"),
        ("1\u202f299,00", True, "1299"),
        ("1\u00a0299,5", True, "1299.5"),
        ("1'299.00", False, "1299"),
        ("1’299.00", True, "1299"),
        ("1.234.567", False, "1234567"),
        ("1,234,567.89", True, "1234567.89"),
        ("29.0000", True, "29"),
        ("12,-", True, "12"),
        ("12.", False, "12"),
        (".5", False, "0.5"),
        ("$.99", False, "0.99"),
        (",500", True, "0.5"),
        ("Rs.500", False, "500"),
        ("0", False, "0"),
        ("-5", False, None),
        ("€ -5,00", True, None),
        ("12-15", False, "12"),
        ("Rs.-500", False, "500"),
        ("1e3", False, None),
        ("1.299E+03", False, None),
        ("12 EUR", False, "12"),
        ("free", False, None),
        ("", True, None),
        ("9" * 40, False, None),
        ("1,234,567.890.123", False, "1234567890123"),
    ],
)
def test_amounts(price: str, has_comma: bool, wanted: str | None) -> None:
    assert amount(price, has_comma) == (None if wanted is None else Decimal(wanted))


@pytest.mark.parametrize(
    ("price", "wanted"),
    [
        ("25.00 USD", ("25.00", "USD")),
        ("25.00USD", ("25.00", "USD")),
        ("25,00 eur", ("25,00", "EUR")),
        ("EUR 12,50", ("12,50", "EUR")),
        ("€12,50", ("12,50", "EUR")),
        ("12,50 €", ("12,50", "EUR")),
        ("12,- €", ("12,-", "EUR")),
        ("£ 9", ("9", "GBP")),
        ("US$5", ("5", "USD")),
        ("$5", ("$5", "")),
        ("5", ("5", "")),
        ("", ("", "")),
        ("ab 12,50 €", ("ab 12,50", "EUR")),
        ("free", ("free", "")),
        ("on request", ("on request", "")),
    ],
)
def test_currencies(price: str, wanted: tuple[str, str]) -> None:
    assert money(price) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("0012", "0012"),
        ("'0012", "0012"),
        ('="0012"', "0012"),
        ("=0012", "0012"),
        (" 0012 ", "0012"),
        ("4.00638E+12", ""),
        ("4,00638e+12", ""),
        ("1E5", "1E5"),
        ("A-1.5E+2", "A-1.5E+2"),
        ("", ""),
        ("'", ""),
        ("978-3-16-148410-0", "978-3-16-148410-0"),
        ('"', '"'),
        ("=SUM(A1)", "SUM(A1)"),
        ("Ärmel", "Ärmel"),
    ],
)
def test_codes(text: str, wanted: str) -> None:
    assert code(text) == wanted


@pytest.mark.parametrize(("price", "wanted"), [("12,50", True), ("1.299,00 €", True), ("1,299", False), ("5", False)])
def test_what_tells_a_decimal_comma(price: str, wanted: bool) -> None:
    assert writes_comma(price) is wanted
