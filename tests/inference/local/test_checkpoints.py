"""How a checkpoint is loaded and laid out: memory modes, precisions, LoRAs, compilation, and what is refused."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from catalogs.errors import EngineError, ModelError, OptionError, ReferenceImageError
from catalogs.references.book import InvalidReference
from inference.engine import EngineOptions, Rendered
from inference.local.engine import load_engine
from inference.local.loading import Source
from tests.inference.local.engines import Model, all_pixels, load, new_engine, request, stock_pipeline

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("memory", ["two-phase", "offload"])
def test_low_memory_modes_make_the_same_pictures(model: Model, memory: Any) -> None:
    asked = [model.request(f"p{i}", ["a"] if i % 2 else [], i) for i in range(6)]
    expected = all_pixels(model.engine, asked)
    made = all_pixels(new_engine(model.folder, EngineOptions(memory=memory)), asked)
    assert all(np.abs(made[one] - expected[one]).max() <= 1 for one in asked)


def test_the_folded_decoder_differs_by_rounding_only(klein: Model) -> None:
    asked = [request(f"p{i}", ["a"], i) for i in range(2)]
    expected = all_pixels(klein.engine, asked)
    folded = new_engine(klein.folder, EngineOptions(decoder="folded"))
    assert "ConvTranspose2d" in str(folded._checkpoint.vae.decoder.up_blocks[0].upsamplers)
    made = all_pixels(folded, asked)
    assert all(np.abs(made[one] - expected[one]).max() <= 1 for one in asked)


@pytest.mark.parametrize(("precision", "memory"), [("float8", "auto"), ("bfloat16", "offload")])
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.slow
def test_what_cannot_be_compiled_is_left_as_it_is(klein: Model, precision: str, memory: Any) -> None:
    compiled = new_engine(klein.folder, EngineOptions(compile="on", memory=memory), weight_precision=precision)
    assert isinstance(next(iter(compiled.render([request("p", ["a"])]))), Rendered)


def test_an_attention_backend_that_is_not_here_is_told(klein: Model) -> None:
    with pytest.raises(OptionError, match="--attention: flash: "):
        new_engine(klein.folder, EngineOptions(attention="flash"))


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.slow
def test_compiled_blocks_differ_by_rounding_only(model: Model) -> None:
    asked = [model.request(f"p{i}", ["a"] if i % 2 else [], i) for i in range(4)]
    expected = all_pixels(model.engine, asked)
    compiled = new_engine(model.folder, EngineOptions(compile="on"))
    made = all_pixels(compiled, asked)
    assert all(np.abs(made[one] - expected[one]).max() <= 2 for one in asked)
    profile = compiled.take_profile()
    assert profile.seconds["warm-up"] > profile.seconds.get("denoise", 0.0)
    assert profile.images == 0


def test_float8_weights_make_other_but_similar_pictures(klein: Model) -> None:
    asked = request("p", ["a"], 1)
    whole = all_pixels(new_engine(klein.folder, weight_precision="bfloat16"), [asked])[asked]
    engine = new_engine(klein.folder, weight_precision="float8")
    dtypes = {parameter.dtype for parameter in engine._checkpoint.transformer.parameters()}
    assert torch.float8_e4m3fn in dtypes
    difference = np.abs(all_pixels(engine, [asked])[asked] - whole)
    assert 0 < difference.mean() < 60
    assert difference.mean() < np.abs(whole - klein.stock(replace(asked, seed=2))).mean()


def lora_file(pipe: Any, path: Path, name: str = "transformer_blocks.0.attn.to_q") -> Path:
    from safetensors.torch import save_file

    random = torch.Generator().manual_seed(5)
    linear = pipe.transformer.get_submodule(name)
    weights = {
        f"transformer.{name}.lora_A.weight": torch.randn((4, linear.in_features), generator=random),
        f"transformer.{name}.lora_B.weight": torch.randn((linear.out_features, 4), generator=random),
    }
    save_file(weights, path)
    return path


def test_a_lora_is_merged_with_its_scale(model: Model, tmp_path: Path) -> None:
    path = lora_file(model.pipe, tmp_path / "style.safetensors")
    asked = model.request("p", ["a"], 1)
    made = all_pixels(new_engine(model.folder, lora=((str(path), 0.5),)), [asked])[asked]
    pipe = stock_pipeline(model.family, model.folder)
    pipe.load_lora_weights(str(tmp_path), weight_name=path.name, adapter_name="style")
    pipe.set_adapters(["style"], adapter_weights=[0.5])
    expected = replace(model, pipe=pipe).stock(asked)
    assert np.abs(made - expected).max() <= 2
    assert np.abs(made - model.stock(asked)).max() > 20


def test_a_lora_of_another_model_is_refused(klein: Model, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    path = tmp_path / "other.safetensors"
    save_file({"transformer.nothing.lora_A.weight": torch.zeros(4, 8)}, path)
    with pytest.raises(EngineError) as caught:
        new_engine(klein.folder, lora=((str(path), 1.0),))
    assert "\n" not in str(caught.value)


def test_what_cannot_be_loaded_is_said_in_one_line(tmp_path: Path) -> None:
    for model in (str(tmp_path), str(tmp_path / "missing")):
        with pytest.raises((EngineError, ModelError)) as caught:
            load_engine(Source(model, "r", "float32"), load, EngineOptions())
        assert "\n" not in str(caught.value)
    assert issubclass(InvalidReference, ReferenceImageError)


LOADS = """
import sys
from catalogs.errors import EngineError
from inference.engine import EngineOptions
from inference.local.checkpoints import load_checkpoint
from inference.local.loading import Source
try:
    load_checkpoint(Source(sys.argv[1], "1", "float32"), EngineOptions())
