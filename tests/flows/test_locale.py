"""`locale:` from the campaign to the prompt: columns read, looks, messages, and nothing else changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalogs.errors import UserError
from catalogs.inputs.reader import Catalog
from tests.flows.commands import run
from tests.flows.projects import Project, plan_rows

SHOTS: dict[str, Any] = {
    "hero": {"size": "64x64", "prompt": {"scene": "{{ product.title }}", "style": "{{ brand.style }}"}},
}


def project_of(folder: Path, products: int = 3, **campaign: Any) -> Project:
    project = Project.of(folder, products, **{"shots": SHOTS, **campaign})
    for number, product in enumerate(project.products):
        product |= {"title@de": f"<b>Becher {number}</b>", "title@de-AT": "Häferl" if number == 0 else None}
        product["title@fr"] = f"Tasse {number}" if number else None
    for brand in project.brands:
        brand |= {"style": "calm", "style@de": "ruhig" if brand["brand_id"] == "acme" else None}
    project.write()
    return project


def prompts(project: Project) -> list[str]:
    rows = plan_rows(project.plan(), lambda row: row["channel"] == "square")
    return [row["prompt"] for row in sorted(rows, key=lambda row: str(row["product_id"]))]


@pytest.mark.parametrize(
    ("locale", "titles", "styles"),
    [
        (None, ["Mug 0", "Mug 1", "Mug 2"], ["calm", "calm", "calm"]),
        ("de", ["Becher 0", "Becher 1", "Becher 2"], ["ruhig", "calm", "ruhig"]),
        ("DE", ["Becher 0", "Becher 1", "Becher 2"], ["ruhig", "calm", "ruhig"]),
        ("de-CH", ["Becher 0", "Becher 1", "Becher 2"], ["ruhig", "calm", "ruhig"]),
        ("de-AT", ["Häferl", "Becher 1", "Becher 2"], ["ruhig", "calm", "ruhig"]),
        ("de_AT", ["Häferl", "Becher 1", "Becher 2"], ["ruhig", "calm", "ruhig"]),
        ("fr", ["Mug 0", "Tasse 1", "Tasse 2"], ["calm", "calm", "calm"]),
        ("fr-BE", ["Mug 0", "Tasse 1", "Tasse 2"], ["calm", "calm", "calm"]),
    ],
)
def test_prompts_read_the_columns_of_the_locale(
    tmp_path: Path, locale: str | None, titles: list[str], styles: list[str]
) -> None:
    project = project_of(tmp_path, **({"locale": locale} if locale else {}))
    said = prompts(project)
    for prompt, title, style in zip(said, titles, styles, strict=True):
        assert f'"scene":"{title}"' in prompt
        assert f'"style":"{style}"' in prompt


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{{ product['title'] }}", "Becher 0"),
        ("{{ product['title@fr'] or product.title }}", "Becher 0"),
        ("{{ product['title@de'] }}", "Becher 0"),
        ("{{ product.tagline }}", "nur deutsch"),  # there is no column without a language
        ("{{ product.tagline | default('x') }}", "nur deutsch"),
        ("{% if product.title == 'Becher 0' %}yes{% endif %}", "yes"),
        ("{{ brand['style'] }}", "ruhig"),
        ("{{ product.price or 'none' }}", "none"),
    ],
)
def test_however_a_template_reads_it(tmp_path: Path, template: str, said: str) -> None:
    project = project_of(tmp_path, 1, locale="de")
    project.products[0]["tagline@de"] = "nur deutsch"
    project.products[0]["title@de"] = "Becher 0"
    project.campaign["shots"]["hero"]["prompt"]["scene"] = template
    project.write()
    assert f'"scene":"{said}"' in prompts(project)[0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"locale": "it"}, ["locale: neither catalog has a column in 'it'", "there are de, de-AT, fr"]),
        ({"locale": "d"}, ["locale: write a language", "de or de-AT"]),
        ({"locale": "german"}, ["locale: write a language"]),
        ({"locale": ""}, ["locale: write a language"]),
        ({"locale": "de AT"}, ["locale: write a language"]),
        ({"locale": "de.UTF-8"}, ["locale: write a language"]),
        ({"locale": 49}, ["locale: write a language"]),
        ({"locale": ["de"]}, ["locale: write a language"]),
        ({"locale": {"de": "AT"}}, ["locale: write a language"]),
        ({"locale": False}, ['locale: Norwegian is written in quotes: "no"']),
        ({"local": "de"}, ["unknown key 'local'", "locale"]),
        ({"locale": "no"}, ["neither catalog has a column in 'no'"]),
        ({"locale": "xx-YY"}, ["neither catalog has a column in 'xx-YY'", "there are de, de-AT, fr"]),
    ],
)
@pytest.mark.parametrize("command", ["plan", "check"])
def test_a_locale_that_is_none_is_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
    change: dict[str, Any],
    words: list[str],
) -> None:
    project = project_of(tmp_path, 1)
    project.campaign |= change
    project.write()
    assert run(monkeypatch, command, project.path) == 2
    said = capsys.readouterr().err.strip()
    assert len(said.splitlines()) == 1
    assert all(word in said for word in words), said
    assert not (tmp_path / "output").exists()


def test_a_catalog_without_languages_says_so(tmp_path: Path) -> None:
    project = Project.of(tmp_path, 1, shots=SHOTS, locale="de")
    with pytest.raises(UserError, match="leave the key out: no column names a language"):
        project.plan()
    del project.campaign["locale"]
    project.campaign["shots"]["hero"]["prompt"].pop("style")
    project.write()
    assert project.plan().summary["looks"] == 1


def test_two_columns_of_one_language_and_another_type_are_refused(tmp_path: Path) -> None:
    project = project_of(tmp_path, 1, locale="de")
    table = pq.read_table(tmp_path / "products.parquet")
    pq.write_table(table.append_column("title@DE", pa.array(["x"])), tmp_path / "products.parquet")
    with pytest.raises(UserError, match="locale: 'title@de' and 'title@DE' are columns of one language"):
        project.plan()
    pq.write_table(table.append_column("description@de", pa.array([5])), tmp_path / "products.parquet")
    with pytest.raises(UserError, match="column 'description@de': is int64, wanted string, as 'description'"):
        project.plan()
    pq.write_table(table.append_column("description@fr", pa.array([5])), tmp_path / "products.parquet")
    assert project.plan().summary["looks"] == 1


@pytest.mark.parametrize(
    ("locale", "look_by", "first", "second", "differs"),
    [
        (None, "g", {"title@de": "A"}, {"title@de": "B"}, ""),
        ("de", "g", {"title@de": "A"}, {"title@de": "B"}, "title@de"),
        ("de", "g", {"title": "A", "title@de": "X"}, {"title": "B", "title@de": "X"}, ""),
        (None, "g", {"title": "A", "title@de": "X"}, {"title": "B", "title@de": "X"}, "title"),
        ("de", "g", {"title@de": "X"}, {"title@de": None}, "title@de"),
        ("de", "g", {"title": "X", "title@de": "X"}, {"title": "X", "title@de": None}, ""),
        ("de", "g", {"title": "A", "title@de": None}, {"title": "B", "title@de": ""}, "title"),
        ("de-AT", "g", {"title@de-AT": "A", "title@de": "X"}, {"title@de": "X"}, "title@de-AT"),
        ("de-AT", "g", {"title@de": "A"}, {"title@de": "B"}, "title@de"),
        ("fr", "g", {"title@fr": None, "title@de": "A"}, {"title@fr": None, "title@de": "B"}, ""),
    ],
)
def test_what_is_read_must_agree_inside_a_look(
    tmp_path: Path, locale: str | None, look_by: str, first: Any, second: Any, differs: str
) -> None:
    project = project_of(tmp_path, 3, look_by=["product_group"], **({"locale": locale} if locale else {}))
    names = ("title@de", "title@de-AT", "title@fr")
    for product, values in zip((project.products[0], project.products[2]), (first, second), strict=True):
        product |= {"product_group": look_by, "title": "Mug", **dict.fromkeys(names), **values}
    project.write()
    if not differs:
        assert project.plan().summary["looks"] == 2
        return
    with pytest.raises(UserError) as caught:
        project.plan()
    assert f"differ in {differs!r}" in str(caught.value)
    project.campaign["look_by"].append(differs)  # as the line says
    project.write()
    assert project.plan().summary["looks"] == 3


def test_only_the_columns_of_the_locale_are_read(tmp_path: Path) -> None:
    project_of(tmp_path, 2)
    catalog = Catalog.open(str(tmp_path / "products.parquet"), "products")
    [batch] = catalog.scan(frozenset({"title@de"}), [["title@de", "!=", "x"]])
    assert set(batch.rows[0]) == {"product_id", "brand_id", "title", "title@de"}
    assert batch.rows[1]["title@de"] == "<b>Becher 1</b>"


def test_a_bad_value_of_another_language_takes_out_no_row(tmp_path: Path) -> None:
    project = project_of(tmp_path, 2, locale="fr")
    table = pq.read_table(tmp_path / "products.parquet")
    codes = pa.array([[{"hex": "#12GG45", "name": None}]] * 2)
    pq.write_table(table.append_column("colors@de", codes), tmp_path / "products.parquet")
    assert project.plan().summary["rejected"] == 0


def test_select_looks_and_legal_lines_stay_as_they_are_named(tmp_path: Path) -> None:
    project = project_of(tmp_path, 3, locale="de", select=[["title", "=", "Mug 1"]])
    project.brands[1]["legal_line@de"] = "deutsch"
    project.write()
    [row] = plan_rows(project.plan(), lambda row: row["channel"] == "square")
    assert (row["product_id"], row["legal_line"]) == ("p001", "(c)")


def test_without_the_key_columns_with_a_language_change_nothing(tmp_path: Path) -> None:
    plain = Project.of(tmp_path / "plain", 3, shots=SHOTS)
    for brand in plain.brands:
        brand["style"] = "calm"
    plain.write()
    before, after = (plan_rows(project.plan()) for project in (plain, project_of(tmp_path / "languages")))
    assert [row["fingerprint"] for row in before] == [row["fingerprint"] for row in after]
