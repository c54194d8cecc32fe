"""Reference photos as a hostile or merely real catalog names them: one row is left out, nothing else happens."""

from __future__ import annotations

import io
import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from catalogs.errors import ReferenceImageError
from catalogs.inputs.reject_file import Code
from catalogs.plans.file import PlanFile
from catalogs.plans.rows import request_of
from catalogs.references.book import load_reference
from catalogs.storage.store import Store
from tasks.planning import NothingLeft
from tests.flows.commands import run
from tests.flows.projects import Project, make, plan_rows, rendered
from tests.servers import S3Server

SHOT: dict[str, Any] = {
    "hero": {"size": "64x64", "references": ["product.hero"], "prompt": {"scene": "{{ product.title }}"}}
}
LONG = "n" * 300 + ".png"
OUTSIDE = "lies outside of the campaign's and the catalogs' folders"
NOT_READ = ":// is not read; give a path or an s3:// URI"
INSIDE_ANOTHER = "a URI inside another is not followed; copy the file and give its path"

# name: (uri, what its reject says); PORT is that of a socket that listens
REFUSED: dict[str, tuple[str, str]] = {
    "a name too long": (LONG, "the path is too long; give a shorter one"),
    "a path too long": ("a/" * 3000 + "p.png", "the path is too long; give a shorter one"),
    "NUL": ("pho\0to.png", "the path holds a character that no path can have; correct it"),
    "NUL in a file URI": ("file:///pho%00to.png", "the path holds a character that no path can have; correct it"),
    "a link to itself": ("loop.png", "is a link that leads back to itself, not a file; give a file"),
    "a FIFO": ("fifo.png", "is a FIFO, not a file; give a file"),
    "a socket": ("socket.png", "is a socket, not a file; give a file"),
    "a device": ("/dev/zero", f"{OUTSIDE}; add /dev, or a folder above it, to reference_roots in"),
    "a link to a device": (
        "zero.png",
        f"{OUTSIDE} (a link leads to /dev/zero); add /dev, or a folder above it, to reference_roots in",
    ),
    "a folder": ("photos", "is a folder, not a file; give the file in it"),
    "a share": ("//host/share/a.png", f"/host/share/a.png: {OUTSIDE}; add /host/share, or a folder"),
    "a path of Windows": ("C:\\photos\\a.jpg", "a path of Windows is not read; write it with / and relative to the"),
    "a share of Windows": ("\\\\host\\photos\\a.jpg", "a path of Windows is not read"),
    "a picture as text": ("data:image/png;base64,iVBORw0KGgo=", "a picture inside the text is not read; save it as a"),
    "a path of the system": ("/etc/passwd", f"{OUTSIDE}; add /etc, or a folder above it, to reference_roots in"),
    "a home": ("~root/photo.png", f"{OUTSIDE}; add "),
    "out of the folder": ("../private/photo.png", f"{OUTSIDE}; add "),
    "a link out of the folder": ("out.png", f"{OUTSIDE} (a link leads to "),
    "a file URI out of the folder": (
        "file:///etc/hostname",
        f"{OUTSIDE}; add /etc, or a folder above it, to reference_roots in",
    ),
    "memory": ("memory://photo.png", f"memory{NOT_READ}"),
    "ftp": ("ftp://127.0.0.1:PORT/photo.png", f"ftp{NOT_READ}"),
    "tar": ("tar://photo.png", f"tar{NOT_READ}"),
    "a scheme nobody knows": ("foo://127.0.0.1:PORT/photo.png", f"foo{NOT_READ}"),
    "an archive on a server": ("zip://x::http://127.0.0.1:PORT/a.zip", INSIDE_ANOTHER),
    "a cached server": ("simplecache::http://127.0.0.1:PORT/a.png", "a URI starts with its protocol"),
    "a URI after another": ("s3://a/http://127.0.0.1:PORT/a.png", INSIDE_ANOTHER),
    "a server": ("http://127.0.0.1:PORT/a.png", "names an address, not a host; download the file and give its path"),
    "a server's secrets": ("s3://key:secret@bucket/a.png", "a URI must not carry secrets"),
    "another bucket": ("s3://others/a.png", "s3://others is no bucket of this campaign; add s3://others to reference_"),
    "dots in a bucket": ("s3://others/../a.png", "a URI has no '.' and '..' parts"),
    "a key too long": ("s3://others/" + "k" * 1100, "the key is longer than 1024 bytes"),
    "a bracket": ("s3://[x/a.png", "s3://[x is no bucket of this campaign"),
    "more bytes than fit": ("sparse.png", "is 1099512 MB, over the limit of 400 MB; scale it down, or raise"),
    "a narrow picture": ("12x40.png", "is 12 x 40 pixels, a reference needs 64 a side; give a larger picture"),
    "a little too small": ("63x64.png", "is 63 x 64 pixels, a reference needs 64 a side; give a larger picture"),
    "a little too long": ("520x64.png", "is 520 x 64 pixels, a reference is at most 8 times as long as wide; crop it"),
}


