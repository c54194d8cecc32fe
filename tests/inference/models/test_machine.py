"""What a machine has free, told by a driver's tool that is a program of ours here."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from inference.models.listing import table
from inference.models.machine import Machine, free_host_bytes, this_machine

MIB = 2**20
TWO = "0, GPU-aaaa-1, 20000, NVIDIA L40S\n1, GPU-bbbb-2, 45000, NVIDIA L40S, refurbished\n"


def driver(folder: Path, answer: str, code: int = 0) -> None:
    tool = folder / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\ncat <<'END'\n{answer}END\nexit {code}\n")
    tool.chmod(0o755)


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("answer", "visible", "found"),
    [
        (TWO, None, ("NVIDIA L40S, refurbished", 45000)),
        (TWO, "0", ("NVIDIA L40S", 20000)),
        (TWO, "0,1", ("NVIDIA L40S, refurbished", 45000)),
        (TWO, "GPU-aaaa", ("NVIDIA L40S", 20000)),
        (TWO, "0,7,1", ("NVIDIA L40S", 20000)),
        (TWO, "7,1", None),
        (TWO, "GPU-", None),
        (TWO, " 1 ", ("NVIDIA L40S, refurbished", 45000)),
        (TWO, "", None),
        (TWO, "-1", None),
        ("0, GPU-a, [N/A], NVIDIA GB10\n", None, None),
        ("0, GPU-a, [N/A], NVIDIA GB10\n1, GPU-b, 8000, NVIDIA A2\n", None, ("NVIDIA A2", 8000)),
        ("No devices were found\n", None, None),
        ("", None, None),
    ],
)
def test_the_card_with_most_free_memory_counts(
    tools: Path, monkeypatch: pytest.MonkeyPatch, answer: str, visible: str | None, found: tuple[str, int] | None
) -> None:
    driver(tools, answer)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    machine = this_machine()
    assert machine.host_bytes > 0
    if found is None:
        assert not machine.is_gpu
    else:
        assert machine == Machine(found[0], found[1] * MIB, machine.host_bytes)


def test_a_slice_of_a_card_has_the_memory_of_its_profile(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver(
        tools,
        "GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-aaaa-1)\n"
        "  MIG 1g.10gb     Device  0: (UUID: MIG-cccc-1)\n"
        "  MIG 3g.40gb+me  Device  1: (UUID: MIG-dddd-2)\n",
    )
    seen = {}
    for visible in ("MIG-cccc-1", "MIG-cccc-1,MIG-dddd-2", "MIG-eeee", "MIG-"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        seen[visible] = this_machine()
    assert (seen["MIG-cccc-1"].name, seen["MIG-cccc-1"].device_bytes) == ("MIG 1g.10gb", 10 * 10**9)
    assert seen["MIG-cccc-1,MIG-dddd-2"].name == "MIG 3g.40gb+me"
    assert not seen["MIG-eeee"].is_gpu
    assert not seen["MIG-"].is_gpu


def test_a_driver_that_fails_is_no_card(tools: Path) -> None:
    driver(tools, TWO, code=9)
    assert not this_machine().is_gpu


def test_memory_that_is_available_is_less_than_there_is() -> None:
    assert 0 < free_host_bytes() <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize(
    ("answer", "here"),
    [
        (
            "0, GPU-a, 81000, NVIDIA H100\n",
            {"klein-4b": "resident", "klein-9b": "resident", "klein-base-9b": "resident"},
        ),
        ("0, GPU-a, 18500, NVIDIA RTX 4000\n", {"klein-4b": "resident", "klein-base-4b": "resident"}),
        ("0, GPU-a, 2000, NVIDIA T400\n", dict.fromkeys(["klein-4b", "klein-9b", "klein-9b-kv", "dev"], "too large")),
        ("", dict.fromkeys(["klein-4b", "klein-9b", "klein-9b-kv", "klein-base-4b", "klein-base-9b", "dev"], "no GPU")),
    ],
)
def test_the_model_table_says_what_fits_the_memory_that_is_free(tools: Path, answer: str, here: dict[str, str]) -> None:
    driver(tools, answer)
    rows = {row["name"]: row for row in table()}
    assert {name: rows[name]["here"] for name in here} == here
    assert rows["bfl/pro"]["here"] is rows["tiny"]["here"] is None
    assert (rows["klein-4b"]["memory_gib"], rows["klein-4b"]["least_gib"]) == (18, 12)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (r"0, GPU-\377\376, 40000, H\303100", True),
        (r"0, GPU-a, 40000, NVIDIA H100 80GB\377", True),
        (r"0, GPU-a, ²³, NVIDIA H100", False),
        (r"0, GPU-a, -40000, NVIDIA H100", False),
        (r"0, GPU-a, 4e4, NVIDIA H100", False),
        (r"0, GPU-a, , NVIDIA H100", False),
        (r"\377\000\376", False),
    ],
)
def test_bytes_that_no_driver_says_are_no_card_and_no_error(tools: Path, line: str, found: bool) -> None:
    tool = tools / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\nprintf '{line}\\n'\n")
    tool.chmod(0o755)
    assert this_machine().is_gpu == found
    assert table()
