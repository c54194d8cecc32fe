"""What a campaign says of a watermark, and what a plan carries of it: the name of a plug-in and its settings."""

from __future__ import annotations

import json
import re
from typing import Any

from pydantic import Field, field_validator

from catalogs.campaigns.section import Section
from catalogs.identity import canonical_json

WATERMARK_RECIPE = 1
"""Enters the fingerprint of marked files: raise it when plug-ins are called with other pixels, or at another step."""

GROUP = "packshot.watermarks"
"""Entry points of installed packages: a campaign file names one of them, and can import nothing else."""

MAX_SETTINGS = 10_000  # characters as JSON
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Watermark(Section):
    """A watermark in every delivered file that is no proof; `watermark: NAME` takes a plug-in without settings.

    Attributes:
        plugin: an entry point `packshot.watermarks` of an installed package, by its name.
        settings: what it is called with; part of plans and fingerprints, so a key does not belong here.
    """

    plugin: str
    settings: dict[str, Any] = Field(default_factory=dict)

    @field_validator("plugin")
    @classmethod
    def _name(cls, value: str) -> str:
        if not _NAME.fullmatch(value):
            raise ValueError(f"write the name of an installed plug-in (entry points {GROUP}), no module or path")
        return value

    @field_validator("settings")
    @classmethod
    def _plain(cls, value: dict[str, Any]) -> dict[str, Any]:
        try:
            text = canonical_json(value)
        except (TypeError, ValueError):
            raise ValueError("write plain values: texts, numbers, yes or no, lists and sections of them") from None
        if len(text) > MAX_SETTINGS:
            raise ValueError(f"write at most {MAX_SETTINGS:,} characters of settings")
        settings: dict[str, Any] = json.loads(text)  # as a plan gives them back
        return settings


class Mark(Watermark):
    """A watermark as a plan carries it.

    Attributes:
        version: of what the plug-in does to pixels, as it says itself.
    """

    version: str

    def finishing_spec(self) -> dict[str, Any]:
        """All of it that enters an asset's fingerprint."""
        return {**self.model_dump(mode="json"), "recipe": WATERMARK_RECIPE}


def as_watermark(value: object) -> object:
    """What stands behind `watermark:`, a name alone as a section.

    Raises:
        ValueError: it is neither a name nor a section, nor off.
    """
    if value is None or value is False:
        return None
    if isinstance(value, str):
        return {"plugin": value}
    if isinstance(value, dict | Watermark):
        return value
    raise ValueError("write the name of an installed plug-in, or a section such as `watermark: {plugin: NAME}`")
