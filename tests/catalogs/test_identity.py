"""The names below are baked into keys and columns of real outputs: a test that fails here means every user
renders everything again."""

from __future__ import annotations

from dataclasses import fields, replace
from decimal import Decimal

import pytest

from catalogs.identity import (
    Identity,
    asset_fingerprint,
    asset_key,
    canonical_json,
    look_name,
    master_channel,
    render_fingerprint,
    render_key,
    render_prefix,
    render_record_key,
    seed_for,
)
from catalogs.requests import Reference, RenderRequest

REFERENCE = Reference("/photos/mug.jpg", "ab" * 32, "hero", 800, 600)
REQUEST = RenderRequest(
    prompt='{"scene":"a mug"}',
    references=(REFERENCE,),
    width=1024,
    height=768,
    seed=7,
    take=0,
    steps=4,
    guidance=None,
    model="klein-4b",
    model_revision="r1",
)
IDENTITY = Identity("spring", "render", "acme", "mug-1", "hero", "shopify", 0)


def test_render_fingerprint_is_golden() -> None:
    assert render_fingerprint(REQUEST) == "0cf9cf419720a181db31210c9c56429934f48fb1c10c0481df03be383203a29b"


def test_asset_fingerprint_is_golden() -> None:
    assert (
        asset_fingerprint("00" * 32, {"width": 10, "format": "jpeg"}, {"rights": "(c) Acme"})
        == "4ce52dae9cbebc813300ba0529be0ff0a5c91b24d0da6c059e4604fbefc5ee5f"
    )


CHANGES = {
    "prompt": "other",
    "references": (replace(REFERENCE, sha256="cd" * 32),),
    "width": 1040,
    "height": 784,
    "seed": 8,
    "take": 1,
    "steps": 5,
    "guidance": 4.0,
    "model": "klein-9b",
    "model_revision": "r2",
    "weight_precision": "float32",
    "lora": ("a.safetensors@0.5",),
    "options": '{"prompt_upsampling":true}',
    "seed_device": "cuda",
}


def test_every_field_of_a_request_has_its_change() -> None:
    assert set(CHANGES) == {field.name for field in fields(RenderRequest) if field.compare}


@pytest.mark.parametrize("name", CHANGES)
def test_every_field_changes_the_render_fingerprint(name: str) -> None:
    assert render_fingerprint(replace(REQUEST, **{name: CHANGES[name]})) != render_fingerprint(REQUEST)


@pytest.mark.parametrize(
    "same",
    [
        replace(REQUEST, label="elsewhere"),
        replace(REQUEST, references=(replace(REFERENCE, uri="s3://b/x.jpg", role="detail", width=1),)),
    ],
)
def test_labels_paths_and_roles_do_not(same: RenderRequest) -> None:
    assert render_fingerprint(same) == render_fingerprint(REQUEST)


def test_the_order_of_references_counts() -> None:
    two = (REFERENCE, replace(REFERENCE, sha256="cd" * 32))
    there, back = replace(REQUEST, references=two), replace(REQUEST, references=two[::-1])
    assert render_fingerprint(there) != render_fingerprint(back)


def test_guidance_as_integer_or_float_is_the_same() -> None:
    assert render_fingerprint(replace(REQUEST, guidance=4)) == render_fingerprint(replace(REQUEST, guidance=4.0))


def test_keys() -> None:
    key = asset_key(IDENTITY, "f" * 64, "0123456789abcdef", "jpg")
    assert key == "assets/spring/acme/mug-1/hero/shopify-0.ffffffffffff.0123456789ab.jpg"
    assert render_key("ab" * 32, "c" * 64) == f"renders/ab/{'ab' * 32}.{'c' * 12}.png"
    assert render_record_key("ab" * 32, "c" * 64).startswith(render_prefix("ab" * 32))
    assert master_channel(1024, 768) == "master-1024x768"


def test_seeds_depend_on_every_part_and_stay_in_range() -> None:
    base = (1, "look", "shot", 0, 0)
    others = [(2, *base[1:]), (1, "b", *base[2:]), (1, "look", "b", 0, 0), (1, "look", "shot", 1, 0)]
    seeds = {seed_for(*parts) for parts in [base, *others, (1, "look", "shot", 0, 1)]}
    assert len(seeds) == 6
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert seed_for(*base) == 968618136


def test_parts_of_an_identity_cannot_run_into_each_other() -> None:
    assert replace(IDENTITY, shot="ab", channel="c").digest() != replace(IDENTITY, shot="a", channel="bc").digest()


def test_a_look_of_one_is_named_like_a_look_of_many() -> None:
    row = {"product_id": "mug-s", "product_group": "mug", "colors": [{"name": "red", "hex": "#FF0000"}]}
    by = ("product_group", "colors")
    assert look_name("acme", (), row) == "mug-s"
    assert look_name("acme", by, row) == look_name("acme", by, {**row, "product_id": "mug-l"})
    assert look_name("acme", by, row) != look_name("other", by, row)
    assert look_name("acme", by, row) != look_name("acme", by, {**row, "product_group": None})


def test_canonical_json_knows_no_order_and_no_spelling_of_numbers() -> None:
    assert canonical_json({"b": Decimal("1.50"), "a": [1]}) == canonical_json({"a": [1], "b": Decimal("1.5")})
    with pytest.raises(TypeError):
        canonical_json({"a": object()})
