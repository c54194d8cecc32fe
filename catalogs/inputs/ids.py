"""Ids as shops write them: any text in one normal form, or numbers, which become their digits exactly."""

from __future__ import annotations

import unicodedata
from decimal import Decimal
from typing import Any

COLUMNS = frozenset({"product_id", "brand_id"})
"""Columns that name something: in one normal form, and never empty."""

NUMBERED = COLUMNS | {"product_group", "gtin"}
"""Columns of text that shops keep as numbers, too."""

LONGEST = 200
_EXACT = 2**53  # beyond it a double skips whole numbers
_UNSEEN = frozenset({"Cc", "Cf", "Cs"})


def normal_form(identifier: str) -> str:
    """NFC: the one of two spellings that look the same by which ids are compared and stored."""
    return unicodedata.normalize("NFC", identifier)


def spellings(identifier: str) -> list[str]:
    """The forms in which a file may hold an id, as it was written first."""
    return list(dict.fromkeys([identifier, *(unicodedata.normalize(form, identifier) for form in ("NFC", "NFD"))]))


def as_text(value: Any) -> str | None:
    """A value of an id column as text, None where it is null.

    Raises:
        ValueError: it is neither text nor a number that has one exact text.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, float):
        if not value.is_integer():
            raise ValueError("is not a whole number; write ids as text")
        if abs(value) >= _EXACT:
            raise ValueError("is a number that a double does not hold exactly; write ids as text or integers")
        return str(int(value))
    if isinstance(value, Decimal):
        if not value.is_finite() or value != value.to_integral_value():
            raise ValueError("is not a whole number; write ids as text")
        return str(int(value))
    raise ValueError(f"is a {type(value).__name__}; write ids as text")


def refusal(identifier: str) -> str | None:
    """Why a text in its normal form can be no id."""
    if len(identifier) > LONGEST:
        return f"is {len(identifier)} characters long; an id has {LONGEST} at most"
    if any(unicodedata.category(character) in _UNSEEN for character in identifier):
        return "holds a control or format character; write it without"
    return None
