"""A CUDA device that computes nothing: shapes, data types, memory and what the host would have to wait for.

torch's FakeTensorMode, and what it lacks where torch was built without CUDA: indexing of CUDA tensors (their device
guard is missing), the choice of an attention kernel (torch would take the slow one of the CPU), pinned memory, and
`Module.to`.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

CUDA = torch.device("cuda", 0)
aten = torch.ops.aten
LARGEST_HEAD = 256
"""Of the flash kernel; wider heads, float32 and masks go to the memory-efficient one."""


class HostSync(AssertionError):
    """The host would wait for the device."""


class _Built(TorchFunctionMode):
    """What a build of torch with CUDA does itself."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if function is torch.Tensor.__getitem__ and args[0].device.type == "cuda":
            return _indexed(args[0], args[1])
        if function is torch.Tensor.copy_ and args[0].device.type == "cuda":
            with torch._C._AutoDispatchBelowAutograd():  # above it the device guard is asked for
                return aten.copy_.default(*args, **kwargs)
        if function is torch.nn.functional.scaled_dot_product_attention:
            return _attention(*args, **kwargs)
        if function is torch.Tensor.pin_memory:
            return args[0]
        if function in (torch.Tensor.__float__, torch.Tensor.__int__, torch.Tensor.__index__):
            return args[0].item()
        if function in (torch.nonzero, torch.Tensor.nonzero):
            return aten.nonzero.default(args[0])
        return function(*args, **kwargs)


_PRODUCTS = (
    *(aten.mm.default, aten.bmm.default, aten.addmm.default, aten.baddbmm.default, aten.convolution.default),
    aten._scaled_dot_product_flash_attention.default,
    aten._scaled_dot_product_efficient_attention.default,
)


class _Strict(TorchDispatchMode):
    """Products of two data types are errors of a card's kernels; fake tensors let them pass."""

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function in _PRODUCTS:
            found = {one.dtype for one in tree_leaves(args) if isinstance(one, torch.Tensor)}
            if len(found) > 1:
                raise RuntimeError(f"{function} of more than one dtype: {', '.join(sorted(map(str, found)))}")
        return function(*args, **(kwargs or {}))


def _indexed(tensor: torch.Tensor, key: Any) -> torch.Tensor:
    """`tensor[key]` by the operations it stands for."""
    keys = list(key) if isinstance(key, tuple) else [key]
    ellipses = [place for place, one in enumerate(keys) if one is Ellipsis]
    if ellipses:
        named = sum(one is not None and one is not Ellipsis for one in keys)
        keys[ellipses[0] : ellipses[0] + 1] = [slice(None)] * (tensor.ndim - named)
    dimension, lists = 0, []
    for one in keys:
        if one is None:
            tensor = tensor.unsqueeze(dimension)
        elif isinstance(one, slice):
            if one != slice(None):
                tensor = aten.slice.Tensor(tensor, dimension, one.start, one.stop, one.step or 1)
        elif isinstance(one, int):
            tensor = tensor.select(dimension, one)
            continue
        else:
            lists += [None] * (dimension - len(lists)) + [one]
        dimension += 1
    return aten.index.Tensor(tensor, lists) if lists else tensor


def _attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor:
    if enable_gqa:
        times = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(times, dim=1), value.repeat_interleave(times, dim=1)
    if attn_mask is None and query.shape[-1] <= LARGEST_HEAD and query.dtype != torch.float32:
        flash = aten._scaled_dot_product_flash_attention
        return flash(query, key, value, dropout_p, is_causal, False, scale=scale)[0]
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        attn_mask = torch.zeros_like(attn_mask, dtype=query.dtype).masked_fill(
            torch.logical_not(attn_mask), float("-inf")
        )
    efficient = aten._scaled_dot_product_efficient_attention
    return efficient(query, key, value, attn_mask, False, dropout_p, is_causal, scale=scale)[0]


@contextmanager
def fake_cuda() -> Iterator[FakeTensorMode]:
    """Everything inside is fake, and no gradients are kept."""
    # The tables of a tokenizer and a scheduler are real, and become fake as they are met.
    with (
        FakeTensorMode(allow_non_fake_inputs=True) as mode,
        _Strict(),
        _Built(),
        torch.no_grad(),
        mock.patch.object(torch.nn.Module, "_apply", _applied),
    ):
        yield mode


