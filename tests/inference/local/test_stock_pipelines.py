"""The engine against the stock pipelines, one call a request, on tiny checkpoints of every family."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.inference.local.engines import GUIDANCE, Model, all_pixels, reference

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 2},
        {"references": (reference("d"), reference("b"))},
        {"references": (reference("b"), reference("a"))},
        {"prompt": "a green bag on marble"},
        {"references": ()},
        {"guidance": 7.0},
    ],
    ids=["seed", "reference", "reference order", "prompt", "no reference", "guidance"],
)
def test_control_what_matters_shows_by_far_more_than_the_tolerance(model: Model, change: dict[str, Any]) -> None:
    if "guidance" in change and GUIDANCE[model.family] is None:
        change = {"width": 64}  # these take no guidance: another size instead
    asked = model.request(references=["a", "b"])
    width = min(asked.width, change.get("width", asked.width))
    difference = np.abs(model.stock(asked)[:, :width] - model.stock(replace(asked, **change))[:, :width])
    assert difference.max() > 20
    assert difference.mean() > 2


def test_equals_the_stock_pipeline_one_call_a_request(model: Model) -> None:
    asked = [
        model.request(),
        model.request("one", [], 3),
        model.request("two", [], 4),
        model.request("one", [], 5),
        model.request(references=["a"]),
        model.request(references=["big"]),
        model.request(references=["a", "b", "c"]),
        model.request("two", ["a", "b", "c"], 7),
        model.request("one", ["a", "b"], 3),
        model.request("two", ["d", "b"], 4),
        model.request("three", ["e", "b"], 5),
        model.request("one", ["d", "b"], 6),
        model.request("one", ["d", "b"], 6, width=64, height=128),
    ]
    for one, pixels in all_pixels(model.engine, asked).items():
        assert pixels.shape == (one.height, one.width, 3)
        assert np.abs(pixels - model.stock(one)).max() <= 2, one
