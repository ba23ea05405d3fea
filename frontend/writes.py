"""Tensor methods that overwrite elements: copy_, fill_, zero_, and the `.data` window."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradc.ir.errors import GradRuntimeError, GradTypeError, UnsupportedError
from gradc.ir.types import tensor

from .autograd.grad_mode import MODES
from .autograd.writes import CopyBackwards, FillBackward2, FillBackward3, Overwrite, ZeroBackward0
from .creation import finish, full_like
from .dispatch import current_trace
from .inplace import check_target, rebase, store
from .tensor import Tensor


def copy_(self: Tensor, src: Any, non_blocking: bool = False) -> Tensor:
    """Copy the elements of `src`, broadcast and converted."""
    if isinstance(src, (bool, int, float, np.generic)):
        src = finish(np.array(src, self._type.dtype.numpy))
    if not isinstance(src, Tensor):
        raise GradTypeError(f"copy_(): argument 'other' (position 1) must be Tensor, not {type(src).__name__}")
    trace = current_trace()
    if trace is not None:
        trace.write(self, _fitted(self, src))
        return self
    check_target(self)
    _check_fits(self, src)
    node = None
    if MODES.grad and (src.requires_grad or self.requires_grad) and self.is_floating_point():
        node = CopyBackwards(self, src)
    store(self, np.broadcast_to(src._array, self._type.shape))
    if node is not None:
        rebase(self, node)
    return self


def _check_fits(target: Tensor, src: Tensor) -> None:
    want, got = target._type.shape, src._type.shape
    lead = len(want) - len(got)
    extra = got[: max(-lead, 0)]
    got = got[max(-lead, 0) :]
    fits = all(d == 1 for d in extra) and all(d in (1, want[i + max(lead, 0)]) for i, d in enumerate(got))
    if not fits:
        from gradc.ir.dim import broadcast

        shape = broadcast(want, src._type.shape)
        raise GradRuntimeError(f"output with shape {list(want)} doesn't match the broadcast shape {list(shape)}")


def _fitted(target: Tensor, src: Tensor) -> Tensor:
    """`src` as an op result of the target's shape and dtype."""
    _check_fits(target, src)
    if src._type.dtype is not target._type.dtype:
        src = src.to(target._type.dtype)
    return src if src._type.shape == target._type.shape else src.expand(target._type.shape)


def fill_(self: Tensor, value: Any) -> Tensor:
    """Set every element to a number or to a zero-dimensional tensor."""
    if isinstance(value, Tensor) and value.ndim:
        raise GradRuntimeError(
            f"fill_ only supports 0-dimension value tensor but got tensor with {value.ndim} dimensions."
        )
    return _overwrite(self, value, FillBackward2)


def zero_(self: Tensor) -> Tensor:
    """Set every element to zero."""
    return _overwrite(self, 0, ZeroBackward0)


def _overwrite(self: Tensor, value: Any, kind: type[Overwrite]) -> Tensor:
    trace = current_trace()
    if trace is not None:
        whole = value.to(self.dtype).expand(self.shape) if isinstance(value, Tensor) else full_like(self, value)
        trace.write(self, whole)
        return self
    check_target(self)
    node: Any = None
    if MODES.grad and isinstance(value, Tensor) and value.requires_grad:
        node = FillBackward3(self, value)
    elif MODES.grad and self.requires_grad:
        node = kind(self)
    array = value._array if isinstance(value, Tensor) else np.array(value)
    store(self, np.broadcast_to(array, self._type.shape))
    if node is not None:
        rebase(self, node)
    return self


def get_data(self: Tensor) -> Tensor:
    """A tensor on the same memory that is not part of the tape and counts its writes apart."""
    trace = current_trace()
    if self._traced is not None or trace is not None:
        detached: Tensor = self.detach()
        if trace is not None:
            trace.writes.windows.add(trace.origin(detached))
        return detached
    out = Tensor._make(self._type, self._array, type(self._storage)(self._storage.root))
    out._inference = self._inference
    return out


def set_data(self: Tensor, value: Any) -> None:
    """Take over the memory of `value`; history and version stay."""
    if not isinstance(value, Tensor):
        raise GradTypeError(f"Variable data has to be a tensor, but got {type(value).__name__}")
    trace = current_trace()
    if trace is not None:
        if value._type != self._type:
            raise UnsupportedError(f"the data of {self._type} becomes {value._type}: its type is fixed while tracing")
        trace.write(get_data(self), value)
        return
    if self._requires_grad and not value.is_floating_point():
        raise GradRuntimeError("data set to a tensor that requires gradients must be floating point or complex dtype")
    storage = type(self._storage)(value._storage.root)
    storage.version = self._storage.version
    self._array, self._storage = value._array, storage
    self._type = tensor(value._type.shape, value._type.dtype)
    if self._accumulator is not None:
        self._accumulator = None


METHODS = {"copy_": copy_, "fill_": fill_, "zero_": zero_}
PROPERTIES = {"data": property(get_data, set_data)}
