"""Bad input gets one clear line, exit code 2, and nothing half-written."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.flows.commands import run
from tests.flows.projects import Project, plan_rows

Break = Callable[[Project], None]


def hosted(model: str, **options: Any) -> Break:
    """A hosted model and its section."""

    def change(project: Project) -> None:
        project.campaign |= {"model": model, "hosted": options}
        project.write()

    return change


def setting(path: str, value: Any) -> Break:
    """Write a campaign key."""

    def change(project: Project) -> None:
        place: Any = project.campaign
        *parents, last = path.split(".")
        for part in parents:
            place = place[int(part)] if isinstance(place, list) else place[part]
        place[last] = value
        project.write()

    return change


def prompt(text: str) -> Break:
    return setting("shots.hero.prompt.scene", text)


def file(name: str, content: bytes | None) -> Break:
    """Replace a file, or remove it."""

    def change(project: Project) -> None:
        path = project.folder / name
        path.unlink()
        if content is not None:
            path.write_bytes(content)

    return change


def table(name: str, columns: dict[str, Any]) -> Break:
    return lambda project: pq.write_table(pa.table(columns), project.folder / name)


def circle(project: Project) -> None:
    setting("shots.hero.references", ["shot.scene"])(project)


def mixed_look(project: Project) -> None:
    project.products.append({**project.products[0], "product_id": "other", "title": "Other"})
    setting("look_by", ["product_group"])(project)


def text(content: bytes) -> Break:
    return file("campaign.yaml", content)


CAMPAIGN = [
    ("unknown key", setting("modle", "x"), ["modle", "did you mean 'model'"]),
    ("unknown shot key", setting("shots.hero.stepz", 4), ["shots.hero.stepz", "did you mean 'steps'"]),
    ("unknown prompt key", setting("shots.hero.prompt.scen", "x"), ["shots.hero.prompt.scen", "scene"]),
    ("unknown channel key", setting("channels.0.widht", 4), ["channels.0.widht", "width"]),
    ("unknown catalog key", setting("catalogs.product", "x"), ["catalogs.product", "products"]),
    ("no shots", setting("shots", {}), ["shots"]),
    ("seed below zero", setting("seed", -1), ["seed"]),
    ("wrong type", setting("variations", "many"), ["variations", "many"]),
    ("too many variations", setting("variations", 1000), ["variations", "100"]),
    ("name no key can hold", setting("name", "../up"), ["name", "object key"]),
    ("not YAML", text(b"name: [unclosed"), ["line", "YAML"]),
    ("a key twice", text(b"name: a\nname: b\n"), ["line 2", "written twice"]),
    ("not UTF-8", text(b"name: \xff\xfe"), ["UTF-8"]),
    ("empty", text(b""), ["holds no keys"]),
    ("no campaign file", text(b"- a\n- b\n"), ["holds no keys"]),
    ("file missing", file("campaign.yaml", None), ["no such file"]),
    ("unknown model", setting("model", "klein-4"), ["klein-4", "klein-4b"]),
    ("hosted revision", setting("model", {"name": "bfl/pro", "revision": "x"}), ["bfl/pro", "revision"]),
    ("hosted model with a stranger's host", hosted("bfl/pro", base_url="https://x.example"), ["hosted.base_url"]),
    ("rewriting where there is none", hosted("bfl/klein-4b", prompt_upsampling=True), ["bfl/klein-4b", "rewrites"]),
    ("tolerance over the API's", hosted("bfl/pro", safety_tolerance=6), ["hosted.safety_tolerance"]),
    ("hosted key misspelt", hosted("bfl/pro", base_ulr="x"), ["did you mean 'base_url'"]),
    ("licence", setting("model", "klein-9b"), ["klein-9b", "commercial"]),
    ("model folder missing", setting("model", "./weights"), ["weights"]),
    ("unknown channel", setting("channels", ["shopfiy"]), ["shopfiy", "shopify"]),
    ("a channel twice", setting("channels", ["shopify", "shopify"]), ["shopify"]),
    ("channel without size", setting("channels", [{"name": "x"}]), ["width", "missing"]),
    ("channel of size zero", setting("channels.0.width", 0), ["channels.0.width"]),
    ("channel format", setting("channels.0.format", "tiff"), ["channels.0.format", "jpeg"]),
    ("reserved channel name", setting("channels.0.name", "master-1"), ["channels.0.name"]),
    ("circle", circle, ["circle", "hero", "scene"]),
    ("unknown parent", setting("shots.scene.references", ["shot.her"]), ["'her'", "did you mean 'hero'"]),
    ("not a reference", setting("shots.hero.references", ["photo.png"]), ["product.ROLE"]),
    ("size not legal", setting("shots.hero.size", "100x100"), ["shots.hero", "16"]),
    ("size over 4 MP", setting("shots.hero.size", "4096x4096"), ["shots.hero", "4096x4096"]),
    ("size unreadable", setting("shots.hero.size", "large"), ["WIDTHxHEIGHT"]),
    ("template syntax", prompt("{{ product.title"), ["shots.hero.prompt.scene", "template"]),
    ("unknown column", prompt("{{ product.titel }}"), ["product.titel", "did you mean 'title'"]),
    ("unknown brand column", prompt("{{ brand.pallete }}"), ["brand.pallete", "palette"]),
    ("unknown name", prompt("{{ produkt.title }}"), ["produkt", "product.*"]),
    ("sandbox", prompt("{{ ''.__class__.__mro__ }}"), ["shots.hero.prompt.scene"]),
    ("endless text", prompt("{{ 'x' * 1000000000 }}"), ["shots.hero.prompt.scene", "repeats"]),
    ("image not referenced", prompt("{{ image('product.back') }}"), ["product.back", "references"]),
    ("image beyond the references", prompt("as in image 7"), ["image 7"]),
    ("look column", setting("look_by", ["colour"]), ["look_by", "colour", "colors"]),
    ("look that differs", mixed_look, ["look_by", "'title'"]),
    ("select column", setting("select", [["prize", ">", 1]]), ["prize", "price"]),
    ("select operator", setting("select", [["price", "=>", 1]]), ["select"]),
    ("select shape", setting("select", ["price > 1"]), ["select"]),
    ("select nothing", setting("select", [["product_id", "==", "none"]]), ["select", "matches no product"]),
    ("budget", setting("budget", {"max_gpu_hours": 1e-9}), ["budget.max_gpu_hours", "GPU hours"]),
    ("quality", setting("quality", {"blur": 1}), ["quality", "blur", "unknown key"]),
    ("catalog missing", file("products.parquet", None), ["products.parquet"]),
    ("catalog not Parquet", file("products.parquet", b"a,b\n1,2\n"), ["products.parquet", "Parquet"]),
    ("catalog column missing", table("products.parquet", {"product_id": ["a"]}), ["products.parquet", "brand_id"]),
    ("brand column type", table("brands.parquet", {"brand_id": [True], "name": ["x"]}), ["brands.parquet", "brand_id"]),
    ("output under a file", setting("output", "photo.png/out"), ["photo.png"]),
    ("output with one slash", setting("output", "s3:/bucket/out"), ["campaign.yaml", "s3:/bucket/out", "two slashes"]),
]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.of(tmp_path, products=2)


@pytest.mark.parametrize("command", ["plan", "render"])
@pytest.mark.parametrize(("break_it", "words"), [pytest.param(b, w, id=name) for name, b, w in CAMPAIGN])
def test_bad_input_is_one_line_and_exit_code_2(
    project: Project,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
    break_it: Break,
    words: list[str],
) -> None:
    break_it(project)
    assert run(monkeypatch, command, project.path) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    assert "Traceback" not in said.err
    for word in words:
        assert word in said.err
    assert not (project.folder / "output").exists()


def product(**values: Any) -> Break:
    def change(project: Project) -> None:
        project.products[1].update(values)
        project.write()

    return change


def reference(name: str, content: bytes | Image.Image | None = None, **values: Any) -> Break:
    """The second product's photo is another file."""

    def change(project: Project) -> None:
        if isinstance(content, Image.Image):
            content.save(project.folder / name)
        elif content is not None:
            (project.folder / name).write_bytes(content)
        product(reference_images=[{"uri": name, "role": "hero", **values}])(project)

    return change


