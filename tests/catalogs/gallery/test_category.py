"""A set as the category page of a shop lays it out: one brand, shot and channel on equal tiles."""

from __future__ import annotations

from typing import Any

import pytest

from catalogs.gallery.gallery import write_gallery
from catalogs.storage.store import Store
from tests.catalogs.gallery.rows import CHANNELS, put_picture, row_of
from tests.catalogs.gallery.test_page import loaded, page_uri, ready


def in_set(number: int, brand: str, shot: str, channel: str) -> bool:
    row = row_of(number)
    delivered = row["status"] == "delivered"
    return delivered and (row["brand_id"], row["shot"], row["channel"]) == (brand, shot, channel)


def button(page: Any) -> Any:
    return page.get_by_role("button", name="Category page")


@pytest.mark.browser
def test_a_brand_and_a_shot_are_laid_out_as_a_shop_does(page: Any, shop: Store) -> None:
    page.goto(page_uri(shop))
    ready(page, 2000)
    assert button(page).is_hidden()
    page.get_by_label("Brand").select_option(label="Mørk (500)")
    ready(page, 500)
    page.get_by_label("Shot").select_option(label="lifestyle (125)")
    ready(page, 125)
    page.get_by_label("Channel").select_option(label="portrait (25)")
    ready(page, 25)
    button(page).focus()
    page.keyboard.press("Enter")
    expected = [n for n in range(2000) if in_set(n, "Mørk", "lifestyle", "portrait")]
    page.wait_for_selector("#grid.set")
    ready(page, len(expected))
    assert button(page).get_attribute("aria-pressed") == "true"
    assert page.evaluate("document.activeElement.id") == "category"
    shown = page.eval_on_selector_all("#grid a", "links => links.map(link => Number(link.dataset.position))")
    assert shown == expected
    assert page.locator(".product, .shot").count() == 0
    loaded(page, "#grid .card img")
    boxes = [card.locator(".mat").bounding_box() for card in page.locator("#grid .card").all()[:6]]
    width, height = CHANNELS["portrait"]
    for box in boxes:
        assert box["width"] / box["height"] == pytest.approx(width / height, rel=0.02)
        assert (box["width"], box["height"]) == pytest.approx((boxes[0]["width"], boxes[0]["height"]), abs=0.5)
    assert page.locator("#grid .card .caption").first.inner_text().strip() == row_of(expected[0])["product_id"]
    ground = "getComputedStyle(document.querySelector('#grid')).backgroundColor"
    assert page.evaluate(ground) == "rgb(255, 255, 255)"
    button(page).click()
    ready(page, 25)
    assert page.locator("#grid.set").count() == 0


@pytest.mark.browser
def test_what_is_not_chosen_is_the_largest_set(page: Any, disk: Store) -> None:
    """Of the brand's pictures most are details for the web; its failed ones are more and do not count."""
    rows = [row_of(n, brand_id="b", shot="hero", channel="square") for n in (0, 1)]
    rows += [row_of(n, brand_id="b", shot="detail", channel="web") for n in (2, 3, 5)]
    rows += [row_of(n, brand_id="b", shot="hero", channel="story") for n in (7, 57, 107, 157)]
    rows += [row_of(n, brand_id="c", shot="hero", channel="square") for n in range(10, 16)]
    for row in rows:
        put_picture(disk, row, 0)
    write_gallery(disk, "r1", "Autumn", rows)
    page.goto(page_uri(disk))
    ready(page, len(rows))
    page.get_by_label("Brand").select_option(label="b (9)")
    ready(page, 9)
    button(page).click()
    page.wait_for_selector("#grid.set")
    ready(page, 3)
    page.wait_for_url("**#brand=b&shot=detail&channel=web&view=set")
    assert page.locator("#count").inner_text() == "3 of 15 assets"
    fresh = page.context.new_page()
    fresh.goto(page.url)
    fresh.wait_for_selector("#grid.set")
    ready(fresh, 3)
    page.go_back()
    ready(page, 9)
    assert page.locator("#grid.set").count() == 0


@pytest.mark.browser
def test_a_picture_of_the_set_opens_and_its_neighbours_are_of_the_set(page: Any, shop: Store) -> None:
    page.goto(f"{page_uri(shop)}#brand=M%C3%B8rk&shot=hero&channel=square&view=set")
    members = [n for n in range(2000) if in_set(n, "Mørk", "hero", "square")]
    ready(page, len(members))
    page.locator("#grid a").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector(f'dialog[data-shown="{row_of(members[0])["fingerprint"][:16]}"]')
    page.keyboard.press("ArrowRight")
    page.wait_for_selector(f'dialog[data-shown="{row_of(members[1])["fingerprint"][:16]}"]')
    page.keyboard.press("Escape")
    page.wait_for_function(f"document.activeElement.dataset.position === '{members[1]}'")
    page.get_by_role("button", name="Clear filters").click()
    ready(page, 2000)
    assert page.locator("#grid.set").count() == 0


@pytest.mark.browser
@pytest.mark.parametrize("width", [320, 390, 1440])
def test_a_set_is_no_wider_than_the_window_and_white_in_the_dark(page: Any, shop: Store, width: int) -> None:
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(f"{page_uri(shop)}#brand=M%C3%B8rk&shot=hero&channel=banner&view=set")
    page.wait_for_selector("#grid.set .card")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    widest = "els => Math.max(...els.map(e => e.getBoundingClientRect().right))"
    assert page.eval_on_selector_all("#grid .card", widest) <= width
    ground = "getComputedStyle(document.querySelector('#grid .mat')).backgroundColor"
    assert page.evaluate(ground) == "rgb(255, 255, 255)"
