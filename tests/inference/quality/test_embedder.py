"""The process that embeds pictures: what it says, what it takes, and what becomes of those who ask when it dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
import transformers
from PIL import Image, ImageFilter

from inference.quality import vision_model as module
from inference.quality.embedder import Embedder, EmbedderError, cosine
from inference.quality.subject import find_subject
from inference.quality.subject_crop import subject_crop
from inference.quality.vision_input import Values, model_input, preparation_of
from tests.drawn_packshots import drawn_packshot
from tests.vision_folders import PREPARES, change_config, vision_folder

RED, BLUE = (170, 51, 68), (40, 80, 190)


def values_of(picture: Image.Image, kind: str) -> Values:
    name = kind.split("_")[0]
    crop = subject_crop(picture, find_subject(picture))
    return model_input(crop, preparation_of(PREPARES[name], name == "siglip"))


@pytest.fixture(scope="module", params=["dinov2", "clip_vision_model", "clip", "siglip_vision_model"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def model(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Embedder]]:
    folder = vision_folder(tmp_path_factory.mktemp(kind), kind)
    made = Embedder(str(folder))
    yield folder, made
    made.close()


@pytest.fixture
def dino(tmp_path: Path) -> Iterator[Embedder]:
    made = Embedder(str(vision_folder(tmp_path / "model")))
    yield made
    made.close()


def ended(pid: int, seconds: float = 20) -> bool:
    """Whether a process is gone, waited for."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.05)
    return False


def test_it_is_the_model_s_own_pooled_output(model: tuple[Path, Embedder], kind: str) -> None:
    folder, embeds = model
    values = values_of(drawn_packshot(colour=RED).picture, kind)
    whole: Any = transformers.AutoModel.from_pretrained(folder, use_safetensors=True).eval()
    tower = whole.vision_model if kind == "clip" else whole
    with torch.inference_mode():
        wanted = tower(pixel_values=torch.from_numpy(values)[None]).pooler_output[0].numpy()
    np.testing.assert_allclose(embeds.embed(values), wanted / np.linalg.norm(wanted), atol=1e-4)


def test_the_same_picture_is_1_and_others_are_less(model: tuple[Path, Embedder], kind: str) -> None:
    _, embeds = model
    photo = drawn_packshot(colour=RED).picture
    others = {
        "same": photo,
        "ground": drawn_packshot(colour=RED, ground=(200, 205, 210)).picture,
        "blurred": photo.filter(ImageFilter.GaussianBlur(20)),
        "blue": drawn_packshot(colour=BLUE).picture,
        "other": drawn_packshot(colour=RED, box=(60, 300, 580, 380)).picture,
    }
    reference = embeds.embed(values_of(photo, kind))
    alike = {name: cosine(embeds.embed(values_of(other, kind)), reference) for name, other in others.items()}
    assert alike["same"] == pytest.approx(1, abs=1e-12)
    assert alike["same"] > alike["blurred"]
    assert alike["ground"] > max(alike["blue"], alike["other"])
    assert all(-1 <= one <= 1 for one in alike.values())


def test_it_takes_two_threads_and_leaves_those_of_this_process(dino: Embedder) -> None:
    before, loaded = torch.get_num_threads(), dino.threads
    values = values_of(drawn_packshot().picture, "dinov2")
    made: list[Any] = []
    workers = [threading.Thread(target=lambda: made.append(dino.embed(values))) for _ in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len({one.tobytes() for one in made}) == 1
    assert len(made) == 6
    assert (loaded, torch.get_num_threads()) == (0, before)
    assert dino.threads == min(2, os.cpu_count() or 1)
    process = psutil.Process(dino.pid)
    assert process.num_threads() <= 8
    assert process.nice() >= 5
    held = process.memory_info().rss
    assert held < 2**30, "torch and transformers are 400 MB of it"
    for _ in range(200):
        dino.embed(values)
    assert process.memory_info().rss - held < 64 * 2**20


def test_it_ends_with_who_closes_it_and_comes_again(dino: Embedder) -> None:
    values = values_of(drawn_packshot().picture, "dinov2")
    first, pid = dino.embed(values), dino.pid
    dino.close()
    assert ended(pid)
    np.testing.assert_array_equal(dino.embed(values), first)
    assert dino.pid != pid


def test_nothing_is_lost_when_it_is_killed(dino: Embedder) -> None:
    values = values_of(drawn_packshot().picture, "dinov2")
    first = dino.embed(values)
    os.kill(dino.pid, signal.SIGKILL)
    np.testing.assert_array_equal(dino.embed(values), first)


def test_it_ends_with_a_process_that_is_killed(tmp_path: Path) -> None:
    vision_folder(tmp_path / "model")
    script = (
        "import sys, time, numpy as np\nfrom inference.quality.embedder import embedder\n"
        "made = embedder(sys.argv[1])\nmade.embed(np.zeros((3, 56, 56), np.float32))\n"
        "print(made.pid, flush=True)\ntime.sleep(600)"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "model")]
    asks = subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": os.getcwd()})
    assert asks.stdout is not None
    with asks.stdout:
        pid = int(asks.stdout.readline())
    asks.kill()
    asks.wait()
    assert ended(pid)