except EngineError as error:
    sys.exit(f"told: {error}")
"""


SLOW_PLACES = [pytest.param(place, marks=pytest.mark.slow) for place in ("a-file/below", "/dev/full")]


@pytest.mark.parametrize("place", ["a-file", "/proc", *SLOW_PLACES])
@pytest.mark.parametrize("builds", [True, False])
def test_a_cache_folder_that_cannot_be_written_is_missed_only_where_weights_are_to_go_there(
    klein: Model, tmp_path: Path, place: str, builds: bool
) -> None:
    """In a process of its own: torch makes its folder as it is imported."""
    (tmp_path / "a-file").touch()
    asked = "tiny" if builds else str(klein.folder)
    environment = {**os.environ, "PACKSHOT_CACHE": str(tmp_path / place)}
    environment.pop("TORCHINDUCTOR_CACHE_DIR", None)
    ran = subprocess.run([sys.executable, "-c", LOADS, asked], env=environment, capture_output=True, text=True)
    assert ran.returncode == int(builds), ran.stderr
    if builds:
        told = ran.stderr.strip().splitlines()
        assert len(told) == 1
        assert told[0].startswith("told: tiny: its weights cannot be written to ")
        assert told[0].endswith("set PACKSHOT_CACHE to a folder with room that can be written")


@pytest.mark.parametrize(
    ("part", "dropped", "told"),
    [
        ("text_encoder", "layers.2.", "its text_encoder lacks 11 weights, model.layers.2.input_layernorm.weight first"),
        ("text_encoder", "embed_tokens", "its text_encoder lacks 1 weights, model.embed_tokens.weight first"),
        (
            "transformer",
            "single_transformer_blocks.1.",
            "its transformer lacks 4 weights, single_transformer_blocks.1.",
        ),
        ("vae", "encoder.conv_out", "its vae lacks 2 weights, encoder.conv_out.bias first"),
        ("vae", "bn.running_mean", "its vae lacks 1 weights, bn.running_mean first"),
        ("vae", "bn.num_batches_tracked", ""),
        ("text_encoder", "lm_head", ""),
        ("text_encoder", "model.norm.", ""),
    ],
)
def test_weights_that_are_not_in_the_files_are_not_made_up(
    klein: Model, tmp_path: Path, part: str, dropped: str, told: str
) -> None:
    folder = shutil.copytree(klein.folder, tmp_path / "klein")
    (file,) = (folder / part).glob("*.safetensors")
    weights = load_file(file)
    left = {name: tensor for name, tensor in weights.items() if dropped not in name}
    assert len(left) < len(weights)
    save_file(left, file, {"format": "pt"})
    if not told:
        assert new_engine(folder)
        return
    with pytest.raises(EngineError, match=re.escape(told)):
        new_engine(folder)


def test_a_text_encoder_with_too_few_layers_is_refused(klein: Model, tmp_path: Path) -> None:
    folder = shutil.copytree(klein.folder, tmp_path / "klein")
    config = json.loads((folder / "text_encoder" / "config.json").read_text())
    config |= {"num_hidden_layers": 12, "layer_types": config["layer_types"][:12]}
    (folder / "text_encoder" / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=r"its text encoder has 12 layers, of which FLUX[.]2 reads number 27"):
        new_engine(folder)


@pytest.mark.parametrize("part", ["text_encoder", "transformer", "vae"])
def test_weights_of_other_sizes_are_told_with_advice(klein: Model, tmp_path: Path, part: str) -> None:
    folder = shutil.copytree(klein.folder, tmp_path / "klein")
    (file,) = (folder / part).glob("*.safetensors")
    weights = load_file(file)
    largest = max(weights, key=lambda name: weights[name].numel())
    weights[largest] = weights[largest][:-1].contiguous()
    save_file(weights, file, {"format": "pt"})
    with pytest.raises(EngineError, match="fetch"):
        new_engine(folder)
