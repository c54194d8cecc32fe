from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from catalogs.campaigns.master_sizes import MAX_PIXELS, MAX_SIDE, MIN_SIDE, SIDE_MULTIPLE, is_legal_size
from catalogs.errors import ModelError
from inference.local.tiny import TINY_MODEL, TINY_REVISION
from inference.models.estimates import estimate_cost, estimate_seconds
from inference.models.limits import refuse_guidance, refuse_references, refuse_size, refuse_steps, refuse_use
from inference.models.listing import table
from inference.models.lookup import resolve_model
from inference.models.specs import ModelSpec, Prices
from inference.models.table import MODELS
from inference.models.weights import weights_hash
from inference.proofs.engine import PROOF_REVISION

KLEIN, FLEX, PRO = MODELS["klein-4b"], MODELS["bfl/flex"], MODELS["bfl/pro"]


def test_every_promised_model_is_there() -> None:
    assert list(MODELS) == [
        *("klein-4b", "klein-9b", "klein-9b-kv", "klein-base-4b", "klein-base-9b", "dev"),
        *("bfl/klein-4b", "bfl/klein-9b", "bfl/klein-9b-preview"),
        *("bfl/pro", "bfl/pro-preview", "bfl/flex", "bfl/max", "tiny", "proof"),
    ]


@pytest.mark.parametrize("spec", MODELS.values(), ids=MODELS)
def test_a_models_own_defaults_are_allowed(spec: ModelSpec) -> None:
    assert refuse_steps(spec, spec.default_steps) is None
    assert refuse_guidance(spec, spec.default_guidance) is None
    assert refuse_size(spec, 1024, 1024) is None
    assert refuse_use(spec, "research") is None


def test_the_table_agrees_with_the_modules_it_speaks_for() -> None:
    tiny, proof = MODELS[TINY_MODEL], MODELS["proof"]
    assert (tiny.revision, tiny.weight_precision) == (TINY_REVISION, "float32")
    assert proof.revision == PROOF_REVISION
    limits = (KLEIN.size_multiple, KLEIN.min_side, KLEIN.max_side, KLEIN.max_pixels)
    assert limits == (SIDE_MULTIPLE, MIN_SIDE, MAX_SIDE, MAX_PIXELS)


def test_local_models_are_pinned_to_a_commit() -> None:
    for name in ("klein-4b", "klein-9b", "klein-9b-kv", "klein-base-4b", "klein-base-9b", "dev"):
        revision = MODELS[name].revision
        assert len(revision) == 40, name
        assert int(revision, 16), name


BASE: dict[str, Any] = {
    "name": "x",
    "engine": "diffusers",
    "repository": "r",
    "licence": "l",
    "commercial": True,
    "default_steps": 4,
    "max_references": 1,
}


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": (5, 9)},
        {"default_guidance": 4.0},
        {"engine": "bfl"},
        {"prices": Prices(1, 1, 1)},
        {"max_references": -1},
    ],
)
def test_a_contradictory_entry_is_refused(wrong: dict[str, Any]) -> None:
    ModelSpec(**BASE)
    with pytest.raises(ValueError, match="x: "):
        ModelSpec(**{**BASE, **wrong})


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("klein4b", "did you mean 'klein-4b'"),
        ("Klein-9B", "did you mean 'klein-9b'"),
        ("bfl/prov", "did you mean 'bfl/pro'"),
        ("black-forest-labs/FLUX.2-klein-9B", "did you mean 'klein-9b'?"),
        ("flux-2-pro", "did you mean 'bfl/pro'?"),
        ("FLUX.2-dev", "did you mean 'dev'?"),
        ("sdxl", "use one of klein-4b, "),
    ],
)
def test_an_unknown_name_names_the_nearest(name: str, fix: str) -> None:
    with pytest.raises(ModelError) as caught:
        resolve_model(name, "campaign.yaml")
    assert str(caught.value).startswith(f"campaign.yaml: model: there is no model {name!r}; ")
    assert fix in str(caught.value)


TEMPLATE = "tokenizer/chat_template.jinja"
SAYS = b"{% for message in messages %}{{ message.content }}{% endfor %}"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"
PAGE = b"<!DOCTYPE html><html><body>Sign in</body></html>"


