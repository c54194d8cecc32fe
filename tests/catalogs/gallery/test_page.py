"""The gallery as a browser shows it from a disk and from a web server."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from catalogs.gallery.gallery import PAGE_SIZE, write_gallery
from catalogs.identity import thumbnail_key
from catalogs.storage.store import Store
from tests.catalogs.gallery.rows import CHANNELS, HOSTILE, put_picture, row_of


def page_uri(store: Store, run_id: str = "r1") -> str:
    return Path(store.uri(f"runs/{run_id}/report/index.html")).as_uri()


def ready(page: Any, count: int) -> None:
    page.wait_for_selector(f'html[data-ready="{count}"]')


def loaded(page: Any, selector: str) -> None:
    page.wait_for_function(
        "(s) => { const i = document.querySelector(s); return i.complete && i.naturalWidth > 0 }",
        arg=selector,
    )


def data_files(page: Any) -> list[str]:
    """Names of the data files that the page has asked for, in order."""
    return re.findall(r"/(data-[0-9]+\.js)\?", "\n".join(page.requests))


@pytest.mark.browser
def test_two_thousand_assets_open_in_two_seconds(page: Any, shop: Store) -> None:
    work = page.context.new_cdp_session(page)
    work.send("Performance.enable", {"timeDomain": "threadTicks"})  # of the processor: the machine may be busy
    page.goto(page_uri(shop))
    ready(page, 2000)
    assert page.locator("#grid > li.card").count() == 2000
    metrics = {one["name"]: one["value"] for one in work.send("Performance.getMetrics")["metrics"]}
    assert 0 < metrics["TaskDuration"] < 2
    loaded(page, "#grid img")
    assert len(page.requests) < 400, "pictures far below must not be read"


@pytest.mark.browser
def test_pictures_keep_their_ratio_and_their_marks(page: Any, shop: Store) -> None:
    page.goto(page_uri(shop))
    ready(page, 2000)
    for number in range(4):
        loaded(page, f"#grid .card:nth-child({number + 3}) img")
        box = page.locator("#grid .card img").nth(number).bounding_box()
        width, height = list(CHANNELS.values())[number]
        assert box["width"] / box["height"] == pytest.approx(width / height, rel=0.03)
    assert page.locator("#grid .card").nth(4).locator(".badge").inner_text() == "PROOF"
    failed = page.locator("#grid .card").nth(7)
    assert failed.locator(".fault").inner_text() == "Blank image\nall pixels are #000000"
    assert failed.locator("img").count() == 0
    assert page.locator("#grid .card img").first.get_attribute("alt") == "Picture of NO-1000-S, hero for square"


@pytest.mark.browser
def test_what_is_withdrawn_or_missing_is_marked_and_counted(page: Any, disk: Store) -> None:
    rows = [row_of(0), row_of(1, status="withdrawn"), row_of(2, status="missing"), row_of(3, status="missing")]
    for row in rows:
        put_picture(disk, row, 0)
    write_gallery(disk, "r1", "Autumn", rows)
    page.goto(page_uri(disk))
    ready(page, 4)
    marks = [page.locator("#grid .card").nth(number).locator(".badge.bad").all_inner_texts() for number in range(4)]
    assert marks == [[], ["Withdrawn"], ["Missing"], ["Missing"]]
    tiles = page.locator("#tiles button").all_inner_texts()
    assert [tile.split() for tile in tiles if tile.split()[1] in ("Missing", "Withdrawn")] == [
        ["2", "Missing"],
        ["1", "Withdrawn"],
    ]
    page.locator("#tiles button", has_text="Withdrawn").click()
    ready(page, 1)


@pytest.mark.browser
def test_filters_narrow_and_count(page: Any, shop: Store) -> None:
    page.goto(page_uri(shop))
    ready(page, 2000)
    page.get_by_label("Channel").select_option(label="story (400)")
    ready(page, 400)
    page.get_by_label("Brand").select_option(label="Mørk (100)")
    ready(page, 100)
    page.get_by_role("searchbox").fill("no-1003-m")
    ready(page, 4)
    assert page.locator("#count").inner_text() == "4 of 2,000 assets"
    assert page.get_by_label("Shot").locator("option").all_inner_texts()[1] == "detail (1)"
    page.get_by_role("searchbox").fill("nothing like it")
    page.get_by_text("No asset matches these filters").wait_for()
    page.get_by_role("button", name="Clear filters").click()
    ready(page, 2000)
    page.get_by_role("button", name="Failed").click()
    ready(page, 40)
    page.get_by_role("button", name="Proofs").click()
    ready(page, sum(row_of(n)["kind"] == "proof" for n in range(2000)))


@pytest.mark.browser
@pytest.mark.parametrize(
    ("order", "number"),
    [("Newest first", 1999), ("Failed first", 7), ("Largest file first", 1999), ("Product A to Z", 0)],
)
def test_sorting(page: Any, shop: Store, order: str, number: int) -> None:
    page.goto(page_uri(shop))
    ready(page, 2000)
    page.get_by_label("Sort").select_option(label=order)
    page.wait_for_selector(f'#grid a[data-position="{number}"]')


@pytest.mark.browser
def test_dialog_shows_everything_and_keeps_the_focus(page: Any, shop: Store) -> None:
    row = row_of(1)
    page.goto(page_uri(shop))
    ready(page, 2000)
    page.locator("#grid a").nth(1).focus()
    page.keyboard.press("Enter")
    page.wait_for_selector(f'dialog[data-shown="{row["fingerprint"][:16]}"]')
    assert page.evaluate("document.activeElement.id") == "close"
    text = page.locator("dialog").inner_text()
    shown = [row[name] for name in ("fingerprint", "asset_key", "model", "model_revision", "seed", "sha256")]
    shown += [
        row["references"][0]["uri"],
        "0.9123",
        "NO-1000-L",
        "80 kB (80,037 bytes)",
        "2026-11-20 00:00:01 UTC",
    ]
    for value in shown:
        assert str(value) in text
    assert page.locator("dialog pre").first.text_content() == json.dumps(json.loads(row["prompt"]), indent=2)
    page.wait_for_selector("#original[href]")
    loaded(page, "#picture")
    assert page.evaluate("document.querySelector('#picture').naturalWidth") == row["width"] // 3
    page.keyboard.press("ArrowRight")
    page.wait_for_selector(f'dialog[data-shown="{row_of(2)["fingerprint"][:16]}"]')
    assert page.url.endswith(f"#{row_of(2)['fingerprint'][:16]}")
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog:not([open])", state="attached")
    page.wait_for_function("document.activeElement.dataset.position === '2'")
    assert "#" not in page.url


@pytest.mark.browser
def test_prompt_is_copied(page: Any, shop: Store) -> None:
    page.goto(f"{page_uri(shop)}#{row_of(1)['fingerprint']}")
    page.get_by_role("button", name="Copy: Prompt").click()
    page.get_by_text("Prompt copied").wait_for()


@pytest.mark.browser
def test_deep_links_and_the_back_button(page: Any, shop: Store) -> None:
    first, second = (row_of(n)["fingerprint"] for n in (1234, 7))
    page.goto(f"{page_uri(shop)}#{first}")
    page.wait_for_selector(f'dialog[open][data-shown="{first[:16]}"]')
    assert page.locator("#place").inner_text() == "1,235 of 2,000"
    page.evaluate("(hash) => { location.hash = hash }", second)
    page.wait_for_selector(f'dialog[open][data-shown="{second[:16]}"]')
    assert "Blank image\n\nall pixels are #000000" in page.locator("#no-picture").inner_text()
    page.go_back()
    page.wait_for_selector(f'dialog[open][data-shown="{first[:16]}"]')
    page.goto(f"{page_uri(shop)}#{'0' * 64}")
    page.get_by_text("No asset of this report has the fingerprint").wait_for()


@pytest.mark.browser
def test_hostile_text_is_only_text(page: Any, disk: Store) -> None:
    names = ("brand_id", "look", "product_id", "shot", "channel", "prompt", "prompt_used", "model", "detail")
    changes: dict[str, Any] = dict.fromkeys(names, HOSTILE)
    changes |= {
        "prompt_used": "other " + HOSTILE,
        "covers": [HOSTILE],
        "quality": {HOSTILE: 1.0, "__proto__": 2.0},
    }
    changes["references"] = [{"uri": HOSTILE, "role": HOSTILE, "sha256": HOSTILE, "width": 1, "height": 1}]
    row = row_of(0, **changes)
    put_picture(disk, row, 0)
    failed = {
        "status": "failed",
        "reason": HOSTILE,
        "asset_key": None,
        "sha256": None,
        "fingerprint": "cd" * 32,
    }
    write_gallery(disk, "r1", HOSTILE, [row, row | failed], title=HOSTILE, details={HOSTILE: HOSTILE})
    page.goto(page_uri(disk))
    ready(page, 2)
    for fingerprint in (row["fingerprint"], "cd" * 32):
        page.evaluate("(hash) => { location.hash = hash }", fingerprint)
        page.wait_for_selector(f'dialog[data-shown="{fingerprint[:16]}"]')
    assert page.evaluate("window.hacked") is None
    assert page.locator("img[src='x']").count() == 0
    assert page.locator("h1").text_content() == HOSTILE
    assert page.title().startswith("</script><img")


@pytest.mark.browser
def test_policy_refuses_markup_that_would_run(page: Any, disk: Store) -> None:
    write_gallery(disk, "r1", "Autumn", [row_of(7)])
    page.goto(page_uri(disk))
    ready(page, 1)
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=data:, onerror=\"window.hacked=1\">')")
    page.wait_for_timeout(200)
    assert page.evaluate("window.hacked") is None
    assert any("Content Security Policy" in problem for problem in page.problems)
    page.problems.clear()


@pytest.mark.browser
def test_further_pages_are_loaded_when_wanted(page: Any, disk: Store) -> None:
    rows = [row_of(n, sha256=None, asset_key=None) for n in range(2 * PAGE_SIZE + 30)]
    write_gallery(disk, "r1", "Autumn", rows)
    page.goto(page_uri(disk))
    ready(page, 2000)
    assert data_files(page) == ["data-0001.js"]
    page.locator("#page").select_option(label="3 of 3")
    ready(page, 30)
    assert page.locator("#count").inner_text() == "4,001 to 4,030 of 4,030 assets"
    assert data_files(page) == ["data-0001.js", "data-0003.js"]
    page.get_by_role("searchbox").fill("NO-1150")
    ready(page, 20)
    assert data_files(page) == ["data-0001.js", "data-0003.js", "data-0002.js"]
    page.goto(f"{page_uri(disk)}#{rows[2500]['fingerprint']}")
    page.wait_for_selector(f'dialog[open][data-shown="{rows[2500]["fingerprint"][:16]}"]')
    page.keyboard.press("Escape")
    page.wait_for_function("document.activeElement.dataset.position === '2500'")


@pytest.mark.browser
def test_lost_files_are_said(page: Any, disk: Store) -> None:
    rows = [row_of(0), row_of(1)]
    for n, row in enumerate(rows):
        put_picture(disk, row, n)
    write_gallery(disk, "r1", "Autumn", rows)
    disk.delete([thumbnail_key(rows[0]["sha256"]), rows[0]["asset_key"], "runs/r1/report/details-0001.js"])
    page.goto(page_uri(disk))
    page.locator(".card.lost").get_by_text("The file is not where the catalog says.").wait_for()
    page.locator("#grid a").nth(1).click()
    page.get_by_text("details-0001.js could not be loaded").first.wait_for()
    assert all("ERR_FILE_NOT_FOUND" in problem for problem in page.problems)
    page.problems.clear()


@pytest.mark.browser
def test_empty_report(page: Any, disk: Store) -> None:
    write_gallery(disk, "r1", "Autumn", [])
    page.goto(page_uri(disk))
    page.get_by_text("Nothing here yet").wait_for()


@pytest.mark.browser
def test_opens_from_a_bucket(page: Any, bucket: str) -> None:
    page.goto(f"{bucket}/runs/r1/report/index.html#{row_of(3)['fingerprint']}")
    page.wait_for_selector("#original[href]")
    loaded(page, "#picture")
    loaded(page, "#grid img")


@pytest.mark.browser
@pytest.mark.parametrize("width", [320, 390, 1024])
def test_nothing_is_wider_than_the_window(page: Any, shop: Store, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(f"{page_uri(shop)}#{row_of(3)['fingerprint']}")
    page.wait_for_selector("dialog[data-shown]")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("document.querySelector('.sheet').scrollWidth") <= width
