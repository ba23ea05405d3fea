"""The reductions with a kernel of their own: one monoid over a set of axes. `traits` carry "monoid:<name>" of the tile
level; everything else that reduces is composed of these six."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from gradc.ir.errors import DTypeError
from gradc.ir.op import REDUCTION, Op, Torch, define
from gradc.ir.types import DType, TensorType, i1, i64, tensor, u8

from .axis import expand, keep_dims, last_axes, require_elements, require_extent, unlast_axes
from .family import axes, camel, reduced_shape

BLOCK = 16
"""Extent up to which the product of all other elements is taken directly, at the cost of its square."""


def reduction(
    name: str,
    infer: Callable[..., Any],
    numpy: Callable[..., Any],
    torch: tuple[Torch, ...],
    adjoint: Mapping[str, Callable[..., Any]] | None = None,
    **more: Any,
) -> Op:
    """Define `grad.<name>`, reducing with the monoid of that name or `monoid`."""
    return define(
        Op(
            name=f"grad.{name}",
            kind=REDUCTION,
            operands=("self",),
            results=("result",),
            attrs={"dims": "ints", "keepdim": "bool"},
            infer=infer,
            numpy=lambda x, dims, keepdim=False: numpy(x, axis=dims, keepdims=keepdim),
            adjoint=adjoint or {},
            grad_fn=f"{camel(name)}Backward0",
            torch=torch,
            traits=frozenset({f"monoid:{more.pop('monoid', name)}"}),
            sample=more.pop("sample", sample_axes),
            **more,
        )
    )


def sample_axes(rng: Any) -> list[tuple[list[Any], dict[str, Any]]]:
    """All axes, one kept, two that are not adjacent, a 0-d operand."""
    x = rng.standard_normal((3, 4, 5)).astype(np.float32)
    return [
        ([x], {"dims": (0, 1, 2), "keepdim": False}),
        ([x], {"dims": (1,), "keepdim": True}),
        ([x], {"dims": (0, 2), "keepdim": False}),
        ([np.asarray(x[0, 0, 0])], {"dims": (), "keepdim": False}),
    ]


def _sum_type(x: TensorType, *, dims: tuple[int, ...], keepdim: bool = False) -> TensorType:
    return tensor(reduced_shape(x.shape, dims, keepdim), x.dtype if x.dtype.is_float else i64)


def _sum_call(op: Any, self: Any, dim: Any = None, keepdim: Any = False, *, dtype: Any = None) -> Any:
    x = self if dtype is None else self.to(dtype)
    return op(x, dims=axes(dim, x.ndim), keepdim=keepdim, grad_fn="SumBackward0" if dim is None else "SumBackward1")


SUM = reduction(
    "sum",
    _sum_type,
    np.sum,
    (Torch(_sum_call, ("sum",), ("sum",)),),
    {"self": lambda b, ct, self_t, dims, keepdim: expand(b, ct, self_t.shape, dims, keepdim)},
    saved={"keepdim": "keepdim"},
)


def others(b: Any, x: Any) -> Any:
    """For each element of the last axis the product of all the others. Exact where elements are zero, and so are its
    derivatives: it is made of products only. Long axes go by blocks, whose products are treated the same way."""
    *lead, n = x.shape
    rank = len(lead)
    if n <= BLOCK:
        one = b.scalar(1, x.dtype)
        i, j = (b.iota(shape=s, dim=d, dtype=i64) for s, d in (((n, 1), 0), ((1, n), 1)))
        row = b.reshape(x, shape=(*lead, 1, n))
        return b.prod(b.where(i.eq(j), one, row), dims=(rank + 1,), keepdim=False)
    m = -(-n // BLOCK)
    whole = (*lead, m * BLOCK)
    zeros, ones = (0,) * (rank + 1), (1,) * (rank + 1)
    inside = b.iota(shape=(m * BLOCK,), dim=0, dtype=i64) < n
    padded = b.unslice(x, shape=whole, start=zeros, limit=(*lead, n), step=ones)
    blocks = b.reshape(b.where(inside, padded, b.scalar(1, x.dtype)), shape=(*lead, m, BLOCK))
    rest = others(b, b.prod(blocks, dims=(rank + 1,), keepdim=False))
    out = others(b, blocks) * b.reshape(rest, shape=(*lead, m, 1))
    return b.slice(b.reshape(out, shape=whole), start=zeros, limit=(*lead, n), step=ones)


def _prod_adjoint(b: Any, ct: Any, self: Any, result: Any, dims: Any, keepdim: Any) -> Any:
    """`result` is named, as torch saves it too."""
    flat, order = last_axes(b, self, dims)
    rest = unlast_axes(b, others(b, flat), self.shape, order)
    return keep_dims(b, ct, self.shape, dims, keepdim) * rest


def _prod_call(op: Any, self: Any, dim: Any = None, keepdim: Any = False, *, dtype: Any = None) -> Any:
    x = self if dtype is None else self.to(dtype)
    return op(x, dims=axes(dim, x.ndim), keepdim=keepdim, grad_fn="ProdBackward0" if dim is None else "ProdBackward1")


PROD = reduction(
    "prod",
    _sum_type,
    np.prod,
    (Torch(_prod_call, ("prod",), ("prod",)),),
    {"self": _prod_adjoint},
    saved={"self": "self", "result": "result", "keepdim": "keepdim"},
    doc="Its gradient is the product of the other elements, right for any number of zeros and in any order.",
)


def evenly(b: Any, ct: Any, x: Any, result: Any, dims: tuple[int, ...], keepdim: bool | None) -> Any:
    """torch's rule for ties: the cotangent in equal parts to every element that equals the result. A NaN result equals
    nothing, and its gradient is NaN everywhere, as in torch."""
    hit = b.convert(x.eq(keep_dims(b, result, x.shape, dims, keepdim)), dtype=ct.dtype.compute)
    return hit * (keep_dims(b, ct, x.shape, dims, keepdim) / b.sum(hit, dims=dims, keepdim=True))


def extremum(name: str, numpy: Callable[..., Any]) -> Op:
    """Define amax or amin: NaN wins, ties share the gradient."""

    def infer(x: TensorType, *, dims: tuple[int, ...], keepdim: bool = False) -> TensorType:
        require_extent(name, x, dims)
        return tensor(reduced_shape(x.shape, dims, keepdim), x.dtype)

    def call(op: Any, self: Any, dim: Any = (), keepdim: Any = False) -> Any:
        if dim == ():
            require_elements(name, self)
        return op(self, dims=axes(dim, self.ndim), keepdim=keepdim)

    return reduction(
        name,
        infer,
        numpy,
        (Torch(call, (name,), (name,)),),
        {"self": lambda b, ct, self, result, dims, keepdim: evenly(b, ct, self, result, dims, keepdim)},
        saved={"self": "self", "result": "result", "keepdim": "keepdim"},
        monoid=name.removeprefix("a"),
    )


AMAX = extremum("amax", np.max)
AMIN = extremum("amin", np.min)


def quantifier(name: str, numpy: Callable[..., Any]) -> Op:
    """Define any or all, on bool; the spelling compares other dtypes with 0 and, as torch, answers uint8 for uint8."""

    def infer(x: TensorType, *, dims: tuple[int, ...], keepdim: bool = False) -> TensorType:
        if x.dtype is not i1:
            raise DTypeError(f"{name}: expected a bool operand, got {x}")
        return tensor(reduced_shape(x.shape, dims, keepdim), i1)

    def call(op: Any, self: Any, dim: Any = None, keepdim: Any = False) -> Any:
        d: DType = self.dtype
        dims = tuple(range(self.ndim)) if dim is None else () if dim == () else axes(dim, self.ndim)
        out = op(self if d is i1 else self != 0, dims=dims, keepdim=keepdim)
        return out.to(u8) if d is u8 else out

    def sample(rng: Any) -> list[tuple[list[Any], dict[str, Any]]]:
        return [([x[0] > 0], attrs) for x, attrs in sample_axes(rng)]

    return reduction(name, infer, numpy, (Torch(call, (name,), (name,)),), sample=sample, flops=0)


ANY = quantifier("any", np.any)
ALL = quantifier("all", np.all)

__all__ = ["ALL", "AMAX", "AMIN", "ANY", "PROD", "SUM", "axes", "evenly", "sample_axes"]