def _applied(module: torch.nn.Module, convert: Any, recurse: bool = True) -> torch.nn.Module:
    """`Module.to`: torch swaps the insides of two tensors, which those of fake ones do not allow."""
    for part in module.modules() if recurse else (module,):
        for tensors in (part._parameters, part._buffers):
            for name, tensor in tensors.items():
                made = None if tensor is None else convert(tensor)
                if made is not None and made is not tensor:
                    is_parameter = tensors is part._parameters
                    tensors[name] = torch.nn.Parameter(made, requires_grad=False) if is_parameter else made
    return module


def on_the_host(make: Callable[..., torch.Tensor | None]) -> Callable[..., torch.Tensor | None]:
    """A function that reads its tensors, run with real ones in place of fake ones of the host; its answer is fake."""

    def run(*arguments: Any, **named: Any) -> torch.Tensor | None:
        mode = torch._C._get_dispatch_mode(torch._C._TorchDispatchModeKey.FAKE)
        with unset_fake_temporarily(), torch._C.DisableTorchFunction():
            made = make(*map(_real, arguments), **{name: _real(one) for name, one in named.items()})
            return None if made is None else mode.from_tensor(made)

    return run


def _real(value: Any) -> Any:
    return torch.zeros(value.shape, dtype=value.dtype) if isinstance(value, FakeTensor) else value


def put_on(module: torch.nn.Module, device: torch.device = CUDA) -> None:
    """Give a module of the meta device fake weights."""
    for part in module.modules():
        for name, parameter in list(part._parameters.items()):
            if parameter is not None:
                part._parameters[name] = torch.nn.Parameter(_like(parameter, device), requires_grad=False)
        for name, buffer in list(part._buffers.items()):
            if buffer is not None:
                part._buffers[name] = _like(buffer, device)


def _like(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=device)


_READS = {
    aten._local_scalar_dense.default: "a number is read (.item(), float(), bool() or .tolist())",
    aten.is_nonzero.default: "a tensor is asked whether it is true",
    aten.nonzero.default: "torch.nonzero has as many rows as the device finds",
    aten.masked_select.default: "masked_select has as many values as the device finds",
    aten._unique2.default: "torch.unique has as many values as the device finds",
    aten.equal.default: "torch.equal answers with a bool",
}
_COPIES = (aten._to_copy.default, aten.copy_.default, torch.ops.prims.device_put.default)


class NoSync(TorchDispatchMode):
    """Raises HostSync where the host would wait for the device: it reads a value, or copies without pinned memory."""

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if function in _READS and any(_is_cuda(one) for one in tree_leaves((args, kwargs))):
            raise HostSync(_READS[function])
        if function is aten.index.Tensor and any(_is_mask(one) for one in tree_leaves(args[1])):
            raise HostSync("a mask chooses as many rows as the device finds")
        result = function(*args, **kwargs)
        if function in _COPIES:
            self._refuse_copy(function, args, kwargs, result)
        return result

    def _refuse_copy(self, function: Any, args: Any, kwargs: Any, result: Any) -> None:
        source = args[1] if function is aten.copy_.default else args[0]
        if _is_cuda(source) and not _is_cuda(result):
            raise HostSync("a tensor is copied to the host")
        waits = not (kwargs.get("non_blocking") or (function is aten.copy_.default and args[2:3] == (True,)))
        if waits and not _is_cuda(source) and _is_cuda(result) and source.ndim:
            raise HostSync("a tensor of pageable memory is copied to the device")


def _is_cuda(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.device.type == "cuda"


def _is_mask(value: Any) -> bool:
    return _is_cuda(value) and value.dtype in (torch.bool, torch.uint8)


class Peak(TorchDispatchMode):
    """Most bytes of the device's storages alive at once, beyond those that were there before.

    Args:
        before: tensors that were, weights and what is cached.
    """

    def __init__(self, before: Iterable[torch.Tensor]) -> None:
        super().__init__()
        self._alive: dict[int, int] = {}
        self._live = 0
        for tensor in before:
            self._follow(tensor)
            del tensor
        self._start, self._most = self._live, self._live

    @property
    def bytes(self) -> int:
        return self._most - self._start

    def _follow(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self._alive:
            return
        self._alive[key] = size
        self._live += size
        weakref.finalize(storage, self._free, key)

    def _free(self, key: int) -> None:
        self._live -= self._alive.pop(key, 0)

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        for one in tree_leaves(result):
            if _is_cuda(one):
                self._follow(one)
        self._most = max(self._most, self._live)
        return result