def small_limit(project: Project) -> None:
    reference("large.png", Image.new("RGB", (2000, 1000)))(project)
    setting("max_reference_megapixels", 1)(project)


def long_prompt(project: Project) -> None:
    product(title="word 1234 " * 300)(project)
    setting("model", "klein-4b")(project)


ENDED = date(2020, 1, 1)
ROWS = [
    ("id with a tab", product(product_id="a\tb"), "product_id", r"a\tb"),
    ("id too long", product(product_id="x" * 201), "product_id", "xxx"),
    ("id twice", product(product_id="p000"), "product_id", "p000"),
    ("no id", product(product_id=None), "product_id", ""),
    ("no title", product(title="  "), "title", ""),
    ("unknown brand", product(brand_id="nobody"), "brand_id", "nobody"),
    ("photo missing", reference("gone.png"), "reference_images", "gone.png"),
    ("photo no image", reference("notes.txt", b"hello"), "reference_images", "notes.txt"),
    ("photo empty", reference("empty.png", b""), "reference_images", "empty.png"),
    ("photo over http", reference("https://example.com/a.png"), "reference_images", "http"),
    ("photo too large", small_limit, "reference_images", "large.png"),
    ("no photo", product(reference_images=[]), "reference_images", "product.hero"),
    ("licence ended", reference("photo.png", licence_end=ENDED), "reference_images", "licence"),
    ("field empty", lambda p: (product(colors=[])(p), prompt("{{ product.colors[0].hex }}")(p)), "colors", "empty"),
    ("colour", lambda p: (product(colors=[{"hex": "red"}])(p), prompt("{{ product.colors[0].hex }}")(p)), "colors", ""),
    ("prompt too long", long_prompt, "prompt", "tokens"),
]


