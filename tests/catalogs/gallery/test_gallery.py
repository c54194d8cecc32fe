"""The report's files, and the report as a browser shows it from a disk and from a web server."""

from __future__ import annotations

import hashlib
import io
import json
import math
import re
import threading
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw, ImageFilter

from catalogs.gallery.gallery import DETAILS_SIZE, PAGE_SIZE, write_gallery
from catalogs.identity import Identity, asset_key, thumbnail_key
from catalogs.storage.store import Store

BROWSER_ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
HOSTILE = "</script><img src=x onerror=\"window.hacked='yes'\"><!--\u2028{{script}}"
SHOTS = ("hero", "lifestyle", "detail", "flatlay")
CHANNELS = {
    "square": (1080, 1080),
    "story": (1080, 1920),
    "portrait": (1080, 1350),
    "banner": (1940, 600),
    "web": (1600, 1200),
}
BRANDS = ("Norrland Outdoor", "Atelier Fumée", "Kite & Co", "Mørk")
PALETTES = (
    ("#f4e3d0", "#d98e5f", "#7c3f2c"),
    ("#dfe8e4", "#7fa99b", "#23463f"),
    ("#e6e4f2", "#8f8ac4", "#35315e"),
    ("#f7e6e2", "#e08b85", "#8a2f3b"),
    ("#e3eef6", "#6ea3cf", "#1d4468"),
    ("#f3ecd2", "#d9b24c", "#6b5212"),
)


def rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


@cache
def picture(width: int, height: int, number: int) -> bytes:
    """A still life of a vessel, a ball and a shadow before a wall, as WebP."""
    wall, middle, dark = (rgb(colour) for colour in PALETTES[number % len(PALETTES)])
    gradient = Image.linear_gradient("L").rotate(35 * number).resize((width, height))
    image = Image.composite(
        Image.new("RGB", (width, height), wall), Image.new("RGB", (width, height), middle), gradient
    )
    side, floor = min(width, height), height * 0.74
    draw = ImageDraw.Draw(image, "RGBA")
    draw.rectangle((0, floor, width, height), fill=(*wall, 150))
    centre = width * (0.42 + 0.04 * (number % 5))
    shadow = Image.new("L", image.size)
    reach = side * 0.44
    ImageDraw.Draw(shadow).ellipse((centre - reach * 0.4, floor, centre + reach, floor + side * 0.1), fill=150)
    image.paste(dark, (0, 0, width, height), shadow.filter(ImageFilter.GaussianBlur(side / 30)))
    draw = ImageDraw.Draw(image, "RGBA")
    half, tall = side * (0.13 + 0.02 * (number % 3)), side * (0.38 + 0.05 * (number % 4))
    draw.rounded_rectangle(
        (centre - half, floor + side * 0.05 - tall, centre + half, floor + side * 0.05), half * 0.5, fill=dark
    )
    draw.rounded_rectangle(
        (centre - half * 0.4, floor - tall - side * 0.02, centre + half * 0.4, floor - tall + side * 0.08),
        half * 0.2,
        fill=dark,
    )
    draw.rectangle((centre - half, floor - tall * 0.5, centre + half, floor - tall * 0.2), fill=wall)
    ball = side * 0.1
    draw.ellipse(
        (centre + half * 1.3, floor - ball * 1.4, centre + half * 1.3 + 2 * ball, floor + ball * 0.6),
        fill=middle,
    )
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=80)
    return buffer.getvalue()


def thumbnail(data: bytes) -> bytes:
    with Image.open(io.BytesIO(data)) as image:
        small = image.convert("RGB")
    small.thumbnail((320, 320))
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=70)
    return buffer.getvalue()


def prompt_of(number: int) -> str:
    palette = PALETTES[number % len(PALETTES)]
    prompt = {
        "scene": "a calm studio still life on a low plinth",
        "subjects": [{"description": f"the bottle of image 1 in color {palette[2]}", "position": "centre"}],
        "style": "editorial product photography",
        "color_palette": list(palette),
        "lighting": "soft window light from the left",
        "camera": {"lens": "85 mm", "f-number": 5.6},
    }
    return json.dumps(prompt, separators=(",", ":"))


