"""A key that goes into a header and shows nowhere."""

from __future__ import annotations

from dataclasses import dataclass, field

from catalogs.errors import OptionError


@dataclass(frozen=True)
class Key:
    """A key, which never shows.

    Attributes:
        variable: of the environment, that it is from.
        fix: where a person gets it.

    Raises:
        OptionError: it is empty or cannot stand in a header.
    """

    text: str = field(repr=False)
    variable: str
    fix: str

    def __post_init__(self) -> None:
        # httpx would quote a bad header value, and with it the key, in its error.
        if not self.text or not self.text.isascii() or not self.text.isprintable() or " " in self.text:
            problem = "is not set" if not self.text else "holds characters that no key has"
            raise OptionError(self.variable, "", problem, self.fix)

    def masked(self, text: str) -> str:
        return text.replace(self.text, "***")
