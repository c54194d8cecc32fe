"""What goes wrong on a device, and what it means for a request."""

from __future__ import annotations

from catalogs.errors import DeviceError
from catalogs.requests import Reason, RenderRequest
from inference.engine import Failed


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the device had no room; less at once may fit."""
    import torch

    return isinstance(error, torch.OutOfMemoryError)


def is_lost(error: BaseException) -> bool:
    """A fault of the device: nothing runs on it any more in this process."""
    import torch

    return isinstance(error, torch.AcceleratorError) and not is_out_of_memory(error)


def lost_device(error: BaseException) -> DeviceError:
    """The device's fault as the error that ends a shard."""
    return DeviceError(f"the device failed: {' '.join(str(error).split())[:300]}")


def _one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:500]


def does_not_fit(request: RenderRequest, error: BaseException) -> Failed:
    """The failure of a request that no batch size makes fit."""
    detail = f"one {request.width}x{request.height} image does not fit the device: {_one_line(error)}"
    return Failed(request, Reason.OUT_OF_MEMORY, detail, False)


def breaks(request: RenderRequest, error: BaseException) -> Failed:
    """The failure of a request that breaks the engine's work, alone."""
    return Failed(request, Reason.ENGINE_ERROR, _one_line(error), False)


def came_out_bad(request: RenderRequest, finite: bool) -> Failed:
    """The failure of a request whose picture is none, twice."""
    if not finite:
        return Failed(request, Reason.NON_FINITE, "the model's output is not finite, twice", False)
    return Failed(request, Reason.BLANK_IMAGE, "the picture has one colour, twice", False)
