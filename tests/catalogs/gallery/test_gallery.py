"""The files of a gallery: what they hold, what HTML could act on, and the policy."""

from __future__ import annotations

import json
import math
import re
import tracemalloc
from typing import Any

import pytest

from catalogs.gallery.data import photo_of
from catalogs.gallery.gallery import DETAILS_SIZE, PAGE_SIZE, write_gallery
from catalogs.identity import thumbnail_key
from catalogs.storage.store import Store
from tests.catalogs.gallery.rows import HOSTILE, put_picture, row_of, thumbnail


def data_of(store: Store, name: str, run_id: str = "r1") -> Any:
    """What a data file hands to the page."""
    text = store.read(f"runs/{run_id}/report/{name}.js").decode("ascii")
    found = re.fullmatch(r'packshotData\("([^"]+)",(.*)\);\n', text, re.DOTALL)
    assert found
    assert found[1] == name
    return json.loads(found[2])


def report_of(store: Store, key: str) -> Any:
    found = re.search(r'id="report">(.*?)</script>', store.read(key).decode())
    assert found
    return json.loads(found[1])


def test_page_is_written_beside_its_data(store: Store) -> None:
    key = write_gallery(store, "r1", "Autumn", (row_of(n) for n in range(250)), details={"Model": "klein-4b"})
    assert key == "runs/r1/report/index.html"
    names = [name.removeprefix("runs/r1/report/") for name in store.list("runs/r1/report")]
    assert names == ["data-0001.js", "details-0001.js", "details-0002.js", "details-0003.js", "index.html"]
    report = report_of(store, key)
    assert (report["count"], report["root"], report["about"]) == (250, "../../../", [["Model", "klein-4b"]])
    assert dict(report["facets"]["status"]) == {"delivered": 245, "failed": 5}
    assert dict(report["facets"]["kind"])["proof"] == sum(n % 9 == 4 for n in range(250))


def test_cards_and_details_hold_the_rows(disk: Store) -> None:
    rows = [row_of(n) for n in range(DETAILS_SIZE + 1)]
    write_gallery(disk, "r1", "Autumn", rows)
    cards = data_of(disk, "data-0001")
    look = cards["look"]
    assert look["values"][look["codes"][25]] == [
        "",
        "NO-1001-S",
        "look-0001",
        "NO-1001-S",
        "NO-1001-M",
        "NO-1001-L",
    ]
    assert cards["fingerprint"][3] == rows[3]["fingerprint"][:16]
    assert cards["detail"] == [[7, "all pixels are #000000"], [57, "all pixels are #000000"]]
    last = data_of(disk, "details-0002")
    assert [row["fingerprint"] for row in last] == [rows[-1]["fingerprint"]]
    assert last[0]["quality"] == [["sharpness", 0.91234567], ["subject_match", None]]
    assert last[0]["versions"] == [["diffusers", "0.42.0"]]
    assert last[0]["prompt_used"] is None
    assert last[0]["created_at"] == "2026-11-20T00:01:40+00:00"


@pytest.mark.parametrize(
    ("given", "shown"),
    [(2**53, 2**53), (2**53 + 1, str(2**53 + 1)), (math.inf, None), (None, None), (True, True), (0.5, 0.5)],
)
def test_values_javascript_cannot_hold_are_text_or_nothing(disk: Store, given: object, shown: object) -> None:
    write_gallery(disk, "r1", "Autumn", [row_of(0, seed=given)])
    value = data_of(disk, "details-0001")[0]["seed"]
    assert (value, type(value)) == (shown, type(shown))


def test_row_of_nothing_is_shown(disk: Store) -> None:
    write_gallery(disk, "r1", "Autumn", [{}])
    assert data_of(disk, "data-0001")["look"]["values"] == [["", "", ""]]