@dataclass
class Hostile:
    """One plan of products with all these photos and two good ones."""

    project: Project
    port: int
    connections: list[Any]
    summary: dict[str, Any]
    rejects: list[dict[str, Any]]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hostile]:
    folder = tmp_path_factory.mktemp("hostile") / "shop"
    project = Project.of(folder, len(REFUSED) + 2, shots=SHOT)
    _place_files(folder)
    connections: list[Any] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        threading.Thread(target=_listen, args=(server, connections), daemon=True).start()
        uris = [uri.replace("PORT", str(port)) for uri, _ in REFUSED.values()]
        for product, uri in zip(project.products[1:], uris, strict=False):
            product["reference_images"] = [{"uri": uri, "role": "hero"}]
        project.write()
        summary = project.plan().summary
        rejects = pq.read_table(folder / "output" / summary["rejects_key"]).to_pylist()
        yield Hostile(project, port, connections, summary, rejects)


def _place_files(folder: Path) -> None:
    (folder / "photos").mkdir()
    (folder.parent / "private").mkdir()
    for name, size in (("63x64", (63, 64)), ("12x40", (12, 40)), ("520x64", (520, 64))):
        Image.linear_gradient("L").resize(size).save(folder / f"{name}.png")
    Image.linear_gradient("L").save(folder.parent / "private" / "photo.png")
    os.symlink("loop.png", folder / "loop.png")
    os.symlink("/dev/zero", folder / "zero.png")
    os.symlink("../private/photo.png", folder / "out.png")
    os.mkfifo(folder / "fifo.png")
    here = os.getcwd()
    os.chdir(folder)  # the name of a socket is 107 bytes at most
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind("socket.png")
    os.chdir(here)
    with (folder / "sparse.png").open("wb") as file:
        file.truncate(2**40)


def _listen(server: socket.socket, connections: list[Any]) -> None:
    while True:
        try:
            connections.append(server.accept())
        except OSError:
            return


@pytest.mark.parametrize("name", REFUSED)
def test_a_photo_that_cannot_be_used_leaves_out_its_row(hostile: Hostile, name: str) -> None:
    number = list(REFUSED).index(name) + 2
    [told] = [reject for reject in hostile.rejects if reject["row"] == number]
    assert REFUSED[name][1].replace("PORT", str(hostile.port)) in told["reason"]
    assert told["code"] in {Code.REFERENCE_INVALID, Code.REFERENCE_MISSING}
    assert "\n" not in told["reason"]


def test_the_others_are_planned_and_no_server_was_asked(hostile: Hostile) -> None:
    assert (hostile.summary["products"], hostile.summary["looks"]) == (len(REFUSED) + 2, 2)
    assert len(hostile.rejects) == hostile.summary["rejected"] == len(REFUSED)
    assert not hostile.connections


def test_check_tells_the_same_and_all_commands_end_well(hostile: Hostile, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, "check", hostile.project.path, "--all-references") == 0
    assert run(monkeypatch, "plan", hostile.project.path) == 0
    assert not hostile.connections


