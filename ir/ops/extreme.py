"""Extreme values with their positions: argmax, argmin, and torch's max and min in all their forms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gradc.ir.dim import normalize_axis, product
from gradc.ir.errors import DTypeError, GradIndexError
from gradc.ir.op import COMPOSITE, Op, Torch, define
from gradc.ir.types import TensorType, i1, i64, tensor

from .axis import keep_dims, position, require_elements, require_extent, select
from .family import camel, reduced_shape
from .returns import named


def picked(b: Any, ct: Any, indices: Any, self_t: TensorType, dim: int, keepdim: bool | None) -> Any:
    """The cotangent of the one element per row that was picked, zero elsewhere."""
    if not self_t.ndim:
        return ct
    at = keep_dims(b, indices, self_t.shape, (dim,), keepdim)
    row = keep_dims(b, ct, self_t.shape, (dim,), keepdim)
    return select(b, position(b, self_t.shape, dim, i64).eq(at), row, 0)


def first_equal(b: Any, x: Any, value: Any, dim: int, keepdim: bool) -> Any:
    """The least index along `dim` whose element is `value`; a NaN looks for NaN."""
    n = b.scalar(x.shape[dim], i64)
    hit = x.eq(value) | x.ne(x) if x.dtype.is_float else x.eq(value)
    return b.amin(b.where(hit, position(b, x.shape, dim, i64), n), dims=(dim,), keepdim=keepdim)


def _np_at(arg: Callable[..., Any], x: Any, dim: int, keepdim: bool) -> Any:
    return arg(x, axis=dim, keepdims=keepdim) if x.ndim else np.zeros((), np.int64)


def sample_dim(rng: Any) -> list[tuple[list[Any], dict[str, Any]]]:
    x = rng.standard_normal((3, 4, 5)).astype(np.float32)
    return [([x], {"dim": 1, "keepdim": True}), ([x], {"dim": 2, "keepdim": False}), ([x], {"dim": 0})]


def _define_arg(name: str, extremum: str, numpy: Callable[..., Any]) -> Op:
    def infer(x: TensorType, *, dim: int, keepdim: bool = False) -> TensorType:
        if x.dtype is i1:
            raise DTypeError(f"{name}(): does not support bool input")
        require_extent(name, x, (dim,))
        return tensor(reduced_shape(x.shape, (dim,), keepdim), i64)

    def decompose(b: Any, self: Any, dim: Any, keepdim: Any = False) -> Any:
        if not self.ndim:
            return b.scalar(0, i64)
        return first_equal(b, self, b.call(extremum, self, dims=(dim,), keepdim=True), dim, keepdim)

    def call(op: Any, self: Any, dim: Any = None, keepdim: Any = False) -> Any:
        if dim is not None:
            return op(self, dim=normalize_axis(dim, self.ndim), keepdim=keepdim)
        require_elements(name, self, GradIndexError)
        out = op(self.reshape(product(self.shape)), dim=0, keepdim=False)
        return out.reshape((1,) * self.ndim) if keepdim else out

    return define(
        Op(
            name=f"grad.{name}",
            kind=COMPOSITE,
            operands=("self",),
            results=("result",),
            attrs={"dim": "int", "keepdim": "bool?"},
            infer=infer,
            numpy=lambda x, dim, keepdim=False: _np_at(numpy, x, dim, keepdim),
            decompose=decompose,
            torch=(Torch(call, (name,), (name,)),),
            sample=sample_dim,
            doc="The first of equal elements; the first NaN where there is one.",
        )
    )


ARGMAX = _define_arg("argmax", "amax", np.argmax)
ARGMIN = _define_arg("argmin", "amin", np.argmin)


def shared(b: Any, ct: Any, self: Any, result: Any) -> Any:
    hit = self.eq(result) | (self.ne(self) & result.ne(result))
    count = b.sum(b.convert(hit, dtype=ct.dtype.compute), dims=tuple(range(self.ndim)), keepdim=False)
    return select(b, hit, ct / count, 0)


def _define_all(name: str, extremum: str, numpy: Callable[..., Any]) -> Op:
    """The form without axes: unlike amax it shares its gradient among NaNs too."""

    def infer(x: TensorType) -> TensorType:
        require_elements(name, x)
        return tensor((), x.dtype)

    return define(
        Op(
            name=f"grad.{name}_all",
            kind=COMPOSITE,
            operands=("self",),
            results=("result",),
            infer=infer,
            numpy=lambda x: numpy(x),
            decompose=lambda b, self: b.call(extremum, self, dims=tuple(range(self.ndim)), keepdim=False),
            adjoint={"self": shared},
            grad_fn=f"{camel(name)}Backward1",
            saved={"self": "self", "result": "result"},
            sample=lambda rng: [([rng.standard_normal((3, 5)).astype(np.float32)], {})],
        )
    )


MAX_ALL = _define_all("max", "amax", np.max)
MIN_ALL = _define_all("min", "amin", np.min)


def _define_with_index(name: str, extremum: str, elementwise: str, whole: Op, numpy: Callable[..., Any]) -> Op:
    pair = named(name, "values", "indices")

    def infer(x: TensorType, *, dim: int, keepdim: bool = False) -> tuple[TensorType, TensorType]:
        require_extent(name, x, (dim,))
        shape = reduced_shape(x.shape, (dim,), keepdim)
        return tensor(shape, x.dtype), tensor(shape, i64)

    def meaning(x: Any, dim: Any, keepdim: Any = False) -> Any:
        at = _np_at(numpy, x, dim, True)
        values = np.take_along_axis(x, at, dim) if x.ndim else x.copy()
        return (values, at) if keepdim or not x.ndim else (values.squeeze(dim), at.squeeze(dim))

    def decompose(b: Any, self: Any, dim: Any, keepdim: Any = False) -> Any:
        if not self.ndim:
            return b.reshape(self, shape=()), b.scalar(0, i64)
        best = b.call(extremum, self, dims=(dim,), keepdim=True)
        indices = first_equal(b, self, best, dim, keepdim)
        return (best if keepdim else b.reshape(best, shape=indices.shape)), indices

    def call(op: Any, self: Any, dim: Any = None, keepdim: Any = False, *, other: Any = None) -> Any:
        other = dim if hasattr(dim, "shape") else other
        if other is not None:
            return getattr(self, elementwise)(other)
        if dim is None:
            return op(self, record=whole)
        return pair(*op(self, dim=normalize_axis(dim, self.ndim), keepdim=keepdim))

    return define(
        Op(
            name=f"grad.{name}",
            kind=COMPOSITE,
            operands=("self",),
            results=("values", "indices"),
            attrs={"dim": "int", "keepdim": "bool?"},
            infer=infer,
            numpy=meaning,
            decompose=decompose,
            adjoint={
                "self": lambda b, ct, self_t, indices, dim, keepdim: (
                    None if ct is None else picked(b, ct, indices, self_t, dim, keepdim)
                )
            },
            grad_fn=f"{camel(name)}Backward0",
            saved={"indices": "indices", "dim": "dim", "keepdim": "keepdim"},
            torch=(Torch(call, (name,), (name,)),),
            sample=sample_dim,
            doc="Value and index of the first extreme element along one axis, which alone gets the gradient.",
        )
    )


MAX = _define_with_index("max", "amax", "maximum", MAX_ALL, np.argmax)
MIN = _define_with_index("min", "amin", "minimum", MIN_ALL, np.argmin)
