"""What the prompt says of a reference that its text does not speak of, by the reference's role."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from catalogs.requests import Reference

_PRODUCT_ROLES = frozenset(("hero", "product", "packshot", "front", "main"))
_ROLE_CLAUSES = {
    "logo": "the logo is exactly the one in image {n}: keep its shape, letters and colors",
    "shot": (
        "image {n} is another picture of this scene: keep its pose, light and composition where not said otherwise"
    ),
    "style": "take only the style of image {n}, not its objects",
    "swatch": "the color of image {n} is the exact color of the product",
    "": "use image {n} for what the text leaves open",
}
_PRODUCT_CLAUSE = "the product is exactly the one in image {n}: keep its shape, colors, label and proportions"
_OTHER_CLAUSE = "image {n} shows the product too ({role}): keep what it shows"


def reference_clauses(references: Sequence[Reference], mentioned: Iterable[int] = ()) -> list[str]:
    """What each reference is for, by its role, where the prompt does not speak of it; numbers from 1."""
    spoken = set(mentioned)
    return [
        _role_clause(reference.role.lower()).format(n=n, role=reference.role)
        for n, reference in enumerate(references, 1)
        if n not in spoken
    ]


def _role_clause(role: str) -> str:
    return _PRODUCT_CLAUSE if role in _PRODUCT_ROLES else _ROLE_CLAUSES.get(role, _OTHER_CLAUSE)
