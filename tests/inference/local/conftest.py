"""Engines on tiny checkpoints, made once for each file of tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from inference.engine import EngineOptions
from inference.local.engine import DiffusersEngine, load_engine
from inference.local.loading import Source
from inference.local.tiny import TINY_REVISION
from tests.inference.local.engines import STOCK, Model, load, made_model


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def engine() -> DiffusersEngine:
    return load_engine(Source("tiny", TINY_REVISION, "float32"), load, EngineOptions())


@pytest.fixture(scope="module", params=list(STOCK))
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    return made_model(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def klein(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return made_model("klein", tmp_path_factory.mktemp("klein"))
