"""The commands for a GPU, on a CPU with tiny checkpoints: all holds, and what is broken is told."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from inference.models.parts import PARTS
from tests.gpu import bench, first_run
from tests.gpu.campaign import Case, planned, requests_of, run
from tests.gpu.cases import BENCHES, BY_NAME
from tests.gpu.checks import Part, Setting, run_part, skipped
from tests.gpu.idle import covered
from tests.gpu.loop import Loop, calls
from tests.gpu.modes import VARIANTS, Variant, _made
from tests.gpu.pictures import delivered, engine_of, request, stock
from tests.gpu.record import Record, read_rows
from tests.gpu.weights import TINY, Subject, _full_parts, build, least_layers, lent

CPU = torch.device("cpu")
ONE = ["--device", "cpu", "--tiny"]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """The commands set threads for their process; here they are put back."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands name caches of their own, which end with them; what stood there before is put back."""
    for name in ("PACKSHOT_CACHE", "TORCHINDUCTOR_CACHE_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "cache"))


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return list(read_rows(folder))


@pytest.mark.parametrize(
    ("part", "least", "names"),
    [
        (1, 5, ["tiny", "tiny-base", "tiny-kv", "tiny-dev"]),
        (2, 2 + len(VARIANTS), ["resident", "two-phase", "float8", "float8-dynamic", "decoder folded"]),
        (3, 4 * 7, ["tiny-dev: 3 references, batch 4", "tiny-kv: 1 references, batch 1"]),
    ],
)
def test_every_part_holds(tmp_path: Path, part: int, least: int, names: list[str]) -> None:
    """Parts 4 and 5 are run by test_needs, with nothing else installed."""
    assert first_run.main(["--part", str(part), *ONE, "--out", str(tmp_path / "out")]) == 0
    rows = {row["check"]: row for row in rows_of(tmp_path / "out")}
    assert len(rows) >= least
    assert all(row["holds"] for name, row in rows.items() if name in names)
    assert set(names) <= set(rows)
    assert not [row for row in rows.values() if row.get("holds") is False]
    table = (tmp_path / "out" / "table.md").read_text()
    assert table.count("\n| ") == len(rows) + 2  # with the head and the line under it
    assert f"torch: `{torch.__version__}`" in table


def test_an_option_that_fails_makes_the_command_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real one: cuDNN's attention is not to be had on a CPU. The checks after it are made all the same."""
    broken = Variant("attention _native_cudnn", {"attention": "_native_cudnn"})
    monkeypatch.setattr("tests.gpu.modes.VARIANTS", (broken, Variant("decoder folded", {"decoder": "folded"})))
    assert first_run.main(["--part", "2", *ONE, "--out", str(tmp_path / "out")]) == 1
    rows = {row["check"]: row for row in rows_of(tmp_path / "out")}
    assert rows["attention _native_cudnn"]["holds"] is False
    assert "render without --attention _native_cudnn" in rows["attention _native_cudnn"]["detail"]
    assert rows["decoder folded"]["holds"] is True


def test_pictures_that_differ_make_a_check_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A decoder that is folded wrongly: one tap of its kernels is gone."""
    from inference.local import decoding

    folded = decoding._folded

    def wrong(convolution: Any) -> Any:
        made = folded(convolution)
        with torch.no_grad():
            made.weight[:, :, 0].zero_()
        return made

    monkeypatch.setattr(decoding, "_folded", wrong)
    monkeypatch.setattr("tests.gpu.modes.VARIANTS", (Variant("decoder folded", {"decoder": "folded"}),))
    assert first_run.main(["--part", "2", *ONE, "--out", str(tmp_path / "out")]) == 1
    (row,) = [row for row in rows_of(tmp_path / "out") if row["check"] == "decoder folded"]
    assert row["found"]["mean"] > row["found"]["allowed_mean"]


def test_a_check_that_breaks_is_a_row_and_the_next_follows(tmp_path: Path) -> None:
    def checks(setting: Setting) -> Iterator[Any]:
        yield "breaks", lambda: 1 / 0
        yield "holds", lambda: {"holds": True, "number": 3}
        yield "is skipped", lambda: skipped("no reason")
        raise RuntimeError("cannot be made ready")

    record = Record(tmp_path, ("check", "holds", "found", "detail"), ["# Title"])
    assert run_part(Part(9, "trial", 0.1, checks), Setting(CPU, True), record) is False
    assert [(row["check"], row.get("holds")) for row in record.rows] == [
        ("breaks", False),
        ("holds", True),
        ("is skipped", None),
        ("(to make ready)", False),
        ("(all of it)", None),
    ]
    assert json.loads((tmp_path / "rows.jsonl").read_text().splitlines()[0])["check"] == "breaks"


def test_without_a_gpu_the_commands_say_so(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(SystemExit, match="no GPU that torch can use; --device cpu --tiny"):
        first_run.main(["--part", "1", "--out", str(tmp_path)])


def test_a_case_is_delivered_compared_and_judged(tmp_path: Path) -> None:
    arguments = ["--only", "trial", "--device", "cpu", "--seconds", "3", "--threads", "1"]
    assert bench.main([*arguments, "--out", str(tmp_path / "out")]) == 0
    rows = {row["run"]: row for row in rows_of(tmp_path / "out")}
    ours = [row for name, row in rows.items() if name.startswith("packshot")]
    assert len(ours) >= 3
    for row in ours:
        if "left out" in row:
            continue
        assert row["delivered"] == f"{row['images']} of {row['images']}"
        assert row["compared"] > 0
        assert row["mean"] <= 0.1
        assert row["images/s"] > 0
        assert row["peak GiB"] > 0
    assert rows["diffusers loop, eager, batch 1"]["ratio"] == 1
    assert "Goals" in (tmp_path / "out" / "table.md").read_text()


def test_pictures_that_failed_are_no_speed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few pictures in no time would look brilliant: a decoder that makes no numbers fails them all."""
    real = torch.isfinite
    monkeypatch.setattr(torch, "isfinite", lambda tensor: torch.zeros_like(real(tensor)))
    arguments = ["--only", "trial", "--device", "cpu", "--seconds", "3", "--threads", "1"]
    assert bench.main([*arguments, "--out", str(tmp_path / "out")]) == 1
    rows = rows_of(tmp_path / "out")
    assert not [row for row in rows if str(row.get("run", "")).startswith("packshot")]
    assert "0 of 4 were delivered, 4 failed" in rows[-1]["error"]


def test_cases_have_names_of_their_own_and_cover_what_is_promised() -> None:
    assert len(BY_NAME) == len(BENCHES)
    models = {(one.case.model, one.case.references, one.case.size) for one in BENCHES if not one.on_cpu}
    assert {("klein-4b", count, 1024) for count in (0, 1, 3)} < models
    assert {("klein-9b-kv", 3, 1024), ("klein-base-4b", 0, 1024), ("dev", 0, 1024)} < models
    assert {("klein-4b", 0, 2048), ("klein-4b", 0, 512)} < models
    assert BY_NAME["dev-0"].case.steps == 28


@pytest.mark.parametrize(("name", "code"), [("--list", 0), ("--only=nothing", 1)])
def test_cases_are_listed(name: str, code: int, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    if code:
        with pytest.raises(SystemExit, match="--only nothing: no such case"):
            bench.main([name, "--device", "cpu", "--out", str(tmp_path)])
        return
    assert bench.main([name]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(BY_NAME)


@pytest.mark.parametrize(("batch", "sizes"), [(1, [1] * 8), (2, [2] * 4), (4, [4, 4]), (8, [4, 4]), (3, [3, 3, 1, 1])])
def test_a_call_of_the_loop_holds_what_shares_its_references(tmp_path: Path, batch: int, sizes: list[int]) -> None:
    asked = requests_of(planned(Case("tiny", 1, 8, 64, (96, 72)), tmp_path))
    made = list(calls(asked, batch))
    assert [len(group) for group in made] == sizes
    assert all(len({one.references for one in group}) == 1 for group in made)
    assert sorted(one.seed for group in made for one in group) == sorted(one.seed for one in asked)


def test_runs_without_variations_share_nothing(tmp_path: Path) -> None:
    one = requests_of(planned(Case("tiny", 2, 3, 64, (96, 72), variations=1), tmp_path / "a"))
    other = requests_of(planned(Case("tiny", 2, 3, 64, (96, 72), variations=1, first=5000), tmp_path / "b"))
    photos = [reference.sha256 for request_ in (*one, *other) for reference in request_.references]
    assert len(set(photos)) == len(photos) == 12
    assert len({request_.prompt for request_ in (*one, *other)}) == 6


def test_a_lent_pipeline_comes_back_whole_and_gives_the_same_picture(tmp_path: Path) -> None:
    subject = Subject("tiny-dev")
    pipe = build(subject, CPU)
    asked = request(subject, 1, [1])
    (before,) = stock(pipe, subject, [asked])
    with lent(pipe) as copied:
        engine = engine_of(copied, subject, CPU)
        made = delivered(engine, [asked])[asked].pixels
        assert copied.text_encoder is None
    (after,) = stock(pipe, subject, [asked])
    assert np.array_equal(before, after)
    assert np.abs(made.astype(int) - before).max() <= 2


@pytest.mark.parametrize("name", list(TINY))
def test_the_clocks_of_a_loop_see_every_stage_and_go_again(tmp_path: Path, name: str) -> None:
    subject = Subject(name)
    pipe = build(subject, CPU)
    asked = [request(subject, number) for number in (1, 2)]
    loop = Loop(pipe, subject.family, tmp_path, CPU)
    looped = loop.run(asked, 1, 1e9)
    loop.release()
    assert (looped.first_images, looped.images, len(looped.pictures)) == (1, 1, 2)
    assert set(looped.stages) == {"text", "denoise", "decode"}
    assert "forward" not in vars(pipe.transformer)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_run_that_did_not_deliver_all_is_refused(tmp_path: Path) -> None:
    prepared = planned(Case("tiny", 1, 4, 64, (96, 72)), tmp_path)
    for photo in tmp_path.glob("*-photo0.jpg"):
        photo.write_bytes(b"gone")
    subject = Subject("tiny")
    ran = run(prepared, engine_of(build(subject, CPU), subject, CPU))
    with pytest.raises(AssertionError, match=r"0 of 4 were delivered, 4 failed: .*reference"):
        ran.check(4)


def test_full_size_parts_are_made_in_bfloat16_of_the_sizes_of_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the meta device, where weights take no memory."""
    for name, parts in PARTS.items():
        with torch.no_grad():
            made = _full_parts(
                Subject(name, text_layers=least_layers(parts.family)), torch.device("meta"), torch.device("meta")
            )
        weights = sum(one.numel() for one in made["transformer"].parameters())
        assert weights == pytest.approx(parts.transformer.parameters, rel=1e-3), name
        assert {one.dtype for part in ("transformer", "vae", "text_encoder") for one in made[part].parameters()} == {
            torch.bfloat16
        }


@pytest.mark.parametrize(
    ("intervals", "length"),
    [
        ([], 0),
        ([(0, 1)], 1),
        ([(0, 2), (1, 3)], 3),
        ([(0, 5), (1, 2)], 5),
        ([(4, 5), (0, 1)], 2),
        ([(0, 1), (1, 2)], 2),
    ],
)
def test_the_time_that_intervals_cover(intervals: list[tuple[float, float]], length: float) -> None:
    assert covered(intervals) == length


def test_the_plain_variant_is_what_all_are_compared_to() -> None:
    subject, asked = Subject("tiny"), [request(Subject("tiny"), 1)]
    made = [_made(subject, Setting(CPU, True), asked, Variant("again"))[asked[0]].pixels for _ in range(2)]
    assert np.array_equal(*made)
