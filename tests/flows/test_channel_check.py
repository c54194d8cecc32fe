"""`packshot channels --check` as a command: verdicts, what cannot be looked at, and how it ends."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from catalogs.campaigns.channels import builtin_channels
from flows.channel_audit import MAX_FILE_BYTES
from tests.flows.commands import Packshot
from tests.inference.quality.drawn import encoded
from tests.inference.quality.drawn import packshot as picture
from tests.permissions import nobody, open_to_all


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that commands run in, with one picture that many channels take."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.jpg").write_bytes(encoded(picture(2000, 2000)))
    return tmp_path


def test_an_accepted_picture(packshot: Packshot, folder: Path) -> None:
    said = packshot("channels", "--check", "good.jpg", "--channel", "amazon-main", "--channel", "etsy")
    assert (said.code, said.err) == (0, "")
    assert said.out == (
        "good.jpg: amazon-main: accepted as far as judged; not judged: text (not looked at), content (not looked at)\n"
        "good.jpg: etsy: accepted\n"
        "pictures 1, channels 2, accepted 2, refused 0\n"
    )


def test_a_refused_picture_says_the_rule_and_who_says_so(packshot: Packshot, folder: Path) -> None:
    (folder / "bad.webp").write_bytes(encoded(picture(400, 400), "WEBP"))
    said = packshot("channels", "--check", "bad.webp", "--channel", "google-lifestyle")
    assert (said.code, said.err) == (1, "")
    start = "bad.webp: google-lifestyle: refused:"
    assert said.out == (
        f"{start} format: has WebP, wants JPEG, PNG, GIF, BMP or TIFF [source O (official), page not recorded, checked "
        "2026-11-01; an older copy of the page, which lists no WebP]\n"
        f"{start} size: has 400 x 400 px, wants width 500 px or more, height 500 px or more, at most 64 million pixels "
        "[source O (official), page not recorded, checked 2026-11-01; 500 x 500 for all products from 2027-01-31]\n"
        "pictures 1, channels 1, accepted 0, refused 1\n"
    )


def test_without_a_channel_all_are_asked_and_a_refusal_is_an_answer(packshot: Packshot, folder: Path) -> None:
    said = packshot("channels", "--check", "good.jpg")
    lines = said.out.splitlines()
    assert (said.code, said.err) == (0, "")
    assert list(dict.fromkeys(line.split(": ")[1] for line in lines[:-1])) == list(builtin_channels())
    assert lines[-1] == "pictures 1, channels 32, accepted 18, refused 14"


def test_for_machines(packshot: Packshot, folder: Path) -> None:
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    said = packshot("channels", "--check", "good.jpg", "broken.png", "--channel", "amazon-main", "--json")
    assert said.code == 2
    [row] = said.answer["pictures"]
    verdicts = row.pop("verdicts")
    assert row == {
        "file": "good.jpg",
        "bytes": (folder / "good.jpg").stat().st_size,
        "width": 2000,
        "height": 2000,
        "format": "JPEG",
        "mode": "RGB",
        "bits": 8,
        "frames": 1,
        "profile": "",
        "has_alpha": False,
        "off_white": 0.0,
        "subject": [119, 119, 1881, 1881],
        "fill": 0.881,
    }
    [verdict] = verdicts
    rules = verdict.pop("rules")
    assert verdict == {"channel": "amazon-main", "verdict": "accepted as far as judged", "accepted": True}
    assert rules[1] == {
        "rule": "format",
        "outcome": "kept",
        "has": "JPEG",
        "wants": "JPEG, PNG, TIFF or GIF",
        "why": "",
        "source": "S",
        "page": "",
        "checked_on": "2026-11-01",
        "note": "",
    }
    assert rules[0]["checked_on"] is None
    [unread] = said.answer["unreadable"]
    assert (unread["file"], sorted(unread)) == ("broken.png", ["file", "fix", "problem"])
    assert (said.answer["accepted"], said.answer["refused"]) == (1, 0)


def test_an_animation_for_machines(packshot: Packshot, folder: Path) -> None:
    (folder / "a.gif").write_bytes(encoded(picture(), "GIF", save_all=True, append_images=[picture(fill=0.3)]))
    [row] = packshot("channels", "--check", "a.gif", "--json").answer["pictures"]
    assert (row["frames"], row["off_white"], row["subject"], row["fill"]) == (2, None, None, None)


def test_a_folder(packshot: Packshot, folder: Path) -> None:
    """Pictures by their names, below folders too, each once; not what a system hides, nor links to folders."""
    below = folder / "shop" / "more"
    below.mkdir(parents=True)
    for name in ("b.PNG", "a.png", ".hidden.png", "notes.txt"):
        (below / name).write_bytes(encoded(picture(600, 600), "PNG"))
    (below / "round").symlink_to(folder / "shop")
    said = packshot("channels", "--check", "shop", "shop/more/a.png", "--channel", "etsy", "--json")
    assert [row["file"] for row in said.answer["pictures"]] == ["shop/more/a.png", "shop/more/b.PNG"]
    assert said.code == 1


def spoil(folder: Path, name: str) -> None:
    """Put something at this name that is no picture."""
    path = folder / name
    whole = (folder / "good.jpg").read_bytes()
    match name:
        case "empty.jpg":
            path.write_bytes(b"")
        case "text.jpg":
            path.write_text("no picture")
        case "drawing.svg":
            path.write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
        case "cut.jpg":
            path.write_bytes(whole[: len(whole) // 2])
        case "fifo.jpg":
            os.mkfifo(path)
        case "loop.jpg":
            path.symlink_to(path)
        case "gone.jpg":
            path.symlink_to(folder / "nothing")
        case "nothing here":
            path.mkdir()
        case "huge.jpg":
            with path.open("wb") as file:
                file.write(whole)
                file.truncate(MAX_FILE_BYTES + 1)


UNREAD = {
    "missing.jpg": "cannot be read (No such file or directory); check its name and rights",
    "empty.jpg": "the file is empty; save it again",
    "text.jpg": "is not an image that can be read; use JPEG, PNG, WebP, AVIF, TIFF or BMP",
    "drawing.svg": "is an SVG drawing, not a photo; export it as PNG",
    "cut.jpg": "the image is cut short or damaged (",
    "fifo.jpg": "cannot be read (a FIFO, not a file); check its name and rights",
    "loop.jpg": "cannot be read (a link that leads back to itself, not a file); check its name and rights",
    "gone.jpg": "cannot be read (No such file or directory); check its name and rights",
    "nothing here": "the folder holds no picture; name another",
    "huge.jpg": "has more than 134,217,728 bytes; make it smaller",
    "/dev/zero": "cannot be read (a device, not a file); check its name and rights",
    "s3://bucket/a.jpg": "is not on this machine; copy it to a local folder",
    "good.jpg/a.jpg": "cannot be read (Not a directory); check its name and rights",
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", UNREAD)
def test_what_cannot_be_looked_at_is_one_line(packshot: Packshot, folder: Path, name: str) -> None:
    spoil(folder, name)
    said = packshot("channels", "--check", name, "good.jpg", "--channel", "etsy")
    assert said.code == 2
    [line] = said.err.splitlines()
    assert line.startswith(f"error: {name}: {UNREAD[name]}")
    assert said.out == "good.jpg: etsy: accepted\npictures 1, channels 1, accepted 1, refused 0\n"


@pytest.mark.timeout(20)
def test_a_folder_of_what_is_no_picture(packshot: Packshot, folder: Path) -> None:
    for name in ("cut.jpg", "empty.jpg", "fifo.jpg", "loop.jpg"):
        spoil(folder, name)
    said = packshot("channels", "--check", ".", "--channel", "etsy")
    lines = [line.split(": ")[1] for line in said.err.splitlines()]
    assert (said.code, lines) == (2, ["./cut.jpg", "./empty.jpg", "./fifo.jpg", "./loop.jpg"])


def test_a_folder_that_may_not_be_read(packshot: Packshot, folder: Path) -> None:
    closed = folder / "shop" / "closed"
    closed.mkdir(parents=True)
    (folder / "shop" / "a.jpg").write_bytes((folder / "good.jpg").read_bytes())
    open_to_all(folder / "shop")
    closed.chmod(0)
    with nobody():
        said = packshot("channels", "--check", "shop", "--channel", "etsy")
    closed.chmod(0o755)
    assert (said.code, said.err) == (2, "error: shop/closed: cannot be read (Permission denied); correct its rights\n")
    assert "shop/a.jpg: etsy: accepted" in said.out


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--check"], "error: --check: no picture is named; name files, or folders of pictures"),
        (
            ["--check", "good.jpg", "--channel", "amazon-man"],
            "error: --channel: amazon-man: there is no such channel; did you mean 'amazon-main' or 'amazon-alternate'?",
        ),
        (["good.jpg"], "error: pictures and --channel go with --check"),
        (["--channel", "etsy"], "error: pictures and --channel go with --check"),
    ],
)
def test_a_line_that_cannot_be_followed(packshot: Packshot, folder: Path, arguments: list[str], problem: str) -> None:
    said = packshot("channels", *arguments)
    assert (said.code, said.out, said.err) == (2, "", problem + "\n")
    assert json.loads(packshot("channels", *arguments, "--json").out)["exit_code"] == 2


def test_names_that_a_terminal_would_obey(packshot: Packshot, folder: Path) -> None:
    name = "a\x1b[2J\n.jpg"
    (folder / name).write_bytes((folder / "good.jpg").read_bytes())
    (folder / f"{name}.png").write_bytes(b"")
    said = packshot("channels", "--check", ".", "--channel", "etsy")
    assert (said.code, len(said.err.splitlines()), len(said.out.splitlines())) == (2, 1, 3)
    assert "\x1b" not in said.out + said.err


def test_without_check_it_is_the_table(packshot: Packshot) -> None:
    assert [row["name"] for row in json.loads(packshot("channels", "--json").out)] == list(builtin_channels())
    assert packshot("channels").out.startswith("name ")