def test_weights_that_are_missing_are_refused_and_not_made_up(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = vision_folder(tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    del weights["layernorm.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    embeds = Embedder(str(folder))
    for _ in range(2):
        with pytest.raises(EmbedderError, match=r"cannot be loaded: .*layernorm\.weight"):
            embeds.embed(np.zeros((3, 56, 56), np.float32))
    assert ended(embeds.pid), "nothing is left of one that cannot be used"
    embeds.close()


def test_no_code_and_no_pickle_of_a_folder_is_run(tmp_path: Path) -> None:
    folder, ran = vision_folder(tmp_path / "model"), tmp_path / "ran"
    (folder / "evil.py").write_text(f"open({str(ran)!r}, 'w')\n")
    change_config(folder, auto_map={"AutoConfig": "evil.Config", "AutoModel": "evil.Model"})
    embeds = Embedder(str(folder))
    embeds.embed(np.zeros((3, 56, 56), np.float32))
    embeds.close()
    (folder / "model.safetensors").rename(folder / "kept")
    torch.save({}, folder / "pytorch_model.bin")
    refused = Embedder(str(folder))
    with pytest.raises(EmbedderError, match="cannot be loaded"):
        refused.embed(np.zeros((3, 56, 56), np.float32))
    refused.close()
    assert not ran.exists()


def stub(folder: Path, after: str) -> Path:
    """What says that it has loaded, and then does something else."""
    path = folder / "stub.py"
    path.write_text(
        "import json, os, socket, struct, sys, time\n"
        "came = socket.socket(fileno=int(sys.argv[1]))\nstarted = open(sys.argv[2], 'a').write('x')\n"
        "def send(answer):\n    body = json.dumps(answer).encode()\n"
        "    came.sendall(struct.pack('!I', len(body)) + body)\n"
        f"{after}\n"
    )
    return path


def test_one_that_ends_each_time_is_not_started_for_every_picture(tmp_path: Path) -> None:
    embeds = Embedder(str(tmp_path / "starts"), stub(tmp_path, "sys.exit('it is out of order')"))
    for _ in range(5):
        with pytest.raises(EmbedderError, match="ended 2 times: it is out of order"):
            embeds.embed(np.zeros((3, 8, 8), np.float32))
    assert (tmp_path / "starts").read_text() == "xx"


def test_one_that_hangs_is_ended(tmp_path: Path) -> None:
    hangs = stub(tmp_path, "send({'threads': 1})\ntime.sleep(600)")
    embeds = Embedder(str(tmp_path / "starts"), hangs, seconds=0.5)
    with pytest.raises(EmbedderError, match=r"over 0\.5 s"):
        embeds.embed(np.zeros((3, 8, 8), np.float32))
    assert ended(embeds.pid)


def test_one_that_does_not_load_in_time_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_START_SECONDS", 0.5)
    embeds = Embedder(str(tmp_path / "starts"), stub(tmp_path, "time.sleep(600)"))
    for _ in range(2):
        with pytest.raises(EmbedderError, match=r"over 0\.5 s to load"):
            embeds.embed(np.zeros((3, 8, 8), np.float32))
    assert ended(embeds.pid)


@pytest.mark.parametrize("vector", ["[0.0, 0.0]", "[float('nan'), 1.0]"])
def test_an_embedding_that_is_no_direction_is_said(tmp_path: Path, vector: str) -> None:
    answers = stub(tmp_path, f"send({{'threads': 1}})\ncame.recv(100)\nsend({{'embedding': {vector}}})\ntime.sleep(9)")
    embeds = Embedder(str(tmp_path / "starts"), answers)
    with pytest.raises(EmbedderError, match="no direction"):
        embeds.embed(np.zeros((3, 2, 2), np.float32))
    embeds.close()