def row_of(number: int, **changes: Any) -> dict[str, Any]:
    """A delivered row; every 50th failed, every 9th a proof."""
    look, channel = number // 20, list(CHANNELS)[number % 5]
    width, height = CHANNELS[channel]
    digest = hashlib.sha256(f"bytes {number}".encode()).hexdigest()
    kind = "proof" if number % 9 == 4 else "render"
    row: dict[str, Any] = {
        "campaign": "Autumn 26/27",
        "kind": kind,
        "brand_id": BRANDS[look % len(BRANDS)],
        "look": f"look-{look:04d}",
        "product_id": f"NO-{1000 + look}-S",
        "covers": [f"NO-{1000 + look}-{size}" for size in "SML"],
        "shot": SHOTS[number // 5 % 4],
        "channel": channel,
        "variation": 0,
        "take": 0,
        "status": "delivered",
        "reason": None,
        "detail": None,
        "attempts": 1,
        "fingerprint": hashlib.sha256(f"asked {number}".encode()).hexdigest(),
        "render_fingerprint": hashlib.sha256(f"render {number // 5}".encode()).hexdigest(),
        "sha256": digest,
        "bytes": 80_000 + number * 37,
        "format": "webp",
        "width": width,
        "height": height,
        "prompt": prompt_of(look),
        "prompt_used": prompt_of(look),
        "references": [
            {
                "uri": f"s3://photos/{look}/front & back.jpg",
                "sha256": "ab" * 32,
                "role": "hero",
                "width": 1200,
                "height": 900,
            }
        ],
        "engine": "proof" if kind == "proof" else "diffusers",
        "model": "klein-4b",
        "model_revision": "1f2e3d4c5b6a",
        "seed": 1_234_567 + number,
        "steps": 4,
        "guidance": 1.0,
        "seconds": 1.25,
        "cost": 0.0,
        "quality": [("sharpness", 0.91234567), ("subject_match", math.nan)],
        "versions": {"diffusers": "0.42.0"},
        "ai_label_required": True,
        "has_person": False,
        "run_id": "r1",
        "created_at": datetime(2026, 11, 20, tzinfo=UTC) + timedelta(seconds=number),
    }
    identity = Identity(
        *(row[name] for name in ("campaign", "kind", "brand_id", "look", "shot", "channel", "variation"))
    )
    row["asset_key"] = asset_key(identity, row["fingerprint"], digest, "webp").replace("26/27", "26 #1 100%+ü")
    if number % 50 == 7:
        row |= {
            "status": "failed",
            "reason": "blank_image",
            "detail": "all pixels are #000000",
            "asset_key": None,
        }
        row |= {"sha256": None, "bytes": None}
    return row | changes


def put_picture(store: Store, row: dict[str, Any], number: int) -> None:
    """Store the asset of a row, at a sixth of its size, and its thumbnail."""
    if not row["asset_key"]:
        return
    data = picture(row["width"] // 3, row["height"] // 3, number // 5 % 30)
    store.write(row["asset_key"], data)
    store.write(thumbnail_key(row["sha256"]), small_picture(data))


small_picture = cache(thumbnail)


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


@pytest.fixture
def disk(tmp_path: Path) -> Store:
    return Store.at(str(tmp_path / "a store #1"))


# ---- files


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
    assert data_of(disk, "data-0001")["look"]["values"] == [["", ""]]


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


# ---- browser


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        running = started.chromium.launch(executable_path=chromium, args=BROWSER_ARGS)
        yield running
        running.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page that fails the test for any error, refused script or request that leaves the disk."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    opened = context.new_page()
    problems: list[str] = []
    requests: list[str] = []
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    opened.on("request", lambda request: problems.append(request.url) if _leaves(request.url) else None)
    opened.on("request", lambda request: requests.append(request.url))
    opened.problems, opened.requests = problems, requests
    yield opened
    context.close()
    assert problems == []


def _leaves(url: str) -> bool:
    return not url.startswith(("file:", "data:", "http://127.0.0.1:"))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """2,000 assets with pictures on disk, and their report."""
    store = Store.at(str(tmp_path_factory.mktemp("gallery") / "out put #1"))
    rows = [row_of(n) for n in range(PAGE_SIZE)]
    for n, row in enumerate(rows):
        put_picture(store, row, n)
    write_gallery(store, "r1", "Autumn 26/27", rows, details={"Model": "klein-4b"})
    return store


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
    page.goto(page_uri(shop))
    ready(page, 2000)
    assert page.locator("#grid > li").count() == 2000
    assert page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd") < 2000
    assert page.evaluate("performance.getEntriesByName('ready')[0].startTime") < 2000
    loaded(page, "#grid img")
    assert len(page.requests) < 400, "pictures far below must not be read"


@pytest.mark.browser
def test_pictures_keep_their_ratio_and_their_marks(page: Any, shop: Store) -> None:
    page.goto(page_uri(shop))
    ready(page, 2000)
    for number in range(4):
        loaded(page, f"#grid li:nth-child({number + 1}) img")
        box = page.locator("#grid img").nth(number).bounding_box()
        width, height = list(CHANNELS.values())[number]
        assert box["width"] / box["height"] == pytest.approx(width / height, rel=0.03)
    assert page.locator("#grid li").nth(4).locator(".badge").inner_text() == "PROOF"
    failed = page.locator("#grid li").nth(7)
    assert failed.locator(".fault").inner_text() == "Blank image\nall pixels are #000000"
    assert failed.locator("img").count() == 0
    assert page.locator("#grid img").first.get_attribute("alt") == "Picture of NO-1000-S, hero for square"


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
    page.wait_for_selector(f'#grid li:first-child a[data-position="{number}"]')


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


class _Files(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def bucket(shop: Store) -> Iterator[str]:
    """The store as a public bucket serves it."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Files, directory=shop.root))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


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
