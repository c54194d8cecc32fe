"""Colours with a code, with a name, or with both: what is valid, what is said of what is not, and what prompts say."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalogs.campaigns.colour_wording import bind_colour
from catalogs.inputs.checks import ProductChecker, load_brands
from catalogs.inputs.reader import Batch, Catalog
from flows.cli import main
from tests.flows.projects import Project, make, plan_rows

NAMED = [
    ("a word in a list", "navy", {"hex": None, "name": "navy"}),
    ("two words", "  deep   sea ", {"hex": None, "name": "deep sea"}),
    ("a word in markup", "<b>navy</b>", {"hex": None, "name": "navy"}),
    ("a number of a system", "RAL 5010", {"hex": None, "name": "RAL 5010"}),
    ("a code of a maker", "Pantone 2945 C", {"hex": None, "name": "Pantone 2945 C"}),
    ("German", "Gr\u00fcn", {"hex": None, "name": "Gr\u00fcn"}),
    ("Chinese", "\u8d64", {"hex": None, "name": "\u8d64"}),
    ("a name without hex", {"name": "navy", "hex": None}, {"hex": None, "name": "navy"}),
    ("a name and an empty hex", {"name": "navy", "hex": " "}, {"hex": None, "name": "navy"}),
    ("a struct of names", {"name": "navy"}, {"hex": None, "name": "navy"}),
    ("a role too", {"name": "navy", "role": "accent"}, {"hex": None, "name": "navy", "role": "accent"}),
    ("a code in a list", "#001122", {"hex": "#001122"}),
    ("a short code", "f0a", {"hex": "#FF00AA"}),
    ("a code that is a word too", "facade", {"hex": "#FACADE"}),
    ("both", {"name": "navy", "hex": "001122"}, {"hex": "#001122", "name": "navy"}),
]
BAD = [
    ("a slip in a code", "#12GG45", "'#12GG45' is no hex colour; write #RRGGBB"),
    ("the same without its sign", "12GG45", "'12GG45' is no hex colour"),
    ("the same beside a name", {"name": "navy", "hex": "#12GG45"}, "'#12GG45' is no hex colour"),
    ("too long", "#1234567", "'#1234567' is no hex colour"),
    ("too short", "#1234", "'#1234' is no hex colour"),
    ("two signs", "##ffffff", "'##ffffff' is no hex colour"),
    ("a number", "123456789", "'123456789' is no hex colour"),
    ("a program's number", "0x123456", "'0x123456' is no hex colour"),
    ("a name under hex", {"name": None, "hex": "navy"}, "'navy' is no hex colour"),
    ("signs alone", "--", "'--' is no hex colour"),
    ("nothing", "", "has neither hex nor name"),
    ("nothing by name", {"name": None, "hex": None}, "has neither hex nor name"),
    ("markup alone", {"name": "<p></p>", "hex": None}, "has neither hex nor name"),
]


def checked(colour: Any) -> tuple[list[Any], list[Any]]:
    row = {"product_id": "A1", "brand_id": "acme", "title": "Bag", "colors": [{"name": "red", "hex": "#F00"}, colour]}
    good = {**row, "product_id": "B1", "colors": []}
    batch = Batch("p.parquet", range(1, 3), [row, good], frozenset())
    return ProductChecker({"acme": {}}, "p.parquet").check(batch)


@pytest.mark.parametrize(("colour", "clean"), [case[1:] for case in NAMED], ids=[case[0] for case in NAMED])
def test_a_colour_has_a_code_a_name_or_both(colour: Any, clean: dict[str, Any]) -> None:
    rows, rejects = checked(colour)
    assert rejects == []
    assert rows[0].row["colors"] == [{"name": "red", "hex": "#FF0000"}, clean]


@pytest.mark.parametrize(("colour", "reason"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_a_bad_code_is_told_and_costs_its_row_alone(colour: Any, reason: str) -> None:
    rows, rejects = checked(colour)
    assert [row.row["product_id"] for row in rows] == ["B1"]
    assert [reject.column for reject in rejects] == ["colors"]
    assert rejects[0].reason.startswith("colour 2: " + reason)


@pytest.mark.parametrize(
    ("colour", "said"),
    [
        ({"hex": None, "name": "navy"}, "cap in color navy"),
        ({"name": "pale sand"}, "cap in color pale sand"),
        ({"hex": "#001122", "name": "navy"}, "cap in color #001122 navy"),
        ({"hex": "#001122"}, "cap in color #001122"),
        ("navy", "cap in color navy"),
    ],
)
def test_a_bound_colour_says_what_it_has(colour: Any, said: str) -> None:
    assert bind_colour(colour, "cap") == said


def test_a_palette_of_words(tmp_path: Path) -> None:
    words = pa.array([["navy", "#001122"], ["#12GG45"]], pa.list_(pa.string()))
    pq.write_table(
        pa.table({"brand_id": ["a", "b"], "name": ["A", "B"], "palette": words}), tmp_path / "brands.parquet"
    )
    brands, rejects = load_brands(Catalog.open(str(tmp_path / "brands.parquet"), "brands"))
    assert list(brands) == ["a"]
    assert brands["a"]["palette"] == [{"hex": None, "name": "navy"}, {"hex": "#001122"}]
    assert [(reject.column, reject.value) for reject in rejects] == [("palette", "#12GG45")]


def worded(folder: Path) -> Project:
    """One product by name, one by code, one whose code has a slip in it."""
    project = Project.of(folder, products=3)
    scene = "{{ product.title }}, {{ product.colors[0] | bind('body') }}, {{ brand.palette[0] | bind('table') }}"
    palette = ["{{ product.colors[0].hex or product.colors[0].name }}"]
    project.campaign["shots"] = {"hero": {"size": "256x256", "prompt": {"scene": scene, "color_palette": palette}}}
    project.products[0]["colors"] = [{"name": "navy", "hex": None}]
    project.products[1]["colors"] = [{"name": "red", "hex": "#AA3344"}]
    project.products[2]["colors"] = [{"name": "red", "hex": "#12GG45"}]
    project.brands[0]["palette"] = [{"name": "oat", "hex": None}]
    project.write()
    return project


def test_prompts_name_a_colour_without_a_code(tmp_path: Path) -> None:
    planned = worded(tmp_path).plan()
    prompts = {row["look"]: json.loads(row["prompt"]) for row in plan_rows(planned)}
    assert prompts["p000"]["scene"] == "Mug 0, body in color navy, table in color oat"
    assert prompts["p000"]["color_palette"] == ["navy"]
    assert prompts["p001"]["scene"] == "Mug 1, body in color #AA3344 red, table in color #202020 grey"
    assert prompts["p001"]["color_palette"] == ["#AA3344", "#202020"]
    assert "p002" not in prompts


@pytest.mark.parametrize("style", ["json", "prose"])
def test_a_proof_of_a_colour_without_a_code_is_drawn(style: str, tmp_path: Path) -> None:
    project = worded(tmp_path)
    project.campaign["prompt_style"] = style
    project.write()
    reports = make(project.plan())
    assert [sum(report.failed for report in reports), sum(report.rendered for report in reports)] == [0, 2]


def test_a_template_that_wants_a_code_leaves_out_the_row_without_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project = worded(tmp_path)
    project.campaign["shots"]["hero"]["prompt"]["color_palette"] = ["{{ product.colors[0].hex }}"]
    project.write()
    monkeypatch.setattr(sys, "argv", ["packshot", "check", project.path])
    main()
    said = capsys.readouterr()
    lack = "needs the hex of product.colors, which this row does not give; write {{ product.colors[0].hex or"
    assert lack in said.out + said.err
    assert {row["look"] for row in plan_rows(project.plan())} == {"p001"}
