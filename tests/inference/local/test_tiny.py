from __future__ import annotations

import multiprocessing
from pathlib import Path

from tokenizers import Tokenizer

from inference.local.tiny import TINY_MODEL, TINY_REVISION, build_tiny_klein, tiny_checkpoint, tiny_tokenizer
from inference.models.table import MODELS
from inference.models.weights import weights_hash


def test_the_same_recipe_gives_the_same_weights(tmp_path: Path) -> None:
    one, two = build_tiny_klein(tmp_path / "one"), build_tiny_klein(tmp_path / "two")
    assert weights_hash(one) == weights_hash(two)


def test_two_processes_that_build_at_once_get_one_whole_checkpoint(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    with context.Pool(2) as pool:
        folders = pool.map(tiny_checkpoint, [tmp_path, tmp_path])
    assert folders[0] == folders[1]
    assert [path.name for path in tmp_path.iterdir()] == [f"tiny-klein-{TINY_REVISION}"]
    assert (folders[0] / "model_index.json").exists()


def test_a_plan_counts_tokens_as_the_checkpoint_does(tmp_path: Path) -> None:
    text = '{"scene":"a duffle bag, 90 mm lens, f/8","color_palette":["#303037"]} Käse 東京'
    built = Tokenizer.from_file(str(build_tiny_klein(tmp_path) / "tokenizer" / "tokenizer.json"))
    tokenizer, _ = tiny_tokenizer() or (None, "")
    assert tokenizer.encode(text).ids == built.encode(text).ids


def test_the_model_table_knows_this_revision() -> None:
    assert MODELS[TINY_MODEL].revision == TINY_REVISION