def checkpoint(folder: Path, heads: int = 24, **index: object) -> Path:
    """What is read of a checkpoint without loading it."""
    for part in ("transformer", "vae", "text_encoder"):
        (folder / part).mkdir(parents=True)
        (folder / part / "config.json").write_text("{}")
        (folder / part / "model.safetensors").write_bytes(tensors({"weight": 8}))
    for name in ("scheduler/scheduler_config.json", "tokenizer/tokenizer_config.json", "tokenizer/tokenizer.json"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("{}")
    (folder / TEMPLATE).write_bytes(SAYS)
    index = {"_class_name": "Flux2KleinPipeline", "is_distilled": True, **index}
    (folder / "model_index.json").write_text(json.dumps(index))
    (folder / "transformer" / "config.json").write_text(json.dumps({"num_attention_heads": heads}))
    return folder


def tensors(sizes: dict[str, int]) -> bytes:
    """A safetensors file of bytes."""
    names, at = {}, 0
    for name, size in sizes.items():
        names[name] = {"dtype": "U8", "shape": [size], "data_offsets": [at, at + size]}
        at += size
    head = json.dumps(names).encode()
    return len(head).to_bytes(8, "little") + head + bytes(at)


def without(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).unlink()


def written(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(content)


INDEX = b'{"weight_map": {"a": "model.safetensors", "b": "model-2.safetensors", "c": "model-3.safetensors"}}'


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (without("transformer/config.json"), "transformer: holds no readable config.json"),
        (without("text_encoder/config.json"), "text_encoder: holds no readable config.json"),
        (written("vae/config.json", b"[" * 100_000), "vae: holds no readable config.json"),
        (written("vae/config.json", b"\xff"), "vae: holds no readable config.json"),
        (without("vae/model.safetensors"), "vae: holds no .safetensors weights"),
        (without("tokenizer/tokenizer.json"), "tokenizer: holds no readable tokenizer.json"),
        (written("tokenizer/tokenizer.json", POINTER), "tokenizer: holds no readable tokenizer.json"),
        (without("tokenizer/tokenizer_config.json"), "tokenizer: holds no readable tokenizer_config.json"),
        (written("tokenizer/tokenizer_config.json", PAGE), "tokenizer: holds no readable tokenizer_config.json"),
        (without(TEMPLATE), "tokenizer: holds no chat_template.jinja"),
        (written(TEMPLATE, PAGE), "tokenizer: chat_template.jinja is no chat template"),
        (written(TEMPLATE, POINTER), "tokenizer: chat_template.jinja is no chat template"),
        (written(TEMPLATE, b""), "tokenizer: chat_template.jinja is no chat template"),
        (written(TEMPLATE, SAYS[:-9]), "tokenizer: chat_template.jinja breaks off or is damaged, at line 1"),
        (without("scheduler/scheduler_config.json"), "scheduler: holds no readable scheduler_config.json"),
        (written("scheduler/scheduler_config.json", PAGE), "scheduler: holds no readable scheduler_config.json"),
        (
            written("vae/model.safetensors.index.json", PAGE),
            "vae: holds no readable model.safetensors.index.json",
        ),
        (
            lambda folder: (folder / "vae/model.safetensors").rename(folder / "vae/m-00001-of-00002.safetensors"),
            "vae: lacks the .safetensors.index.json of m-00001-of-00002.safetensors",
        ),
        (written("vae/model.safetensors", b""), "vae: model.safetensors is no safetensors file"),
        (written("vae/model.safetensors", b"[" * 9), "vae: model.safetensors is no safetensors file"),
        (written("vae/model.safetensors", b"version https://git-lfs"), "vae: model.safetensors is no safetensors file"),
        (
            written("vae/model.safetensors", tensors({"a": 90, "b": 1000})[:-1]),
            "vae: model.safetensors ends too early, at 1,226 of 1,227 bytes",
        ),
        (
            written("transformer/model.safetensors.index.json", INDEX),
            "transformer: lacks model-2.safetensors and 1 more",
        ),
    ],
)
def test_a_damaged_folder_is_refused_before_anything_is_planned(
    tmp_path: Path, damage: Callable[[Path], object], problem: str
) -> None:
    folder = checkpoint(tmp_path / "mine")
    damage(folder)
    with pytest.raises(ModelError) as caught:
        resolve_model(str(folder), "campaign.yaml")
    assert str(caught.value) == f"{folder}: {problem}; fetch its files again"


