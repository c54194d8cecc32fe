"""A campaign's choice of model, from the file to the pictures."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from catalogs.errors import ModelError
from catalogs.plans.file import PlanFile
from catalogs.plans.rows import Geometry
from catalogs.plans.sharding import cut_shards
from inference.engine import EngineOptions
from inference.local.tiny import build_tiny
from inference.models.workload import Workload
from tasks.engines import engine_factory, largest_workload
from tasks.shard import run_shard
from tasks.shard_job import ShardJob
from tests.flows.projects import CHANNELS, Project, make, plan_rows

BLOCK = "transformer_blocks.0.attn.to_q"


def lora(path: Path, seed: int = 5) -> Path:
    random = torch.Generator().manual_seed(seed)
    weights = {
        f"transformer.{BLOCK}.lora_A.weight": torch.randn((4, 64), generator=random),
        f"transformer.{BLOCK}.lora_B.weight": torch.randn((64, 4), generator=random),
    }
    save_file(weights, path)
    return path


def project(folder: Path, model: Any) -> Project:
    shots = {"hero": {"size": "64x64", "references": ["product.hero"], "prompt": {"scene": "{{ product.title }}"}}}
    return Project.of(folder, products=1, model=model, shots=shots)


def picture(made: Project) -> np.ndarray[Any, Any]:
    made.render()
    row = next(row for row in made.view().values() if row["channel"] == "wide")
    return np.asarray(Image.open(made.folder / "output" / row["asset_key"])).astype(int)


def test_a_lora_changes_fingerprint_and_picture_and_its_path_does_not(tmp_path: Path) -> None:
    lora(tmp_path / "style.safetensors")
    plain = project(tmp_path / "plain", "tiny")
    styled = project(tmp_path / "styled", {"name": "tiny", "lora": [{"path": "../style.safetensors", "scale": 0.5}]})
    stronger = project(tmp_path / "stronger", {"name": "tiny", "lora": [{"path": "../style.safetensors"}]})
    (tmp_path / "moved").mkdir()
    lora(tmp_path / "moved" / "style.safetensors")
    moved = project(tmp_path / "moved", {"name": "tiny", "lora": [{"path": "style.safetensors", "scale": 0.5}]})

    prints = [plan_rows(one.plan())[0]["render_fingerprint"] for one in (plain, styled, stronger, moved)]
    assert len(set(prints)) == 3
    assert prints[1] == prints[3]
    assert np.abs(picture(plain) - picture(styled)).max() > 20


def test_a_lora_that_changed_after_the_plan_is_refused(tmp_path: Path) -> None:
    path = lora(tmp_path / "style.safetensors")
    prepared = project(tmp_path, {"name": "tiny", "lora": [{"path": "style.safetensors"}]}).plan()
    lora(path, seed=6)
    with pytest.raises(ModelError, match="changed since it was planned"):
        engine_factory(PlanFile(prepared.store, prepared.plan_key).header)


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("gone.safetensors", None, "cannot be read"),
        ("style.ckpt", b"\x80\x04\x95pickle", "is no safetensors file"),
        ("empty.safetensors", b"", "is no safetensors file"),
        ("short.safetensors", b"\xff" * 8, "is no safetensors file"),
        ("weights.safetensors", b"\x02" + b"\0" * 7 + b"{}", "holds no LoRA weights"),
    ],
)
def test_a_bad_lora_is_one_line_at_plan_time(tmp_path: Path, name: str, content: bytes | None, problem: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    made = project(tmp_path, {"name": "tiny", "lora": [{"path": name}]})
    with pytest.raises(ModelError) as caught:
        made.plan()
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "output").exists()


@pytest.mark.parametrize("family", ["base", "kv", "dev"])
def test_a_folder_of_any_family_renders_a_campaign(tmp_path: Path, family: Any) -> None:
    build_tiny(tmp_path / "model", family)
    made = project(tmp_path, {"name": "./model", "weight_precision": "float32"})
    made.campaign["shots"]["hero"]["steps"] = 4
    made.campaign["use"] = "research"
    made.write()
    assert picture(made).std() > 5
    row = next(iter(made.view().values()))
    assert row["guidance"] == (None if family == "kv" else 4.0)


def test_a_proof_of_a_campaign_with_a_lora_needs_no_file(tmp_path: Path) -> None:
    made = project(tmp_path, {"name": "proof", "lora": [{"path": "nowhere.safetensors"}]})
    assert made.plan().summary["renders"] > 0


PHOTO, SMALL = (3000, 2000), (400, 300)


@pytest.mark.parametrize(
    ("geometries", "workload"),
    [
        ([], None),
        ([Geometry(1024, 1024, None, ())], Workload.of(1024, 1024)),
        # a photo of 6 MP is taken at a megapixel: 1248 x 832 in squares of 16
        ([Geometry(1024, 512, None, (PHOTO,))], Workload.of(1024, 512, [(1248, 832)])),
        ([Geometry(512, 512, 4.0, (SMALL,))], Workload.of(512, 512, [(400, 288)], second_forward=True)),
        ([Geometry(512, 512, 1.0, ())], Workload.of(512, 512)),
        (
            [Geometry(2048, 1024, None, ()), Geometry(512, 512, 4.0, (PHOTO, SMALL))],
            # the picture of one, the references of the other, and the longer sequence of the two: 128 x 64 tokens
            Workload(2048, 1024, 8192, 78 * 52 + 25 * 18, 1248 * 832, 1, True),
        ),
    ],
)
def test_the_largest_of_a_plan_is_each_measure_for_itself(
    geometries: list[Geometry], workload: Workload | None
) -> None:
    assert largest_workload(geometries) == workload


def test_a_shard_loads_its_engine_for_the_largest_of_its_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import inference.local.engine as engines

    asked: list[Workload | None] = []
    load = engines.load_checkpoint
    monkeypatch.setattr(engines, "_engines", {})
    monkeypatch.setattr(engines, "load_checkpoint", lambda *rest: (asked.append(rest[-1]), load(*rest))[1])
    prepared = project(tmp_path, "tiny").plan()
    plan = PlanFile(prepared.store, prepared.plan_key)
    engine_factory(plan.header, plan=plan)(lambda reference: Image.new("RGB", (8, 8)))
    assert asked[0] is not None
    assert (asked[0].width, asked[0].height) == (64, 64)
    assert asked[0].reference_tokens > 0


def test_a_row_says_what_made_it_quicker_and_photos_are_kept_for_other_processes(tmp_path: Path) -> None:
    made = project(tmp_path, "tiny")
    prepared = made.plan()
    plan = PlanFile(prepared.store, prepared.plan_key)
    factory = engine_factory(plan.header, EngineOptions(decoder="folded"), plan)
    for stage in cut_shards(plan, 1e9, 100):
        for shard in stage:
            job = ShardJob(prepared.plan_key, prepared.store, prepared.run_id, shard)
            assert run_shard(job, factory, lambda delivered, failed: None).failed == 0
    rows = list(made.view().values())
    assert {dict(row["versions"]).get("acceleration") for row in rows} == {"folded"}
    assert made.plan().summary["renders"] == 0  # how a picture was made enters no fingerprint
    kept, deadline = tmp_path / "output" / "latents", time.monotonic() + 60
    while not list(kept.glob("*.safetensors")) and time.monotonic() < deadline:
        time.sleep(0.05)  # written behind the shard
    assert len(list(kept.glob("*.safetensors"))) == 1
    shutil.rmtree(kept)
    assert made.plan().summary["renders"] == 0


def test_a_prompt_is_counted_as_the_tiny_model_reads_it(tmp_path: Path) -> None:
    """Its vocabulary takes twice the tokens of a real one: what it cannot read is left out of the plan, not tried."""
    shots = {"hero": {"size": "64x64", "prompt": {"scene": "{{ product.title }}"}}}
    project = Project.of(tmp_path, products=2, model="tiny", shots=shots, channels=CHANNELS[:1])
    project.products[1]["title"] = "a mug of white clay " * 40
    project.write()
    prepared = project.plan()
    assert prepared.summary["rejected"] == 1
    [report] = make(prepared)
    assert (report.delivered, report.failed) == (1, 0)
