"""Overlays from the campaign file to the delivered file."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from catalogs.errors import CampaignError, PackshotError
from tasks.prepare import prepare
from tests.flows.commands import Packshot
from tests.flows.projects import Project, make, plan_rows, rendered
from tests.overlay_sheet import FONT, LOGO_SVG, logo_png

COPY = {"headline": {"en": "Made to last", "de": "Für lange, {{ product.title }}", "ja": "長く使える「器」。"}}
TEXT: dict[str, Any] = {
    "text": "{{ copy.headline }}",
    "anchor": "bottom-left",
    "size": 10,
    "lines": 3,
    "colour": ["grey", "#FFFFFF"],
}
TEXT["badge"] = {"colour": "#000000"}
LOGO = {"logo": "brand", "anchor": "top-right", "width": 20}
STORY = {"name": "story", "width": 288, "height": 512, "format": "png", "safe_zone": [10, 0, 13, 0]}


def project_of(tmp_path: Path, **campaign: Any) -> Project:
    """Two products of two brands, whose font and logos lie beside the catalogs."""
    project = Project.of(tmp_path, 2, channels=[STORY | {"copy": "all"}], copy=COPY, **campaign)
    (tmp_path / "brand.ttf").write_bytes(FONT.read_bytes())
    (tmp_path / "acme.svg").write_bytes(LOGO_SVG)
    (tmp_path / "nord.png").write_bytes(logo_png())
    for brand, logo in zip(project.brands, ("acme.svg", "nord.png"), strict=True):
        brand.update(font_uri="brand.ttf", logo_uri=logo)
    hero = dict(project.campaign["shots"]["hero"], overlay=[TEXT, LOGO], size="288x512")
    project.campaign["shots"] = {"hero": hero}
    project.write()
    return project


def element(project: Project, **said: Any) -> None:
    """Say something else of the text."""
    project.campaign["shots"]["hero"]["overlay"][0] = TEXT | said
    project.write()


def picture(project: Project, row: dict[str, Any]) -> Any:
    with Image.open(project.folder / "output" / row["asset_key"]) as found:
        return np.asarray(found.convert("RGB")).astype(int)


def test_one_master_is_a_file_in_every_language(tmp_path: Path) -> None:
    project = project_of(tmp_path)
    reports = project.render()
    assert rendered(reports) == 2
    rows = project.view()
    assert sorted(key[2:] for key in rows if key[1] == "p000") == [
        ("hero", "story-de", 0),
        ("hero", "story-en", 0),
        ("hero", "story-ja", 0),
    ]
    assert {row["status"] for row in rows.values()} == {"delivered"}
    assert len({row["render_fingerprint"] for row in rows.values()}) == 2
    assert all(dict(row["quality"])["text_contrast"] >= 4.5 for row in rows.values())
    files = [picture(project, row) for row in rows.values() if row["look"] == "p000"]
    top, bottom = round(0.1 * 512), round(0.87 * 512)
    for one, other in pairwise(files):
        differs = np.abs(one - other).max(axis=2) > 40
        assert differs[bottom - 120 : bottom].any()
        assert not differs[:top].any(), "nothing above the safe zone"
        assert not differs[bottom + 1 :].any(), "nothing below it"
    assert not project.plan().has_work


def test_a_text_a_font_or_a_logo_is_drawn_anew_and_nothing_is_rendered(tmp_path: Path) -> None:
    project = project_of(tmp_path)
    project.render()
    first = {key: row["fingerprint"] for key, row in project.view().items()}

    def again(works: int) -> None:
        plan = project.plan()
        assert plan.summary["work"]["finish"] == works
        assert "render" not in plan.summary["work"]
        assert rendered(make(plan)) == 0
        assert not project.plan().has_work

    project.campaign["copy"]["headline"]["en"] = "Made to stay"
    project.write()
    again(2)
    (project.folder / "acme.svg").write_bytes(LOGO_SVG.replace(b"#C2410C", b"#065F46"))
    again(3)
    font = FONT.read_bytes()
    (project.folder / "brand.ttf").write_bytes(font + b"\0\0\0\0")
    again(6)
    (project.folder / "moved.ttf").write_bytes(font + b"\0\0\0\0")
    for brand in project.brands:
        brand["font_uri"] = "moved.ttf"
    project.write()
    assert not project.plan().has_work, "where a file lies does not count"
    element(project, size=9)
    again(6)
    now = {key: row["fingerprint"] for key, row in project.view().items()}
    assert all(first[key] != now[key] for key in first)


def test_the_same_words_twice_are_the_same_bytes(tmp_path: Path) -> None:
    keys = []
    for name in ("one", "two"):
        project = project_of(tmp_path / name)
        project.render()
        keys.append(sorted(row["asset_key"] for row in project.view().values()))
    assert keys[0] == keys[1]


def test_columns_are_read_in_the_language_of_their_channel(tmp_path: Path) -> None:
    project = project_of(tmp_path)
    for product in project.products:
        product["title@de"] = "Becher"
    element(project, text="{{ product.title }}")
    texts = {row["channel"]: json.loads(row["overlay"])[0]["text"] for row in plan_rows(project.plan())}
    assert texts["story-de"] == "Becher"
    assert texts["story-en"].startswith("Mug ")


def test_a_text_that_does_not_fit_fails_alone(tmp_path: Path) -> None:
    project = project_of(tmp_path)
    project.products[0]["title"] = "Mug " + "of unending length " * 40
    element(project, text="{{ product.title }}", lines=1)
    project.render()
    rows = project.view().values()
    failed = [row for row in rows if row["status"] == "failed"]
    assert {(row["look"], row["reason"], row["final"]) for row in failed} == {("p000", "text_does_not_fit", True)}
    assert "does not fit into" in failed[0]["detail"]
    assert failed[0]["render_key"], "the picture is kept"
    assert {row["look"] for row in rows if row["status"] == "delivered"} == {"p001"}
    project.products[0]["title"] = "Mug 0"
    project.write()
    make(project.plan())
    assert {row["status"] for row in project.view().values()} == {"delivered"}


def rejects(project: Project) -> list[dict[str, Any]]:
    prepared = project.plan()
    key = prepared.plan_key.replace("plan.parquet", "rejects.parquet")
    return list(pq.read_table(project.folder / "output" / key).to_pylist())


def test_a_character_that_no_font_has_leaves_the_row_out(tmp_path: Path) -> None:
    project = project_of(tmp_path)
    project.products[0]["title"] = "Mug \U00012000"
    element(project, text="{{ product.title }}")
    (found,) = rejects(project)
    assert found["product_id"] == "p000"
    assert "Packshot Proof Regular has no '\U00012000' (U+12000)" in found["reason"]


@pytest.mark.parametrize(
    ("brand", "said", "words"),
    [
        ({"font_uri": None}, {}, ["needs the font of brand acme"]),
        ({"font_uri": "gone.ttf"}, {}, ["gone.ttf", "there is no such file"]),
        ({"font_uri": "photo.png"}, {}, ["photo.png", "is not a font"]),
        ({}, {"colour": "gray"}, ["brand acme has no colour 'gray'", "did you mean 'grey'"]),
    ],
)
def test_what_a_brand_lacks_leaves_its_rows_out(
    tmp_path: Path, brand: dict[str, Any], said: dict[str, Any], words: list[str]
) -> None:
    project = project_of(tmp_path)
    project.brands[0].update(brand)
    element(project, **said)
    found = next(reject for reject in rejects_or_first(project) if reject["product_id"] == "p000")
    for word in words:
        assert word in found["reason"]


def rejects_or_first(project: Project) -> list[dict[str, Any]]:
    try:
        return rejects(project)
    except PackshotError as error:
        return [{"product_id": "p000", "reason": str(error)}]


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"font": "photo.png"}, ["shots.hero.overlay.0.font", "is not a font"]),
        ({"font": "/etc/hostname"}, ["shots.hero.overlay.0.font", "lies outside"]),
        ({"text": "{{ product.tilte }}"}, ["shots.hero.overlay.0", "did you mean 'title'"]),
        ({"text": "{{ copy.claim }}"}, ["reads copy.claim"]),
    ],
)
def test_a_wrong_campaign_is_one_line(tmp_path: Path, said: dict[str, Any], words: list[str]) -> None:
    project = project_of(tmp_path)
    element(project, **said)
    with pytest.raises(CampaignError) as caught:
        project.plan()
    for word in words:
        assert word in str(caught.value)


def test_a_logo_that_is_no_picture_is_refused(tmp_path: Path) -> None:
    project = project_of(tmp_path)
    project.campaign["shots"]["hero"]["overlay"][1] = LOGO | {"logo": "brand.ttf"}
    project.write()
    with pytest.raises(CampaignError, match=r"shots.hero.overlay.1.logo: .*is not an image"):
        project.plan()


def test_a_font_that_goes_between_plan_and_render_fails_for_now(tmp_path: Path) -> None:
    project = project_of(tmp_path)
    plan = project.plan()
    (project.folder / "brand.ttf").rename(project.folder / "away.ttf")
    make(plan)
    rows = project.view().values()
    assert {(row["status"], row["reason"], row["final"]) for row in rows} == {("failed", "reference_missing", False)}
    (project.folder / "away.ttf").rename(project.folder / "brand.ttf")
    assert rendered(project.render()) == 0
    assert {row["status"] for row in project.view().values()} == {"delivered"}


def test_what_is_drawn_is_not_edited_in_a_plan(tmp_path: Path) -> None:
    project = project_of(tmp_path)
    prepared = project.plan()
    table = pq.read_table(project.folder / "output" / prepared.plan_key)
    rows = table.to_pylist()
    path = project.folder / "edited.parquet"
    english = next(row for row in rows if "Made to last" in row["overlay"])

    def refused(overlay: str | None) -> str:
        metadata = {b"packshot": table.schema.metadata[b"packshot"]}
        changed = [{**row, "overlay": overlay} if row == english else row for row in rows]
        pq.write_table(pa.Table.from_pylist(changed, schema=table.schema.with_metadata(metadata)), path)
        with pytest.raises(CampaignError) as caught:
            prepare(project.path, {}, plan_file=str(path))
        return str(caught.value)

    assert "changed after it was planned" in refused(english["overlay"].replace("Made to last", "Made to rust"))
    assert "changed after it was planned" in refused(None)
    assert "changed after it was planned" in refused("[]")
    assert "changed after it was planned" in refused("[{}]")


def test_the_command_draws_them_on_proofs(packshot: Packshot, tmp_path: Path) -> None:
    project = project_of(tmp_path)
    told = packshot("render", project.path)
    assert told.code == 0, told.err
    assert len(list((project.folder / "output" / "assets").rglob("*.png"))) == 6
