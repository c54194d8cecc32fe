"""Colours of photos: drawn ones, and photos of real products' kinds."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFilter

from catalogs.vocabulary.colours import colours_of
from catalogs.vocabulary.photo_colours import colours_of_photo

GREY = "#E9E9E7"


def drawn(background: str, *colours: str, size: tuple[int, int] = (300, 400), mode: str = "RGB") -> Image.Image:
    """A thing of upright stripes before a background, with the soft edges a photo has."""
    picture = Image.new("RGBA", size, background)
    width, height = size
    each = width // 2 // len(colours)
    for number, colour in enumerate(colours):
        left = width // 4 + number * each
        ImageDraw.Draw(picture).rectangle((left, height // 5, left + each - 1, height * 4 // 5), fill=colour)
    return picture.filter(ImageFilter.GaussianBlur(1)).convert(mode)


@pytest.mark.parametrize(
    ("background", "colour", "name"),
    [
        ("white", "#C8102E", "red"),
        ("white", "#1F4FA3", "blue"),
        ("white", "#4057FA", "blue"),
        (GREY, "#1B2A49", "navy"),
        (GREY, "#2E7D32", "green"),
        (GREY, "#141414", "black"),
        ("#202020", "#F7D417", "yellow"),
        ("#202020", "#FFFFFF", "white"),
        ("#7FB2D9", "#F26B1D", "orange"),
        ("#C9B79C", "#6A2C91", "purple"),
        ("white", "#808080", "grey"),
        (GREY, "#6B4226", "brown"),
        (GREY, "#F48FB1", "pink"),
        ("white", "#006D6F", "teal"),
        ("white", "#C9A227", "gold"),
    ],
)
def test_a_thing_has_its_colour_and_not_its_backgrounds(background: str, colour: str, name: str) -> None:
    (found,) = colours_of_photo(drawn(background, colour))
    assert found.name == name
    assert found.source == "photo"
    assert 0 < found.confidence <= 0.5


def test_a_photo_is_less_sure_than_any_word() -> None:
    photo = colours_of_photo(drawn("white", "#C8102E"))[0]
    assert photo.confidence < colours_of("something with red")[0].confidence


def test_two_colours_are_two() -> None:
    found = colours_of_photo(drawn("white", "#141414", "#C8102E"))
    assert {colour.name for colour in found} == {"black", "red"}


def test_at_most_as_many_as_asked_for() -> None:
    assert len(colours_of_photo(drawn("white", "red", "blue", "yellow", "black"), most=2)) == 2


def test_what_is_transparent_is_background() -> None:
    picture = drawn("#00000000", "#2E7D32", mode="RGBA")
    assert [colour.name for colour in colours_of_photo(picture)] == ["green"]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "CMYK"])
def test_any_mode(mode: str) -> None:
    assert [colour.name for colour in colours_of_photo(drawn("white", "#141414", mode=mode))] == ["black"]


def test_white_on_white_is_white() -> None:
    assert [colour.name for colour in colours_of_photo(Image.new("RGB", (200, 200), "white"))] == ["white"]


def test_nothing_has_no_colour() -> None:
    assert colours_of_photo(Image.new("RGBA", (50, 50), "#FF000000")) == []


@pytest.mark.parametrize("size", [(1, 1), (1, 400), (4000, 20), (2, 2)])
def test_any_size(size: tuple[int, int]) -> None:
    assert [colour.name for colour in colours_of_photo(Image.new("RGB", size, "#C8102E"))] == ["red"]


def test_light_and_shadow_are_one_colour() -> None:
    picture = drawn("white", *(f"#{red:02X}{red // 12:02X}{red // 5:02X}" for red in range(150, 220, 7)))
    assert [colour.name for colour in colours_of_photo(picture)] == ["red"]


def test_a_person_is_seen_after_what_they_wear() -> None:
    """A narrow navy top between much skin."""
    picture = drawn("white", "#D9A58A", "#1B2A49", "#D9A58A")
    assert colours_of_photo(picture)[0].name == "navy"


def test_the_same_photo_has_the_same_colours() -> None:
    picture = drawn(GREY, "#0B8457", "#EAD7B7", "#7A5230")
    assert colours_of_photo(picture) == colours_of_photo(picture.copy())


@pytest.mark.parametrize(
    ("photo", "first"),
    [
        ("mb02-blue-0", {"blue", "navy"}),
        ("mb04-black-0", {"black", "charcoal"}),
        ("mb06-gray-0", {"grey", "charcoal"}),
        ("mittoshop-double-breasted-long-sleeve-trench-coat-jacket", {"black", "charcoal"}),
        ("ribbed-v-neck-short-sleeve-knit-top-1", {"black", "charcoal", "peach"}),
        ("ribbed-v-neck-short-sleeve-knit-top-7", {"turquoise", "teal", "mint", "sky blue"}),
        ("ribbed-v-neck-short-sleeve-knit-top-8", {"green"}),
        ("ug06-lb-0", {"sky blue", "blue", "grey"}),
        ("wb02-green-0", {"green", "olive"}),
        ("wb03-purple-0", {"lavender", "lilac", "purple"}),
        ("wb05-red-0", {"pink", "mauve", "peach"}),
        ("wb07-brown-0", {"taupe", "brown"}),
    ],
)
def test_real_products(photo: str, first: set[str]) -> None:
    """Pictures of open catalogs; LABELS.md says whose."""
    assert colours_of_photo(Image.open(Path(__file__).parent / "photos" / f"{photo}.jpg"))[0].name in first
