"""Places in sorted rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradc.ir.errors import GradRuntimeError, ShapeError
from gradc.ir.op import COMPOSITE, Op, Torch, define
from gradc.ir.types import TensorType, f32, i32, i64, tensor

from .axis import select

SENTENCE = "torch.searchsorted(): "


def _search_type(sorted_sequence: TensorType, self: TensorType, *, right: bool) -> TensorType:
    if sorted_sequence.ndim == 0:
        raise ShapeError(f"{SENTENCE}boundaries tensor should have positive dimension, but got 0 dimension")
    if sorted_sequence.ndim != 1 and sorted_sequence.shape[:-1] != self.shape[:-1]:
        raise ShapeError(
            f"{SENTENCE}boundaries tensor should be 1 dimension or the first N-1 dimensions of boundaries tensor and "
            f"input value tensor must match, but we got boundaries tensor {list(sorted_sequence.shape)} and input "
            f"value tensor {list(self.shape)}"
        )
    return tensor(self.shape, i64)


def _search_numpy(row: Any, x: Any, right: bool) -> Any:
    side: Any = "right" if right else "left"
    if row.ndim == 1:
        return np.searchsorted(row, x, side)
    out = np.empty(x.shape, np.int64)
    for at in np.ndindex(row.shape[:-1]):
        out[at] = np.searchsorted(row[at], x[at], side)
    return out


def _search_parts(b: Any, row: Any, self: Any, right: bool) -> Any:
    """The number of elements that stand before a place: those that are not above it (`right`), or below it. NaN stands
    behind all."""
    if row.ndim > 1:
        row = b.reshape(row, shape=(*row.shape[:-1], 1, row.shape[-1]))
    x = b.reshape(self, shape=(*self.shape, 1))
    before = row <= x if right else row < x
    if x.dtype.is_float:
        before = before | (x.ne(x) if right else x.ne(x) & row.eq(row))
    return b.sum(select(b, before, b.scalar(1, i64), 0), dims=(self.ndim,), keepdim=False)


def _search_call(
    op: Any,
    sorted_sequence: Any,
    input: Any,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Any = None,
) -> Any:
    if side not in (None, "left", "right"):
        raise GradRuntimeError(f"{SENTENCE}side can only be 'left' or 'right' but got {side}")
    if side == "left" and right:
        raise GradRuntimeError(
            f"{SENTENCE}side and right can't be set to opposites, got side of left while right was True"
        )
    row = sorted_sequence if sorter is None else sorted_sequence.gather(-1, sorter)
    if (not hasattr(input, "ndim") or not input.ndim) and row.ndim != 1:
        raise GradRuntimeError(
            f"{SENTENCE}input value can be a scalar only when boundaries tensor dimension is 1, but we got "
            f"boundaries tensor dim({row.ndim}) and input value's dim(0) numel(1)"
        )
    if not hasattr(input, "ndim"):
        between = isinstance(input, float) and not row.dtype.is_float
        input = row.new_tensor(input, dtype=f32 if between else row.dtype)
    places = op(row, input, right=right or side == "right")
    return places.to(i32) if out_int32 else places


def _bucketize_call(op: Any, input: Any, boundaries: Any, *, out_int32: bool = False, right: bool = False) -> Any:
    if boundaries.ndim != 1:
        raise GradRuntimeError(f"boundaries tensor must be 1 dimension, but got dim({boundaries.ndim})")
    return _search_call(op, boundaries, input, out_int32=out_int32, right=right)


def _samples(rng: Any) -> Any:
    row = np.asarray([-1.0, 0.5, 0.5, 2.0, np.inf], np.float32)
    x = np.asarray([[-3.0, 0.5, 1.0], [2.0, np.inf, np.nan]], np.float32)
    rows = np.sort(rng.standard_normal((2, 3, 4)).astype(np.float32), -1)
    values = rng.standard_normal((2, 3, 2)).astype(np.float32)
    return [(a, {"right": right}) for a in ([row, x], [rows, values]) for right in (False, True)]


SEARCHSORTED = define(
    Op(
        name="grad.searchsorted",
        kind=COMPOSITE,
        operands=("sorted_sequence", "self"),
        results=("result",),
        attrs={"right": "bool"},
        infer=_search_type,
        numpy=_search_numpy,
        decompose=_search_parts,
        torch=(
            Torch(_search_call, ("searchsorted",)),
            Torch(_bucketize_call, ("bucketize",)),
        ),
        sample=_samples,
        doc="Where each value would be put into a sorted row to leave it sorted: before equal elements, or (`right`) "
        "after them. NaN stands behind all numbers, in the row too, where torch's search may go past it.",
    )
)
