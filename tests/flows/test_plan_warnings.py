"""What `plan` and `check` warn of, counted, one line a kind; and what they say nothing of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalogs.campaigns.campaign import load_campaign
from catalogs.campaigns.enlargement import suggested_megapixels
from catalogs.plans.file import PlanFile
from catalogs.sample.sample import CAMPAIGN, TINY_CAMPAIGN, write_sample
from tests.flows.commands import run
from tests.flows.projects import Project, make, plan_rows, rendered

LONG = " ".join(["word"] * 60)
AMAZON = {"base": "amazon-main", "width": 48, "height": 48, "master": "64x64"}
SMALL = {
    "amazon-main": "channel amazon-main: has 48 x 48 px, and amazon-main wants longest side 500 to 10,000 px (size; "
    "source S (secondary), page not recorded, checked 2026-11-01)",
    "otto": "channel otto: has 48 x 48 px, and otto wants width 480 px or more, height 960 px or more, longest side "
    "4,500 px or less (size; source S (secondary), page not recorded, checked 2026-11-01)",
}
"""What is said of channels of 48 x 48 pixels."""
OPEN = {"name": "open", "width": 48, "height": 48, "master": "64x64"}


def shot(**keys: Any) -> dict[str, Any]:
    return {"size": "64x64", "prompt": {"scene": "{{ product.title }}", **keys.pop("prompt", {})}, **keys}


def project_of(folder: Path, shots: dict[str, Any], products: int = 3, **campaign: Any) -> Project:
    return Project.of(folder, products, **{"shots": shots, "channels": [OPEN], **campaign})


COPY = "prompts with over 40 words of product text in a scene or description"
SCENES = "pictures of a scene for channels that want the product alone"


@pytest.mark.parametrize(
    ("shots", "columns", "campaign", "lines"),
    [
        ({"hero": shot()}, {}, {}, []),
        (
            {"hero": shot(prompt={"scene": "{{ product.description }}"})},
            {"description": LONG},
            {},
            [f"{COPY}: 3 (first: p000, shot hero, 60 words)"],
        ),
        ({"hero": shot(prompt={"scene": "{{ product.description | truncate(90) }}"})}, {"description": LONG}, {}, []),
        ({"hero": shot(prompt={"style": "{{ product.description }}"})}, {"description": LONG}, {}, []),
        (
            {
                "a": shot(prompt={"scene": "{{ product.description }}"}),
                "b": shot(prompt={"scene": "{{ product.copy }}"}),
            },
            {"description": LONG, "copy": f"{LONG} {LONG}"},
            {},
            [f"{COPY}: 6 (first: p000, shot a, 60 words)"],
        ),
        (
            {"hero": shot(prompt={"scene": "{{ product.description }}"})},
            {"description": LONG},
            {"look_by": ["brand_id"]},
            [f"{COPY}: 2 (first: p000, shot hero, 60 words)"],
        ),
        (
            {"hero": shot(prompt={"scene": "{{ product.description }}"})},
            {"description": "kurz", "description@de": LONG},
            {"locale": "de"},
            [f"{COPY}: 3 (first: p000, shot hero, 60 words)"],
        ),
        ({"hero": shot()}, {}, {"channels": [AMAZON]}, [f"{SCENES}: 3 (first: p000, shot hero for amazon-main)"]),
        ({"packshot": shot()}, {}, {"channels": [AMAZON]}, []),
        ({"hero": shot(prompt={"background": "white"})}, {}, {"channels": [AMAZON]}, []),
        ({"hero": shot(channels=["open"])}, {}, {"channels": [AMAZON, OPEN]}, []),
        (
            {"packshot": shot(), "table": shot()},
            {},
            {"channels": [AMAZON, {**AMAZON, "base": "otto"}, OPEN], "variations": 2},
            [f"{SCENES}: 12 (first: p000, shot table for amazon-main, otto)"],
        ),
        (
            {"hero": shot()},
            {},
            {"channels": [{**OPEN, "scene": False}]},
            [f"{SCENES}: 3 (first: p000, shot hero for open)"],
        ),
        ({"hero": shot()}, {}, {"channels": [{**AMAZON, "scene": True}]}, []),
        ({"hero": shot()}, {"noun": "mug"}, {}, []),
        ({"hero": shot()}, {"noun": [None, "", "mug"]}, {}, ["products without a noun: 2 (first: p000)"]),
        ({"hero": shot()}, {"noun": ["mug", "mug", "  "]}, {}, ["products without a noun: 1 (first: p002)"]),
        (
            {"hero": shot(prompt={"scene": "{{ product.noun | default('thing') }}"})},
            {"noun": ["mug", None, "mug"]},
            {},
            ["products without a noun: 1 (first: p001)"],
        ),
        (
            {"hero": shot()},
            {"noun": [None, None, "mug"], "noun@de": ["Becher", "", ""]},
            {"locale": "de"},
            ["products without a noun: 1 (first: p001)"],
        ),
        (
            {"hero": shot()},
            {"noun": [None, None, "mug"]},
            {"select": [["product_id", "!=", "p000"]]},
            ["products without a noun: 1 (first: p001)"],
        ),
        (
            {"hero": shot()},
            {},
            {"channels": [{"name": "large", "width": 128, "height": 96}]},
            ["channels whose pictures are enlarged by over 1.1: 1 (large by 2.00 from 64x64)"],
        ),
        (
            {"hero": shot(prompt={"scene": "{{ product.description }}"})},
            {"description": LONG, "noun": ["a", None, "b"]},
            {"channels": [AMAZON, {**OPEN, "width": 96, "height": 96}]},
            [
                "channels whose pictures are enlarged by over 1.1: 1 (open by 1.50 from 64x64)",
                "products without a noun: 1 (first: p001)",
                f"{COPY}: 3 (first: p000, shot hero, 60 words)",
                f"{SCENES}: 3 (first: p000, shot hero for amazon-main)",
            ],
        ),
    ],
)
def test_a_counted_line_a_kind(
    tmp_path: Path, shots: dict[str, Any], columns: dict[str, Any], campaign: dict[str, Any], lines: list[str]
) -> None:
    project = project_of(tmp_path, shots, **campaign)
    for name, given in columns.items():
        for number, product in enumerate(project.products):
            product[name] = given[number] if isinstance(given, list) else given
    if "look_by" in campaign:
        for product in project.products:
            product["title"] = "Mug"
    project.write()
    summary = project.plan().summary
    of_channels = [line for line in lines if line.startswith("channels whose pictures are enlarged")]
    promises = [SMALL[channel["base"]] for channel in campaign.get("channels", ()) if "base" in channel]
    assert summary["warnings"] == [*of_channels, *promises, *lines[len(of_channels) :]]
    assert (summary["rejected"], summary["looks"] > 0) == (0, True)


def test_the_commands_say_them_and_end_with_0(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project = project_of(tmp_path, {"hero": shot()}, channels=[AMAZON])
    project.products[0]["noun"] = ""
    project.write()
    for command in ("plan", "check"):
        assert run(monkeypatch, command, project.path) == 0
        said = "".join(capsys.readouterr())
        assert "products without a noun: 3 (first: p000)" in said
        assert f"{SCENES}: 3 (first: p000, shot hero for amazon-main)" in said


def test_a_noun_that_nobody_reads_takes_out_no_row_and_moves_no_fingerprint(tmp_path: Path) -> None:
    project = project_of(tmp_path, {"hero": shot()}, 2)
    before = [row["fingerprint"] for row in plan_rows(project.plan())]
    table = pq.read_table(tmp_path / "products.parquet")
    # Bytes that are no UTF-8: a column that a shot reads would take out the row.
    broken = pa.array([b"\xff\xfe", b"mug"]).view(pa.string())
    pq.write_table(table.append_column("noun", broken), tmp_path / "products.parquet")
    prepared = project.plan()
    assert (prepared.summary["rejected"], prepared.summary["warnings"]) == (0, [])
    assert [row["fingerprint"] for row in plan_rows(prepared)] == before


def squares() -> list[dict[str, Any]]:
    return [{"name": f"s{side}", "width": side, "height": side} for side in (40, 72, 88, 104)]


def test_four_square_channels_are_one_render_and_the_plan_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shots = {"hero": {"prompt": {"scene": "{{ product.title }}"}}}
    project = project_of(tmp_path, shots, channels=squares(), megapixels=0.0625, variations=2)
    prepared = project.plan()
    sizes = prepared.summary["sizes"]
    assert (sizes["renders"], sizes["ladder_renders"], prepared.summary["renders"]) == (6, 24, 6)
    assert {(row["master_width"], row["master_height"]) for row in plan_rows(prepared)} == {(256, 256)}
    assert rendered(make(prepared)) == 6
    assert run(monkeypatch, "plan", project.path) == 0
    [line] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("sizes")]
    assert line.startswith("sizes     6 renders with megapixels 0.0625, about ")
    assert "; 24 with a size a channel, about " in line
    assert run(monkeypatch, "plan", project.path, "--json") == 0
    assert json.loads(capsys.readouterr().out)["sizes"] == sizes


def test_a_channel_added_later_renders_nothing_anew(tmp_path: Path) -> None:
    shots = {"hero": {"prompt": {"scene": "{{ product.title }}"}}}
    project = project_of(tmp_path, shots, channels=squares()[:1], megapixels=0.0625)
    make(project.plan())
    project.campaign["channels"] = [*squares(), {"name": "wide", "width": 64, "height": 32}]
    project.write()
    prepared = project.plan()
    assert (prepared.summary["renders"], prepared.summary["work"]["finish"]) == (3, 9)


def test_without_the_key_there_is_no_line_and_prompts_and_sizes_are_those_of_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shots = {"hero": {"prompt": {"scene": "{{ product.title }}"}}}
    project = project_of(tmp_path, shots, 1, channels=[*squares(), "open-graph", "amazon-main", "zalando"])
    prepared = project.plan()
    assert prepared.summary["sizes"] == {}
    found = {row["channel"]: (row["master_width"], row["master_height"]) for row in plan_rows(prepared)}
    assert found == {
        "s40": (64, 64),
        "s72": (80, 80),
        "s88": (96, 96),
        "s104": (112, 112),
        "open-graph": (1408, 736),
        "amazon-main": (2048, 2048),
        "zalando": (1712, 2448),
    }
    assert run(monkeypatch, "plan", project.path) == 0
    assert "sizes " not in capsys.readouterr().out


def test_a_plan_carries_of_channels_only_what_older_versions_know(tmp_path: Path) -> None:
    prepared = project_of(tmp_path, {"packshot": shot()}, channels=[AMAZON]).plan()
    assert "scene" not in PlanFile(prepared.store, prepared.plan_key).header.channels["amazon-main"]


def test_the_numbers_of_a_plan_are_kept_in_its_file(tmp_path: Path) -> None:
    shots = {"hero": {"prompt": {"scene": "{{ product.title }}"}}}
    project = project_of(tmp_path, shots, channels=squares(), megapixels=0.0625)
    path = str(tmp_path / "plan.parquet")
    from tasks.prepare import copy_plan, prepare

    first = project.plan()
    copy_plan(first, path)
    assert prepare(project.path, {}, plan_file=path).summary["sizes"] == first.summary["sizes"]


def test_the_sample_is_what_a_new_campaign_gets(tmp_path: Path) -> None:
    write_sample(tmp_path)
    campaign = load_campaign(str(tmp_path / CAMPAIGN))
    assert campaign.megapixels == suggested_megapixels(campaign.channels) == 4
    assert "megapixels: 4\n" in (tmp_path / CAMPAIGN).read_text()
    assert load_campaign(str(tmp_path / TINY_CAMPAIGN)).megapixels is None
