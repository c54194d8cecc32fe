from __future__ import annotations

import random
from collections.abc import Hashable, Sequence
from typing import Any

import pytest
from diffusers.pipelines.flux2.image_processor import Flux2ImageProcessor
from PIL import Image

from catalogs.requests import Reference, RenderRequest
from inference.engine import Engine as BaseEngine
from inference.local.batching import LOOK_AHEAD, batch_size_for, batches, bucket_key, reference_geometry


def request(seed: int, size: tuple[int, int] = (512, 512), references: Sequence[str] = ()) -> RenderRequest:
    pictures = tuple(Reference(f"/{name}", name, "hero", 640, 480) for name in references)
    return RenderRequest("p", pictures, *size, seed, 0, 4, None, "tiny", "1")


class Engine(BaseEngine):
    name = "test"
    versions: dict[str, str] = {}  # noqa: RUF012

    def bucket(self, asked: RenderRequest) -> Hashable:
        return bucket_key(asked)

    def batch_size(self, asked: RenderRequest) -> int:
        return 3

    def render(self, batch: Sequence[RenderRequest]) -> Any:
        raise NotImplementedError


@pytest.mark.parametrize(
    "size", [(640, 480), (1024, 1024), (1025, 1024), (4000, 3000), (3000, 4001), (17, 40), (1274, 1580), (2048, 511)]
)
def test_the_geometry_is_the_one_diffusers_makes(size: tuple[int, int]) -> None:
    image = Image.new("RGB", size)
    if image.width * image.height > 1024 * 1024:
        image = Flux2ImageProcessor._resize_to_target_area(image, 1024 * 1024)
    assert reference_geometry(*size) == (image.width // 16 * 16, image.height // 16 * 16)


def test_batches_hold_one_bucket_and_lose_nothing() -> None:
    asked = [request(i, (512, 512) if i % 3 else (512, 256), "ab"[: i % 2]) for i in range(20)]
    made = [batch for batch, _ in batches(asked, Engine())]
    assert sorted(r.seed for batch in made for r in batch) == list(range(20))
    assert all(len({bucket_key(r) for r in batch}) == 1 and len(batch) <= 3 for batch in made)


def test_the_same_references_lie_side_by_side() -> None:
    asked = [request(i, references=["x" if i % 2 else "y"]) for i in range(6)]
    order = [r.references[0].sha256 for batch, _ in batches(asked, Engine()) for r in batch]
    assert order == ["x"] * 3 + ["y"] * 3


def test_each_batch_comes_with_what_follows_it() -> None:
    asked = [request(i, (512, 512) if i % 3 else (512, 256)) for i in range(40)]
    made = list(batches(asked, Engine()))
    order = [r for batch, _ in made for r in batch]
    done = 0
    for batch, upcoming in made:
        done += len(batch)
        assert upcoming == order[done : done + LOOK_AHEAD]


def test_the_size_is_asked_before_every_batch() -> None:
    class Learning(Engine):
        def __init__(self) -> None:
            self.sizes = [3, 1, 2]

        def batch_size(self, asked: RenderRequest) -> int:
            return self.sizes.pop(0)

    made = batches([request(i) for i in range(6)], Learning())
    assert [len(batch) for batch, _ in made] == [3, 1, 2]


def test_the_buckets_do_not_depend_on_the_order_given() -> None:
    asked = [request(0, size) for size in ((512, 512), (256, 256), (768, 512))]
    shuffled = random.Random(3).sample(asked, 3)
    assert list(batches(asked, Engine())) == list(batches(shuffled, Engine()))


@pytest.mark.parametrize(
    ("size", "references", "expected"),
    [((512, 512), [], 10), ((1024, 1024), [], 3), ((1024, 1024), ["a"] * 3, 1), ((2048, 2048), [], 1)],
)
def test_batch_size_keeps_the_token_budget(size: tuple[int, int], references: list[str], expected: int) -> None:
    assert batch_size_for(request(0, size, references)) == expected
