from __future__ import annotations

from typing import Any

import pytest

from inference.servers.served import Served, of_openai, of_sglang

KLEIN = "black-forest-labs/FLUX.2-klein-4B"
SHA = "e7b7dc27f91deacad38e78976d1f2b499d76a294"
CACHE = f"/root/.cache/huggingface/hub/models--black-forest-labs--FLUX.2-klein-4B/snapshots/{SHA}"


@pytest.mark.parametrize(
    ("served", "wanted", "is_it"),
    [
        (KLEIN, KLEIN, True),
        (KLEIN.lower(), KLEIN, True),
        ("/models/FLUX.2-klein-4B", KLEIN, True),
        ("/models/FLUX.2-klein-4B/", KLEIN, True),
        ("FLUX.2-klein-4B", KLEIN, True),
        (CACHE, KLEIN, True),
        ("black-forest-labs/FLUX.2-klein-9B", KLEIN, False),
        ("somebody/FLUX.2-klein-4B", KLEIN, False),
        ("/models/FLUX.2-klein-base-4B", KLEIN, False),
        ("FLUX.2-klein-4B-fp8", KLEIN, False),
        ("Qwen/Qwen-Image-Edit", "Qwen-Image-Edit", True),
        ("Qwen/Qwen-Image-Edit", "Qwen/Qwen-Image-Edit", True),
        ("Qwen/Qwen-Image", "Qwen-Image-Edit", False),
        ("/srv/tiny", "tiny", True),
        (CACHE.replace("4B", "9B"), KLEIN, False),
    ],
)
def test_whether_it_is_the_model_that_is_wanted(served: str, wanted: str, is_it: bool) -> None:
    assert (Served("sglang", (served,)).model_for(wanted) == served) is is_it


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        ({"model_path": KLEIN, "dit_precision": "bf16"}, Served("sglang", (KLEIN,), "", "bf16")),
        (
            {"model_path": KLEIN, "dit_precision": "bf16", "vae_precision": "fp32"},
            Served("sglang", (KLEIN,), "", "bf16/fp32"),
        ),
        ({"model_path": CACHE}, Served("sglang", (CACHE,), SHA, "")),
        ({"model_path": KLEIN, "revision": "abc"}, Served("sglang", (KLEIN,), "abc", "")),
        ({"model_path": 7}, None),
        ({"model_path": ""}, None),
        ({"model_path": "a\nb"}, None),
        ({"model_path": "x" * 300}, None),
        ({"data": []}, None),
        ({}, None),
    ],
)
def test_sglang(content: dict[str, Any], wanted: Served | None) -> None:
    assert of_sglang(content) == wanted


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        ({"data": [{"id": KLEIN, "owned_by": "vllm", "root": KLEIN}]}, Served("vllm-omni", (KLEIN,))),
        ({"data": [{"id": "klein", "owned_by": "vllm", "root": CACHE}]}, Served("vllm-omni", ("klein", CACHE), SHA)),
        ({"data": [{"id": "a"}, {"id": "b"}]}, Served("openai", ("a", "b"))),
        ({"data": [{"id": 3}, "x", None]}, Served("openai", ())),
        ({"data": []}, Served("openai", ())),
        ({"data": "x"}, None),
        ({"model_path": KLEIN}, None),
    ],
)
def test_openai(content: dict[str, Any], wanted: Served | None) -> None:
    assert of_openai(content) == wanted
