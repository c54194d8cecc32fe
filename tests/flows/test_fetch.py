"""Photos on web servers through plan, check, fetch, render and sweep, over a real server of the test's own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import tasks.photos
from catalogs.campaigns.campaign import load_campaign
from catalogs.identity import PHOTOS
from catalogs.references import fetching
from catalogs.references.fetch_records import RECORDS, FetchRecords, PhotoRecord
from catalogs.references.fetching import Limits
from catalogs.references.problems import UnreachableReference
from catalogs.references.web_photos import Missing
from catalogs.storage.store import Store
from tasks.fetch import fetch_photos
from tasks.photos import web_photos
from tests.catalogs.storage.test_web_urls import LISTED, NOT_LISTED
from tests.flows.commands import run
from tests.flows.projects import Project, make, plan_rows, rendered
from tests.flows.web_catalogs import HOST, SHOT, catalog, coloured, shop_of
from tests.photo_server import PhotoServer, body, bomb, photo, redirect, serving, status, tagged

PHOTO = photo()
PROGRAM = """
import sys
import tasks.photos
from tests.flows.web_catalogs import HOST, SHOT, catalog, coloured, shop_of
from tests.photo_server import Resolver
tasks.photos.NETWORK = Resolver({"photos.test": [("127.0.0.1", int(sys.argv.pop(1)))]}).network()
from flows.cli import main
main()
"""


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Iterator[PhotoServer]:
    with shop_of(monkeypatch) as server:
        yield server


def fingerprints(project: Project) -> dict[str, str]:
    return {row["product_id"]: row["fingerprint"] for row in plan_rows(project.plan()) if row["channel"] == "square"}


def rejects(project: Project) -> dict[int, dict[str, Any]]:
    summary = project.plan().summary
    rows = pq.read_table(project.store.path(summary["rejects_key"])).to_pylist()
    return {row["row"]: row for row in rows}


def test_a_plan_fetches_what_is_missing_once_and_renders_without_the_network(tmp_path: Path, shop: PhotoServer) -> None:
    project = catalog(tmp_path / "web", shop)
    planned = project.plan()
    assert planned.summary["looks"] == 3
    assert shop.asked == {f"/{number}.png": 1 for number in range(3)}
    [first] = plan_rows(planned, lambda row: row["product_id"] == "p000" and row["channel"] == "square")
    assert first["references"][0]["uri"] == f"{HOST}/0.png"
    shop.routes.clear()
    assert rendered(make(planned)) == 3
    again = project.plan()
    assert again.summary["actions"] == {"unchanged": 6}
    assert len(shop.requests) == 3
    assert len(project.store.list(RECORDS)) == 1


def test_a_photo_has_the_fingerprint_that_it_has_as_a_file(tmp_path: Path, shop: PhotoServer) -> None:
    web, files = catalog(tmp_path / "web", shop), Project.of(tmp_path / "files", 3, shots=SHOT)
    for number, product in enumerate(files.products):
        (files.folder / f"{number}.png").write_bytes(coloured(number))
        product["reference_images"] = [{"uri": f"{number}.png", "role": "hero"}]
    files.write()
    assert fingerprints(web) == fingerprints(files)


def test_what_was_fetched_is_there_for_others_and_offline(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch, serving() as shop:
        patch.setattr(tasks.photos, "NETWORK", shop.network("photos.test"))
        project = catalog(tmp_path, shop)
        found = fetch_photos(project.path)
        assert (found.photos, found.counts.fetched, found.counts.failed) == (3, 3, 0)
        before = fingerprints(project)
    # The server is stopped, and the way to it is the public one again.
    assert fingerprints(project) == before
    again = fetch_photos(project.path)
    assert (again.counts.known, again.counts.fetched) == (3, 0)
    code = f"from tasks.prepare import prepare; print(prepare({project.path!r}, {{}}).summary['looks'])"
    other = {**os.environ, "PACKSHOT_CACHE": str(tmp_path / "another-machine")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=other)
    assert done.stdout == "3\n", done.stderr
    assert rendered(project.render()) == 3


def test_a_changed_photo_renders_what_used_it_and_nothing_else(tmp_path: Path, shop: PhotoServer) -> None:
    project = catalog(tmp_path, shop)
    assert rendered(project.render()) == 3
    shop.routes["/1.png"] = tagged(photo("#00FF00"), '"new"')
    assert rendered(project.render()) == 0, "a known URL is not asked again"
    found = fetch_photos(project.path, refresh=True)
    assert (found.counts.changed, found.counts.unchanged, found.counts.failed) == (1, 2, 0)
    sent = [headers.get("If-None-Match") for _, headers in shop.requests[3:]]
    assert sorted(filter(None, sent)) == ['"0"', '"1"', '"2"']
    planned = project.plan()
    assert {row["product_id"] for row in plan_rows(planned, lambda row: row["work"] == "render")} == {"p001"}
    assert rendered(make(planned)) == 1


def test_a_refresh_that_fails_leaves_what_is_there(tmp_path: Path, shop: PhotoServer) -> None:
    project = catalog(tmp_path, shop)
    before = fingerprints(project)
    shop.routes.clear()
    found = fetch_photos(project.path, refresh=True)
    assert (found.counts.failed, found.counts.fetched) == (3, 0)
    assert fingerprints(project) == before


def test_a_check_writes_nothing_asks_nobody_and_counts(
    tmp_path: Path, shop: PhotoServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project = catalog(tmp_path, shop)
    assert run(monkeypatch, "check", project.path, "--all-references", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["problems"] == []
    [told] = found["warnings"]
    assert told.startswith(f"photos not fetched yet: 3 (first: {HOST}/0.png); `packshot fetch ")
    assert shop.connections == 0
    assert not (tmp_path / "output").exists()
    assert run(monkeypatch, "fetch", project.path) == 0
    capsys.readouterr()
    assert run(monkeypatch, "check", project.path, "--json") == 0
    assert json.loads(capsys.readouterr().out)["warnings"] == []
    assert not (tmp_path / "output" / "runs").exists()


def test_the_command_says_what_came_and_what_did_not(
    tmp_path: Path, shop: PhotoServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project = catalog(tmp_path, shop)
    shop.routes["/1.png"] = status(404)
    assert run(monkeypatch, "fetch", project.path) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{HOST}/1.png: there is no such photo (HTTP 404); correct the url"
    assert re.fullmatch(r"3 photos: 2 fetched \(0\.0 MB\), 0 there already, 1 failed", lines[1])
    shop.routes["/1.png"] = body(PHOTO)
    assert run(monkeypatch, "fetch", project.path, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found == {
        **{"photos": 3, "known": 2, "fetched": 1, "changed": 0, "unchanged": 0, "failed": 0},
        **{"bytes": len(PHOTO), "problems": [], "warnings": []},
    }
    assert run(monkeypatch, "fetch", project.path, "--refresh") == 0
    assert "3 photos: 1 fetched (0.0 MB), 0 there already, 3 unchanged" in capsys.readouterr().out


REFUSED: dict[str, tuple[Any, str, str]] = {
    "gone": (status(404), "reference_missing", "there is no such photo (HTTP 404)"),
    "forbidden": (status(403), "reference_missing", "is not given out (HTTP 403)"),
    "busy for hours": (status(429, Retry_After="9999"), "reference_missing", "HTTP 429, wait 9999 s"),
    "a page": (body(b"<html>not here</html>", Content_Type="image/png"), "reference_invalid", "is not an image"),
    "a drawing": (body(b"<svg xmlns='x'></svg>"), "reference_invalid", "is an SVG drawing, not a photo"),
    "nothing": (body(b""), "reference_invalid", "the file is empty"),
    "half": (body(PHOTO[: len(PHOTO) // 2]), "reference_invalid", "the image is cut short or damaged"),
    "too small": (body(photo(size=(30, 90))), "reference_invalid", "is 30 x 90 pixels, a reference needs 64 a side"),
    "too many pixels": (body(photo(size=(3000, 2000))), "reference_invalid", "3000 x 2000 pixels, over the limit of 5"),
    "a bomb": (bomb(80_000_000), "reference_invalid", "is over the limit of 67 MB"),
    "elsewhere": (redirect("https://evil.test/a.png"), "reference_invalid", "add evil.test to reference_hosts"),
    "inside": (redirect("http://127.0.0.1/a.png"), "reference_invalid", "names an address, not a host"),
}


def test_a_photo_that_cannot_be_had_leaves_out_its_row_and_no_other(tmp_path: Path, shop: PhotoServer) -> None:
    project = catalog(
        tmp_path, shop, len(REFUSED) + 2, max_reference_megapixels=5, reference_hosts=[HOST, "http://busy.test"]
    )
    for number, (respond, _, _) in enumerate(REFUSED.values()):
        shop.routes[f"/{number}.png"] = respond
    busy = list(REFUSED).index("busy for hours")  # no other photo of its host is asked for: it has one of its own
    project.products[busy]["reference_images"] = [{"uri": f"http://busy.test/{busy}.png", "role": "hero"}]
    project.write()
    told = rejects(project)
    assert [told[number + 1]["code"] for number in range(len(REFUSED))] == [code for _, code, _ in REFUSED.values()]
    for number, (_, _, problem) in enumerate(REFUSED.values()):
        assert problem in told[number + 1]["reason"]
    assert len(told) == len(REFUSED)


def test_a_host_that_is_not_listed_is_told_by_key_and_name(
    tmp_path: Path, shop: PhotoServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project = catalog(tmp_path, shop)
    del project.campaign["reference_hosts"]
    project.write()
    assert run(monkeypatch, "plan", project.path) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "http://photos.test is no host of this campaign; add http://photos.test to reference_hosts in" in error
    assert shop.connections == 0
    project.campaign["reference_hosts"] = ["photos.test"]  # https alone
    project.write()
    assert run(monkeypatch, "plan", project.path) == 2
    assert "add http://photos.test to reference_hosts" in capsys.readouterr().err
    assert shop.connections == 0


def test_an_entry_that_is_no_host_is_told_in_one_line(
    tmp_path: Path, shop: PhotoServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project = catalog(tmp_path, shop)
    assert len(NOT_LISTED) >= 15
    for entry, problem in NOT_LISTED.items():
        project.campaign["reference_hosts"] = [HOST, entry]
        project.write()
        assert run(monkeypatch, "plan", project.path) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"error: {project.path}: reference_hosts: ")
        assert error.count("\n") == 1
        assert any(each in error for each in problem.split("|")), error
    for entry in LISTED:
        project.campaign["reference_hosts"] = [HOST, entry]
        project.write()
        assert load_campaign(project.path).reference_hosts == (HOST, LISTED[entry])
    assert shop.connections == 0


def test_a_look_whose_photo_is_out_of_reach_stays_as_it_is(tmp_path: Path, shop: PhotoServer) -> None:
    project = catalog(tmp_path, shop)
    project.render()
    project.store.delete(project.store.list("references"))
    shop.routes["/1.png"] = status(503)
    summary = project.plan(retire=True).summary
    assert summary["actions"] == {"unchanged": 6}
    assert any("1 looks stay as they were delivered" in line for line in summary["warnings"])


def test_a_right_to_a_fetched_photo_that_has_ended_is_seen(tmp_path: Path, shop: PhotoServer) -> None:
    project = catalog(tmp_path, shop)
    project.render()
    project.products[0]["reference_images"][0]["licence_end"] = date(2020, 1, 1)
    project.write()
    assert project.plan().summary["actions"]["withdraw"] == 2


def test_only_photos_that_a_shot_uses_are_fetched(tmp_path: Path, shop: PhotoServer) -> None:
    project = catalog(tmp_path, shop)
    for product in project.products:
        product["reference_images"].append({"uri": f"{HOST}/back.png", "role": "back"})
    project.write()
    assert project.plan(only=["p001"]).summary["looks"] == 1
    assert shop.asked == {"/1.png": 1}
    assert fetch_photos(project.path).photos == 3
    assert set(shop.asked) == {"/0.png", "/1.png", "/2.png"}


def test_bytes_are_kept_once_whatever_urls_give_them(tmp_path: Path, shop: PhotoServer) -> None:
    project = catalog(tmp_path, shop, 5)
    for number in range(5):
        shop.routes[f"/{number}.png"] = body(PHOTO)
    project.plan()
    [key] = project.store.list(PHOTOS)
    assert project.store.read(key) == PHOTO
    sha256 = key.rpartition("/")[2].removesuffix(".png")
    assert key == f"references/photos/{sha256[:2]}/{sha256}.png"
    assert {record.sha256 for record in FetchRecords.read(project.store).latest.values()} == {sha256}


def test_bytes_and_records_that_are_gone_or_damaged_are_fetched_again(tmp_path: Path, shop: PhotoServer) -> None:
    project = catalog(tmp_path, shop)
    before = fingerprints(project)
    project.store.delete(list(project.store.list(PHOTOS))[:1])
    assert fingerprints(project) == before
    assert len(shop.requests) == 4
    for key in project.store.list(RECORDS):
        project.store.write(key, project.store.read(key)[:-9])
    planned = project.plan()
    assert any("records of fetched photos that cannot be read: 2" in line for line in planned.summary["warnings"])
    assert len(shop.requests) == 7
    [key] = list(project.store.list(PHOTOS))[:1]
    project.store.write(key, b"damaged")
    project.store.delete(list(project.store.list(PHOTOS))[1:2])
    details = {detail for report in make(planned) for detail in report.details}
    assert len(details) == 2
    assert rendered(project.render(retry_failed=True)) <= 2


def command(project: Project, shop: PhotoServer, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    line = [sys.executable, "-c", PROGRAM, str(shop.port), *arguments, project.path, "--json"]
    return subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_killed_in_the_middle_and_again(tmp_path: Path, shop: PhotoServer) -> None:
    project = catalog(tmp_path, shop, 60)
    process = command(project, shop, "fetch")
    deadline = time.monotonic() + 60
    while len(shop.requests) < 20 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    stored = project.store.list(PHOTOS)
    assert 0 < len(stored) < 60
    found = fetch_photos(project.path)
    assert (found.photos, found.counts.fetched + found.counts.known, found.counts.failed) == (60, 60, 0)
    assert len(project.store.list(PHOTOS)) == 60
    assert len(FetchRecords.read(project.store).latest) == 60
    assert project.plan().summary["looks"] == 60


def test_two_at_once(tmp_path: Path, shop: PhotoServer) -> None:
    project = catalog(tmp_path, shop, 24)
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: fetch_photos(project.path), range(2)))
    assert [found.counts.failed for found in both] == [0, 0]
    records = FetchRecords.read(project.store)
    assert len(records.latest) == 24
    assert len(records.names) == len(set(records.names)) == 2
    assert len(project.store.list(PHOTOS)) == 24
    asked = len(shop.requests)
    assert project.plan().summary["looks"] == 24
    assert len(shop.requests) == asked


def test_two_thousand_are_planned_with_few_looks_at_the_store(
    tmp_path: Path, shop: PhotoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "LIMITS", Limits(a_second=100_000))
    project = catalog(tmp_path, shop, 2000)
    records = FetchRecords()
    given = photo_of(project, shop)
    known = [replace(given, url=f"{HOST}/{number}.png") for number in range(300, 2000)]
    for number in range(0, len(known), 256):  # as a fetch of 2,000 leaves them
        records.append(project.store, f"20261101T00000{number // 256}.000000Z-abcdef", known[number : number + 256])
    found = fetch_photos(project.path)
    assert (found.counts.known, found.counts.fetched, found.counts.failed) == (1700, 300, 0)
    assert len(project.store.list(RECORDS)) <= 2000 // 256 + 4
    looks: list[str] = []
    for name in ("list", "read", "stat"):
        whole = getattr(Store, name)

        def counted(store: Store, key: str = "", whole: Any = whole, name: str = name) -> Any:
            looks.extend([f"{name} {key}"] * key.startswith("references"))
            return whole(store, key)

        monkeypatch.setattr(Store, name, counted)
    asked = len(shop.requests)
    assert project.plan().summary["looks"] == 2000
    assert len(looks) <= 2000 // 256 + 6
    assert len(shop.requests) == asked


def photo_of(project: Project, shop: PhotoServer) -> PhotoRecord:
    """The record of a photo that was fetched."""
    photos = web_photos(load_campaign(project.path), project.store, Missing.FETCH)
    with photos:
        photos.probe(f"{HOST}/1999.png")
    return photos.records.latest[f"{HOST}/1999.png"]


def test_what_is_missing_is_refused_where_nothing_is_fetched(tmp_path: Path, shop: PhotoServer) -> None:
    project = catalog(tmp_path, shop)
    photos = web_photos(load_campaign(project.path), project.store, Missing.REFUSE)
    with pytest.raises(UnreachableReference, match="is not fetched yet; `packshot fetch CAMPAIGN` does it"):
        photos.probe(f"{HOST}/0.png")
    assert shop.connections == 0
