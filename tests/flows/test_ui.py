"""The pages a person opens, in a real browser: run, pictures, tables, summary, parameter form."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.flows.test_render import packshot, python

pytestmark = [pytest.mark.browser, pytest.mark.slow]

# Where the pictures of the README come from: PACKSHOT_SCREENSHOTS=deployments pytest tests/flows/test_ui.py
SCREENSHOTS = "PACKSHOT_SCREENSHOTS"

RUN = """
import sys
from flows.marketing import MarketingOptions, marketing_run
marketing_run(sys.argv[1], MarketingOptions(render={"shard_assets": 20}), return_state=True)
"""
READ = """
import asyncio, json
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter
async def main():
    async with get_client() as client:
        # Other tests have left their runs on the server; the newest are ours.
        read = await client.read_flow_runs(sort="EXPECTED_START_TIME_ASC")
        runs = {run.name.split(" ")[0]: str(run.id) for run in read}
        ours = FlowRunFilter(id={"any_": [runs["marketing"], runs["spring-launch"]]})
        artifacts = {found.key: str(found.id) for found in await client.read_artifacts(flow_run_filter=ours)}
        deployment = await client.read_deployment_by_name("marketing-run/campaigns-cpu")
        print(json.dumps({"runs": runs, "artifacts": artifacts, "deployment": str(deployment.id)}))
asyncio.run(main())
"""


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory, prefect_server: dict[str, str]) -> dict[str, Any]:
    """One run of the sample beside a broken campaign; the ids of what there is to see."""
    folder = tmp_path_factory.mktemp("ui")
    assert packshot(prefect_server, "init", str(folder / "spring")).returncode == 0
    (folder / "spring" / "campaign-tiny.yaml").unlink()
    (folder / "winter.yaml").write_text("name: winter\nmodle: proof\n")
    environment = {**prefect_server, "PACKSHOT_LINKS": f"{folder}/=https://files.example.com/"}
    assert packshot(environment, "deploy", "/srv/campaigns").returncode == 0
    done = python(environment, "-c", RUN, str(folder))
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(python(environment, "-W", "ignore", "-c", READ).stdout)
    return {**found, "page": prefect_server["PREFECT_API_URL"].removesuffix("/api")}


@pytest.fixture(scope="module")
def page(chromium: str) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        opened = browser.new_page(viewport={"width": 1280, "height": 860})
        opened.set_default_timeout(60_000)
        yield opened
        browser.close()


def shot(page: Any, name: str) -> None:
    """Keep a picture of the page, as few colours as a screen needs, where one is asked for."""
    import io

    from PIL import Image

    if folder := os.environ.get(SCREENSHOTS):
        page.wait_for_timeout(1500)
        picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        picture.quantize(256).save(Path(folder) / name, optimize=True)


def open_artifact(page: Any, seen: dict[str, Any], key: str, words: str) -> Any:
    page.goto(f"{seen['page']}/v2/artifacts/artifact/{seen['artifacts'][key]}")
    page.get_by_text(words).first.wait_for()
    return page


@pytest.mark.timeout(240)
def test_the_run_page_names_what_was_done(page: Any, seen: dict[str, Any]) -> None:
    page.goto(f"{seen['page']}/v2/runs/flow-run/{seen['runs']['spring-launch']}")
    page.get_by_text("shard 0000: ").wait_for()
    text = page.inner_text("body")
    assert re.search(r"spring-launch · \d{8}T\d{6}\.\d{6}Z", text)
    assert "48 assets in" in text
    assert "Traceback" not in text
    assert "Finished in state Completed(" not in text.replace("Finished in state Completed()", "", 1)
    shot(page, "run.png")


@pytest.mark.timeout(240)
def test_the_contact_sheet_shows_pictures(page: Any, seen: dict[str, Any]) -> None:
    open_artifact(page, seen, "contact-sheet-spring-launch", "HM-MUG-SAGE")
    pictures = page.evaluate(
        "Array.from(document.querySelectorAll('table img')).map(i => [i.src.slice(0, 22), i.naturalWidth])"
    )
    assert len(pictures) == 24
    assert all(source == "data:image/webp;base64" and width > 100 for source, width in pictures), pictures
    widest = page.evaluate("document.querySelector('table').getBoundingClientRect().right")
    assert widest < page.get_by_text("Last Updated").bounding_box()["x"], "the sheet lies under the page's own column"
    shot(page, "contact-sheet.png")


@pytest.mark.timeout(240)
def test_progress_shards_summary_and_campaigns(page: Any, seen: dict[str, Any]) -> None:
    open_artifact(page, seen, "progress-spring-launch", "48 of 48 assets · 0 failed")
    text = open_artifact(page, seen, "shards-spring-launch", "images/s").inner_text("body")
    assert "GPU GiB" in text
    open_artifact(page, seen, "summary-spring-launch", "complete, 48 of 48 assets delivered")
    link = page.locator("a[href^='https://files.example.com/']").first.get_attribute("href")
    assert link.startswith("https://files.example.com/spring/output/runs/")
    assert link.endswith("/report/index.html")
    text = open_artifact(page, seen, "campaigns", "unknown key 'modle'").inner_text("body")
    assert "broken" in text
    page.get_by_role("link", name="spring-launch").first.click()
    page.get_by_text("shard 0000: ").wait_for()


@pytest.mark.timeout(240)
def test_the_parameter_form_explains_itself(page: Any, seen: dict[str, Any]) -> None:
    page.goto(f"{seen['page']}/v2/deployments/deployment/{seen['deployment']}/run")
    page.get_by_text("Only these campaigns").wait_for()
    text = page.inner_text("body")
    for words in (
        "The folder with the campaign files",
        "Only campaigns of these engines",
        "which costs money",
        "Try failed assets again",
        "Shards at once",
    ):
        assert words in text, words
    assert page.locator("textarea").first.input_value() == "/srv/campaigns"
    shot(page, "parameters.png")
