"""What an import did, and what it leaves to a person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from catalogs.imports.exports import Refusal
from catalogs.imports.variants import OptionChoice

_SHOWN = 5


@dataclass
class Report:
    """Counts of one import. Every line read is in one class: accepted + inactive + joined + rejected = read.

    Attributes:
        language: of the texts, as a person said it or their words tell.
        read: lines of the export, without headers and empty ones.
        accepted: that became an active product.
        inactive: that became one which the shop does not sell.
        joined: that are no product of their own: further pictures, parents, translations.
        rejected: by code.
        products: groups of variants.
        looks: of them.
        pictures: first pictures by where they are: `file`, `url`, `missing`, `none named`.
        colours: rows by where the first colour is from: `word`, `photo`, `none`.
        hosts: of pictures, with how many.
        undecided: what a person should look at, a line each.
        written: files, by what happened to each.
    """

    source: str = ""
    format: str = ""
    language: str = ""
    is_language_told: bool = False
    read: int = 0
    accepted: int = 0
    inactive: int = 0
    joined: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    first: dict[str, Refusal] = field(default_factory=dict)
    products: int = 0
    looks: int = 0
    nouns: int = 0
    pictures: Counter[str] = field(default_factory=Counter)
    colours: Counter[str] = field(default_factory=Counter)
    hosts: Counter[str] = field(default_factory=Counter)
    brands: Counter[str] = field(default_factory=Counter)
    options: Sequence[OptionChoice] = ()
    undecided: list[str] = field(default_factory=list)
    changes: Counter[str] = field(default_factory=Counter)
    written: dict[str, str] = field(default_factory=dict)

    def refuse(self, refusal: Refusal) -> None:
        """Count a line that is left out."""
        self.rejected[refusal.code] += 1
        self.first.setdefault(refusal.code, refusal)

    @property
    def is_balanced(self) -> bool:
        return self.read == self.accepted + self.inactive + self.joined + self.rejected.total()

    def as_dict(self) -> dict[str, Any]:
        """For machines."""
        return {
            "source": self.source,
            "format": self.format,
            "language": self.language,
            "rows": {
                "read": self.read,
                "accepted": self.accepted,
                "inactive": self.inactive,
                "joined": self.joined,
                "rejected": dict(self.rejected),
            },
            "products": self.products,
            "looks": self.looks,
            "nouns": self.nouns,
            "pictures": dict(self.pictures),
            "colours": dict(self.colours),
            "hosts": dict(self.hosts),
            "brands": dict(self.brands),
            "options": [
                {"name": one.name, "changes_look": one.changes_look, "reason": one.reason, "sure": one.is_sure}
                for one in self.options
            ],
            "changes": dict(self.changes),
            "undecided": self.undecided,
            "written": self.written,
        }

    def lines(self) -> list[str]:
        """For people."""
        rows = [f"{self.accepted:,} accepted", f"{self.inactive:,} inactive", f"{self.joined:,} joined to others"]
        rows.append(f"{self.rejected.total():,} rejected")
        found = [
            f"{self.source}: {self.format}",
            f"rows read: {self.read:,} ({', '.join(rows)})",
            f"products: {self.products:,} with {self.looks:,} looks; {self.nouns:,} rows have a noun for prompts",
            f"photos: {_counted(self.pictures)}",
            f"colours: {_counted(self.colours)}",
        ]
        for code, count in sorted(self.rejected.items()):
            one = self.first[code]
            found.append(
                f"  rejected, {code}: {count:,} (first: {one.line.file}: row {one.line.number}: {one.problem})"
            )
        for option in self.options:
            what = "makes looks" if option.changes_look else "makes no looks"
            found.append(f"  option {option.name!r} {what}: {option.reason}")
        if self.changes:
            found.append(f"since the last import: {_counted(self.changes)}")
        found += [f"{what} {name}" for name, what in self.written.items()]
        return [*found, *(f"to decide: {line}" for line in self.undecided)]


def _counted(counts: Counter[str]) -> str:
    shown = ", ".join(f"{count:,} {name}" for name, count in counts.most_common(_SHOWN))
    return shown or "none"
