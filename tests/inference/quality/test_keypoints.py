from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from inference.quality.box import Box
from inference.quality.checks import measure, reference_of
from inference.quality.keypoints import Keypoints, can_find_keypoints, found_again, keypoints_of
from inference.quality.likeness import framed, likeness
from inference.quality.subject import Subject, find_subject
from tests.drawn_packshots import drawn_packshot
from tests.printed_product import packshot, printed, scene
from tests.servers import missing


@pytest.fixture(autouse=True)
def _needs_opencv() -> None:
    if not can_find_keypoints():
        missing("nothing here finds keypoints: pip install 'packshot[keypoints]'")


def subject_of(picture: Image.Image) -> Subject:
    found = find_subject(picture)
    assert isinstance(found, Subject)
    return found


def product() -> Keypoints:
    photo = packshot(printed())
    found = keypoints_of(photo, subject_of(photo).box)
    assert found is not None
    return found


def test_the_same_print_is_found_at_another_size_and_one_that_runs_is_not() -> None:
    same, runs, other = (packshot(one, 900) for one in (printed(), printed(runs=True), printed(seed=1)))
    shares = [found_again(product(), one, subject_of(one).box) for one in (same, runs, other)]
    assert shares[0] > 0.6
    assert max(shares[1:]) < 0.2
    frames = [framed(one, subject_of(one)) for one in (same, runs)]
    assert likeness(*frames).score > 0.8, "of which outline, colours and edges tell little"


@pytest.mark.parametrize("degrees", [0, 12, -25, 70])
def test_a_product_is_found_in_a_scene_however_it_leans(degrees: float) -> None:
    assert isinstance(find_subject(scene(printed(), degrees)), str), "no subject can be told"
    assert found_again(product(), scene(printed(), degrees), None) > 0.3
    assert found_again(product(), scene(printed(seed=1), degrees), None) < 0.1


def test_a_plain_product_has_nothing_to_tell_it_by() -> None:
    plain = Image.new("RGB", (400, 400), "white")
    plain.paste((30, 60, 120), (100, 100, 300, 300))
    assert keypoints_of(plain, subject_of(plain).box) is None


@pytest.mark.parametrize("size", [(1, 1), (3, 900), (900, 3), (7, 7), (31, 64)])
@pytest.mark.parametrize("has_box", [True, False])
def test_pictures_of_any_size_have_a_share(size: tuple[int, int], has_box: bool) -> None:
    values = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    for picture in (Image.fromarray(values), Image.new("RGB", size)):
        assert 0 <= found_again(product(), picture, Box(0, 0, *size) if has_box else None) < 0.1


def test_it_is_the_same_number_each_time() -> None:
    picture = scene(printed(), 12)
    assert len({found_again(product(), picture, None) for _ in range(3)}) == 1


def test_checks_have_it_where_a_photo_shows_its_product() -> None:
    reference = reference_of(packshot(printed()))
    assert "keypoints" in measure(packshot(printed(), 500), [], reference)
    in_scene = measure(scene(printed(), 8), [], reference)
    assert ("keypoints" in in_scene, "likeness" in in_scene) == (True, False)
    assert "keypoints" not in measure(packshot(printed()), [], reference_of(scene(printed(), 8)))
    assert "keypoints" not in measure(drawn_packshot().picture, [], None)
