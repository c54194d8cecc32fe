"""Image servers with a key, asked by the shards of a Ray cluster of two nodes."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flows.drawn import ROOT, start
from tests.flows.projects import HOSTED_SHOT, SQUARE, Project
from tests.flows.ray_nodes import AUTHENTICATION, cluster
from tests.image_server import image_servers

KEY = "key-of-the-servers-16"


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """Ray's sockets live here, and their paths must be short."""
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_two_servers_render_for_two_machines(
    tmp_path: Path, short_folder: Path, prefect_server: dict[str, str]
) -> None:
    told = {"PYTHONPATH": str(ROOT), "PACKSHOT_CACHE": str(tmp_path / "cache"), "PACKSHOT_SERVER_KEY": KEY}
    environment = {**prefect_server, **AUTHENTICATION, **told}
    quick = {"seconds": 0.1, "key": KEY}
    with image_servers(quick, quick) as servers, cluster(short_folder, environment) as ray:
        model = {"name": "klein-4b", "server": ", ".join(server.url for server in servers)}
        made = Project.of(tmp_path / "shop", 60, model=model, shots=HOSTED_SHOT, channels=SQUARE)
        arguments = ("--runner", "ray", "--address", ray.address, "--shard-assets", "10", "--json")
        process = start(environment, "render", made.path, *arguments)
        out, err = process.communicate(timeout=240)
        assert process.returncode == 0, err
        assert json.loads(out)["complete"]
        seen = [server.seen for server in servers]
    # Each of two processes may test each server once, with six pictures, before one of them has told the other.
    assert 60 <= sum(one["made"] for one in seen) <= 60 + 2 * 2 * 6 + 4
    assert all(one["made"] > 12 for one in seen), "both servers rendered"
    assert not any(one["no key"] for one in seen)
    rows = list(made.view().values())
    assert len(rows) == 60
    for row in rows:
        assert hashlib.sha256(made.store.read(row["asset_key"])).hexdigest() == row["sha256"]
    files = [path for path in (tmp_path / "shop").rglob("*") if path.is_file()]
    assert not [path for path in files if KEY.encode() in path.read_bytes()]
    assert KEY not in out + err
