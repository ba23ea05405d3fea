"""Windows along one dimension."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradc.ir.dim import normalize_axis
from gradc.ir.errors import GradRuntimeError
from gradc.ir.op import Torch
from gradc.ir.types import TensorType, i64

from .axis import narrow, wide
from .shape import inverse, normal
from .slices import box
from .view import view


def _count(shape: tuple[int, ...], dim: int, size: int, step: int) -> int:
    return (shape[dim] - size) // step + 1


def _windows_shape(shape: tuple[int, ...], *, dimension: int, size: int, step: int) -> tuple[int, ...]:
    return (*shape[:dimension], _count(shape, dimension, size, step), *shape[dimension + 1 :], size)


def _windows_numpy(x: Any, dimension: int, size: int, step: int) -> Any:
    strides = list(x.strides)
    inner = strides[dimension]
    strides[dimension] = inner * step
    shape = _windows_shape(x.shape, dimension=dimension, size=size, step=step)
    # What shares elements may be read only: a write would depend on the order of the elements.
    return np.lib.stride_tricks.as_strided(x, shape, (*strides, inner), writeable=x.flags.writeable and size <= step)


def _last(rank: int, dim: int) -> tuple[int, ...]:
    """The axes of a tensor with windows beside `dim`, in the order of the result: the elements of a window last."""
    return (*(i for i in range(rank + 1) if i != dim + 1), dim + 1)


def _windows_parts(b: Any, self: Any, dimension: int, size: int, step: int) -> Any:
    n = _count(self.shape, dimension, size, step)
    first = b.iota(shape=(n, 1), dim=0, dtype=i64) * step
    at = first + b.iota(shape=(1, size), dim=1, dtype=i64)
    return b.permute(b.take(self, at, dim=dimension), dims=_last(self.ndim, dimension))


def _windows_adjoint(b: Any, ct: Any, self_t: TensorType, dimension: int, size: int, step: int) -> Any:
    """Every window is cut into pieces of `step` elements: the k-th pieces of all windows lie side by side."""
    d, shape = dimension, self_t.shape
    n = _count(shape, d, size, step)
    step = step if n > 1 else max(size, 1)
    windows = b.permute(wide(b, ct), dims=inverse(_last(len(shape), d)))
    reach = _with(shape, d, max(shape[d], (n - (-size // step)) * step))
    total = b.full(shape=shape, value=0, dtype=windows.dtype)
    for start in range(0, size, step):
        length = min(step, size - start)
        piece = b.slice(windows, **box(windows.shape, d + 1, start, start + length))
        if length < step:
            full = _with(piece.shape, d + 1, step)
            piece = b.unslice(piece, shape=full, **box(full, d + 1, 0, length))
        row = b.reshape(piece, shape=_with(shape, d, n * step))
        spread = b.unslice(row, shape=reach, **box(reach, d, start, start + n * step))
        total = total + b.slice(spread, **box(reach, d, 0, shape[d]))
    return narrow(b, total, ct.dtype)


def _with(shape: tuple[int, ...], dim: int, extent: int) -> tuple[int, ...]:
    return (*shape[:dim], extent, *shape[dim + 1 :])


def _windows_call(op: Any, self: Any, dimension: int, size: int, step: int) -> Any:
    d = normalize_axis(dimension, self.ndim)
    most = self.shape[d] if self.ndim else 1
    if size > most:
        raise GradRuntimeError(f"maximum size for tensor at dimension {d} is {most} but size is {size}")
    if size < 0:
        raise GradRuntimeError(f"size is {size} but must be >= 0")
    if step <= 0:
        raise GradRuntimeError(f"step is {step} but must be > 0")
    if not self.ndim:
        return self.reshape(1).narrow(0, 0, size)
    return op(self, dimension=d, size=int(size), step=int(step))


def _sample(x: Any, dimension: int, size: int, step: int) -> Any:
    return (x,), {"dimension": dimension, "size": size, "step": step}, lambda t: t.unfold(dimension, size, step)


UNFOLD = view(
    "unfold",
    {"dimension": "int", "size": "int", "step": "int"},
    _windows_shape,
    _windows_numpy,
    _windows_parts,
    _windows_adjoint,
    grad_fn="UnfoldBackward0",
    saved={"dimension": "dimension", "size": "size", "step": "step"},
    torch=(Torch(_windows_call, (), ("unfold",)),),
    sample=lambda rng: [
        _sample(normal(rng, *shape), dimension, size, step)
        for *shape, dimension, size, step in (
            (2, 7, 1, 3, 1),
            (8, 2, 0, 3, 2),
            (5, 2, 0, 2, 3),
            (6, 0, 2, 9),
            (4, 0, 0, 2),
        )
    ],
    doc="Windows of `size` elements along one dimension, one every `step`; the elements of a window come last. Windows "
    "that overlap may be read only.",
)
