"""The law over one test: which accounts it spent from, and every output below its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from catalogs.journal.records import SPEND
from catalogs.storage.store import Store
from tests.bfl_server import HostedApi
from tests.ledger.law import billed_lines, check_law
from tests.ledger.running import LedgerApi


class Law:
    """What a test is held to when it ends, or when it says `check`.

    Attributes:
        options: of `check_law`.
        unwritten: pictures that the test bought without a journal.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.unwritten = folder, 0
        self.options: dict[str, Any] = {}
        self._watched: list[tuple[HostedApi | LedgerApi, int]] = []

    def watch(self, api: HostedApi | LedgerApi) -> None:
        """Hold what is billed from now on against the journals below the folder."""
        self._watched.append((api, len(billed_lines(api))))

    def check(self) -> None:
        """Judge the accounts watched so far, and watch them no longer: their servers may end.

        Raises:
            AssertionError: as `check_law`.
        """
        watched, self._watched = self._watched, []
        for api, since in watched:
            stores = [Store.at(str(path.parent)) for path in self.folder.rglob(SPEND) if path.is_dir()]
            if not self.unwritten:
                check_law(api, *stores, since=since, **self.options)
                continue
            lines = billed_lines(api)[since:]
            assert len(lines) == self.unwritten, lines
            assert not stores, "a test buys with a journal or without one"