def test_a_tokenizer_of_an_older_version_is_whole(tmp_path: Path) -> None:
    """Words and merges in files of their own, the template in its configuration; or one with a tag of transformers."""
    folder = checkpoint(tmp_path / "mine")
    (folder / TEMPLATE).write_bytes(b"{%- generation -%}" + SAYS + b"{% endgeneration %}")
    assert resolve_model(str(folder), "campaign.yaml").revision
    for name in ("tokenizer/tokenizer.json", TEMPLATE):
        (folder / name).unlink()
    (folder / "tokenizer" / "vocab.json").write_text("{}")
    (folder / "tokenizer" / "tokenizer_config.json").write_text(json.dumps({"chat_template": SAYS.decode()}))
    with pytest.raises(ModelError, match=r"tokenizer: holds no merges\.txt; fetch its files again"):
        resolve_model(str(folder), "campaign.yaml")
    (folder / "tokenizer" / "merges.txt").write_text("")
    assert resolve_model(str(folder), "campaign.yaml").revision


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"weight_map": []}', b'{"weight_map": {"a": null}}'])
def test_an_index_that_is_none_ends_in_a_line(tmp_path: Path, content: bytes) -> None:
    folder = checkpoint(tmp_path / "mine")
    (folder / "vae" / "model.safetensors.index.json").write_bytes(content)
    with suppress(ModelError):
        assert resolve_model(str(folder), "campaign.yaml").revision


def test_a_local_folder_is_a_klein_by_its_own_files(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "mine")
    spec = resolve_model(str(folder), "elsewhere/campaign.yaml")
    assert spec.name == spec.repository == str(folder.resolve())
    assert spec.revision == weights_hash(folder)
    assert (spec.default_steps, spec.guidance, spec.max_references) == (4, None, 4)
    assert spec.seconds_per_megapixel == KLEIN.seconds_per_megapixel
    assert refuse_use(spec, "commercial") is None


def test_a_relative_folder_is_relative_to_the_campaign(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "models" / "mine")
    spec = resolve_model("models/mine", str(tmp_path / "campaign.yaml"))
    assert spec.name == str(folder.resolve())


def test_a_local_folder_of_the_9b_keeps_its_licence(tmp_path: Path) -> None:
    spec = resolve_model(str(checkpoint(tmp_path / "nine", heads=32)), "campaign.yaml")
    assert "does not allow commercial" in (refuse_use(spec, "commercial") or "")
    assert refuse_use(spec, "research") is None


@pytest.mark.parametrize(
    ("index", "heads", "family", "steps", "guidance", "like"),
    [
        ({"is_distilled": False}, 24, "base", 50, 4.0, "klein-base-4b"),
        ({"is_distilled": False}, 32, "base", 50, 4.0, "klein-base-9b"),
        ({"_class_name": "Flux2KleinKVPipeline", "is_distilled": False}, 32, "kv", 4, None, "klein-9b"),
        ({"_class_name": "Flux2Pipeline", "is_distilled": False}, 48, "dev", 50, 4.0, "dev"),
    ],
)
def test_a_folder_has_the_rules_of_its_class(
    tmp_path: Path,
    index: dict[str, object],
    heads: int,
    family: str,
    steps: int,
    guidance: float | None,
    like: str,
) -> None:
    spec = resolve_model(str(checkpoint(tmp_path / "mine", heads, **index)), "campaign.yaml")
    assert (spec.family, spec.default_steps, spec.default_guidance) == (family, steps, guidance)
    assert spec.seconds_per_megapixel == MODELS[like].seconds_per_megapixel
    assert spec.commercial == MODELS[like].commercial


@pytest.mark.parametrize(
    ("index", "problem"),
    [
        (None, "holds no readable model_index.json"),
        ("{", "holds no readable model_index.json"),
        ('{"_class_name":"FluxPipeline"}', "holds a FluxPipeline, which is no FLUX.2 pipeline"),
    ],
)
def test_a_folder_of_something_else_is_refused(tmp_path: Path, index: str | None, problem: str) -> None:
    if index is not None:
        (tmp_path / "model_index.json").write_text(index)
    with pytest.raises(ModelError, match=problem):
        resolve_model(str(tmp_path), "campaign.yaml")


