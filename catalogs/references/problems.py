"""What may be wrong with a reference image."""

from __future__ import annotations

from catalogs.errors import ReferenceImageError
from catalogs.requests import Reason


class MissingReference(ReferenceImageError):
    """There is no such file."""

    reason = Reason.REFERENCE_MISSING


class UnreachableReference(MissingReference):
    """The file, or its store, refuses to be read here: by no fault of the picture, and not for good."""


class ChangedReference(ReferenceImageError):
    """The file is not the one that was planned with."""

    reason = Reason.REFERENCE_CHANGED


class InvalidReference(ReferenceImageError):
    """The file is no picture that can be used."""

    reason = Reason.REFERENCE_INVALID
