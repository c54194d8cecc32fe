"""The law of a plan, in random catalogs: no row in no class, none in two; and it is seen when it is broken."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catalogs.errors import UserError
from catalogs.inputs.reject_file import REFUSALS, REJECTS, Code, Reject, write_rejects
from catalogs.plans.accounts import LostRowsError, Rows, settle
from tests.flows.projects import Project

SHOTS: dict[str, Any] = {
    "hero": {"size": "64x64", "references": ["product.hero"], "prompt": {"scene": "{{ product.title }}"}},
    "next": {"size": "64x64", "references": ["shot.hero"], "prompt": {"scene": "{{ product.mood }}"}},
}


def mostly(good: object, *bad: object) -> st.SearchStrategy[object]:
    """What is right nine times in ten, so that rows with one fault stand beside rows with none."""
    return st.integers(0, 9).flatmap(lambda chance: st.sampled_from(bad) if chance == 9 else st.just(good))


GROUPS = st.fixed_dictionaries(
    {
        "title": mostly("Mug", ""),
        "mood": mostly("calm", ""),
        "photo": mostly("photo.png", "gone.png", "broken.png", ""),
        "ended": mostly(False, True),
        "german": mostly(False, True),
    }
)
PRODUCTS = st.fixed_dictionaries(
    {
        "id": mostly(None, "p1", "", "../evil"),
        "brand_id": mostly("acme", "nord", "nobody"),
        "title": mostly(None, ""),
        "group": st.integers(0, 2),
    }
)
CATALOGS = st.tuples(st.lists(GROUPS, min_size=3, max_size=3), st.lists(PRODUCTS, min_size=1, max_size=8))
CAMPAIGNS = st.fixed_dictionaries(
    {
        "look_by": st.sampled_from([[], ["product_group"]]),
        "select": st.sampled_from([[], [["product_group", "!=", "g0"]]]),
        "territory": st.sampled_from([None, "DE", "FR"]),
    }
)
OPTIONS = st.fixed_dictionaries({"limit": st.sampled_from([None, None, 1]), "only": st.sampled_from([[], [], ["p1"]])})


def project_of(folder: Path, catalog: tuple[list[Any], list[Any]], campaign: Mapping[str, Any]) -> Project:
    channels: list[Any] = [
        {"name": "square", "width": 48, "height": 48, "territory": campaign["territory"]},
        {"name": "wide", "width": 64, "height": 32},
    ]
    rules = {name: campaign[name] for name in ("look_by", "select")}
    project = Project.of(folder, 1, shots=SHOTS, channels=channels, **rules)
    (folder / "broken.png").write_bytes(b"no picture")
    groups, products = catalog
    project.products = [_product(number, drawn, groups[drawn["group"]]) for number, drawn in enumerate(products, 1)]
    project.write()
    return project


def _product(number: int, drawn: Mapping[str, Any], group: Mapping[str, Any]) -> dict[str, Any]:
    image = {
        "uri": group["photo"],
        "role": "hero",
        "licence_end": date(2020, 1, 1) if group["ended"] else None,
        "territories": ["DE"] if group["german"] else [],
    }
    return {
        "product_id": f"p{number}" if drawn["id"] is None else drawn["id"],
        "brand_id": drawn["brand_id"],
        "title": group["title"] if drawn["title"] is None else drawn["title"],
        "mood": group["mood"],
        "product_group": f"g{drawn['group']}",
        "reference_images": [image] if group["photo"] else [],
    }


def classes(project: Project, summary: Mapping[str, Any]) -> dict[int, str]:
    """The class of each row of the catalog by what stands in the files, read without any code of ours."""
    folder = project.folder / "output" / "runs" / summary["run_id"]
    plan = pq.read_table(folder / "plan.parquet").to_pylist()
    covered = {product for row in plan if row["action"] != "withdraw" for product in row["covers"]}
    left_out: dict[int, set[str]] = {}
    if (folder / "rejects.parquet").exists():
        for reject in pq.read_table(folder / "rejects.parquet").to_pylist():
            if reject["file"].endswith("products.parquet"):
                left_out.setdefault(reject["row"], set()).add(reject["code"])
    found = {}
    for number, product in enumerate(project.products, start=1):
        codes = left_out.get(number, set())
        if codes - REFUSALS:
            found[number] = "rejected"
        elif Code.RIGHTS in codes:
            found[number] = "refused"
        elif product["product_id"] in covered:
            found[number] = "covered"
        else:
            found[number] = "aside"
    return found


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(CATALOGS, CAMPAIGNS, OPTIONS)
def test_every_row_is_in_one_class(
    catalog: tuple[list[Any], list[Any]], campaign: dict[str, Any], options: dict[str, Any]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        project = project_of(Path(folder) / "project", catalog, campaign)
        try:
            summary = project.plan(**{name: value for name, value in options.items() if value}).summary
        except UserError:  # nothing is left, or products of one look differ
            return
        found = classes(project, summary)
        if not options["limit"] and not options["only"]:
            selected = {
                number
                for number, product in enumerate(project.products, start=1)
                if not campaign["select"] or product["product_group"] != "g0"
            }
            kinds = [found[number] for number in selected]
            assert "aside" not in kinds
            assert summary["refused"] == kinds.count("refused")
            assert summary["not_selected"] == len(catalog[1]) - len(selected)


def written(folder: Path, rows: int, marks: int, rejects: list[Reject]) -> tuple[Path, Path]:
    plan = folder / "plan.parquet"
    pq.write_table(pa.table({"look_rows": [rows, None], "look_marks": [marks, None]}), plan)
    write_rejects(folder / "rejects.parquet", rejects)
    return plan, folder / "rejects.parquet"


def test_a_lost_row_and_one_that_counts_twice_are_seen(tmp_path: Path) -> None:
    looks = Rows()
    looks.add("p.parquet", 1)
    looks.add("p.parquet", 3)
    two = Reject("p.parquet", 2, "title", "", "is empty", "p2", Code.EMPTY)
    also_two = Reject("p.parquet", 2, "price", "-1", "is negative", "p2", Code.BAD_VALUE)
    brand = Reject("b.parquet", 2, "name", "", "is empty", "", Code.EMPTY)
    found = settle({"p.parquet": 3}, None, *written(tmp_path, 2, looks.marks, [brand, two, also_two]), False)
    assert (found.covered.count, found.rejected.count, found.refused.count, found.not_asked) == (2, 1, 0, 0)
    with pytest.raises(LostRowsError, match="accounts for 2 of 3 catalog rows"):
        settle({"p.parquet": 3}, None, *written(tmp_path, 2, looks.marks, []), False)
    three = Reject("p.parquet", 3, "title", "", "is empty", "p3", Code.EMPTY)
    with pytest.raises(LostRowsError, match="accounts for 3 of 3"):  # two is lost, three counts twice
        settle({"p.parquet": 3}, None, *written(tmp_path, 2, looks.marks, [three]), False)
    assert settle({"p.parquet": 9}, None, *written(tmp_path, 2, looks.marks, [two]), True).not_asked == 6


def test_the_closed_list_is_that_of_the_file(tmp_path: Path) -> None:
    assert "code" in REJECTS.names
    assert {str(code) for code in REFUSALS} < {str(code) for code in Code}
