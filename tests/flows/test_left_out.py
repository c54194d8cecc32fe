"""What a plan leaves out: every row is told, counted and accounted for, and nothing certain hides behind it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from catalogs.errors import CatalogError, OptionError, StorageError
from catalogs.inputs.reject_file import Code
from catalogs.storage.store import Store
from tests.flows.projects import Project, plan_rows
from tests.servers import FlakyS3

PLAIN: dict[str, Any] = {
    "hero": {"size": "64x64", "references": ["product.hero"], "prompt": {"scene": "{{ product.title }}"}}
}
ENDED = {"uri": "photo.png", "role": "hero", "licence_end": date(2020, 1, 1)}


def command(*arguments: str, code: int = 0) -> str:
    """What a command says on both outputs."""
    done = subprocess.run(
        [sys.executable, "-c", "from flows.cli import main; main()", *arguments],
        env={**os.environ, "PREFECT_API_URL": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def rejects(project: Project, summary: dict[str, Any]) -> list[dict[str, Any]]:
    return pq.read_table(project.folder / "output" / summary["rejects_key"]).to_pylist()  # type: ignore[no-any-return]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Two looks of three products and one of two, each with its own photo."""
    project = Project.of(tmp_path, 8, shots=PLAIN, look_by=["product_group"])
    for number, product in enumerate(project.products):
        look = number // 3
        product |= {"product_group": f"g{look}", "brand_id": "acme", "title": f"Mug {look}"}
        (tmp_path / f"photo-{look}.png").write_bytes((tmp_path / "photo.png").read_bytes())
        product["reference_images"] = [{"uri": f"photo-{look}.png", "role": "hero"}]
    project.write()
    return project


def test_every_row_of_a_look_without_its_picture_is_told(project: Project) -> None:
    (project.folder / "photo-1.png").unlink()
    summary = project.plan().summary
    told = rejects(project, summary)
    assert [(row["row"], row["product_id"], row["code"]) for row in told] == [
        (number + 1, f"p{number:03}", "reference_missing") for number in (3, 4, 5)
    ]
    assert (summary["rejected"], summary["refused"], summary["products"], summary["looks"]) == (3, 0, 8, 2)


