"""Every error packshot raises on purpose.

PackshotError
├── UserError            the user can mend it: exit code 2
│   ├── CatalogError     a brand or product catalog
│   ├── CampaignError    the campaign file, its templates or its plan
│   ├── ReferenceImageError  a reference image
│   ├── ModelError       a model, its licence or its limits
│   ├── OptionError      a command-line option or a setting
│   └── SpendError       credits or budget are at their end
└── WorkError            the work failed: exit code 1
    ├── StorageError     an object store or a disk
    ├── EngineError      the machinery that makes pixels
    └── StoppedError     a cancel: exit code 130
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class PackshotError(Exception):
    """Base of all errors raised on purpose; `exit_code` is what the command line returns."""

    exit_code = 1


class UserError(PackshotError):
    """Something the user can mend, said in one line.

    Args:
        source: the file or URI at fault.
        where: the row, key or option inside it, "" when the whole source is at fault.
        problem: what is wrong.
        fix: what to do about it.
    """

    exit_code = 2

    def __init__(self, source: str, where: str, problem: str, fix: str = "") -> None:
        self.source, self.where, self.problem, self.fix = source, where, problem, fix
        super().__init__(str(self))

    def __str__(self) -> str:
        place = f"{self.source}: {self.where}" if self.where else self.source
        line = f"{place}: {self.problem}" + (f"; {self.fix}" if self.fix else "")
        return one_line(line)

    def __reduce__(self) -> tuple[type[UserError], tuple[str, str, str, str]]:
        return type(self), (self.source, self.where, self.problem, self.fix)


class CatalogError(UserError):
    """A brand or product catalog that cannot be used."""


class CampaignError(UserError):
    """A campaign file, template or plan that cannot be used."""


class ReferenceImageError(UserError):
    """A reference image that cannot be used.

    Attributes:
        written: its URI as the catalog has it, "" where nobody said so.
    """

    written = ""


class ModelError(UserError):
    """A model that is unknown, not allowed here, or asked for something it cannot do."""


class OptionError(UserError):
    """A command-line option or a setting that cannot be used."""


class SpendError(UserError):
    """Money is at its end, on the account or in the budget; what was made until then is kept."""


class WorkError(PackshotError):
    """The work itself failed; running again may help."""


class StorageError(WorkError):
    """A store refused or lost an operation after its retries."""


class EngineError(WorkError):
    """An engine could not be loaded or broke as a whole."""


class DeviceError(EngineError):
    """The device failed under the engine; this process can use it no more, another one may."""


class StoppedError(WorkError):
    """The run was told to stop and did, in order."""

    exit_code = 130


def one_line(text: str) -> str:
    """Text in one line that a terminal shows as it is."""
    return printable(" ".join(text.split()))


def printable(text: str) -> str:
    """Text with escapes for what a terminal would obey, or show in another order."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class NewerFormat(Exception):
    """A file of a format that a newer packshot writes; whoever reads it says which file.

    Args:
        what: the kind of file.
        found: the format it names.
        known: the newest that is read here.
    """

    def __init__(self, what: str, found: int, known: int) -> None:
        super().__init__(f"was written by a newer packshot ({what} format {found}, this one reads up to {known})")


def nearest(wrong: str, allowed: Iterable[str]) -> str:
    """What to say of an unknown word: the nearest known ones, or all of them."""
    known = list(allowed)
    close = difflib.get_close_matches(wrong, known, n=2, cutoff=0.6)
    close = close or [word for word in known if len(wrong) > 2 and word.startswith(wrong[:3])][:2]
    if close:
        return "did you mean " + " or ".join(repr(word) for word in close) + "?"
    return "use one of " + ", ".join(known)
