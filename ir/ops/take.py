"""Slices at indices given at run time: the primitive take, and its adjoint that adds into place.

An index outside its dimension is an error, and so is a negative one. The adjoint decomposes to comparisons with every
place, summed over the index: each place adds up what belongs to it, so no two programs write the same element.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gradc.ir.errors import DTypeError, GradIndexError, ShapeError
from gradc.ir.op import INDEXED, Op, define
from gradc.ir.types import TensorType, i32, i64, tensor

from .labels import total
from .shape import normal

INDEX_DTYPES = (i64, i32)


def whole(rng: Any, limit: int, *shape: int) -> Any:
    """Indices below `limit`."""
    return np.asarray(rng.integers(0, limit, shape))


def check_range(index: Any, size: int) -> None:
    if ((index < 0) | (index >= size)).any():
        raise GradIndexError("index out of range in self")


def outside(index: Any, low: int, high: int) -> Any:
    """The flag of a check: where an index is below `low`, or not below `high`."""
    return (index < low) | (index >= high)


def _take_shape(x: TensorType, index: TensorType, dim: int) -> tuple[int, ...]:
    return (*x.shape[:dim], *index.shape, *x.shape[dim + 1 :])


def _take_type(self: TensorType, index: TensorType, *, dim: int) -> TensorType:
    if index.dtype not in INDEX_DTYPES:
        raise DTypeError(f"take: expected an index of dtype int64 or int32, got {index}")
    if not 0 <= dim < self.ndim:
        raise ShapeError(f"take: {self} has no dimension {dim}")
    return tensor(_take_shape(self, index, dim), self.dtype)


def _take_numpy(x: Any, index: Any, dim: int) -> Any:
    check_range(index, x.shape[dim])
    return np.take(x, index, dim)


def _take_sample(rng: Any) -> Any:
    return [
        ((normal(rng, 5, 3), whole(rng, 5, 4)), {"dim": 0}),
        ((normal(rng, 2, 5, 3), whole(rng, 5, 2, 2)), {"dim": 1}),
        ((normal(rng, 4), whole(rng, 4)), {"dim": 0}),
        ((normal(rng, 4, 2), whole(rng, 4, 0)), {"dim": 0}),
    ]


TAKE = define(
    Op(
        name="grad.take",
        kind=INDEXED,
        operands=("self", "index"),
        results=("result",),
        attrs={"dim": "int"},
        infer=_take_type,
        numpy=_take_numpy,
        adjoint={"self": lambda b, ct, self_t, index, dim: b.take_add(ct, index, dim=dim, size=self_t.shape[dim])},
        grad_fn="IndexSelectBackward0",
        flops=0,
        sample=_take_sample,
        doc="Along `dim`, the elements that the index tensor names; its dimensions stand in place of `dim`.",
    )
)


def _take_add_type(ct: TensorType, index: TensorType, *, dim: int, size: int) -> TensorType:
    if ct.shape[dim : dim + index.ndim] != index.shape:
        raise ShapeError(f"take_add: {ct} has not the shape of the index {index} at dimension {dim}")
    return tensor((*ct.shape[:dim], size, *ct.shape[dim + index.ndim :]), ct.dtype)


def _take_add_numpy(ct: Any, index: Any, dim: int, size: int) -> Any:
    check_range(index, size)
    rest = (*ct.shape[:dim], *ct.shape[dim + index.ndim :])
    out = np.zeros((size, *rest), ct.dtype)
    np.add.at(out, index, np.moveaxis(ct, range(dim, dim + index.ndim), range(index.ndim)))
    return np.moveaxis(out, 0, dim)


def _take_add_parts(b: Any, ct: Any, index: Any, dim: int, size: int) -> Any:
    before, at, after = ct.shape[:dim], index.shape, ct.shape[dim + index.ndim :]
    row = b.iota(shape=(size, *(1,) * len(at)), dim=0, dtype=index.dtype)
    hit = b.reshape(row.eq(index), shape=(size, *at, *(1,) * len(after)))
    chosen = b.where(hit, b.reshape(ct, shape=(*before, 1, *at, *after)), b.scalar(0, ct.dtype))
    return total(b, chosen, tuple(range(dim + 1, dim + 1 + len(at)))) if at else chosen


TAKE_ADD = define(
    Op(
        name="grad.take_add",
        kind=INDEXED,
        operands=("ct", "index"),
        results=("result",),
        attrs={"dim": "int", "size": "int"},
        infer=_take_add_type,
        numpy=_take_add_numpy,
        decompose=_take_add_parts,
        adjoint={"ct": lambda b, ct, index, dim: b.take(ct, index, dim=dim)},
        grad_fn="IndexSelectBackward0",
        sample=lambda rng: [
            ((normal(rng, 4, 3), whole(rng, 5, 4)), {"dim": 0, "size": 5}),
            ((normal(rng, 2, 2, 3), whole(rng, 2, 2, 3)), {"dim": 1, "size": 2}),
            ((normal(rng, 3), whole(rng, 4)), {"dim": 1, "size": 4}),
        ],
        doc="The adjoint of take: zeros of extent `size` along `dim`, to which every element is added at its index.",
    )
)
