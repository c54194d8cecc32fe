"""`packshot serve` shows galleries on a port of their own: what they are made of, and not a byte more."""

from __future__ import annotations

import http.client
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from catalogs.errors import OptionError
from flows.gallery_server import serve_galleries
from flows.summary_page import slug, summary_markdown
from tests.flows.projects import CHANNELS, Project, make
from tests.flows.test_render import packshot
from tests.servers import S3Server, free_ports


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A campaign that was rendered, and one beside it that was not."""
    folder = tmp_path_factory.mktemp("galleries")
    project = Project.of(folder / "spring", products=2, name="spring")
    Project.of(folder / "autumn", products=1, name="autumn")
    done = packshot({"PACKSHOT_CACHE": str(folder)}, "render", project.path)
    assert done.returncode == 0, done.stderr
    return project


@pytest.fixture(scope="module")
def port(shop: Project) -> Iterator[int]:
    (found,) = free_ports(1)
    with serve_galleries(str(shop.folder.parent), found) as address:
        assert address == f"http://127.0.0.1:{found}"
        yield found


def ask(port: int, path: str, method: str = "GET", host: str = "") -> tuple[int, dict[str, str], bytes]:
    """What is answered to a request whose path is sent as it stands."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.putrequest(method, path, skip_host=True)
        connection.putheader("Host", host or f"127.0.0.1:{port}")
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def base(project: Project) -> str:
    return f"/{slug(project.store.root)}"


def test_what_a_gallery_is_made_of_is_given_out(shop: Project, port: int) -> None:
    keys = [key for key in shop.store.list() if key.startswith(("assets/", "thumbs/")) or "/report/" in key]
    assert {key.split("/")[0] for key in keys} == {"assets", "thumbs", "runs"}
    for key in keys:
        status, headers, data = ask(port, f"{base(shop)}/{quote(key)}")
        assert (status, data) == (200, shop.store.read(key)), key
        assert headers["x-content-type-options"] == "nosniff"
        is_page = key.endswith(".html")
        assert ("sandbox" in headers["content-security-policy"]) is not is_page
    assert headers["cross-origin-resource-policy"] == "same-origin"


def test_nothing_else_is(shop: Project, port: int, tmp_path: Path) -> None:
    others = [key for key in shop.store.list() if not key.startswith(("assets/", "thumbs/")) and "/report/" not in key]
    assert {key.split("/")[0] for key in others} >= {"catalog", "renders", "runs"}
    secret = shop.folder / "secret.txt"
    secret.write_text("nobody's business")
    link = Path(shop.store.path("assets")) / "out.png"
    link.symlink_to(secret)
    asset = next(key for key in shop.store.list() if key.startswith("assets/spring"))
    paths = [
        *(quote(key) for key in others),
        "assets/../../secret.txt",
        "assets/%2e%2e/%2e%2e/secret.txt",
        "assets/..%2f..%2fsecret.txt",
        "assets//etc/passwd",
        "assets/%2fetc%2fpasswd",
        "assets/./" + asset.removeprefix("assets/"),
        "assets/x%00.png",
        "assets\\..\\..\\secret.txt",
        "runs/../../secret.txt",
        "runs/a/report/../../../../secret.txt",
        "assets/out.png",
        "assets",
        "assets/",
        "",
        "assets/none.png",
    ]
    try:
        for path in paths:
            status, _, data = ask(port, f"{base(shop)}/{path}")
            assert (status, data) == (404, b"no such file"), path
    finally:
        link.unlink()
    for path in ("/0123456789abcdef/" + asset, "/../secret.txt", "//secret.txt", "/" + asset):
        assert ask(port, path)[0] == 404, path
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        assert ask(port, f"{base(shop)}/{asset}", method)[0] == 405
    assert ask(port, f"{base(shop)}/{asset}", host="shop.example.com")[0] == 400, "a site that names itself so"
    assert ask(port, f"{base(shop)}/{asset}", "HEAD")[2] == b""


def test_its_first_page_names_the_newest_of_each_campaign(shop: Project, port: int) -> None:
    status, headers, page = ask(port, "/")
    assert status == 200
    text = page.decode()
    newest = max(shop.store.folders("runs"))
    assert f'href="{base(shop)}/runs/{newest}/report/index.html">spring<' in text
    assert "8 of 8 assets" in text
    assert "autumn" not in text
    assert "script-src 'self'" in headers["content-security-policy"]
    later = Project.of(shop.folder.parent / "winter", products=1, name="winter")
    later.render()
    asset = next(key for key in later.store.list() if key.startswith("assets/"))
    assert ask(port, f"{base(later)}/{asset}")[0] in (200, 404), "campaigns are looked for every few seconds"


def test_the_page_of_a_run_leads_there(shop: Project, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    (run_id,) = shop.store.folders("runs")
    summary: dict[str, Any] = json.loads(shop.store.read(f"runs/{run_id}/summary.json"))
    summary["gallery"] = shop.store.uri(f"runs/{run_id}/report/index.html")
    assert "open it" not in summary_markdown(summary)
    monkeypatch.setenv("PACKSHOT_GALLERIES", f"http://127.0.0.1:{port}")
    address = summary_markdown(summary).partition("[open it](")[2].partition(")")[0]
    assert address.startswith(f"http://127.0.0.1:{port}/")
    assert ask(port, address.removeprefix(f"http://127.0.0.1:{port}"))[0] == 200


def test_a_taken_port_is_said_in_a_line(shop: Project) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = f"--gallery-port: {port}: galleries cannot be served there: Address already in use; give another one"
        with pytest.raises(OptionError, match=said), serve_galleries(str(shop.folder), port):
            pass


def test_galleries_of_a_bucket(tmp_path: Path, moto_s3: S3Server) -> None:
    project = Project.of(tmp_path / "bucket", products=1, name="bucket", output=f"s3://{moto_s3.bucket()}/out")
    make(project.plan())
    asset = next(key for key in project.store.list() if key.startswith("assets/"))
    (port,) = free_ports(1)
    with serve_galleries(str(tmp_path), port):
        assert ask(port, f"{base(project)}/{asset}")[2] == project.store.read(asset)
        assert ask(port, f"{base(project)}/catalog/x.parquet")[0] == 404


@pytest.mark.browser
@pytest.mark.timeout(120)
def test_a_browser_shows_it(shop: Project, port: int, chromium: str, tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 860})
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.goto(f"http://127.0.0.1:{port}/")
        page.get_by_role("link", name="spring").click()
        page.locator("img").first.wait_for()
        page.wait_for_function("Array.from(document.images).some(i => i.naturalWidth > 0)")
        shown = page.evaluate("Array.from(document.images).filter(i => i.naturalWidth > 0).length")
        if folder := os.environ.get("PACKSHOT_SCREENSHOTS"):
            page.screenshot(path=f"{folder}/served-gallery.png")
        assert shown >= len(CHANNELS)
        page.locator("main a[href^='#'] img").first.click()
        page.wait_for_timeout(1000)
        assert not said, "the policy lets it do all it does"
        browser.close()