def test_no_plan_is_there_before_what_it_leaves_out_is(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """A planner that dies between the two leaves no plan that is silent of rows."""
    (project.folder / "photo-1.png").unlink()
    written: list[str] = []
    real = Store.write_file

    def write_file(store: Store, key: str, local_path: str) -> None:
        written.append(key.rpartition("/")[2])
        real(store, key, local_path)

    monkeypatch.setattr(Store, "write_file", write_file)
    project.plan()
    assert written == ["rejects.parquet", "plan.parquet"]


@pytest.mark.timeout(240)
def test_a_run_that_leaves_rows_out_says_so_at_its_end_and_in_every_place(project: Project) -> None:
    (project.folder / "photo-1.png").unlink()
    said = command("render", project.path)
    assert "4 of 4 planned assets delivered" in said
    runs = sorted((project.folder / "output" / "runs").iterdir())
    place = runs[-1] / "rejects.parquet"
    assert said.splitlines()[-1] == f"3 catalog rows left out, see {place}"
    assert place.exists()
    plan = json.loads((runs[-1] / "summary.json").read_text())["plan"]
    counts = {name: plan[name] for name in ("rejected", "looks", "products", "licence", "stages")}
    assert counts == {"rejected": 3, "looks": 2, "products": 8, "licence": "Apache-2.0", "stages": 1}
    gallery = (runs[-1] / "report" / "index.html").read_text()
    assert '["Catalog rows left out","3, see rejects.parquet of the run"]' in gallery


def test_rights_refuse_a_row_only_where_they_refuse_all_of_it(project: Project) -> None:
    for product in project.products[:3]:
        product["reference_images"] = [ENDED]
    for product in project.products[3:6]:
        product["reference_images"][0]["territories"] = ["DE"]
    project.campaign["channels"][0]["territory"] = "DE"
    project.write()
    summary = project.plan().summary
    codes = {row["product_id"]: row["code"] for row in rejects(project, summary)}
    assert codes == {
        **{f"p{number:03}": Code.RIGHTS for number in range(3)},
        **{f"p{number:03}": Code.RIGHTS_IN_PART for number in range(3, 6)},
    }
    assert (summary["rejected"], summary["refused"], summary["assets"]) == (0, 3, 3)


def test_check_plan_and_render_agree_on_what_a_left_out_row_means(project: Project) -> None:
    project.products[0]["title"] = ""
    for number in (3, 4, 5, 6, 7):
        project.products[number]["brand_id"] = "nobody"
    project.write()
    said = command("check", project.path)
    assert said.splitlines()[0] == "unknown_brand: 5"
    assert "  ... and 2 more; --all prints them" in said
    assert "row 1: column 'title': is empty; every row needs one" in said
    assert len(command("check", project.path, "--all").splitlines()) == len(said.splitlines()) + 1
    command("plan", project.path)
    command("check", project.path, "--strict", code=2)
    command("plan", project.path, "--strict", code=2)
    for product in project.products:
        product["brand_id"] = "nobody"
    project.write()
    command("check", project.path, code=2)
    command("plan", project.path, code=2)


def test_only_names_the_products_own_problem(project: Project) -> None:
    project.products[4]["brand_id"] = "nobody"
    project.write()
    with pytest.raises(CatalogError, match="row 5, column brand_id: the brand catalog has no usable brand"):
        project.plan(only=["p004"])
    with pytest.raises(OptionError, match="p999"):
        project.plan(only=["p999"])


def retired(project: Project) -> set[tuple[str, str]]:
    rows = plan_rows(project.plan(), lambda row: row["action"] == "retired")
    return {(row["look"], row["shot"]) for row in rows}


def test_what_is_certain_is_retired_whatever_is_left_out(tmp_path: Path) -> None:
    shots = {**PLAIN, "other": {**PLAIN["hero"], "prompt": {"scene": "another {{ product.title }}"}}}
    project = Project.of(tmp_path, 4, shots=shots)
    project.render()
    del project.campaign["shots"]["other"]  # for all products
    gone = project.products.pop(3)
    project.products[0]["title"] = ""  # a typing error
    project.write()
    everything_of_other = {(f"p00{number}", "other") for number in range(4)}
    assert retired(project) == everything_of_other | {("p003", "hero")}
    # A row without an id may be any product.
    project.products[1]["product_id"] = ""
    project.write()
    assert retired(project) == everything_of_other
    warning = project.plan().summary["warnings"][0]
    assert warning.startswith("6 delivered assets")
    assert "row 2 of" in warning
    assert "has no product_id that can be read" in warning
    assert gone["product_id"] == "p003"


@pytest.mark.timeout(240)
def test_after_retiring_nobody_is_told_to_retire(tmp_path: Path) -> None:
    project = Project.of(tmp_path, 3, shots=PLAIN)
    project.render()
    project.products.pop()
    project.write()
    assert "2 no longer wanted; --retire takes them out" in command("render", project.path)
    said = command("render", project.path, "--retire")
    assert "2 no longer wanted, retired now" in said
    assert "--retire" not in said
    assert "no longer wanted" not in command("render", project.path)


def test_a_delivered_look_whose_photo_is_missing_stays_as_it_is(project: Project) -> None:
    project.render()
    before = project.view()
    photo = project.folder / "photo-1.png"
    content = photo.read_bytes()
    photo.unlink()
    summary = project.plan().summary
    assert summary["actions"] == {"unchanged": 6}
    assert (summary["rejected"], summary["looks"]) == (0, 3)
    stays, which = summary["warnings"]
    assert stays == "1 looks stay as they were delivered: a picture they are made from is not there (reference_missing)"
    assert which.startswith(f"p003: {photo}: there is no such file")
    assert f"warning: {which}" in command("check", project.path)
    assert not (project.folder / "output" / summary["rejects_key"]).exists()
    project.render(retire=True)
    assert project.view() == before
    # Which products it covers is said anew: a product has another id.
    project.products[3]["product_id"] = "renamed"
    project.write()
    assert project.plan().summary["actions"] == {"unchanged": 4, "changed": 2}
    project.render()
    assert sum("renamed" in row["covers"] for row in project.view().values()) == 2
    assert {key: row["sha256"] for key, row in project.view().items()} == {k: r["sha256"] for k, r in before.items()}
    # What is wanted anew of it cannot be made: then it is left out, and still not retired.
    project.products[3]["title"] = project.products[4]["title"] = project.products[5]["title"] = "New mug"
    project.campaign["channels"].append({"name": "third", "width": 32, "height": 32})
    project.write()
    summary = project.plan().summary
    assert summary["rejected"] == 3
    assert "retired" not in summary["actions"]
    photo.write_bytes(content)
    assert project.plan().summary["actions"] == {"new": 1, "finish": 2, "changed": 2, "unchanged": 4}


def test_a_part_that_is_delivered_is_not_the_campaign(tmp_path: Path) -> None:
    project = Project.of(tmp_path, 3, shots=PLAIN)
    project.render(limit=1)
    said = command("status", project.path)
    assert "complete: False" in said
    assert "part: planned with --only or --limit" in said
    project.plan()
    project.render(only=["p001"])
    assert json.loads(command("status", project.path, "--json"))["missing"] == 2
    project.render()
    assert "complete: True" in command("status", project.path)


def test_a_text_that_names_a_picture_a_row_lacks_leaves_that_row_out(tmp_path: Path) -> None:
    shot = {
        "size": "64x64",
        "references": ["product.hero", "product.back?"],
        "prompt": {"scene": "{{ product.title }} from behind, as in {{ image('product.back') }}"},
    }
    project = Project.of(tmp_path, 2, shots={"both": shot})
    project.products[1]["reference_images"].append({"uri": "photo.png", "role": "back"})
    project.write()
    summary = project.plan().summary
    assert (summary["assets"], summary["rejected"]) == (2, 1)
    [row] = rejects(project, summary)
    assert (row["product_id"], row["code"]) == ("p000", Code.EMPTY_FIELD)
    assert "names product.back, which this row does not have" in row["reason"]
    with pytest.raises(CatalogError, match=r"row 1, column 'reference_images': shot both: .*names product\.back"):
        project.plan(only=["p000"])


def test_nothing_is_made_for_a_shot_that_no_right_covers(tmp_path: Path) -> None:
    shots = {
        "hero": PLAIN["hero"],
        "next": {"size": "96x96", "references": ["shot.hero"], "prompt": {"scene": "a table"}},
        "last": {"size": "80x80", "references": ["shot.next"], "prompt": {"scene": "a room"}},
    }
    channels = [{"name": "us", "width": 48, "height": 48, "territory": "US"}]
    project = Project.of(tmp_path, 2, shots=shots, channels=channels)
    project.products[0]["reference_images"][0]["territories"] = ["DE"]
    project.write()
    prepared = project.plan()
    assert {row["look"] for row in plan_rows(prepared)} == {"p001"}
    assert (prepared.summary["renders"], prepared.summary["refused"]) == (3, 1)
    assert [row["code"] for row in rejects(project, prepared.summary)] == [Code.RIGHTS]


def test_a_delivered_look_stays_as_it_is_while_its_photos_are_out_of_reach(tmp_path: Path, flaky_s3: FlakyS3) -> None:
    """A store of photos that does not answer stops nothing that is delivered; what is new waits for it."""
    project = Project.of(tmp_path, 3, shots=PLAIN, reference_roots=["s3://photos"])
    photo = (tmp_path / "photo.png").read_bytes()
    for product in project.products:
        uri = f"s3://photos/{product['product_id']}.png"
        product["reference_images"] = [{"uri": uri, "role": "hero"}]
        flaky_s3.objects[uri.removeprefix("s3://")] = photo
    project.write()
    project.render()
    flaky_s3.fail("HEAD", *["broken"] * 10_000)
    summary = project.plan().summary
    assert summary["actions"] == {"unchanged": 6}
    assert any("3 looks stay as they were delivered" in line for line in summary["warnings"])
    assert len([line for line in flaky_s3.seen if line.startswith("HEAD")]) < 100  # it is not asked again and again
    project.products[0]["product_id"] = "new"
    project.write()
    with pytest.raises(StorageError, match="s3://photos"):
        project.plan()
    flaky_s3.fail("HEAD")
    assert project.plan().summary["actions"]["new"] == 2
