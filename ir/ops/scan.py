"""Running sums and products. Their meaning for kernels is a reduction over a masked broadcast axis, which the fuser
never materialises; long axes go by blocks whose totals are scanned in turn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gradc.ir.dim import normalize_axis
from gradc.ir.op import COMPOSITE, Op, Torch, define
from gradc.ir.types import TensorType, i64, tensor

from .axis import last_axes, narrow, unlast_axes, wide
from .reduce import others

BLOCK = 128
"""Extent up to which one masked reduction does the scan, at the cost of its square."""


def triangle(b: Any, n: int, strict: bool = False) -> Any:
    """[i, j]: whether element j stands at or before i (before it, if strict)."""
    i, j = (b.iota(shape=s, dim=d, dtype=i64) for s, d in (((n, 1), 0), ((1, n), 1)))
    return j < i if strict else j <= i


def scan_last(b: Any, x: Any, monoid: str, identity: int, reverse: bool = False, strict: bool = False) -> Any:
    """The inclusive (or strict: exclusive) scan of the last axis by a monoid with this identity."""
    *lead, n = x.shape
    rank, neutral = len(lead), b.scalar(identity, x.dtype)
    if n <= BLOCK:
        mask = triangle(b, n, strict)
        if reverse:
            mask = b.permute(mask, dims=(1, 0))
        row = b.reshape(x, shape=(*lead, 1, n))
        return b.call(monoid, b.where(mask, row, neutral), dims=(rank + 1,), keepdim=False)
    m = -(-n // BLOCK)
    whole = (*lead, m * BLOCK)
    box = {"start": (0,) * (rank + 1), "limit": (*lead, n), "step": (1,) * (rank + 1)}
    inside = b.iota(shape=(m * BLOCK,), dim=0, dtype=i64) < n
    padded = b.where(inside, b.unslice(x, shape=whole, **box), neutral)
    blocks = b.reshape(padded, shape=(*lead, m, BLOCK))
    totals = b.call(monoid, blocks, dims=(rank + 1,), keepdim=False)
    before = b.reshape(scan_last(b, totals, monoid, identity, reverse, True), shape=(*lead, m, 1))
    within = scan_last(b, blocks, monoid, identity, reverse, strict)
    out = within + before if monoid == "sum" else within * before
    return b.slice(b.reshape(out, shape=whole), **box)


def _along(b: Any, x: Any, dim: int, step: Callable[[Any], Any]) -> Any:
    """`step` on the last axis of `x` with `dim` moved there, moved back; a scalar counts as one element."""
    if not x.ndim:
        return b.reshape(step(b.reshape(x, shape=(1,))), shape=())
    moved, order = last_axes(b, x, (dim,))
    return unlast_axes(b, step(moved), x.shape, order)


def _type(x: TensorType, *, dim: int, reverse: bool = False) -> TensorType:
    return x if x.dtype.is_float else tensor(x.shape, i64)


def _np_scan(accumulate: Callable[..., Any]) -> Callable[..., Any]:
    def meaning(x: Any, dim: Any, reverse: Any = False) -> Any:
        x = x if x.dtype.kind == "f" else x.astype(np.int64)
        if not x.ndim:
            return x.copy()
        return np.flip(accumulate(np.flip(x, dim), dim), dim) if reverse else accumulate(x, dim)

    return meaning


def _accumulator(b: Any, x: Any) -> Any:
    return wide(b, x) if x.dtype.is_float else narrow(b, x, i64)


def _call(op: Any, self: Any, dim: Any, *, dtype: Any = None) -> Any:
    x = self if dtype is None else self.to(dtype)
    return op(x, dim=normalize_axis(dim, x.ndim), reverse=False)


def _sample(rng: Any) -> list[tuple[list[Any], dict[str, Any]]]:
    x = rng.standard_normal((3, 4, 5)).astype(np.float32)
    long = rng.uniform(0.9, 1.1, (2, 2 * BLOCK + 3)).astype(np.float32)
    return [
        ([x], {"dim": 1, "reverse": False}),
        ([x], {"dim": 2, "reverse": True}),
        ([long], {"dim": 1, "reverse": False}),
    ]


def _scan(name: str, monoid: str, identity: int, numpy: Callable[..., Any], rule: Callable[..., Any], saved: Any) -> Op:
    def decompose(b: Any, self: Any, dim: Any, reverse: Any = False) -> Any:
        out = self.dtype if self.dtype.is_float else i64
        x = _accumulator(b, self)
        return narrow(b, _along(b, x, dim, lambda v: scan_last(b, v, monoid, identity, reverse)), out)

    return define(
        Op(
            name=f"grad.{name}",
            kind=COMPOSITE,
            operands=("self",),
            results=("result",),
            attrs={"dim": "int", "reverse": "bool"},
            infer=_type,
            numpy=_np_scan(numpy),
            decompose=decompose,
            adjoint={"self": rule},
            grad_fn=f"{name.capitalize()}Backward0",
            saved={"dim": "dim", **saved},
            torch=(Torch(_call, (name,), (name,)),),
            sample=_sample,
        )
    )


def _cumprod_ct(b: Any, ct: Any, self: Any, result: Any, dim: Any, reverse: Any) -> Any:
    """Every product without the element in question: right for any number of zeros, and in any order. `result` is
    named, as torch saves it too."""

    def step(pair: Any) -> Any:
        x, g = pair
        *lead, n = x.shape
        mask = triangle(b, n)
        if reverse:
            mask = b.permute(mask, dims=(1, 0))
        factors = b.where(mask, b.reshape(x, shape=(*lead, 1, n)), b.scalar(1, x.dtype))
        terms = others(b, factors) * b.reshape(g, shape=(*lead, n, 1))
        return b.sum(b.where(mask, terms, b.scalar(0, terms.dtype)), dims=(len(lead),), keepdim=False)

    x, g = wide(b, self), wide(b, ct)
    if not x.ndim:
        return g
    moved, order = last_axes(b, x, (dim,))
    return unlast_axes(b, step((moved, last_axes(b, g, (dim,))[0])), x.shape, order)


CUMSUM = _scan(
    "cumsum",
    "sum",
    0,
    np.cumsum,
    lambda b, ct, dim, reverse: b.cumsum(ct, dim=dim, reverse=not reverse),
    {},
)
CUMPROD = _scan("cumprod", "prod", 1, np.cumprod, _cumprod_ct, {"self": "self", "result": "result"})
