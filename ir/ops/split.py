"""Cutting a tensor into slices along one dimension: torch's split and chunk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gradc.ir.dim import ceil_div, normalize_axis
from gradc.ir.errors import GradRuntimeError
from gradc.ir.op import Torch


def _split_call(op: Any, self: Any, split_size: int | Sequence[int], dim: int = 0) -> Any:
    if self.ndim == 0:
        raise GradRuntimeError("split expects at least a 1-dimensional tensor")
    d = normalize_axis(dim, self.ndim)
    n = self.shape[d]
    if not isinstance(split_size, int):
        lengths = tuple(split_size)
        if sum(lengths) != n or any(k < 0 for k in lengths):
            raise GradRuntimeError(
                f"split_with_sizes expects split_sizes to sum exactly to {n} (input tensor's size at dimension {d}), "
                f"but got split_sizes={list(lengths)}"
            )
        return _cut(op, self, d, lengths, "SplitWithSizesBackward0")
    if split_size < 0:
        raise GradRuntimeError(f"split expects split_size be non-negative, but got split_size={split_size}")
    if split_size == 0 and n:
        raise GradRuntimeError(f"split_size can only be 0 if dimension size is 0, but got dimension size of {n}")
    return _cut(op, self, d, _equal(n, split_size), "SplitBackward0")


def _equal(n: int, size: int) -> tuple[int, ...]:
    count = max(1, ceil_div(n, size)) if size else 1
    return tuple(min(size, n - i * size) for i in range(count))


def _cut(op: Any, self: Any, dim: int, lengths: Sequence[int], grad_fn: str) -> Any:
    out, start = [], 0
    for n in lengths:
        out.append(op(self, dim=dim, start=start, end=start + n, step=1, grad_fn=grad_fn))
        start += n
    return tuple(out)


def _chunk_call(op: Any, self: Any, chunks: int, dim: int = 0) -> Any:
    if self.ndim == 0:
        raise GradRuntimeError("chunk expects at least a 1-dimensional tensor")
    if chunks <= 0:
        raise GradRuntimeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    d = normalize_axis(dim, self.ndim)
    n = self.shape[d]
    if n == 0:
        return _cut(op, self, d, (0,) * chunks, "SplitWithSizesBackward0")
    return _cut(op, self, d, _equal(n, ceil_div(n, chunks)), "SplitBackward0")


SPLIT_SPELLINGS = (
    Torch(_split_call, ("split",), ("split",)),
    Torch(_chunk_call, ("chunk",), ("chunk",)),
)