@pytest.mark.parametrize(
    ("references", "upstream", "shown"),
    [
        ([], [], None),
        (["hero"], [], 0),
        (["detail", "hero"], [], 0),
        (["logo", "hero"], [], 1),
        (["render", "logo"], ["hero"], 2),
        (["render", "logo"], [], 1),
        (["render"], [], None),
        (["render"], ["logo", "detail"], 2),
    ],
)
def test_the_photo_of_a_picture_is_one_of_its_product(
    references: list[str], upstream: list[str], shown: int | None
) -> None:
    photos = [
        {"uri": "render:hero" if role == "render" else f"{role}.jpg", "sha256": f"{n}" * 64, "role": role}
        for n, role in enumerate([*references, *upstream])
    ]
    row = row_of(0, references=photos[: len(references)], upstream_references=photos[len(references) :])
    assert photo_of(row) == (None if shown is None else photos[shown])


def test_nothing_html_could_act_on_leaves_the_data(disk: Store) -> None:
    row = row_of(0, brand_id=HOSTILE, prompt=HOSTILE, covers=[HOSTILE], quality={HOSTILE: 1.0, "__proto__": 2.0})
    key = write_gallery(disk, "r1", HOSTILE, [row], title=HOSTILE, details={HOSTILE: HOSTILE})
    for name in ("data-0001", "details-0001"):
        assert not re.search(r"[<>&\u2028]", disk.read(f"runs/r1/report/{name}.js").decode())
    page = disk.read(key).decode()
    assert page.count("</script>") == 2
    assert "<img src=x" not in page
    assert report_of(disk, key)["title"] == HOSTILE
    assert data_of(disk, "details-0001")[0]["quality"] == [[HOSTILE, 1.0], ["__proto__", 2.0]]


def test_policy_names_the_script_and_style_of_the_page(disk: Store) -> None:
    page = disk.read(write_gallery(disk, "r1", "Autumn", [])).decode()
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)
    assert policy
    assert policy[1].startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy[1]
    assert "innerHTML" not in page
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", page)


def test_missing_thumbnails_are_made_once(disk: Store) -> None:
    rows = [row_of(n) for n in range(10)]
    for n, row in enumerate(rows):
        put_picture(disk, row, n)
    made: list[int] = []

    def make(data: bytes) -> bytes:
        made.append(len(data))
        return thumbnail(data)

    disk.delete([thumbnail_key(rows[n]["sha256"]) for n in (2, 3)])
    for _ in range(2):
        write_gallery(disk, "r1", "Autumn", rows, make_thumbnail=make)
        assert len(made) == 2
    assert disk.exists(thumbnail_key(rows[2]["sha256"]))
    assert data_of(disk, "data-0001")["thumb"][7] == ""
    assert data_of(disk, "data-0001")["asset"] == []


@pytest.mark.parametrize("broken", [b"no picture", None])
def test_picture_without_thumbnail_is_shown_itself(disk: Store, broken: bytes | None) -> None:
    row = row_of(0)
    if broken is not None:
        disk.write(row["asset_key"], broken)
    write_gallery(disk, "r1", "Autumn", [row], make_thumbnail=thumbnail)
    cards = data_of(disk, "data-0001")
    assert (cards["thumb"], cards["asset"]) == ([""], [[0, row["asset_key"]]])
    assert disk.list("thumbs") == {}


def test_smaller_report_leaves_nothing_of_a_larger_one(disk: Store) -> None:
    write_gallery(disk, "r1", "Autumn", (row_of(n) for n in range(150)))
    write_gallery(disk, "r1", "Autumn", [row_of(0)])
    assert not disk.exists("runs/r1/report/details-0002.js")
    assert len(data_of(disk, "details-0001")) == 1


def test_memory_does_not_grow_with_the_rows(disk: Store) -> None:
    def peak(count: int) -> int:
        tracemalloc.start()
        write_gallery(disk, "r1", "Autumn", (row_of(n) for n in range(count)))
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    write_gallery(disk, "r1", "Autumn", [row_of(0)])
    assert peak(3 * PAGE_SIZE) < 1.3 * peak(PAGE_SIZE)
