"""Whose process is gone: of this machine alone, and never of another one that bears its name."""

from __future__ import annotations

import pytest

from catalogs.journal.lease import boot_name

OTHER_BOOT = "0f0f0f0f-0000-4000-8000-000000000000/pid:[1]"


@pytest.mark.parametrize(
    ("pid", "started", "machine", "boot", "gone"),
    [
        ("4194304", "", "m1", "", True),  # no process has so high a number
        ("1", "-1", "m1", "", True),  # the number was given again
        ("4194304", "", "m1", OTHER_BOOT, True),  # booted since
        ("4194304", "", "m2", OTHER_BOOT, False),  # another machine of this name
        ("4194304", "", "", OTHER_BOOT, False),  # which nobody can tell
        ("x", "", "m1", "", False),
    ],
)
def test_what_is_known_of_a_process(
    monkeypatch: pytest.MonkeyPatch, pid: str, started: str, machine: str, boot: str, gone: bool
) -> None:
    from flows import alive

    monkeypatch.setattr(alive, "_machine", lambda: "m1")
    [host, mine] = alive.process_tags()
    assert not alive.is_gone([host, mine]), "it lives"
    tags = [host, f"process:{pid}:{started}:{machine}:{boot or boot_name()}"]
    assert alive.is_gone(tags) is gone
    assert not alive.is_gone(tags[1:]), "of no host"
    assert not alive.is_gone(["host:another", tags[1]])
    monkeypatch.setattr(alive, "_machine", lambda: "")
    if boot == OTHER_BOOT:
        assert not alive.is_gone(tags), "a container has no identity"
