"""What an error of the device, the compiler or a kernel is taken for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from catalogs.errors import EngineError
from inference.engine import EngineOptions, Failed
from inference.local.faults import Faults, broken_set_up, is_lost, is_out_of_memory
from tests.inference.local.engines import Model, new_engine, request

KINDS = {"memory": is_out_of_memory, "lost": is_lost, "set-up": lambda error: broken_set_up(error, EngineOptions())}


def wrapped(error: BaseException) -> BaseException:
    """As a compiler passes on what it met."""
    outer = torch._dynamo.exc.InternalTorchDynamoError("backend failed")
    outer.__cause__ = error
    return outer


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "memory"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), "memory"),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), "memory"),
        (torch.AcceleratorError("CUDA error: out of memory"), "memory"),
        (wrapped(torch.OutOfMemoryError("CUDA out of memory while autotuning")), "memory"),
        (torch.AcceleratorError("CUDA error: an illegal memory access was encountered"), "lost"),
        (torch.AcceleratorError("CUDA error: unspecified launch failure"), "lost"),
        (torch.AcceleratorError("CUDA error: no kernel image is available for execution on the device"), "set-up"),
        (RuntimeError("No available kernel. Aborting execution."), "set-up"),
        (RuntimeError("No viable backend for scaled_dot_product_attention was found."), "set-up"),
        (NotImplementedError("Could not run 'aten::_scaled_mm' with arguments from the 'CUDA' backend"), "set-up"),
        (RuntimeError("\"addmm_impl\" not implemented for 'Float8_e4m3fn'"), "set-up"),
        (ModuleNotFoundError("No module named 'flash_attn'"), "set-up"),
        (wrapped(RuntimeError("gcc failed")), "set-up"),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), None),
        (ValueError("a bad photo"), None),
        (KeyError("image"), None),
    ],
    ids=lambda value: str(value)[:40],
)
def test_an_error_is_taken_for_what_it_is(error: BaseException, kind: str | None) -> None:
    assert [name for name, judges in KINDS.items() if judges(error)] == ([kind] if kind else [])


@pytest.mark.parametrize(
    ("options", "advice"),
    [
        ({"compile": "on"}, "without --compile"),
        ({"attention": "_native_cudnn"}, "without --attention _native_cudnn"),
        ({"attention": "flash", "compile": "on"}, "without --attention flash and without --compile"),
        ({"memory": "offload"}, "without --memory offload"),
        ({"memory": "resident"}, "check that torch is a build for this device"),
    ],
)
def test_the_advice_names_what_was_asked_for(options: dict[str, Any], advice: str) -> None:
    error = broken_set_up(RuntimeError("No available kernel."), EngineOptions(**options))
    assert error is not None
    assert advice in str(error)


def test_a_streak_is_of_one_error_on_distinct_things() -> None:
    faults = Faults(EngineOptions())
    for what, words in [("a", "x"), ("a", "x"), ("a", "x"), ("b", "y"), ("c", "y"), ("d", "x"), ("e", "x")]:
        assert isinstance(faults.failed(request(), what, RuntimeError(words)), Failed)
    with pytest.raises(EngineError, match=r"3 requests in a row.*RuntimeError: x"):
        faults.failed(request(), "f", RuntimeError("x"))


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_compiler_that_fails_is_blamed_on_no_picture(klein: Model, monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.setenv("CXX", "/bin/false")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "inductor"))
    monkeypatch.setattr(torch._inductor.config.cpp, "cxx", ("/bin/false",))
    engine = new_engine(klein.folder, EngineOptions(compile="on"))
    with pytest.raises(EngineError, match=r"the compiler failed: .*--no-compile"):
        list(engine.render([request()]))
