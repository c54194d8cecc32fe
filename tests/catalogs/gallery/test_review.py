"""What somebody says of pictures in the gallery, and the file that it saves for `packshot review`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from catalogs.assets.takes import Verdict
from catalogs.gallery.gallery import write_gallery
from catalogs.storage.store import Store
from tasks.review import Named, named_in
from tests.catalogs.gallery.rows import put_picture, row_of
from tests.catalogs.gallery.test_page import page_uri, ready

pytestmark = pytest.mark.browser


def rows() -> list[dict[str, Any]]:
    found = [row_of(number, verdict="needs_review", score=0.4) for number in range(4)]
    for row, render in zip(found, "abcc", strict=True):
        row["render_fingerprint"] = 64 * render  # the last two are channels of one picture
    return found


def attempts_of(row: Any) -> list[Any]:
    return [{**row_of(101), "take": 1}, row] if row["fingerprint"] == row_of(0)["fingerprint"] else []


@pytest.fixture
def gallery(disk: Store) -> Store:
    for number, row in enumerate([*rows(), row_of(101)]):
        put_picture(disk, row, 5 * number)
    write_gallery(disk, "r1", "Autumn", rows(), attempts_of=attempts_of)
    return disk


def opened(page: Any, store: Store, name: str = "") -> None:
    page.goto(page_uri(store) + name)
    ready(page, 4)


def shown(page: Any, number: int) -> None:
    page.wait_for_selector(f'dialog[data-shown="{row_of(number)["fingerprint"][:16]}"]')


def pressed(page: Any) -> list[str]:
    found: list[str] = page.locator('.choices [aria-pressed="true"]').all_inner_texts()
    return found


def test_verdicts_are_kept_marked_and_saved(page: Any, gallery: Store, tmp_path: Path) -> None:
    opened(page, gallery)
    assert page.locator("#review").is_hidden()
    page.locator("#grid a").first.click()
    shown(page, 0)
    page.get_by_role("button", name="Show take 1").click()
    page.get_by_role("button", name="Accept").click()
    assert pressed(page) == ["Accept"]
    page.get_by_role("button", name="Show take 0").click()
    assert pressed(page) == [], "of the other take nothing was said"
    page.keyboard.press("ArrowRight")
    shown(page, 1)
    page.keyboard.press("r")
    shown(page, 2)
    page.keyboard.press("a")
    shown(page, 3)
    assert pressed(page) == ["Accept"], "a verdict is for all channels"
    page.get_by_role("button", name="Accept").click()
    assert pressed(page) == [], "taken back"
    page.get_by_role("button", name="Accept").click()
    page.keyboard.press("Escape")
    assert page.locator(".yours").all_inner_texts() == ["You accept", "You reject", "You accept", "You accept"]
    assert "You accept 2 and reject 1." in page.locator("#review").inner_text()

    opened(page, gallery, "?again")
    assert page.locator(".yours").count() == 4, "kept"
    with page.expect_download() as download:
        page.get_by_role("button", name="Save review.csv").click()
    saved = tmp_path / download.value.suggested_filename
    download.value.save_as(saved)
    assert saved.name == "review.csv"
    keys = [row_of(number)["asset_key"] for number in (101, 1, 3)]
    verdicts = [Verdict.ACCEPTED, Verdict.REJECTED, Verdict.ACCEPTED]
    assert named_in(str(saved)) == [
        Named(key, verdict, f"{saved}, row {number}")
        for number, (key, verdict) in enumerate(zip(keys, verdicts, strict=True), 1)
    ]

    page.get_by_role("button", name="Forget").click()
    assert page.locator("#review").is_hidden()
    assert page.locator(".yours").count() == 0
    opened(page, gallery, "?once-more")
    assert page.locator("#review").is_hidden()


def test_what_others_left_in_the_browser_breaks_nothing(page: Any, gallery: Store) -> None:
    opened(page, gallery)
    page.locator("#grid a").first.click()
    shown(page, 0)
    page.get_by_role("button", name="Reject").click()
    [name] = page.evaluate("Object.keys(localStorage)")
    for text in ("{", '"text"', "7", "[[1]]", "[[]]", "null", '[["a", {"key": "x"}]]'):
        page.evaluate("([name, text]) => localStorage.setItem(name, text)", [name, text])
        opened(page, gallery, f"?{len(text)}")
        assert page.locator("#review").is_hidden(), text


def test_of_what_has_no_picture_nothing_is_said(page: Any, disk: Store) -> None:
    proof = row_of(1, kind="proof")
    put_picture(disk, proof, 5)
    write_gallery(disk, "r1", "Autumn", [proof, row_of(7)])
    page.goto(page_uri(disk))
    ready(page, 2)
    for place in (0, 1):
        page.locator("#grid a").nth(place).click()
        page.wait_for_selector("dialog[data-shown]")
        assert page.locator(".choices").count() == 0
        page.keyboard.press("r")
        page.keyboard.press("Escape")
    assert page.locator("#review").is_hidden()
