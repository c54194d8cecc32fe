"""--retire takes out what another campaign of this name has made only with --take-over."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from catalogs.errors import CampaignError
from catalogs.plans.file import METADATA_KEY, PlanFile
from tasks.takeover import refuse_another
from tests.flows.projects import Project, draw_photo
from tests.flows.test_left_out import PLAIN
from tests.flows.test_one_name import command

OTHER_SHOTS = {"garden": {"size": "64x64", "references": ["product.hero"], "prompt": {"scene": "a garden"}}}


def two(folder: Path, **second: Any) -> tuple[Project, Project]:
    """Two campaigns of one name and output; the first has made its four products."""
    first = Project.of(folder / "first", shots=PLAIN, output="../output")
    other = Project.of(folder / "second", **{"shots": PLAIN, "output": "../output", "products": 2, **second})
    first.render()
    return first, other


def statuses(project: Project) -> list[str]:
    return sorted(row["status"] for row in project.view().values())


def refusal(folder: Path, project: Project, *options: str) -> str:
    """What `packshot render --retire` says when it refuses: one line, and nothing made."""
    before = project.store.list("catalog")
    done = command(folder, "render", project.path, "--retire", *options)
    assert done.returncode == 2, done.stdout + done.stderr
    assert (done.stdout, done.stderr.count("\n")) == ("", 1)
    assert project.store.list("catalog") == before
    return done.stderr


def test_another_campaign_of_this_name_is_asked_for(tmp_path: Path) -> None:
    first, second = two(tmp_path)
    said = refusal(tmp_path, second)
    assert said.startswith(f"error: {second.path}: name: ")
    assert f"another campaign 'spring' has made: {first.path} (start " in said
    for project in (first, second):
        assert str(project.folder / "products.parquet") in said
    assert "rename one of the two, or add --take-over" in said
    assert statuses(first) == ["delivered"] * 8


def test_it_is_asked_for_again_however_often_it_was_refused_or_planned_or_rendered(tmp_path: Path) -> None:
    """Its own plans must not hide the other campaign, which would be one command later."""
    _, second = two(tmp_path)
    refusal(tmp_path, second)
    refusal(tmp_path, second)
    second.render()
    assert "--take-over" in refusal(tmp_path, second)


def test_a_plan_that_made_nothing_stands_in_nobodys_way(tmp_path: Path) -> None:
    first, second = two(tmp_path)
    refusal(tmp_path, second)
    first.campaign["select"] = [["product_id", "!=", "p003"]]
    first.write()
    done = command(tmp_path, "render", first.path, "--retire")
    assert done.returncode == 0, done.stderr
    assert "2 no longer wanted, retired now" in done.stdout


def test_take_over_retires_and_is_said_once(tmp_path: Path) -> None:
    first, second = two(tmp_path)
    done = command(tmp_path, "render", second.path, "--retire", "--take-over")
    assert done.returncode == 0, done.stderr
    assert statuses(second) == ["delivered"] * 4 + ["retired"] * 4
    second.products.pop()
    second.write()
    done = command(tmp_path, "render", second.path, "--retire")
    assert done.returncode == 0, done.stderr
    assert statuses(second) == ["delivered"] * 2 + ["retired"] * 6
    del first.products[0]
    first.write()
    assert f"{second.path} (start " in refusal(tmp_path, first)


def test_other_shots_make_another_campaign(tmp_path: Path) -> None:
    first, second = two(tmp_path, products=4, shots=OTHER_SHOTS)
    shutil.copy(first.folder / "products.parquet", second.folder)
    assert "its shots are hero, not garden" in refusal(tmp_path, second)


def test_take_over_alone_does_nothing(tmp_path: Path) -> None:
    _, second = two(tmp_path)
    done = command(tmp_path, "render", second.path, "--take-over")
    assert done.returncode == 2
    assert done.stderr == "error: --take-over: does nothing without --retire; give both, or leave it out\n"


def _shot_removed(project: Project) -> None:
    project.campaign["shots"] = {"hero": project.campaign["shots"]["hero"]}
    project.campaign["channels"].pop()
    project.write()


def _shot_renamed(project: Project) -> None:
    project.campaign["shots"] = {"front": project.campaign["shots"]["hero"]}
    project.write()


def _shot_rewritten(project: Project) -> None:
    project.campaign["shots"]["hero"]["prompt"] = {"scene": "quite another scene"}
    del project.campaign["shots"]["scene"]
    project.write()


def _rows_changed(project: Project) -> None:
    del project.products[2:]
    for product in project.products:
        product["title"] = "Cheaper mug"
    project.write()


def _moved(project: Project) -> None:
    """With all it reads; and then a channel goes."""
    moved = project.folder.rename(project.folder.with_name("moved"))
    project.folder = moved
    del project.campaign["channels"][0]
    (moved / "campaign.yaml").write_text(yaml.safe_dump(project.campaign))


def _parted(project: Project) -> None:
    """The catalog lies elsewhere, as a folder of files."""
    (project.folder / "parts").mkdir()
    (project.folder / "products.parquet").rename(project.folder / "parts" / "a.parquet")
    project.campaign["catalogs"]["products"] = "parts"
    del project.campaign["channels"][0]
    (project.folder / "campaign.yaml").write_text(yaml.safe_dump(project.campaign))


EDITS = (_shot_removed, _shot_renamed, _shot_rewritten, _rows_changed, _moved, _parted)


@pytest.mark.parametrize("edit", EDITS)
def test_an_ordinary_edit_is_not_asked_for(
    tmp_path: Path, edit: Callable[[Project], None], prefect_harness: None
) -> None:
    project = Project.of(tmp_path / "first", output="../output")
    project.render()
    edit(project)
    state = flow(project, retire=True)
    assert state.is_completed(), state.message
    assert "retired" in statuses(project)


def test_one_step_after_the_other_leads_anywhere(tmp_path: Path, prefect_harness: None) -> None:
    """Moved, and planned there with nothing to do; then edited: the plan between says that it is one campaign."""
    project = Project.of(tmp_path / "first", output="../output")
    project.render()
    project.folder = project.folder.rename(tmp_path / "moved")
    assert not project.plan().has_work
    _rows_changed(project)
    assert flow(project, retire=True).is_completed()
    assert "retired" in statuses(project)


def test_plans_of_before_are_the_same_campaigns(tmp_path: Path, prefect_harness: None) -> None:
    first, second = two(tmp_path)
    for key in first.store.list("runs"):
        without_signature(tmp_path / "output" / key)
    state = flow(second, retire=True)
    assert state.is_completed(), state.message
    assert "retired" in statuses(second)


def without_signature(path: Path) -> None:
    table = pq.read_table(path)
    header = json.loads(table.schema.metadata[METADATA_KEY])
    assert header.pop("signature")
    pq.write_table(table.replace_schema_metadata({METADATA_KEY: json.dumps(header)}), path)


def test_a_proof_does_not_stand_in_the_way_of_a_render(tmp_path: Path) -> None:
    """They touch no row of each other: what is asked for is what the same kind made."""
    _, second = two(tmp_path)
    planned = second.plan()
    header = PlanFile(second.store, planned.plan_key).header
    with pytest.raises(CampaignError, match="--take-over"):
        refuse_another(second.store, header, planned.run_id)
    refuse_another(second.store, replace(header, kind="render"), planned.run_id)


def flow(project: Project, **options: Any) -> Any:
    from flows.render import RenderOptions, render_catalog

    return render_catalog(project.path, RenderOptions(**options), return_state=True)


def test_the_flow_refuses_before_it_renders(tmp_path: Path, prefect_harness: None) -> None:
    first, second = two(tmp_path)
    before = first.store.list("catalog")
    state = flow(second, retire=True)
    assert state.is_failed()
    assert "add --take-over if this one replaces it" in state.message
    assert first.store.list("catalog") == before
    assert "does nothing without --retire" in flow(second, take_over=True).message
    assert flow(second, retire=True, take_over=True).is_completed()
    assert "retired" in statuses(second)


def test_the_nightly_flow_tells_it_once(tmp_path: Path, prefect_harness: None, caplog: Any) -> None:
    from flows.marketing import MarketingOptions, marketing_run
    from flows.render import RenderOptions

    _, second = two(tmp_path)
    options = MarketingOptions(render=RenderOptions(retire=True))
    state: Any = marketing_run(str(second.folder), options, return_state=True)
    [line] = state.result(raise_on_failure=False)
    assert line["result"].value == "failed"
    assert line["detail"].startswith(f"{second.path}: name: --retire would take out")
    assert not any("is tried again" in record.getMessage() for record in caplog.records)
    alone = MarketingOptions(render=RenderOptions(take_over=True))
    assert "does nothing" in marketing_run(str(second.folder), alone, return_state=True).message


def test_the_form_has_it() -> None:
    from flows.render import RenderOptions

    shown = RenderOptions.model_json_schema()["properties"]["take_over"]
    assert (shown["type"], shown["default"]) == ("boolean", False)
    assert shown["title"] == "Retire what another campaign made"
    assert shown["description"]


def test_a_refusal_keeps_no_ended_licence(tmp_path: Path) -> None:
    first, second = two(tmp_path, shots=OTHER_SHOTS)
    draw_photo(second.folder / "photo.png", "#777777")
    second.render()
    first.products[0]["reference_images"] = [{"uri": "photo.png", "role": "hero", "licence_end": date(2020, 1, 1)}]
    for product in first.products[1:]:
        product["reference_images"] = [{"uri": "other.png", "role": "hero"}]
    draw_photo(first.folder / "other.png", "#336699")
    first.write()
    done = command(tmp_path, "render", first.path, "--retire")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "add --take-over" in done.stderr
    assert statuses(first) == ["delivered"] * 4 + ["withdrawn"] * 8
