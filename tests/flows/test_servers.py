"""Campaigns on image servers, from the file to the store: what is refused and said, and what becomes of a run."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from catalogs.assets.history import read_current
from catalogs.plans.clock import by_the_clock
from inference.local.tiny import build_tiny
from inference.servers import asked
from inference.servers.engine import close_connections
from tests.flows.commands import Packshot
from tests.flows.projects import HOSTED_SHOT, SQUARE, Project
from tests.image_server import MODEL, SWITCHES, ImageServer, image_server, image_servers

LIMITS = {"megapixels": 1, "references": 3, "tokens": 1024, "steps": 8, "licence": "Apache-2.0", "commercial": True}


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No verdict of another test, no connection left open, and no long wait for what is not there."""
    monkeypatch.setenv("PACKSHOT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(asked, "SECONDS", 0.0)
    yield
    close_connections()


@pytest.fixture(scope="module")
def pair() -> Iterator[list[ImageServer]]:
    with image_servers({}, {}) as servers:
        yield servers


@pytest.fixture
def servers(pair: list[ImageServer]) -> list[ImageServer]:
    """Two servers for many tests, as they were when they started."""
    for server in pair:
        server.switch(**SWITCHES)
    return pair


def project(folder: Path, servers: list[ImageServer], products: int = 2, **changes: Any) -> Project:
    model = {"name": "klein-4b", "server": ", ".join(server.url for server in servers), **changes.pop("model", {})}
    return Project.of(folder, products, **{"model": model, "shots": HOSTED_SHOT, "channels": SQUARE, **changes})


REFUSED: list[tuple[str, dict[str, Any], dict[str, Any], int, str]] = [
    ("another model", {"model": "black-forest-labs/FLUX.2-dev"}, {}, 2, "serves black-forest-labs/FLUX.2-dev"),
    ("another precision", {"precision": "fp8"}, {}, 2, "they make different pictures"),
    ("no address", {}, {"server": "gpu a"}, 2, "characters that no address has"),
    ("no server", {}, {"server": " , "}, 2, "names no server"),
    ("a password", {}, {"server": "http://me:secret@gpu-a"}, 2, "keys are taken from the environment"),
    ("a hosted model", {}, {"name": "bfl/klein-4b"}, 2, "bfl/klein-4b runs on no server"),
    ("proofs", {}, {"name": "proof"}, 2, "proof runs on no server"),
    ("no limits", {}, {"name": "Qwen-Image-Edit"}, 2, "write limits: with megapixels, references, tokens"),
    ("limits of the table", {}, {"limits": LIMITS}, 2, "klein-4b is in the table"),
    ("half of the limits", {}, {"name": "Qwen-Image", "limits": {"steps": 8}}, 2, "megapixels"),
    ("no size", {}, {"name": "Q", "limits": {**LIMITS, "min_side": 999, "max_side": 1000}}, 2, "no multiple of 16 is"),
    ("small", {}, {"name": "Q", "limits": {**LIMITS, "megapixels": 0.003}}, 2, "less than the smallest picture, 64x64"),
    (
        "endless",
        {},
        {"name": "Q", "limits": {**LIMITS, "seconds": float("inf")}},
        2,
        "limits.seconds: must be a finite",
    ),
    ("no word of use", {}, {"name": "Q", "limits": {**LIMITS, "commercial": False}}, 2, "write commercial: true if"),
    ("a revision", {}, {"revision": "abc"}, 2, "the servers decide on revision and precision"),
    ("a precision", {}, {"weight_precision": "float8"}, 2, "the servers decide on revision and precision"),
    ("a LoRA file", {}, {"lora": [{"path": "soft.safetensors"}]}, 2, "the servers do not list 'soft'"),
    ("a licence", {"model": "black-forest-labs/FLUX.2-dev"}, {"name": "dev"}, 2, "does not allow commercial work"),
    (
        "none within reach",
        {},
        {"server": "http://127.0.0.1:9"},
        1,
        "no server answers: http://127.0.0.1:9: ConnectError",
    ),
    ("no such seed", {}, {"server_seed": "maybe"}, 2, "server_seed"),
]


@pytest.mark.parametrize(
    ("switches", "model", "code", "said"), [row[1:] for row in REFUSED], ids=[r[0] for r in REFUSED]
)
def test_what_cannot_be_is_refused_in_a_line(
    packshot: Packshot,
    servers: list[ImageServer],
    tmp_path: Path,
    switches: dict[str, Any],
    model: dict[str, Any],
    code: int,
    said: str,
) -> None:
    servers[1].switch(**switches)
    made = project(tmp_path / "shop", servers, model=model)
    found, _, err = packshot("plan", made.path)
    assert found == code, err
    [line] = [line for line in err.splitlines() if line.startswith("error:")]
    assert said in line
    assert "secret" not in line
    assert not list((tmp_path / "shop").glob("output/runs/*"))
    servers[1].switch(**SWITCHES)
    good = project(tmp_path / "good", servers)
    assert packshot("plan", good.path)[0] == 0


@pytest.mark.parametrize("key", ["server_seed", "limits"])
def test_keys_for_servers_want_a_server(packshot: Packshot, tmp_path: Path, key: str) -> None:
    value = "ignored" if key == "server_seed" else LIMITS
    made = Project.of(tmp_path / "shop", 1, model={"name": "tiny", key: value})
    code, _, err = packshot("plan", made.path)
    assert (code, f"model.{key}: is for image servers" in err) == (2, True), err


def test_one_server_within_reach_is_enough_to_plan(
    packshot: Packshot, servers: list[ImageServer], tmp_path: Path
) -> None:
    servers[1].switch(key="hidden")
    listed = ["http://127.0.0.1:9", *(server.url for server in servers)]
    made = project(tmp_path / "shop", servers, model={"server": ", ".join(listed)})
    code, out, err = packshot("plan", made.path)
    assert (code, "servers that cannot be used now: 2 of 3 (http://127.0.0.1:9: ConnectError" in out) == (0, True), err
    assert f"{listed[2]}: wants a key, in PACKSHOT_SERVER_KEY (HTTP 401: bad key none))" in out


def test_a_plan_says_how_long_its_servers_take_together(
    packshot: Packshot, servers: list[ImageServer], tmp_path: Path
) -> None:
    slow = {"name": "Slow", "limits": {**LIMITS, "seconds": 25_600}}  # 100 s for a picture of 64x64
    for server in servers:
        server.switch(model="Slow")
    both, one = (project(tmp_path / str(count), servers[:count], 4, model=slow, megapixels=1) for count in (2, 1))
    out = packshot("plan", both.path)[1]
    assert "4 renders, about 400 s of engine time, 200 s on 2 image servers\n" in out
    assert "with a size a channel, about 400 s of engine time\n" in out
    said = json.loads(packshot("plan", both.path, "--json")[1])
    assert (said["seconds"], said["servers"], by_the_clock(said, said["seconds"])) == (400, 2, 200)
    out = packshot("plan", one.path)[1]
    assert "4 renders, about 400 s of engine time\n" in out
    both.campaign["budget"] = {"max_gpu_hours": 0.1}  # 360 s of all GPUs together
    both.write()
    code, _, err = packshot("plan", both.path)
    assert (code, "the plan needs about 0.11 GPU hours" in err) == (2, True), err


def test_a_render_is_complete_and_names_no_address(
    packshot: Packshot, prefect_harness: None, servers: list[ImageServer], tmp_path: Path
) -> None:
    made = project(tmp_path / "shop", servers, 6)
    code, out, err = packshot("render", made.path, "--json")
    assert (code, json.loads(out)["complete"]) == (0, True), err
    rows = read_current(made.store).to_pylist()
    assert {(row["model"], row["engine"]) for row in rows} == {("server/klein-4b", "server")}
    assert {dict(row["versions"])["seed"] for row in rows} == {"honoured"}
    assert not [row for row in rows if "127.0.0.1" in repr(row)]
    before = sum(server.seen["made"] for server in servers)
    code, out, _ = packshot("render", made.path, "--json")
    assert (code, json.loads(out)["complete"]) == (0, True)
    assert sum(server.seen["made"] for server in servers) == before
    with image_server(kind="vllm-omni", precision="") as other:  # says nothing of its precision
        made.campaign["model"]["server"] = other.url
        made.write()
        assert json.loads(packshot("plan", made.path, "--json")[1])["actions"] == {"changed": 6}


def test_an_approved_plan_is_made_on_the_servers_it_names(
    packshot: Packshot, prefect_harness: None, servers: list[ImageServer], tmp_path: Path
) -> None:
    made = project(tmp_path / "shop", servers, 3)
    plan = str(tmp_path / "approved.parquet")
    assert packshot("plan", made.path, "--output", plan)[0] == 0
    servers[0].switch(precision="fp8")  # started anew, otherwise
    code, _, err = packshot("render", made.path, "--plan", plan)
    assert (code, "they make different pictures" in err) == (2, True), err
    servers[0].switch(precision="bf16")
    code, out, err = packshot("render", made.path, "--plan", plan, "--json")
    assert (code, json.loads(out)["complete"]) == (0, True), err


def test_a_model_of_no_table_renders_within_its_limits(
    packshot: Packshot, prefect_harness: None, tmp_path: Path
) -> None:
    with image_server(model="Qwen/Qwen-Image-Edit") as server:
        model = {"name": "Qwen-Image-Edit", "limits": LIMITS}
        made = project(tmp_path / "shop", [server], 1, model=model)
        code, out, err = packshot("render", made.path, "--json")
        assert (code, json.loads(out)["complete"]) == (0, True), err
        coarse = {**model, "limits": {**LIMITS, "multiple": 256}}
        assert (
            "64x64: both sides must be multiples of 256; use 256x256"
            in packshot("plan", project(tmp_path / "coarse", [server], 1, model=coarse).path)[2]
        )
        large = {"hero": {**HOSTED_SHOT["hero"], "size": "2048x2048"}}
        made = project(tmp_path / "large", [server], 1, model=model, shots=large)
        code, _, err = packshot("plan", made.path)
        assert (code, "renders at most 1048576 pixels" in err) == (2, True), err


def test_a_lora_file_that_every_server_lists(packshot: Packshot, servers: list[ImageServer], tmp_path: Path) -> None:
    for server in servers:
        server.switch(loras=["soft"])
    made = project(tmp_path / "shop", servers, 1, model={"lora": [{"path": "soft.safetensors"}]})
    assert packshot("plan", made.path)[0] == 0
    made = project(tmp_path / "half", servers, 1, model={"lora": [{"path": "soft.safetensors", "scale": 0.5}]})
    assert "merges a file at scale 1" in packshot("plan", made.path)[2]
    servers[1].switch(loras=[])
    made = project(tmp_path / "one", servers, 1, model={"lora": [{"path": "soft.safetensors"}]})
    assert "the servers do not list 'soft'" in packshot("plan", made.path)[2]


@pytest.mark.parametrize(
    ("switches", "wanted"),
    [
        ({}, {"seed": "honoured", "steps": "honoured", "references": "honoured", "precision": "bf16"}),
        ({"seed": "ignored"}, {"seed": "ignored", "steps": "not told: no two pictures can be compared"}),
        ({"steps": "ignored"}, {"seed": "honoured", "steps": "ignored"}),
        ({"order": "ignored"}, {"references": "ignored", "steps": "honoured"}),
        ({"refuse": "image 1"}, {"references": "not told: HTTP 400: the prompt is refused"}),
        ({"model": "Qwen/Qwen-Image"}, {"serves": "Qwen/Qwen-Image", "seed": "honoured"}),
    ],
)
def test_a_check_tells_a_verdict_a_line(
    packshot: Packshot, servers: list[ImageServer], switches: dict[str, Any], wanted: dict[str, str]
) -> None:
    servers[0].switch(**switches)
    code, out, err = packshot("models", "--check", servers[0].url)
    assert code == 0, err
    told = {name: value for name, _, value in (line.partition(" ") for line in out.splitlines())}
    assert {name: told[name].strip() for name in wanted} == wanted


@pytest.mark.parametrize(
    ("listed", "code", "said"),
    [("http://127.0.0.1:9", 1, "ConnectError"), ("ftp://gpu-a", 2, "is no address of http or https")],
)
def test_a_check_of_what_is_no_server(packshot: Packshot, listed: str, code: int, said: str) -> None:
    found, _, err = packshot("models", "--check", listed)
    assert (found, said in err) == (code, True), err


def test_pictures_of_a_server_with_the_stock_pipeline_are_those_of_the_local_engine(tmp_path: Path) -> None:
    shots = {"hero": {"size": "64x64", "references": ["product.hero"], "prompt": {"scene": "{{ product.title }}"}}}
    channels = [{"name": "square", "width": 64, "height": 64, "format": "png"}]
    folder = build_tiny(tmp_path / "tiny", "klein")
    ours_of = {"name": str(folder), "weight_precision": "float32"}
    local = Project.of(tmp_path / "local", 3, model=ours_of, shots=shots, channels=channels)
    local.render()
    with image_servers({"model": str(folder)}, checkpoint=str(folder)) as servers:
        model = {"name": "tiny", "server": servers[0].url}
        served = Project.of(tmp_path / "served", 3, model=model, shots=shots, channels=channels)
        served.render()
    ours, theirs = local.view(), served.view()
    assert len(ours) == len(theirs) == 3
    for name, row in ours.items():
        assert row["seed"] == theirs[name]["seed"]
        one, other = (pixels(made, rows[name]) for made, rows in ((local, ours), (served, theirs)))
        assert np.abs(one - other).max() <= 2
        assert one.std() > 1


def pixels(made: Project, row: dict[str, Any]) -> Any:
    with Image.open(made.folder / "output" / row["asset_key"]) as picture:
        return np.asarray(picture.convert("RGB"), np.int16)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_thousand_assets_over_four_servers_of_which_one_dies_and_one_is_slow(tmp_path: Path) -> None:
    quick, slow = {"seconds": 0.1}, {"seconds": 0.3}
    with image_servers(quick, quick, quick, slow) as servers:
        made = project(tmp_path / "shop", servers, 1_000)
        prepared = made.plan()
        command = [sys.executable, "-c", SHARDS, str(tmp_path / "shop"), prepared.plan_key, prepared.run_id]
        process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": os.getcwd()})
        while servers[0].seen["made"] < 60:
            time.sleep(0.1)
        servers[0].kill()
        died = time.monotonic()
        live = servers[1:]
        made_before = sum(server.seen["made"] for server in live)
        assert process.wait() == 0
        told = [server.switch() for server in live]
    ended = max(one["last"] for one in told)
    pace = (sum(one["seen"]["made"] for one in told) - made_before) / (ended - died)
    able = 2 / quick["seconds"] + 1 / slow["seconds"]
    print(f"{pace:.1f} pictures a second of {able:.1f} that the live servers can make ({pace / able:.0%})")
    assert pace > 0.9 * able
    rows = list(made.view().values())
    assert len(rows) == 1_000
    for row in rows:
        data = (made.folder / "output" / row["asset_key"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == row["sha256"]
    fingerprints = pq.read_table(made.folder / "output" / "catalog")["fingerprint"].to_pylist()
    assert len(fingerprints) == len(set(fingerprints)) == 1_000


# Every shard of a plan, as the flow makes them, in a process of its own.
SHARDS = """
import sys
from catalogs.plans.file import PlanFile
from catalogs.plans.sharding import cut_shards
from catalogs.storage.store import Store
from tasks.engines import engine_factory
from tasks.shard import run_shard
from tasks.shard_job import ShardJob
from concurrent.futures import ThreadPoolExecutor
folder, key, run_id = sys.argv[1:]
store = Store.at(folder + "/output")
plan = PlanFile(store, key)
make = engine_factory(plan.header)
def one(shard):
    return run_shard(ShardJob(key, store, run_id, shard), make, lambda *_: None)
with ThreadPoolExecutor(2) as pool:
    for stage in cut_shards(plan):
        assert not sum(report.failed for report in pool.map(one, stage))
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_kills_of_packshot_lose_nothing(tmp_path: Path, prefect_server: dict[str, str]) -> None:
    chance = random.Random(16)
    with image_servers({"seconds": 0.05}, {"seconds": 0.05}) as servers:
        made = project(tmp_path / "shop", servers, 150)
        command = [sys.executable, "-c", "from flows.cli import main; main()", "render", made.path, "--json"]
        environment = {**os.environ, **prefect_server, "PYTHONPATH": os.getcwd()}
        kills = 0
        while kills < 5:
            before = sum(server.seen["made"] for server in servers)
            process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, start_new_session=True)
            while sum(server.seen["made"] for server in servers) < before + 10 and process.poll() is None:
                time.sleep(0.05)
            time.sleep(chance.uniform(0, 1))
            if process.poll() is not None:
                break
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            kills += 1
        done = subprocess.run([*command, "--force"], env=environment, stdout=subprocess.PIPE, check=True)
        assert json.loads(done.stdout)["complete"]
        asked_for = sum(server.seen["made"] for server in servers)
    assert kills >= 3
    rows = list(made.view().values())
    assert len(rows) == 150
    for row in rows:
        data = (made.folder / "output" / row["asset_key"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == row["sha256"]
    print(f"{kills} kills: 150 pictures wanted, {asked_for} made")
    assert asked_for <= 150 + kills * 2 * 8 + 12


def test_the_model_that_servers_serve_by_default_is_the_table_s(pair: list[ImageServer]) -> None:
    from inference.models.table import MODELS

    assert MODELS["klein-4b"].repository == MODEL
