"""What goes wrong on a device, and what it means for a request."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator

from catalogs.errors import DeviceError, EngineError
from catalogs.requests import Reason, RenderRequest
from inference.engine import EngineOptions, Failed

ALIKE = 3
"""Distinct requests that break in the same way, one after the other: then the set-up is to blame and none of them."""

# cuBLAS and cuDNN say so when they find no room for their workspace, and CUDA itself where no allocator stands between.
_NO_ROOM = re.compile(r"_STATUS_ALLOC_FAILED|CUDA error: out of memory|out of memory|_DEVICE_ALLOCATION_FAILED", re.I)
_NO_KERNEL = re.compile(
    r"no kernel image|no (available|viable) (kernel|backend)|no valid attention|could not run 'aten::|"
    r"not implemented for|libcuda|ptxas|nvrtc|not supported on this (device|hardware)|requires compute capability",
    re.I,
)
_COMPILERS = ("torch._dynamo", "torch._inductor", "torch._functorch", "triton")


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and those it came of: a compiler wraps what it met."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        waiting += [one.__cause__, getattr(one, "inner_exception", None)]


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the device had no room; less at once may fit."""
    import torch

    return any(
        isinstance(one, torch.OutOfMemoryError) or (isinstance(one, RuntimeError) and _NO_ROOM.search(str(one)))
        for one in _chain(error)
    )


def is_lost(error: BaseException) -> bool:
    """A fault of the device: nothing runs on it any more in this process."""
    import torch

    return isinstance(error, torch.AcceleratorError) and not is_out_of_memory(error) and not _no_kernel(error)


def lost_device(error: BaseException) -> DeviceError:
    """The device's fault as the error that ends a shard."""
    return DeviceError(f"the device failed: {' '.join(str(error).split())[:300]}")


def _compiler_failed(error: BaseException) -> bool:
    return any(type(one).__module__.startswith(_COMPILERS) for one in _chain(error))


def _no_kernel(error: BaseException) -> bool:
    return any(isinstance(one, ImportError) or _NO_KERNEL.search(str(one)) for one in _chain(error))


def broken_set_up(error: BaseException, options: EngineOptions) -> EngineError | None:
    """The error that ends a shard where no request can be to blame: a compiler that fails, a kernel that is missing."""
    if is_out_of_memory(error):
        return None
    if _compiler_failed(error):
        return EngineError(f"the compiler failed: {one_line(error)}; render with --no-compile")
    if _no_kernel(error):
        return EngineError(f"a kernel is not there: {one_line(error)}; {_to_change(options)}")
    return None


def _to_change(options: EngineOptions) -> str:
    """Which options to leave out, of those that were given."""
    given = [f"--attention {options.attention}"] if options.attention else []
    given += ["--compile"] if options.compile == "on" else []
    given += ["--decoder folded"] if options.decoder == "folded" else []
    given += [f"--memory {options.memory}"] if options.memory not in ("auto", "resident") else []
    if given:
        return f"render without {' and without '.join(given)}"
    return "check that torch is a build for this device (`packshot check` says what it finds)"


class Faults:
    """Judges what broke; remembers what broke in the same way, one request after the other."""

    def __init__(self, options: EngineOptions) -> None:
        self._options, self._error = options, ""
        self._broken: set[Hashable] = set()

    def failed(self, request: RenderRequest, what: Hashable, error: BaseException) -> Failed:
        """The failure of a request that cannot be made, alone.

        Args:
            what: of the request did it; the same prompt or photo twice says nothing more.

        Raises:
            DeviceError: the device itself failed.
            EngineError: the set-up is broken, or so many requests have broken in this way that none is to blame.
        """
        self.end_if_broken(error)
        if is_out_of_memory(error):
            return does_not_fit(request, error)
        self._count(what, error)
        return Failed(request, Reason.ENGINE_ERROR, one_line(error), False)

    def end_if_broken(self, error: BaseException) -> None:
        """Raise DeviceError or EngineError for what no request can be to blame for."""
        if is_lost(error):
            raise lost_device(error) from error
        broken = broken_set_up(error, self._options)
        if broken:
            raise broken from error

    def _count(self, what: Hashable, error: BaseException) -> None:
        line = one_line(error)
        if line != self._error:
            self._error, self._broken = line, set()
        self._broken.add(what)
        if len(self._broken) >= ALIKE:
            said = f"{ALIKE} requests in a row broke in the same way, so none of them is to blame: {line}"
            raise EngineError(f"{said}; {_to_change(self._options)}") from error

    def ended(self) -> None:
        """A picture was made."""
        self._error, self._broken = "", set()


def one_line(error: BaseException) -> str:
    """An error for people: its type and its words."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:500]


def does_not_fit(request: RenderRequest, error: BaseException) -> Failed:
    """The failure of a request that no batch size makes fit."""
    detail = f"one {request.width}x{request.height} image does not fit the device: {one_line(error)}"
    return Failed(request, Reason.OUT_OF_MEMORY, detail, False)


def came_out_bad(request: RenderRequest, finite: bool) -> Failed:
    """The failure of a request whose picture is none, twice."""
    if not finite:
        return Failed(request, Reason.NON_FINITE, "the model's output is not finite, twice", False)
    return Failed(request, Reason.BLANK_IMAGE, "the picture has one colour, twice", False)
