"""Latents of references beyond the process: the same pictures, never of a file that is not what it is named for."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from catalogs.identity import LATENTS
from catalogs.storage.store import Store
from inference.local import kept_latents
from inference.local.engine import DiffusersEngine
from inference.local.tiny import build_tiny
from tasks.latents import LatentShelf
from tests.inference.local.engines import Model, all_pixels, load, new_engine, request

pytestmark = pytest.mark.usefixtures("one_thread")

NAMES = ["a", "b", "c", "d", "e"]


@pytest.fixture
def shelf(tmp_path: Path) -> LatentShelf:
    return LatentShelf(Store.at(str(tmp_path / "output")), "#FFFFFF")


def engine_with(folder: Path, shelf: LatentShelf | None, is_quick: bool = True) -> DiffusersEngine:
    """An engine as another process has it, that has measured already that to read is quicker, or that it is not."""
    engine = new_engine(folder)
    engine.load_with(load, shelf)
    kept = engine._conditioning.references._kept
    for _ in range(kept_latents.LEAST):
        kept.loaded(10.0)
        kept.encoded(0.0, 10.0)
        if not is_quick:
            kept._read.append(100.0)
    return engine


def rendered(engine: DiffusersEngine) -> tuple[dict[int, bytes], dict[str, int]]:
    """Pictures by seed, and what was counted."""
    asked = [request("p", [name], seed) for seed, name in enumerate(NAMES)]
    made = {one.seed: pixels.astype("uint8").tobytes() for one, pixels in all_pixels(engine, asked).items()}
    engine._conditioning.references._kept.finish()
    return made, engine.take_profile().counts


def files(shelf: LatentShelf) -> list[str]:
    return list(shelf._store.list(LATENTS))


def test_another_process_reads_what_one_has_encoded(klein: Model, shelf: LatentShelf) -> None:
    first, counts = rendered(engine_with(klein.folder, shelf))
    assert (counts["references_encoded"], counts["references_read"]) == (5, 0)
    assert len(files(shelf)) == 5
    second, counts = rendered(engine_with(klein.folder, shelf))
    assert (counts["references_encoded"], counts["references_read"]) == (0, 5)
    assert first == second


def test_it_reads_only_where_that_is_measured_to_be_quicker(klein: Model, shelf: LatentShelf) -> None:
    first, _ = rendered(engine_with(klein.folder, shelf))
    engine = new_engine(klein.folder)
    engine.load_with(load, shelf)  # nothing is measured yet
    _, counts = rendered(engine)
    assert counts["references_encoded"] >= kept_latents.LEAST
    slow, counts = rendered(engine_with(klein.folder, shelf, is_quick=False))
    assert (counts["references_encoded"], counts["references_read"]) == (5, 0)
    assert slow == first


@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[:-1], lambda data: data[:-4] + b"abcd"])
def test_a_damaged_file_is_encoded_again(klein: Model, shelf: LatentShelf, damage: object) -> None:
    first, _ = rendered(engine_with(klein.folder, shelf))
    for key in files(shelf):
        shelf._store.write(key, damage(shelf._store.read(key)))  # type: ignore[operator]
    again, counts = rendered(engine_with(klein.folder, shelf))
    assert (counts["references_encoded"], counts["references_read"]) == (5, 0)
    assert again == first
    assert rendered(engine_with(klein.folder, shelf))[1]["references_read"] == 5  # and they are whole again


def test_files_that_changed_places_are_encoded_again(klein: Model, shelf: LatentShelf) -> None:
    first, _ = rendered(engine_with(klein.folder, shelf))
    keys = files(shelf)
    contents = [shelf._store.read(key) for key in keys]
    for key, content in zip(keys, contents[1:] + contents[:1], strict=True):
        shelf._store.write(key, content)
    again, counts = rendered(engine_with(klein.folder, shelf))
    assert counts["references_read"] == 0
    assert again == first


def test_a_vae_in_tiles_has_files_of_its_own(klein: Model, shelf: LatentShelf) -> None:
    rendered(engine_with(klein.folder, shelf))
    tiled = engine_with(klein.folder, shelf)
    tiled._checkpoint.vae.enable_tiling()
    assert rendered(tiled)[1]["references_read"] == 0
    assert rendered(engine_with(klein.folder, shelf))[1]["references_read"] == 5


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_latents_that_are_not_finite_are_not_kept(klein: Model, shelf: LatentShelf, number: float) -> None:
    kept = engine_with(klein.folder, shelf)._conditioning.references._kept
    kept.keep("a", 64, 64, torch.tensor([1.0, number]), 0.0)
    kept.keep("b", 64, 64, torch.tensor([1.0, 2.0]), 0.0)
    kept.finish()
    assert kept.read("a", 64, 64) is None
    assert kept.read("b", 64, 64) is not None
    assert len(files(shelf)) == 1


def test_other_weights_and_another_background_have_files_of_their_own(
    klein: Model, shelf: LatentShelf, tmp_path: Path
) -> None:
    rendered(engine_with(klein.folder, shelf))
    other = build_tiny(tmp_path / "other", "klein", seed=7)
    assert rendered(engine_with(other, shelf))[1]["references_read"] == 0
    green = LatentShelf(shelf._store, "#00FF00")
    assert rendered(engine_with(klein.folder, green))[1]["references_read"] == 0
    assert len(files(shelf)) == 15


def test_another_background_empties_the_caches_of_the_process(klein: Model, shelf: LatentShelf) -> None:
    engine = engine_with(klein.folder, None)
    all_pixels(engine, [request("p", ["a"])])
    engine.load_with(load, shelf)
    all_pixels(engine, [request("p", ["a"])])
    assert engine.take_profile().counts["references_encoded"] == 2


def test_another_shots_picture_is_kept_in_the_process_only(klein: Model, shelf: LatentShelf) -> None:
    engine = engine_with(klein.folder, shelf)
    asked = request("p", ["a"])
    parent = replace(asked.references[0], uri="render:abc")
    all_pixels(engine, [replace(asked, references=(parent,))])
    engine._conditioning.references._kept.finish()
    assert files(shelf) == []


def test_the_folder_is_bounded_and_the_oldest_go(shelf: LatentShelf) -> None:
    small = LatentShelf(shelf._store, "", most_bytes=1000)
    for number in range(101):
        small.write(f"{number:03}.safetensors", b"x" * 100)
        if number < 100:
            time.sleep(0.002)
    left = files(small)
    assert len(left) == 8
    assert left[-1] == f"{LATENTS}/100.safetensors"
    assert left[0] == f"{LATENTS}/093.safetensors"


def test_a_store_that_fails_ends_it_and_no_picture(klein: Model, tmp_path: Path) -> None:
    (tmp_path / "output").mkdir()
    (tmp_path / "output" / LATENTS).write_text("a file where the folder should be")
    broken = LatentShelf(Store.at(str(tmp_path / "output")), "#FFFFFF")
    _, counts = rendered(engine_with(klein.folder, broken))
    assert counts["references_encoded"] == 5
    assert broken._broken.is_set()