def test_what_reference_roots_adds_is_read_here_and_where_it_is_rendered(tmp_path: Path) -> None:
    project = Project.of(tmp_path / "shop", 2, shots=SHOT)
    (tmp_path / "photos").mkdir()
    os.rename(project.folder / "photo.png", tmp_path / "photos" / "photo.png")
    os.symlink(tmp_path / "photos", project.folder / "linked")
    for product, uri in zip(project.products, ("../photos/photo.png", "linked/photo.png"), strict=True):
        product["reference_images"] = [{"uri": uri, "role": "hero"}]
    project.write()
    with pytest.raises(NothingLeft, match=r"add .*/photos, or a folder above it, to reference_roots"):
        project.plan()
    project.campaign["reference_roots"] = ["../photos"]
    project.write()
    planned = project.plan()
    assert planned.summary["looks"] == 2
    assert rendered(make(planned)) > 0
    plan = PlanFile(project.store, planned.plan_key)
    [linked] = {request_of(row).references[0] for row in plan_rows(planned) if row["product_id"] == "p001"}
    assert load_reference(linked, places=plan.header.places).size == (96, 72)
    (project.folder / "linked").unlink()
    os.renames(tmp_path / "photos" / "photo.png", tmp_path / "moved" / "photo.png")
    os.symlink(tmp_path / "moved", project.folder / "linked")
    with pytest.raises(ReferenceImageError, match="a link leads to"):
        load_reference(linked, places=plan.header.places)


def test_a_bucket_of_the_campaign_is_read_and_another_is_not(tmp_path: Path, moto_s3: S3Server) -> None:
    project = Project.of(tmp_path, 2, shots=SHOT, reference_roots=[])
    mine, theirs = moto_s3.bucket(), moto_s3.bucket()
    photo = io.BytesIO()
    Image.linear_gradient("L").save(photo, "PNG")
    for bucket in (mine, theirs):
        Store.at(f"s3://{bucket}").write("photos/a.png", photo.getvalue())
    for product, bucket in zip(project.products, (mine, theirs), strict=True):
        product["reference_images"] = [{"uri": f"s3://{bucket}/photos/a.png", "role": "hero"}]
    project.campaign["reference_roots"] = [f"s3://{mine}/photos"]
    project.write()
    summary = project.plan().summary
    assert (summary["looks"], summary["rejected"]) == (1, 1)
    project.campaign["reference_roots"] = [f"s3://{mine}/photos", f"s3://{theirs}/photo"]  # a prefix ends at a slash
    project.write()
    assert project.plan().summary["rejected"] == 1


DEVICES = {
    "a FIFO": (lambda path: os.mkfifo(path), "is a FIFO, not a file"),
    "a device": (lambda path: os.symlink("/dev/zero", path), "is a device, not a file"),
    "a link to itself": (lambda path: os.symlink(path, path), "is a link that leads back to itself"),
}


@pytest.mark.parametrize("kind", DEVICES)
@pytest.mark.parametrize("what", ["products.parquet", "brands.parquet", "plan.parquet", "style.safetensors"])
def test_a_file_that_is_none_is_refused(
    tmp_path: Path, kind: str, what: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place, problem = DEVICES[kind]
    project = Project.of(tmp_path, 2, shots=SHOT)
    (tmp_path / what).unlink(missing_ok=True)
    place(tmp_path / what)
    arguments = ["plan", project.path]
    if what == "plan.parquet":
        arguments = ["render", project.path, "--plan", str(tmp_path / what)]
    if what == "style.safetensors":
        project.campaign["model"] = {"name": "klein-4b", "lora": [{"path": what}]}
        (tmp_path / "campaign.yaml").write_text(yaml.safe_dump(project.campaign))
    assert run(monkeypatch, *arguments) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert (problem if what != "style.safetensors" else "model.lora: ") in error
    assert not (tmp_path / "output" / "catalog").exists()


def test_a_logo_that_is_no_file_leaves_out_the_rows_of_its_brand(tmp_path: Path) -> None:
    shots = {"hero": {**SHOT["hero"], "references": ["product.hero", "brand.logo"]}}
    project = Project.of(tmp_path, 4, shots=shots)
    os.mkfifo(tmp_path / "fifo.png")
    Image.linear_gradient("L").save(tmp_path / "logo.png")
    for brand, logo in zip(project.brands, ("fifo.png", "logo.png"), strict=True):
        brand["logo_uri"] = logo
    project.write()
    summary = project.plan().summary
    assert (summary["looks"], summary["rejected"]) == (2, 2)