def test_only_some_licences_allow_commercial_work() -> None:
    refused = {name for name, spec in MODELS.items() if refuse_use(spec, "commercial")}
    assert refused == {"klein-9b", "klein-9b-kv", "klein-base-9b", "dev"}
    assert "use klein-4b, or set use: research" in (refuse_use(MODELS["dev"], "commercial") or "")


@pytest.mark.parametrize(
    ("size", "says"),
    [
        ((1024, 1024), None),
        ((2048, 2048), None),
        ((64, 64), None),
        ((1920, 1080), "multiples of 16; use 1920x1072"),
        ((48, 512), "sides must be 64 to 4096 pixels; use 64x512"),
        ((4112, 64), "sides must be 64 to 4096 pixels; use 4096x64"),
        ((2064, 2048), "at most 4194304 pixels; use 2048x2032"),
    ],
)
def test_sizes(size: tuple[int, int], says: str | None) -> None:
    problem = refuse_size(KLEIN, *size)
    assert (problem is None) == is_legal_size(*size)
    if says is None:
        assert problem is None
    else:
        assert says in (problem or "")
        assert refuse_size(KLEIN, *map(int, (problem or "").rpartition("use ")[2].split("x"))) is None


@pytest.mark.parametrize(
    ("problem", "says"),
    [
        (refuse_steps(KLEIN, 8), "steps 8: klein-4b takes 4; correct it or leave steps out"),
        (refuse_steps(FLEX, 51), "steps 51: bfl/flex takes 1-50; correct it or leave steps out"),
        (refuse_steps(PRO, 20), "steps 20: bfl/pro takes none; leave steps out"),
        (refuse_guidance(KLEIN, 3.5), "guidance 3.5: klein-4b takes none; leave guidance out"),
        (refuse_guidance(FLEX, 1.0), "guidance 1: bfl/flex takes 1.5-10; correct it or leave guidance out"),
        (refuse_guidance(MODELS["proof"], 7.0), None),
        (refuse_references(KLEIN, 4), None),
        (refuse_references(KLEIN, 5), "has 5 references, klein-4b takes at most 4; leave some out"),
    ],
)
def test_what_a_model_does_not_take(problem: str | None, says: str | None) -> None:
    assert problem == says


def test_seconds_grow_with_size_and_references() -> None:
    one = estimate_seconds(KLEIN, 1024, 1024, 0)
    assert one == pytest.approx(0.5)
    assert estimate_seconds(KLEIN, 2048, 1024, 0) == pytest.approx(2 * one)
    assert estimate_seconds(KLEIN, 1024, 1024, 3) == pytest.approx(4.9 * one)
    kv = MODELS["klein-9b-kv"]
    assert estimate_seconds(kv, 1024, 1024, 3) < estimate_seconds(MODELS["klein-9b"], 1024, 1024, 3)
    assert estimate_seconds(PRO, 1024, 1024, 3) == 0.0


@pytest.mark.parametrize(
    ("name", "size", "references", "low", "high"),
    [
        ("klein-4b", (1024, 1024), [2**20], 0.0, 0.0),
        ("bfl/klein-4b", (992, 992), [], 0.014, 0.014),
        ("bfl/pro", (256, 256), [], 0.03, 0.03),
        ("bfl/pro", (1024, 1024), [], 0.03, 0.045),
        ("bfl/pro", (1024, 1024), [2**20], 0.045, 0.075),
        ("bfl/flex", (2048, 1024), [], 0.10, 0.15),
        # A large reference is shrunk to 4 MP before it is counted.
        ("bfl/max", (992, 992), [100_000_000], 0.19, 0.22),
    ],
)
def test_prices(name: str, size: tuple[int, int], references: list[int], low: float, high: float) -> None:
    assert estimate_cost(MODELS[name], *size, references) == pytest.approx((low, high))


def test_the_table_for_people_is_json() -> None:
    rows = json.loads(json.dumps(table()))
    assert [row["name"] for row in rows] == list(MODELS)
    klein = rows[0]
    assert (klein["steps"], klein["guidance"], klein["usd_first_mp"]) == ("4", None, None)
    assert len({tuple(row) for row in rows}) == 1


def test_importing_the_table_stays_light() -> None:
    heavy = ("torch", "transformers", "tokenizers", "pydantic", "yaml", "numpy", "PIL")
    code = f"import sys, inference.models.table; print([m for m in {heavy} if m in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
