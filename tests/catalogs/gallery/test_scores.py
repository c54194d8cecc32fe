"""What checks said of pictures: the scores and takes in the data, and how a browser sorts and shows them."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from catalogs.gallery.data import takes
from catalogs.gallery.gallery import write_gallery
from catalogs.identity import thumbnail_key
from catalogs.storage.store import Store
from tests.catalogs.gallery.rows import HOSTILE, put_picture, row_of
from tests.catalogs.gallery.test_gallery import data_of, report_of
from tests.catalogs.gallery.test_page import loaded, page_uri, ready

JUDGED: tuple[tuple[str | None, float | None], ...] = (
    ("accepted", 0.71),
    ("rejected", 0.08),
    ("needs_review", 0.41234567),
    (None, None),
    ("accepted", 1.0),
    ("rejected", 0.0),
)
FAULTS = "rejected: coherence 0.0312 (under 0.5); to be looked at: colours 8.1 (over 5.3)"


def judged_rows() -> list[dict[str, Any]]:
    rows = [row_of(n, verdict=verdict, score=score) for n, (verdict, score) in enumerate(JUDGED)]
    rows[1] |= {"detail": FAULTS, "take": 2, "take_of": "5" * 64}
    return rows


def attempts_of(row: Any) -> list[Any]:
    """Four takes of the second row: one rejected, one whose file is gone, the one that stands, one that failed."""
    if row["fingerprint"] != row_of(1)["fingerprint"]:
        return []
    first = {**row_of(101), "take": 0, "verdict": "rejected", "score": 0.05, "detail": "rejected: coherence 0.01"}
    gone = {**row_of(102), "take": 1, "verdict": "rejected", "score": 0.02, "status": "pruned"}
    failed = {**row_of(107), "take": 3}
    return [first, gone, row, failed]


@pytest.fixture
def judged(disk: Store) -> Store:
    rows = judged_rows()
    for number, row in enumerate([*rows, row_of(101)]):
        put_picture(disk, row, 5 * number)
    write_gallery(disk, "r1", "Autumn", rows, attempts_of=attempts_of)
    return disk


def opened(page: Any, store: Store, name: str = "") -> Any:
    page.goto(page_uri(store) + name)
    ready(page, len(JUDGED))
    return page


def test_scores_are_in_the_cards_in_ten_thousandths(judged: Store) -> None:
    assert data_of(judged, "data-0001")["score"] == [7100, 800, 4123, None, 10_000, 0]
    assert report_of(judged, "runs/r1/report/index.html")["scored"] == 5


def test_without_scores_the_data_are_what_they_were(disk: Store) -> None:
    rows = [row_of(0), row_of(1, verdict=None, score=None), row_of(2, score=math.nan)]
    write_gallery(disk, "r1", "Autumn", rows)
    assert "score" not in data_of(disk, "data-0001")
    assert report_of(disk, "runs/r1/report/index.html")["scored"] == 0
    assert not any("takes" in row for row in data_of(disk, "details-0001"))


def test_takes_are_in_the_details_of_what_has_several(judged: Store) -> None:
    details = data_of(judged, "details-0001")
    assert ["takes" in row for row in details] == [False, True, False, False, False, False]
    told = [
        (take["take"], take["stands"], take["status"], take["verdict"], take["score"]) for take in details[1]["takes"]
    ]
    assert told == [
        (0, False, "delivered", "rejected", 0.05),
        (1, False, "pruned", "rejected", 0.02),
        (2, True, "delivered", "rejected", 0.08),
        (3, False, "failed", None, None),
    ]
    first, gone, _, failed = details[1]["takes"]
    assert "thumbs/" + first["thumb"] == thumbnail_key(row_of(101)["sha256"])
    assert (gone["thumb"], failed["reason"]) == ("", "blank_image")


def test_of_the_current_take_its_own_row_is_shown() -> None:
    row = row_of(1, take=1, verdict="accepted")
    old = {**row, "verdict": "rejected"}
    [_, current] = takes(row, [row_of(2, take=0), old], set())["takes"]  # type: ignore[typeddict-item]
    assert (current["verdict"], current["stands"]) == ("accepted", True)
    assert takes(row, [old], set()) == {}  # type: ignore[typeddict-item]
    failed = {**row, "status": "failed"}
    assert not any(take["stands"] for take in takes(failed, [row_of(2, take=0)], set())["takes"])  # type: ignore[typeddict-item]


@pytest.mark.browser
def test_a_card_says_score_and_verdict(page: Any, judged: Store) -> None:
    opened(page, judged)
    said = [card.locator(".judged").all_inner_texts() for card in page.locator("#grid .card").all()]
    assert [" ".join(" ".join(texts).split()) for texts in said] == [
        "Score 0.71",
        "Score 0.08 Rejected",
        "Score 0.41 Needs review",
        "",
        "Score 1.00",
        "Score 0.00 Rejected",
    ]


@pytest.mark.browser
@pytest.mark.parametrize(
    ("order", "positions"),
    [("Worst score first", [5, 1, 2, 0, 4, 3]), ("Best score first", [4, 0, 2, 1, 5, 3])],
)
def test_scores_sort_and_what_has_none_is_last(page: Any, judged: Store, order: str, positions: list[int]) -> None:
    opened(page, judged)
    page.get_by_label("Sort").select_option(label=order)
    page.wait_for_selector(f'#grid > li:first-child a[data-position="{positions[0]}"]')
    shown = page.eval_on_selector_all("#grid a", "links => links.map(link => Number(link.dataset.position))")
    assert shown == positions
    opened(page, judged, "?again#" + page.url.partition("#")[2])
    assert page.get_by_label("Sort").locator("option:checked").inner_text() == order


@pytest.mark.browser
def test_without_scores_the_page_is_what_it_was(page: Any, shop: Store) -> None:
    page.goto(page_uri(shop))
    ready(page, 2000)
    assert not [text for text in page.get_by_label("Sort").locator("option").all_inner_texts() if "score" in text]
    assert page.locator(".judged, .grid.scored").count() == 0
    page.locator("#grid a").first.click()
    page.wait_for_selector("dialog[data-shown]")
    heads = page.locator("dialog h3").all_inner_texts()
    assert "Scores" in heads
    assert not {"Checks", "Takes (1)"}.intersection(heads)
    page.goto(f"{page_uri(shop)}?again#sort=worst")
    ready(page, 2000)
    assert page.get_by_label("Sort").input_value() == ""


@pytest.mark.browser
def test_the_verdict_is_in_the_address(page: Any, judged: Store) -> None:
    opened(page, judged)
    page.get_by_label("Verdict").select_option(label="Rejected (2)")
    ready(page, 2)
    page.wait_for_url("**#verdict=rejected")
    page.go_back()
    ready(page, len(JUDGED))


@pytest.mark.browser
def test_what_stands_apart_from_its_set_is_marked_and_chosen(page: Any, disk: Store) -> None:
    rows = judged_rows()
    rows[4] |= {"in_set": "apart", "why_apart": "scale 0.31 (the set: 0.69)"}
    for number, row in enumerate(rows):
        put_picture(disk, row, 5 * number)
    write_gallery(disk, "r1", "Autumn", rows)
    opened(page, disk)
    said = [" ".join(text.split()) for text in page.locator("#grid .judged").all_inner_texts()]
    assert [text for text in said if "Apart" in text] == ["Score 1.00 Apart"]
    page.locator("#facet-in_set").select_option(label="Apart from its set (1)")
    ready(page, 1)
    page.wait_for_url("**#set=apart")
    page.locator("#grid a").first.click()
    page.wait_for_selector("dialog[data-shown]")
    assert "scale 0.31 (the set: 0.69)" in page.locator("#sections section", has_text="Checks").inner_text()


@pytest.mark.browser
def test_where_nothing_stands_apart_there_is_nothing_to_choose(page: Any, judged: Store) -> None:
    opened(page, judged)
    assert page.locator("#facet-in_set").is_hidden()


@pytest.mark.browser
def test_takes_stand_side_by_side(page: Any, judged: Store) -> None:
    opened(page, judged)
    page.locator("#grid a").nth(1).click()
    page.wait_for_selector("dialog[data-shown]")
    assert page.locator("dialog h3").all_inner_texts()[:3] == ["Takes (4)", "Your verdict", "Checks"]
    tiles = page.locator(".takes > li")
    said = [" ".join(text.split()) for text in tiles.all_inner_texts()]
    assert said == [
        "Take 0 Score 0.05 Rejected rejected: coherence 0.01 Copy key",
        "No file Take 1 Score 0.02 Rejected Pruned",
        "Take 2 Stands Score 0.08 Rejected " + FAULTS.replace(";", "") + " Copy key",
        "No file Take 3 Blank image all pixels are #000000",
    ]
    tops = [tile.bounding_box()["y"] for tile in tiles.all()]
    assert tops[0] == tops[1] == tops[2], "side by side"
    loaded(page, ".takes > li:first-child img")
    checks = page.locator("dialog section", has=page.get_by_role("heading", name="Checks"))
    assert checks.locator(".faults li").all_inner_texts() == FAULTS.split("; ")
    assert "0.9123" in checks.inner_text()


@pytest.mark.browser
def test_a_take_is_shown_large_by_keyboard(page: Any, judged: Store) -> None:
    standing, other = (row["asset_key"].rpartition("/")[2] for row in (judged_rows()[1], row_of(101)))
    opened(page, judged)
    page.locator("#grid a").nth(1).click()
    page.wait_for_selector(f'#original[href*="{standing}"]')
    buttons = page.locator(".take-picture")
    assert [button.is_enabled() for button in buttons.all()] == [True, False, True, False]
    page.get_by_role("button", name="Show take 0").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector(f'#original[href*="{other}"]')
    assert buttons.evaluate_all("all => all.map(one => one.ariaPressed)") == ["true", "false", "false", "false"]
    assert page.locator("#picture").get_attribute("alt").startswith("Take 0: ")
    page.keyboard.press("ArrowRight")
    page.wait_for_selector(f'dialog[data-shown="{row_of(2)["fingerprint"][:16]}"]')
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector(f'#original[href*="{standing}"]')


@pytest.mark.browser
def test_the_key_of_a_picture_and_of_a_take_is_copied(page: Any, judged: Store) -> None:
    """What `packshot review` takes."""
    opened(page, judged)
    page.locator("#grid a").nth(1).click()
    page.wait_for_selector("#original[href]")
    page.evaluate("navigator.clipboard.writeText = async (text) => { window.copied = text; }")
    for what, row in (("picture", judged_rows()[1]), ("take", row_of(101))):
        page.get_by_role("button", name=f"Copy the asset key of this {what}").first.click()
        page.get_by_text("Asset key copied").wait_for()
        assert page.evaluate("window.copied") == row["asset_key"]


@pytest.mark.browser
def test_a_take_whose_file_is_gone_is_said(page: Any, judged: Store) -> None:
    judged.delete([row_of(101)["asset_key"]])
    opened(page, judged)
    page.locator("#grid a").nth(1).click()
    page.wait_for_selector("#original[href]")
    page.get_by_role("button", name="Show take 0").click()
    page.locator("#no-picture").get_by_text("The file is not where the catalog says.").wait_for()
    assert all("ERR_FILE_NOT_FOUND" in problem for problem in page.problems)
    page.problems.clear()


@pytest.mark.browser
def test_hostile_takes_are_only_text(page: Any, disk: Store) -> None:
    row = row_of(1, take=1, score=0.2, verdict=HOSTILE, detail=HOSTILE, quality={HOSTILE: 1.0})
    attempts = [{**row_of(2), "take": 0, "verdict": HOSTILE, "detail": HOSTILE, "status": HOSTILE, "score": math.inf}]
    write_gallery(disk, "r1", "Autumn", [row], attempts_of=lambda _: attempts)
    page.goto(page_uri(disk))
    ready(page, 1)
    page.locator("#grid a").click()
    page.wait_for_selector("dialog[data-shown]")
    assert HOSTILE in (page.locator(".takes").text_content() or "")
    assert page.evaluate("window.hacked") is None
    assert page.locator("img[src='x']").count() == 0
    assert json.dumps(data_of(disk, "details-0001")[0]["takes"][0]["score"]) == "null"
    page.problems.clear()  # pictures that were never stored


@pytest.mark.browser
@pytest.mark.parametrize("width", [320, 390, 1024])
def test_takes_are_no_wider_than_the_window(page: Any, judged: Store, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    opened(page, judged)
    page.locator("#grid a").nth(1).click()
    page.wait_for_selector("dialog[data-shown]")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("document.querySelector('.sheet').scrollWidth") <= width
    page.get_by_role("button", name="Show take 0").click()
    bar, stage = (page.locator(name).bounding_box() for name in (".panel-bar", ".stage"))
    assert stage["y"] >= (bar["y"] + bar["height"] - 1 if width < 760 else 0), "the take is seen, not only asked for"
