"""`x[key]` and `x[key] = value`: numbers, slices, None and ... make views, index tensors and masks gather and
scatter."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradc.ir.errors import GradRuntimeError, GradTypeError
from gradc.ir.op import REGISTRY
from gradc.ir.ops.index import Step, plan_index

from .autograd.saved import type_name
from .creation import finish
from .dispatch import apply, current_trace
from .inplace import apply_inplace
from .tensor import Tensor


def getitem(self: Tensor, key: Any) -> Tensor:
    out = self
    for name, attrs, more in index_plan(self, key):
        out = apply(REGISTRY["grad." + name], (out, *map(index_tensor, more)), attrs)
    return out


def setitem(self: Tensor, key: Any, value: Any) -> None:
    if not isinstance(value, (Tensor, bool, int, float, np.generic)):
        kind = "numpy.ndarray" if isinstance(value, np.ndarray) else type(value).__name__
        raise GradTypeError(f"can't assign a {kind} to a torch.{type_name(self._type.dtype)}Tensor")
    if current_trace() is not None and _is_mask(self, key) and (not isinstance(value, Tensor) or value.ndim == 0):
        # The number of elements under a mask is unknown while tracing; writing one value needs no such number.
        mask = key.reshape((*key.shape, *(1,) * (self.ndim - key.ndim)))
        self.masked_fill_(mask, value)
        return
    *views, last = index_plan(self, key)
    out = self
    for name, attrs, _ in views if last[0] == "index" else (*views, last):
        out = apply(REGISTRY["grad." + name], (out,), attrs)
    if last[0] != "index":
        out.copy_(_fitted(value, out._type.shape) if isinstance(value, Tensor) else value)
        return
    if not isinstance(value, Tensor):
        value = finish(np.array(value, self._type.dtype.numpy))
    elif value._type.dtype is not self._type.dtype and value.ndim == 0:
        value = value.to(self._type.dtype)
    operands = (out, value, *map(index_tensor, last[2]))
    attrs = {**last[1], "accumulate": False}
    apply_inplace(out, lambda: apply(REGISTRY["grad.index_put"], operands, attrs))


def _is_mask(self: Tensor, key: Any) -> bool:
    return (
        isinstance(key, Tensor)
        and key._type.dtype.kind == "bool"
        and key._type.shape == self._type.shape[: key.ndim]
        and key.ndim > 0
    )


def index_plan(self: Tensor, key: Any) -> list[Step]:
    tracing = current_trace() is not None
    key = tuple(_plain(k) for k in key) if isinstance(key, tuple) else _plain(key)
    return plan_index(self._type.shape, key, None if tracing else nonzero)


def _plain(k: Any) -> Any:
    """A zero-dimensional tensor of integers or bools is a number, as in torch."""
    if isinstance(k, Tensor) and k.ndim == 0 and not k._type.dtype.is_float and k._traced is None:
        return k.item()
    return k


def nonzero(mask: Any) -> tuple[Any, ...]:
    """The index vectors of the true elements of a mask."""
    return np.nonzero(mask._array if isinstance(mask, Tensor) else np.asarray(mask))


def index_tensor(index: Any) -> Tensor:
    return index if isinstance(index, Tensor) else finish(np.ascontiguousarray(index))


def _fitted(value: Tensor, want: tuple[int, ...]) -> Tensor:
    """Leading dimensions of extent 1 are dropped, as torch does for assignments; the rest is broadcast by the write."""
    got = value._type.shape
    extra = len(got) - len(want)
    if extra > 0:
        if any(d != 1 for d in got[:extra]):
            raise GradRuntimeError(
                f"expand(torch.{type_name(value._type.dtype)}Tensor{{{list(got)}}}, size={list(want)}): the number "
                f"of sizes provided ({len(want)}) must be greater or equal to the number of dimensions in the tensor "
                f"({len(got)})"
            )
        value = value.reshape(got[extra:])
        got = got[extra:]
    lead = len(want) - len(got)
    for i, d in enumerate(got):
        if d not in (1, want[i + lead]):
            raise GradRuntimeError(
                f"The expanded size of the tensor ({want[i + lead]}) must match the existing size ({d}) at "
                f"non-singleton dimension {i + lead}.  Target sizes: {list(want)}.  Tensor sizes: {list(got)}"
            )
    return value


METHODS = {"__getitem__": getitem, "__setitem__": setitem}
