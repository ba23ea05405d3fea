"""Running extremes and the running logsumexp, as reductions over a masked broadcast axis."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradc.ir.dim import normalize_axis
from gradc.ir.op import COMPOSITE, Op, Torch, define
from gradc.ir.types import TensorType, i1, i64, tensor

from .axis import narrow, position, require_float, select, wide
from .extreme import sample_dim
from .returns import named


def _pair(b: Any, x: Any, dim: int) -> tuple[Any, Any]:
    """Row `j` of `x` beside every position i, [.., i, j, ..], and whether j stands at or before i."""
    row = _over(b, x, dim)
    rank, n = x.ndim + 1, x.shape[dim]
    i = b.iota(shape=tuple(n if d == dim else 1 for d in range(rank)), dim=dim, dtype=i64)
    j = b.iota(shape=tuple(n if d == dim + 1 else 1 for d in range(rank)), dim=dim + 1, dtype=i64)
    return row, (j <= i, j)


def _over(b: Any, x: Any, dim: int) -> Any:
    return b.reshape(x, shape=(*x.shape[:dim], 1, *x.shape[dim:]))


def _beside(b: Any, x: Any, dim: int) -> Any:
    return b.reshape(x, shape=(*x.shape[: dim + 1], 1, *x.shape[dim + 1 :]))


def _lowest(x: Any, sign: int) -> float | int | bool:
    """What no element is beyond: -inf or the least integer, or the opposite for a running minimum."""
    if x.dtype.is_float:
        return -sign * float("inf")
    if x.dtype is i1:
        return sign < 0
    info = np.iinfo(x.dtype.numpy)
    return int(info.min if sign > 0 else info.max)


def _running(b: Any, x: Any, dim: int, extremum: str, sign: int) -> Any:
    row, (upto, _) = _pair(b, x, dim)
    shape = (*x.shape[:dim], x.shape[dim], *x.shape[dim:])
    masked = select(b, upto, b.broadcast(row, shape=shape), _lowest(x, sign))
    return b.call(extremum, masked, dims=(dim + 1,), keepdim=False)


def _same_dim(x: TensorType, *, dim: int) -> tuple[TensorType, TensorType]:
    return x, tensor(x.shape, i64)


def _define(name: str, extremum: str, sign: int) -> Op:
    def decompose(b: Any, self: Any, dim: int) -> Any:
        if not self.ndim:
            return b.reshape(self, shape=()), b.scalar(0, i64)
        if not self.shape[dim]:
            return b.reshape(self, shape=self.shape), b.full(shape=self.shape, value=0, dtype=i64)
        values = _running(b, self, dim, extremum, sign)
        row, (upto, j) = _pair(b, self, dim)
        best = _beside(b, values, dim)
        hit = row.eq(best) | (row.ne(row) & best.ne(best)) if self.dtype.is_float else row.eq(best)
        at = b.amax(b.where(hit & upto, j, b.scalar(0, i64)), dims=(dim + 1,), keepdim=False)
        return values, at

    def meaning(x: Any, dim: int) -> Any:
        if not x.ndim or not x.shape[dim]:
            return x.copy(), np.zeros(x.shape, np.int64)
        values = (np.maximum if sign > 0 else np.minimum).accumulate(x, axis=dim)
        steps = np.arange(x.shape[dim]).reshape(tuple(-1 if d == dim else 1 for d in range(x.ndim)))
        new = (x == values) | ((x != x) & (values != values))
        return values, np.maximum.accumulate(np.where(new, steps, 0), axis=dim)

    def rule(b: Any, ct: Any, self_t: Any, indices: Any, dim: int) -> Any:
        if ct is None or not self_t.ndim:
            return ct
        # [.., j, i, ..]: element j gets the cotangents of all i that point at it
        pointing = _over(b, indices, dim).eq(_beside(b, position(b, self_t.shape, dim, i64), dim))
        return b.sum(select(b, pointing, _over(b, ct, dim), 0), dims=(dim + 1,), keepdim=False)

    def call(op: Any, self: Any, dim: int) -> Any:
        return named(name, "values", "indices")(*op(self, dim=normalize_axis(dim, self.ndim)))

    return define(
        Op(
            name=f"grad.{name}",
            kind=COMPOSITE,
            operands=("self",),
            results=("values", "indices"),
            attrs={"dim": "int"},
            infer=_same_dim,
            numpy=meaning,
            decompose=decompose,
            adjoint={"self": rule},
            grad_fn=f"{name.capitalize()}Backward0",
            saved={"self": "self", "indices": "indices", "dim": "dim"},
            torch=(Torch(call, (name,), (name,)),),
            sample=lambda rng: [(a, {"dim": attrs["dim"]}) for a, attrs in sample_dim(rng)],
            doc="Of equal elements the last one counts, as in torch.",
        )
    )


CUMMAX = _define("cummax", "amax", 1)
CUMMIN = _define("cummin", "amin", -1)


def _log_type(x: TensorType, *, dim: int) -> TensorType:
    require_float("logcumsumexp_out_cpu", x)
    return x


def _log(b: Any, self: Any, dim: int) -> Any:
    if not self.ndim or not self.shape[dim]:
        return b.reshape(self, shape=self.shape)
    x = wide(b, self)
    top = _running(b, x, dim, "amax", 1)
    top = select(b, b.abs(top).eq(float("inf")), b.scalar(0, top.dtype), top)
    row, (upto, _) = _pair(b, x, dim)
    total = b.sum(select(b, upto, b.exp(row - _beside(b, top, dim)), 0), dims=(dim + 1,), keepdim=False)
    return narrow(b, b.log(total) + top, self.dtype)


def _log_ct(b: Any, ct: Any, self: Any, result: Any, dim: int) -> Any:
    if not self.ndim or not self.shape[dim]:
        return ct
    x, r, g = wide(b, self), wide(b, result), wide(b, ct)
    # [.., i, j, ..]: result i holds the share exp(x_j - result_i) of every j up to i; summed over i
    row, (upto, _) = _pair(b, x, dim)
    share = select(b, upto, b.exp(row - _beside(b, r, dim)), 0)
    return b.sum(share * _beside(b, g, dim), dims=(dim,), keepdim=False)


LOGCUMSUMEXP = define(
    Op(
        name="grad.logcumsumexp",
        kind=COMPOSITE,
        operands=("self",),
        results=("result",),
        attrs={"dim": "int"},
        infer=_log_type,
        numpy=lambda x, dim: np.logaddexp.accumulate(x, axis=dim) if x.ndim else x.copy(),
        decompose=_log,
        adjoint={"self": _log_ct},
        grad_fn="LogcumsumexpBackward0",
        saved={"self": "self", "result": "result", "dim": "dim"},
        torch=(
            Torch(
                lambda op, self, dim: op(self, dim=normalize_axis(dim, self.ndim)), ("logcumsumexp",), ("logcumsumexp",)
            ),
        ),
        sample=lambda rng: [(a, {"dim": attrs["dim"]}) for a, attrs in sample_dim(rng)],
    )
)
