"""Log lines as JSON: of commands, of loggers, of Prefect's flows, and a wrong setting."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tasks import log_lines
from tasks.log_lines import JsonHandler, know, knowing, say
from tests.flows.projects import Project


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("PACKSHOT_LOG", "json")
    yield
    log_lines._process.clear()


def told(text: str) -> list[dict[str, Any]]:
    """Every line as an object; one that is none fails."""
    return [json.loads(line) for line in text.splitlines()]


def test_a_line_has_its_level_its_time_and_what_it_is_about(capsys: pytest.CaptureFixture[str]) -> None:
    know(campaign="spring", run="r1")
    for line in ("12 renders", "warning: the clock", 'error: {"a": "ü\n\u2028"}', "error: "):
        say(line)
    with knowing(shard=3):
        say("x")
    know(campaign="autumn", run=None)
    say("y")
    lines = told(capsys.readouterr().err)
    assert [(one["level"], one["message"]) for one in lines] == [
        ("info", "12 renders"),
        ("warning", "the clock"),
        ("error", '{"a": "ü\n\u2028"}'),
        ("info", "error:"),
        ("info", "x"),
        ("info", "y"),
    ]
    assert (lines[0]["campaign"], lines[0]["run"], "shard" in lines[0]) == ("spring", "r1", False)
    assert (lines[4]["shard"], lines[4]["run"]) == (3, "r1")
    assert (lines[5]["campaign"], "run" in lines[5], "shard" in lines[5]) == ("autumn", False, False)
    assert abs((datetime.now(UTC) - datetime.fromisoformat(lines[0]["time"])).total_seconds()) < 60


def test_without_the_setting_lines_are_for_people(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("PACKSHOT_LOG")
    say("warning: the clock")
    assert capsys.readouterr().err == "warning: the clock\n"


def test_shards_beside_each_other_are_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    both = threading.Barrier(2)

    def shard(number: int) -> None:
        with knowing(shard=number):
            both.wait()
            for _ in range(200):
                say(f"of {number}")

    threads = [threading.Thread(target=shard, args=(number,)) for number in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = told(capsys.readouterr().err)
    assert len(lines) == 400
    assert all(one["message"] == f"of {one['shard']}" for one in lines)


def test_a_traceback_is_in_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("packshot-test")
    logger.propagate = False
    logger.addHandler(handler := JsonHandler())
    try:
        raise ValueError("of\nlines")
    except ValueError:
        logger.exception("it broke: %s", "so")
    logger.warning("100%")
    logger.removeHandler(handler)
    broke, plain = told(capsys.readouterr().err)
    assert (broke["level"], broke["message"], broke["logger"]) == ("error", "it broke: so", "packshot-test")
    assert "ValueError: of\nlines" in broke["error"]
    assert (plain["message"], "error" in plain) == ("100%", False)


def packshot(*arguments: str, code: int, **environment: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-c", "from flows.cli import main; main()", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == code, done.stderr
    return done


@pytest.mark.timeout(300)
def test_every_line_of_a_run_is_an_object(tmp_path: Path) -> None:
    """Also Prefect's own, at its most talkative; two assets can be delivered and two cannot."""
    channels = [
        {"name": "square", "width": 48, "height": 48, "format": "jpeg"},
        {"name": "tiny", "width": 64, "height": 32, "format": "png", "max_bytes": 1024},
    ]
    project = Project.of(
        tmp_path / "p", 2, channels=channels, shots={"hero": {"size": "64x64", "prompt": {"scene": "m"}}}
    )
    console = {"PREFECT_LOGGING_LEVEL": "DEBUG", "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "DEBUG"}
    done = packshot("render", project.path, "--json", "--shard-assets", "1", code=1, **console)
    summary = json.loads(done.stdout)
    lines = told(done.stderr)
    assert len(lines) > 20
    assert all({"time", "level", "message"} <= one.keys() for one in lines)
    ours = [one for one in lines if one.get("logger", "").startswith(("prefect.flow_runs", "prefect.task_runs"))]
    assert any("assets in" in one["message"] and one["campaign"] == "spring" for one in ours)
    assert {one["run"] for one in ours if "run" in one} == {summary["run_id"]}
    of_shards = [one for one in lines if one.get("logger") == "prefect.task_runs" and "shard" in one]
    assert {one["shard"] for one in of_shards} == {0, 1}


@pytest.mark.parametrize("arguments", [["plan", "nowhere.yaml"], ["nonsense"], ["render"]])
def test_an_error_of_a_command_is_one_object(arguments: list[str]) -> None:
    [line] = told(packshot(*arguments, code=2).stderr)
    assert line["level"] == "error"


def test_an_error_that_nobody_expects_is_one_object() -> None:
    script = "import flows.cli as c\nc.cli.main = lambda **_: 1 / 0\nc.main()"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=dict(os.environ))
    [line] = told(done.stderr)
    assert (done.returncode, line["level"]) == (1, "critical")
    assert "ZeroDivisionError" in line["error"]


@pytest.mark.parametrize("value", ["xml", "JSON", " json", "1"])
def test_a_wrong_value_is_one_line(value: str) -> None:
    done = packshot("channels", code=2, PACKSHOT_LOG=value)
    assert done.stdout == ""
    assert done.stderr == f"error: PACKSHOT_LOG: {value!r}: is no form of log lines; set it to json, or leave it out\n"
    assert packshot("channels", code=0, PACKSHOT_LOG="").stderr == ""


def test_progress_is_told_as_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.progress import AssetProgress

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("tasks.progress.LINE_EVERY_SECONDS", 0.0)
    stream = Terminal()
    progress = AssetProgress(4, stream)
    progress.add(1, 1)
    progress.close()
    [line] = told(stream.getvalue())
    assert line["message"].startswith("2/4 assets, 1 failed")
