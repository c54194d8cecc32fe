"""What a campaign says of how its model computes and whose noise it takes, from the file to the record."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from catalogs.assets.commits import commit_keys, decode_commit
from catalogs.columns import CARRIED
from catalogs.errors import CampaignError, EngineError
from catalogs.plans.file import PlanFile
from catalogs.plans.rows import request_of
from catalogs.storage.store import Store
from tasks.prepare import prepare
from tests.flows.commands import Packshot
from tests.flows.projects import HOSTED_SHOT, Project, make, plan_rows, rendered

CUDA = {"seed_device": "cuda"}
NO_GPU = (
    "seed_device: cuda needs a GPU that torch can use, and this machine has none; "
    "render where there is one, or leave seed_device out, which makes other pictures"
)


def project(folder: Path, **campaign: Any) -> Project:
    return Project.of(folder, 1, **{"model": "tiny", **campaign})


def prints(made: Project) -> list[str]:
    return [row["render_fingerprint"] for row in plan_rows(made.plan())]


def precision(value: Any) -> dict[str, Any]:
    return {"model": {"name": "tiny", "weight_precision": value}}


NO_DEVICE = "seed_device: is none of the known words (found {}); use one of cpu, cuda"
NO_PRECISION = "weight_precision: is none of the known words (found {})"
HOSTED = {"model": "bfl/klein-4b", "shots": HOSTED_SHOT}


@pytest.mark.parametrize(
    ("campaign", "said"),
    [
        ({"seed_device": "gpu"}, NO_DEVICE.format("gpu")),
        ({"seed_device": "CUDA"}, NO_DEVICE.format("CUDA")),
        ({"seed_device": "cuda:0"}, NO_DEVICE.format("'cuda:0'")),
        ({"seed_device": "mps"}, NO_DEVICE.format("mps")),
        ({"seed_device": 0}, NO_DEVICE.format("0")),
        ({"seed_device": []}, NO_DEVICE.format("[]")),
        ({"seed_device": ""}, NO_DEVICE.format("''")),
        ({"seed_device": None}, "seed_device: is empty; write its value"),
        ({"seed_device": True}, "seed_device: is none of the known words, and YAML reads yes, no, on and off"),
        ({"seed_devices": "cuda"}, "seed_devices: "),
        ({"model": {"name": "tiny", "seed_device": "cuda"}}, "model.seed_device: "),
        ({**HOSTED, **CUDA}, "seed_device: bfl/klein-4b draws its noise itself; leave it out"),
        (precision("float8_dynamic"), NO_PRECISION.format("float8_dynamic")),
        (precision("float8 dynamic"), NO_PRECISION.format("float8 dynamic")),
        (precision("fp8"), NO_PRECISION.format("fp8")),
        (precision("int8"), NO_PRECISION.format("int8")),
        (precision(8), NO_PRECISION.format("8")),
        (
            {**HOSTED, "model": {"name": "bfl/klein-4b", "weight_precision": "float8-dynamic"}},
            "model: bfl/klein-4b has no revision or precision to choose; leave it out",
        ),
    ],
)
def test_a_choice_that_is_none_is_one_line_and_nothing_is_written(
    packshot: Packshot, tmp_path: Path, campaign: dict[str, Any], said: str
) -> None:
    made = project(tmp_path, **campaign)
    code, out, err = packshot("plan", made.path)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {made.path}: ")
    assert said in err
    assert err.count("\n") == 1
    assert not (tmp_path / "output").exists()


def test_an_attention_whose_package_is_not_here_is_told_before_anything_starts(
    packshot: Packshot, tmp_path: Path
) -> None:
    made = project(tmp_path)
    code, out, err = packshot("render", made.path, "--attention", "_native_npu")
    assert (code, out) == (2, "")
    assert err.startswith("error: --attention: _native_npu: NPU Attention backend")
    assert err.endswith("; choose another, or leave it out\n")
    assert err.count("\n") == 1
    assert not list((tmp_path / "output").rglob("catalog"))


@pytest.mark.parametrize(
    ("campaign", "same"),
    [
        ({"seed_device": "cpu"}, True),
        (CUDA, False),
        ({"model": "proof", **CUDA}, True),
        ({**HOSTED, "seed_device": "cpu"}, True),
        (precision("float8"), False),
        (precision("float8-dynamic"), False),
    ],
)
def test_fingerprints_change_where_pixels_do(tmp_path: Path, campaign: dict[str, Any], same: bool) -> None:
    plain = {key: value for key, value in campaign.items() if key not in ("seed_device", "model")}
    model = campaign["model"] if isinstance(campaign.get("model"), str) else "tiny"
    before = prints(project(tmp_path / "before", **plain, model=model))
    after = prints(project(tmp_path / "after", **campaign))
    assert (before == after) is same
    assert bool(set(before) & set(after)) is same


def test_each_precision_has_fingerprints_of_its_own(tmp_path: Path) -> None:
    names = ("float32", "bfloat16", "float8", "float8-dynamic")
    made = [prints(project(tmp_path / name, **precision(name))) for name in names]
    assert len({prints[0] for prints in made}) == 4


def test_a_campaign_that_computes_in_8_bits_is_rendered_and_stays(tmp_path: Path) -> None:
    made = project(tmp_path, **precision("float8-dynamic"))
    assert {report.failed for report in made.render()} == {0}
    assert {row["status"] for row in made.view().values()} == {"delivered"}
    assert {row["seed_device"] for row in made.view(masters=True).values()} == {None}
    assert rendered(made.render()) == 0


def test_a_plan_says_whose_noise_it_takes(tmp_path: Path) -> None:
    prepared = project(tmp_path, **CUDA).plan()
    assert PlanFile(prepared.store, prepared.plan_key).header.seed_device == "cuda"
    rows = plan_rows(prepared)
    assert {row["seed_device"] for row in rows} == {"cuda"}
    assert {request_of(row).seed_device for row in rows} == {"cuda"}
    assert "seed_device" in CARRIED


def test_a_proof_takes_no_notice(packshot: Packshot, tmp_path: Path) -> None:
    made = project(tmp_path, model="proof", **CUDA)
    assert {row["seed_device"] for row in plan_rows(made.plan())} == {None}
    made.render()
    assert packshot("status", made.path)[0] == 0
    assert {row["status"] for row in made.view().values()} == {"delivered"}


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_without_a_gpu_no_picture_is_blamed(tmp_path: Path) -> None:
    made = project(tmp_path, shots=HOSTED_SHOT, **CUDA)
    with pytest.raises(EngineError) as caught:
        made.render()
    assert str(caught.value) == NO_GPU
    assert made.view(masters=True) == {}
    made.campaign["seed_device"] = "cpu"
    made.write()
    made.render()
    assert {row["status"] for row in made.view().values()} == {"delivered"}


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_without_a_gpu_the_command_ends_with_the_line_before_anything_starts(
    packshot: Packshot, tmp_path: Path
) -> None:
    made = project(tmp_path, shots=HOSTED_SHOT, **CUDA)
    assert packshot("check", made.path)[0] == 0
    code, out, err = packshot("render", made.path)
    assert (code, out) == (2, "")
    assert err.splitlines()[-1] == f"error: {made.path}: {NO_GPU}"
    assert "starting" not in err
    assert made.view(masters=True) == {}


def rewritten(data: bytes, header: Callable[[dict[str, Any]], None], rows: Callable[[pa.Table], pa.Table]) -> bytes:
    table = pq.read_table(pa.BufferReader(data), use_threads=False)
    said = json.loads(table.schema.metadata[b"packshot"])
    header(said)
    buffer = io.BytesIO()
    metadata = {b"packshot": json.dumps(said).encode()}
    pq.write_table(rows(table).replace_schema_metadata(metadata), buffer)
    return buffer.getvalue()


def column(value: str | None) -> Callable[[pa.Table], pa.Table]:
    """The same rows with one text in their column."""

    def change(table: pa.Table) -> pa.Table:
        place = table.schema.get_field_index("seed_device")
        return table.set_column(place, "seed_device", pa.array([value] * table.num_rows, pa.string()))

    return change


def stored(made: Project, header: Callable[[dict[str, Any]], None], rows: Callable[[pa.Table], pa.Table]) -> str:
    path = made.folder / "plan.parquet"
    prepared = made.plan()
    path.write_bytes(rewritten(prepared.store.read(prepared.plan_key), header, rows))
    return str(path)


def as_before(header: dict[str, Any]) -> None:
    del header["seed_device"]
    header["format"] = 2


def test_a_plan_from_before_is_rendered(tmp_path: Path) -> None:
    made = project(tmp_path)
    plan = stored(made, as_before, lambda table: table.drop_columns(["seed_device"]))
    prepared = prepare(made.path, {}, plan_file=plan)
    assert PlanFile(prepared.store, prepared.plan_key).header.seed_device == "cpu"
    assert rendered(make(prepared)) == 2


@pytest.mark.parametrize(
    ("campaign", "header", "rows", "said"),
    [
        ({}, lambda header: None, column("cuda"), "its seed_device is not the plan's"),
        ({}, lambda header: header.update(CUDA), column("cuda"), "its render fingerprint is not that of what it asks"),
        ({}, lambda header: header.update(CUDA), column(None), "its seed_device is not the plan's"),
        (CUDA, lambda header: None, column(None), "its seed_device is not the plan's"),
        (CUDA, lambda header: header.update(seed_device="cpu"), column(None), "its render fingerprint is not that of"),
        (CUDA, as_before, lambda table: table.drop_columns(["seed_device"]), "its render fingerprint is not that of"),
    ],
)
def test_a_plan_that_was_changed_is_refused(
    tmp_path: Path, campaign: dict[str, Any], header: Any, rows: Any, said: str
) -> None:
    made = project(tmp_path, **campaign)
    with pytest.raises(CampaignError, match=said):
        prepare(made.path, {}, plan_file=stored(made, header, rows))


def test_rows_from_before_are_read_and_say_nothing(tmp_path: Path) -> None:
    made = project(tmp_path, model="proof")
    made.render()
    store = Store.at(str(tmp_path / "output"))
    for key in commit_keys(store):
        table = pq.read_table(pa.BufferReader(store.read(key)), use_threads=False)
        buffer = io.BytesIO()
        pq.write_table(table.drop_columns(["seed_device"]), buffer)
        old = decode_commit(buffer.getvalue())
        assert old.column("seed_device").null_count == old.num_rows
