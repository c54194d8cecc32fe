"""The accounting server in a process of its own, and how tests speak with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class LedgerApi:
    """A running server.

    Attributes:
        url: where submits go, the base URL of a client.
        polls, pictures: the other two hosts.
        began: rules it was started with.
    """

    url: str
    polls: str
    pictures: str
    began: dict[str, Any] = field(default_factory=dict)

    def rules(self, **rules: Any) -> dict[str, Any]:
        """Set some and return all, `credits` and `storm` as far as they have counted down.

        Raises:
            ValueError: there is no such rule, or it cannot have that value.
        """
        return self._ask("/rules", rules)

    def ledger(self) -> dict[str, Any]:
        """`submits`, `totals` and `key_leaks`, as `Account.ledger` says."""
        return self._ask("/ledger")

    def submits(self) -> list[dict[str, Any]]:
        """Every submit that arrived, in order."""
        found: list[dict[str, Any]] = self.ledger()["submits"]
        return found

    def body(self, n: int) -> dict[str, Any]:
        """The body of submit number `n`, as it came."""
        return self._ask(f"/bodies/{n}")

    def billed(self) -> int:
        """Micro-USD."""
        return int(self.ledger()["totals"]["billed"])

    def delivered(self) -> list[dict[str, Any]]:
        """The submits whose pictures somebody has all bytes of."""
        return [each for each in self.submits() if each["delivered"]]

    def forget(self) -> None:
        """Empty the ledger, and put the rules back to those it began with."""
        self._ask("/forget", self.began)

    def _ask(self, path: str, content: dict[str, Any] | None = None) -> dict[str, Any]:
        data = None if content is None else json.dumps(content).encode()
        try:
            with urllib.request.urlopen(urllib.request.Request(self.url + path, data), timeout=30) as answer:
                found: dict[str, Any] = json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                raise ValueError(error.read().decode()) from None
        return found


@contextmanager
def ledger_api(log: Path, **rules: Any) -> Iterator[LedgerApi]:
    """A server on free ports of 127.0.0.1 under these rules, ended by its id.

    Raises:
        RuntimeError: it did not start; with its log.
        ValueError: a rule that there is not.
    """
    root = str(Path(__file__).parents[2])
    with log.open("wb") as errors:
        server = subprocess.Popen(
            [sys.executable, "-m", "tests.ledger.server"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=root,
            env={**os.environ, "PYTHONPATH": root},
            start_new_session=True,  # a Ctrl-C meant for the client is not for its bank
        )
    try:
        assert server.stdout is not None
        line = server.stdout.readline()
        if not line:
            raise RuntimeError(f"the server did not start\n{log.read_text()}")
        url, polls, pictures = (f"http://127.0.0.1:{port}" for port in json.loads(line))
        api = LedgerApi(url, polls, pictures, rules)
        api.rules(**rules)
        yield api
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        if server.stdout is not None:
            server.stdout.close()
