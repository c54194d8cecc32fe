"""The scheduled flow: what is due is rendered in order, and one failure stops nobody else."""

from __future__ import annotations

import json
import shutil
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tasks.outcome import newest_outcome
from tests.flows.projects import Project

SUMMER = {"valid_from": "2099-06-01", "valid_to": "2099-08-31", "time_zone": "Europe/Berlin"}


def three_campaigns(folder: Path) -> dict[str, Project]:
    """One due, one not yet, one broken."""
    made = {
        "spring": Project.of(folder / "spring", products=2, name="spring"),
        "summer": Project.of(folder / "summer", products=2, name="summer", schedule=SUMMER),
    }
    (folder / "broken.yaml").write_text("name: broken\nmodle: proof\n")
    return made


def settled(folder: Path, **options: Any) -> tuple[Any, dict[str, dict[str, Any]]]:
    from flows.marketing import MarketingOptions, marketing_run

    state = marketing_run(str(folder), MarketingOptions(**options), return_state=True)
    lines = state.result(raise_on_failure=False)
    return state, {line["campaign"]: line for line in lines}


def results(lines: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {name: line["result"].value for name, line in lines.items()}


def test_one_broken_campaign_fails_only_itself(tmp_path: Path, prefect_harness: None) -> None:
    made = three_campaigns(tmp_path)
    state, lines = settled(tmp_path)
    assert results(lines) == {"spring": "delivered", "summer": "not yet due", "broken.yaml": "broken"}
    assert len(made["spring"].view()) == 8
    assert not (made["summer"].folder / "output").exists()
    assert state.name == "Failed"
    assert "1 of 3 campaigns failed. " in state.message
    assert "broken.yaml: modle: unknown key 'modle'; did you mean 'model'?" in state.message
    assert "\n" not in state.message


def test_only_what_changed_is_rendered(tmp_path: Path, prefect_harness: None) -> None:
    made = three_campaigns(tmp_path)
    (tmp_path / "broken.yaml").unlink()
    assert settled(tmp_path)[0].name == "Completed"
    state, lines = settled(tmp_path)
    assert results(lines) == {"spring": "unchanged", "summer": "not yet due"}
    assert state.message == "1 unchanged, 1 not yet due"
    made["spring"].products[0]["title"] = "another mug"
    made["spring"].write()
    before = made["spring"].view()
    _, lines = settled(tmp_path)
    assert lines["spring"]["detail"] == "2 renders for 4 assets"
    after = made["spring"].view()
    assert {key[1] for key in before if before[key]["asset_key"] != after[key]["asset_key"]} == {"p000"}


def test_quiet_nights_keep_one_plan(tmp_path: Path, prefect_harness: None) -> None:
    project = Project.of(tmp_path / "spring", products=2, name="spring")
    project.products.append({**project.products[0], "product_id": "bad", "brand_id": "nobody"})
    project.write()

    def night(result: str = "unchanged") -> tuple[list[str], dict[str, Any]]:
        """The plans that are kept, and what the run of a night says of itself."""
        assert results(settled(tmp_path)[1]) == {"spring": result}
        kept = [key for key in project.store.list("runs") if key.endswith("/plan.parquet")]
        newest = max(project.store.folders("runs"))
        return kept, json.loads(project.store.read(f"runs/{newest}/summary.json"))

    night("delivered")
    second, said = night()
    assert len(second) == 2, "what is unchanged now was new before"
    assert said["plan"]["plan_key"] == second[-1]
    third, said = night()
    assert third == second
    assert said["run_id"] not in second[-1], "a run of its own"
    assert said["plan"]["plan_key"] == second[-1]
    assert (said["complete"], said["outcome"]["delivered"], said["plan"]["rejected"]) == (True, 8, 1)
    rejects = said["plan"]["rejects_key"]
    assert [row["row"] for row in pq.read_table(project.store.path(rejects)).to_pylist()] == [3]

    project.products[-1]["brand_id"] = "another"  # the same assets, and another reason why a row is left out
    project.write()
    fourth, said = night()
    assert len(fourth) == 3
    assert said["plan"]["plan_key"] == fourth[-1]
    assert night()[0] == fourth
    project.products[0]["title"] = "another mug"
    project.write()
    assert len(night("delivered")[0]) == 4
    assert newest_outcome(project.path)["complete"]


def test_next_years_schedule_can_be_tried_without_rendering(tmp_path: Path, prefect_harness: None) -> None:
    three_campaigns(tmp_path)
    at = datetime.fromisoformat("2099-07-01T00:00:00+02:00")
    _, lines = settled(tmp_path, at=at, dry_run=True, only=["summer"])
    assert results(lines) == {"summer": "planned"}
    assert lines["summer"]["detail"] == "4 renders for 8 assets"
    assert not (tmp_path / "summer" / "output" / "catalog").exists()


def test_engines_and_names_select(tmp_path: Path, prefect_harness: None) -> None:
    three_campaigns(tmp_path)
    _, lines = settled(tmp_path, engines=["diffusers"], only=["spring"])
    assert results(lines) == {"spring": "left out"}
    state, lines = settled(tmp_path, only=["sprig"])
    assert (state.name, lines) == ("Failed", {})
    assert "did you mean 'spring'" in state.message


def test_failed_assets_and_broken_catalogs(tmp_path: Path, prefect_harness: None) -> None:
    made = three_campaigns(tmp_path)
    lost = Project.of(tmp_path / "lost", products=1, name="lost", schedule={"priority": 99})
    (lost.folder / "products.parquet").unlink()
    state, lines = settled(tmp_path, tries=1)
    assert results(lines)["lost"] == "broken"
    assert "products.parquet" in lines["lost"]["detail"]
    assert results(lines)["spring"] == "delivered"
    assert made["spring"].view()
    assert "2 of 4 campaigns failed" in state.message


def test_every_parameter_has_a_title_and_most_an_explanation() -> None:
    from flows.marketing import MarketingOptions

    models = MarketingOptions.model_json_schema()
    for name, schema in (("", models), ("RenderOptions", models["$defs"]["RenderOptions"])):
        for field, shown in schema.get("properties", {}).items():
            assert shown.get("title"), f"{name}.{field}"
            assert shown["title"] != field.replace("_", " ").title(), f"{name}.{field} has no title of its own"


def test_a_campaign_that_is_over_still_withdraws(tmp_path: Path, prefect_harness: None) -> None:
    made = three_campaigns(tmp_path)
    (tmp_path / "broken.yaml").unlink()
    assert settled(tmp_path, only=["spring"])[0].name == "Completed"
    spring = made["spring"]
    spring.campaign["schedule"] = {"valid_from": "2020-01-01", "valid_to": "2020-12-31", "time_zone": "UTC"}
    spring.products[0]["reference_images"][0]["licence_end"] = date(2020, 1, 1)
    spring.write()
    _, lines = settled(tmp_path, only=["spring"])
    assert (lines["spring"]["result"], lines["spring"]["detail"]) == (
        "over",
        "4 assets withdrawn: a right to a photo has ended",
    )
    assert {row["look"] for row in spring.view().values() if row["status"] == "withdrawn"} == {"p000"}


def test_what_cannot_be_read_of_the_record_stops_that_campaign_alone(tmp_path: Path, prefect_harness: None) -> None:
    """Nothing is withdrawn, rendered or tried again on half a record; a due one and one that is over."""
    made = three_campaigns(tmp_path)
    (tmp_path / "broken.yaml").unlink()
    settled(tmp_path, only=["spring"])
    spring = made["spring"]
    spring.products[0]["reference_images"][0]["licence_end"] = date(2020, 1, 1)
    bad = "catalog/20200101T000000.000000Z-abcdef/bad.parquet"
    spring.store.write(bad, b"PAR1")
    before = spring.store.list("catalog")
    for schedule in ({}, {"valid_from": "2020-01-01", "valid_to": "2020-12-31", "time_zone": "UTC"}):
        spring.campaign["schedule"] = schedule
        spring.write()
        _, lines = settled(tmp_path)
        assert lines["spring"]["result"] == "failed"
        assert f"{spring.store.uri(bad)}: is not a readable commit: " in lines["spring"]["detail"]
        assert lines["spring"]["detail"].endswith(f"`packshot verify {spring.path} --quarantine`")
        assert lines["summer"]["result"] == "not yet due"
        assert spring.store.list("catalog") == before


def test_a_bucket_that_is_not_there_is_an_alert_and_renders_nothing(tmp_path: Path, prefect_harness: None) -> None:
    made = three_campaigns(tmp_path)
    (tmp_path / "broken.yaml").unlink()
    settled(tmp_path, only=["spring"])
    spring = made["spring"]
    for key in spring.store.list("verifies"):
        spring.store.delete([key])  # as if the last look were of yesterday
    shutil.rmtree(Path(spring.store.root) / "assets")
    state, lines = settled(tmp_path, only=["spring"])
    assert state.name == "Failed"
    assert lines["spring"]["result"] == "failed"
    assert "8 of 10 files" in lines["spring"]["detail"]
    assert "packshot verify" in lines["spring"]["detail"]
    assert {row["status"] for row in spring.view().values()} == {"delivered"}
