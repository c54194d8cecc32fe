"""The store of compose.yaml does what commits need, and lets nobody else in."""

from __future__ import annotations

import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
import yaml

from catalogs.storage.store import Store
from tests.conftest import use
from tests.deployments.seaweed import COMPOSE, image_version, seaweed, service
from tests.flows.projects import Project
from tests.servers import S3Server, missing, program

RACES = 8
WRITERS = 4


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with seaweed(tmp_path_factory.mktemp("seaweed")) as found:
        yield found


@pytest.fixture
def s3(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    use(server.environment, monkeypatch)
    return server


def test_the_program_here_is_the_one_of_the_image() -> None:
    said = subprocess.run([program("weed"), "version"], capture_output=True, text=True).stdout
    assert f" {image_version()} " in said


def test_of_many_who_create_a_key_one_does(s3: S3Server) -> None:
    """What a commit is: `If-None-Match: *`, by writers that have not seen each other."""
    store = Store.at(f"s3://{s3.bucket()}/races")
    for race in range(RACES):
        won: list[str] = []
        ready = threading.Barrier(WRITERS)

        def create(writer: int, key: str = f"commit-{race}", ready: threading.Barrier = ready) -> None:
            data = f"writer {writer}".encode()
            ready.wait()
            if store.commit(key, data) == "committed":
                won.append(f"writer {writer}")  # noqa: B023

        threads = [threading.Thread(target=create, args=(writer,)) for writer in range(WRITERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1, f"race {race}: {won}"
        assert store.read(f"commit-{race}").decode() == won[0]
    assert len(store.list()) == RACES


def test_the_bucket_is_made_by_the_command_of_compose(s3: S3Server) -> None:
    kind, *words = yaml.safe_load(COMPOSE.read_text())["services"]["bucket"]["command"]
    assert kind == "python"
    subprocess.run([sys.executable, *words], check=True)
    Store.at("s3://packshot/sample").write("key", b"content")
    subprocess.run([sys.executable, *words], check=True)  # at the next start
    assert Store.at("s3://packshot/sample").read("key") == b"content"


def test_a_bucket_that_nobody_made_is_not_made_by_a_typing_error(s3: S3Server) -> None:
    with pytest.raises(Exception, match="bucket does not exist"):
        Store.at("s3://pakcshot/sample").write("key", b"content")


def test_a_small_disk_holds_a_bucket_for_each_brand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bucket takes whole volumes of the disk: none may take them all."""
    (tmp_path / "data").mkdir()
    mount = f'mount -t tmpfs -o size=3G tmpfs {tmp_path / "data"} && exec "$@"'
    alone = ["unshare", "-rm"]
    if subprocess.run([*alone, "sh", "-c", mount, "sh", "true"], capture_output=True).returncode:
        missing("this kernel lets nobody mount a small disk")
    with seaweed(tmp_path, before=[*alone, "sh", "-c", mount, "sh"]) as small:
        use(small.environment, monkeypatch)
        for _ in range(6):
            store = Store.at(f"s3://{small.bucket()}/spring")
            store.write("key", b"content")
            assert store.read("key") == b"content"


def test_its_health_is_where_compose_asks(server: S3Server) -> None:
    *command, address = service()["healthcheck"]["test"]
    assert command == ["CMD", "wget", "-q", "-O", "/dev/null"]
    with urllib.request.urlopen(server.endpoint + urlsplit(address).path, timeout=10) as answer:
        assert answer.status == 200


@pytest.mark.parametrize("key", ["", "packshot", "somebody"])
def test_nobody_gets_in_without_the_password(server: S3Server, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = server.bucket()
    for method in ("GET", "PUT"):
        request = urllib.request.Request(f"{server.endpoint}/{bucket}/key", method=method, data=b"x")
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=10)
        assert refused.value.code == 403
        refused.value.close()
    if key:
        use({**server.environment, "AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": "wrong"}, monkeypatch)
        with pytest.raises(Exception, match="access was refused"):
            Store.at(f"s3://{bucket}/x").write("key", b"content")


def test_what_asks_for_no_password_is_not_heard_outside(server: S3Server) -> None:
    """Only S3 and its gRPC port, which compose publishes to nobody, are heard on every address."""
    [weed] = [child for child in psutil.Process().children(recursive=True) if child.name() == "weed"]
    heard = [c.laddr for c in weed.net_connections("tcp") if c.status == "LISTEN"]
    outside = {address.port for address in heard if address.ip != "127.0.0.1"}
    [grpc] = [int(word.partition("=")[2]) for word in weed.cmdline() if word.startswith("-s3.port.grpc=")]
    assert outside == {urlsplit(server.endpoint).port, grpc}
    assert len(heard) > len(outside)
    assert [port.rpartition(":")[2] for port in service()["ports"]] == ["9000"]


def test_a_campaign_is_rendered_into_it(s3: S3Server, tmp_path: Path) -> None:
    output = f"s3://{s3.bucket()}/spring"
    project = Project.of(tmp_path, products=3, output=output)
    project.render()
    rows = project.view()
    assert len(rows) == 12
    assert all(project.store.read(row["asset_key"]) for row in rows.values())
    assert not project.plan().has_work, "nothing is left to do"


@pytest.mark.slow
def test_it_keeps_what_it_holds_when_it_is_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with seaweed(tmp_path) as first:
        use(first.environment, monkeypatch)
        bucket = first.bucket()
        Store.at(f"s3://{bucket}").write("key", b"content")
    with seaweed(tmp_path) as second:
        use(second.environment, monkeypatch)
        assert Store.at(f"s3://{bucket}").read("key") == b"content"
