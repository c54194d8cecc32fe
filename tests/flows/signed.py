"""Campaigns that sign, for the tests of credentials."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import inference.credentials.signing as signing_module
from inference.credentials.development import write_development_chain
from inference.credentials.keys import CHAIN, KEY, SIGNER
from tasks.credentials_check import check
from tests.flows.projects import SQUARE, Project

ALONE: dict[str, Any] = {"hero": {"size": "64x64", "references": ["product.hero"], "prompt": {"scene": "a mug"}}}


@pytest.fixture(autouse=True)
def nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in (KEY, CHAIN, SIGNER):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(signing_module, "WAITS", {"wanted": (0.0,), "required": (0.0,)})
    monkeypatch.setattr(signing_module, "REST", 0.0)
    yield
    signing_module._CONTEXTS.forget()


def signing(folder: Path, products: int = 1, key: bool = True, **campaign: Any) -> Project:
    """A campaign that signs, with a development certificate beside it."""
    chosen: dict[str, Any] = {"model": "tiny", "shots": ALONE, "channels": SQUARE, "credentials": True}
    if key:
        write_development_chain(folder / "credentials")
    return Project.of(folder, products, **{**chosen, **campaign})


def verdicts(target: str, **options: Any) -> list[str]:
    return [one.found.verdict.value for one in check(target, **options)]


def only_row(project: Project) -> dict[str, Any]:
    (row,) = project.view().values()
    return row