@pytest.mark.parametrize(("break_it", "column", "word"), [pytest.param(b, c, w, id=name) for name, b, c, w in ROWS])
def test_a_bad_row_is_left_out_and_said(
    project: Project,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    break_it: Break,
    column: str,
    word: str,
) -> None:
    break_it(project)
    assert run(monkeypatch, "plan", project.path, "--strict") == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert "products.parquet" in said
    assert not (project.folder / "output").exists()
    prepared = project.plan()
    assert {row["look"] for row in plan_rows(prepared)} == {"p000"}
    rejects = pq.read_table(prepared.store.path(prepared.summary["rejects_key"])).to_pylist()
    assert rejects
    for reject in rejects:
        assert reject["row"] == 2
        assert column in reject["column"]
        assert word in reject["value"] + reject["reason"]
        assert reject["file"].endswith("products.parquet")


def test_no_row_left_is_an_error(project: Project, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    for row in project.products:
        row["brand_id"] = "nobody"
    project.write()
    assert run(monkeypatch, "plan", project.path) == 2
    assert "none left" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["plan"], "CAMPAIGN"),
        (["plan", "{}", "--limit", "0"], "--limit"),
        (["plan", "{}", "--only", "p999"], "p999"),
        (["plan", "{}", "--lmit", "1"], "--limit"),
        (["pln", "{}"], "pln"),
        (["render", "{}", "--plan", "nothing.parquet"], "nothing.parquet"),
        (["render", "{}", "--plan", "{}"], "is not a plan"),
        (["status", "{}"], "nothing was planned"),
        (["init", "{}"], "campaign.yaml"),
        (["render", "{}", "--attention", "native_cudnn"], "did you mean '_native_cudnn'"),
        (["init", "s3://bucket/sample"], "a local folder"),
        (["plan", "{}", "--output", "s3:/bucket/plan.parquet"], "two slashes"),
    ],
)
def test_bad_options(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: Any, arguments: list[str], word: str
) -> None:
    filled = [argument.replace("{}", project.path) for argument in arguments]
    assert run(monkeypatch, *filled) == 2
    said = capsys.readouterr()
    assert word in said.err
    assert said.err.count("\n") == 1
    assert not (project.folder / "output").exists()


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["watch", "{}/nothing"], "no such folder"),
        (["watch", "{}", "--every", "nan"], "no finite number"),
        (["watch", "{}", "--every", "1e300"], "--every"),
        (["watch", "{}"], "PREFECT_API_URL"),
        (["serve", "{}", "--cron", "daily"], "is no cron line"),
        (["serve", "{}", "--time-zone", "Mars/Base"], "is no time zone"),
        (["serve", "{}", "--alert-url", "ftp://host"], "is no web address"),
        (["serve", "{}", "--port", "0"], "--port"),
        (["deploy", "{}", "--alert-url", "host"], "is no web address"),
        (["deploy", "s3://bucket/campaigns"], "from a folder"),
        (["deploy", "{}"], "PREFECT_API_URL"),
        (["models", "--check", "nothing"], "no hosted model 'nothing'"),
    ],
)
def test_bad_options_of_what_runs_for_long(project: Project, arguments: list[str], word: str) -> None:
    # In a process of its own: here Prefect may have a server already.
    filled = [argument.replace("{}", str(project.folder)) for argument in arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    environment["PREFECT_HOME"] = str(project.folder / "home")
    command = [sys.executable, "-c", "from flows.cli import main; main()", *filled]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 2, done.stderr
    assert word in done.stderr
    assert (done.stdout, done.stderr.count("\n")) == ("", 1)


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_full_disk_behind_the_answer_is_told(project: Project, options: list[str]) -> None:
    command = [sys.executable, "-c", "from flows.cli import main; main()", "plan", project.path, *options]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "error: the answer cannot be written: No space left on device\n"


def test_an_error_for_machines_is_json(project: Project, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    import json

    setting("model", "nothing")(project)
    assert run(monkeypatch, "plan", project.path, "--json") == 2
    answer = json.loads(capsys.readouterr().out)
    assert answer["exit_code"] == 2
    assert "nothing" in answer["error"]


def test_another_campaigns_plan_is_refused(project: Project, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    prepared = project.plan()
    plan = prepared.store.uri(prepared.plan_key)
    setting("name", "autumn")(project)
    assert run(monkeypatch, "render", project.path, "--plan", plan) == 2
    assert "is a plan for 'spring', not 'autumn'" in capsys.readouterr().err


def test_a_brand_is_judged_by_what_is_read_of_it(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """One bad colour that no template asks for takes out no brand, and so none of its products; check tells it."""
    project.campaign["shots"] = {"hero": {"size": "64x64", "prompt": {"scene": "{{ product.title }}"}}}
    project.brands[0]["palette"] = [{"name": "grey", "hex": "#zzz"}]
    project.write()
    assert project.plan().summary["rejected"] == 0
    assert run(monkeypatch, "check", project.path) == 0
    project.campaign["shots"]["hero"]["prompt"]["mood"] = "{{ brand.palette[0].name }}"
    project.write()
    assert project.plan().summary["rejected"] > 1


@pytest.mark.parametrize("folder", ["catalog", "runs", "renders", "verifies"])
@pytest.mark.parametrize("command", ["plan", "render", "status", "verify", "check"])
def test_a_file_in_the_place_of_a_folder_is_told_before_anything_is_made(
    project: Project, folder: str, command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (project.folder / "output").mkdir()
    (project.folder / "output" / folder).write_text("x")
    assert run(monkeypatch, command, project.path) == 2
    said = capsys.readouterr().err
    assert f"output/{folder}" in said
    assert "a file is in the place of a folder; move it" in said
    assert not (project.folder / "output" / "assets").exists()
