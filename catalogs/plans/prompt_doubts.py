"""What a plan warns of in prompts: product text pasted in, and scenes for channels that want the product alone."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from catalogs.campaigns.campaign import Campaign
from catalogs.campaigns.pasted_copy import MOST_WORDS, PastedCopy

_WHITE = re.compile(
    r"\b(white|wei(ss|ß)\w*|blanc(he)?|blanc[oa]|bianc[oa]|witte?)\b|#fff(fff)?\b",
    re.IGNORECASE,
)
_ALONE = re.compile(r"pack[\s_-]?shot|studio|cut[\s_-]?out|freisteller|freigestellt|détour[ée]", re.IGNORECASE)


def is_packshot(shot: str, prompt: Mapping[str, Any]) -> bool:
    """Whether a shot shows the product alone, as far as its words tell.

    It does where the shot's name or its scene says packshot, studio or cut-out, or its background says white.

    Args:
        prompt: expanded for a product.
    """
    if _ALONE.search(shot) or _ALONE.search(str(prompt.get("scene") or "")):
        return True
    return bool(_WHITE.search(str(prompt.get("background") or "")))


class PromptDoubts:
    """Counts what is doubtful in prompts, with the first product of each kind."""

    def __init__(self, campaign: Campaign) -> None:
        self._copy = {name: PastedCopy(shot.prompt) for name, shot in campaign.shots.items()}
        self._alone = {
            name: [channel.name for channel in campaign.channels_of(name) if not channel.scene]
            for name in campaign.shots
        }
        self._variations = campaign.variations
        self._counts: Counter[str] = Counter()
        self._first: dict[str, str] = {}

    def look(self, product: str, shot: str, prompt: Mapping[str, Any]) -> None:
        """Look at the prompt of a shot, expanded for the product that stands for a look."""
        words = self._copy[shot].words(prompt)
        if words > MOST_WORDS:
            what = f"prompts with over {MOST_WORDS} words of product text in a scene or description"
            self._add(what, 1, f"{product}, shot {shot}, {words} words")
        if self._alone[shot] and not is_packshot(shot, prompt):
            channels = self._alone[shot]
            what = "pictures of a scene for channels that want the product alone"
            told = f"{product}, shot {shot} for {', '.join(channels)}"
            self._add(what, len(channels) * self._variations, told)

    def lines(self) -> list[str]:
        """A line a kind of doubt."""
        return [f"{what}: {count} (first: {self._first[what]})" for what, count in self._counts.items()]

    def _add(self, what: str, count: int, first: str) -> None:
        self._first.setdefault(what, first)
        self._counts[what] += count
