"""Sorting and selection by rank. An element's rank is the number of elements that stand before it, a reduction over a
broadcast axis; the element of rank k is a masked sum. NaN counts as the greatest value, and equal elements keep their
order, so positions are always definite."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradc.ir.dim import normalize_axis
from gradc.ir.errors import GradRuntimeError
from gradc.ir.op import COMPOSITE, Op, Torch, define
from gradc.ir.types import TensorType, i1, i64, tensor

from .axis import narrow, position, select
from .extreme import sample_dim
from .returns import named


def _over(b: Any, x: Any, new: int) -> Any:
    """`x` with an axis of extent 1 put in at `new`."""
    return b.reshape(x, shape=(*x.shape[:new], 1, *x.shape[new:]))


def ranks(b: Any, x: Any, dim: int, descending: bool) -> Any:
    """The place of every element along `dim` in the sorted row.

    NaN stands behind infinity: it is replaced by it, and told apart by the tie key, which else is the position. Both
    are made once per element; what is compared n times per element is two numbers."""
    n = x.shape[dim]
    tie = position(b, x.shape, dim, i64)
    if x.dtype.is_float:
        late = x.eq(x) if descending else x.ne(x)
        tie = b.where(late, tie + n, b.broadcast(tie, shape=x.shape))
        x = select(b, x.eq(x), x, float("inf"))
    here, there = _over(b, x, dim + 1), _over(b, x, dim)
    sooner = _over(b, tie, dim) < _over(b, tie, dim + 1)
    first = there > here if descending else there < here
    return b.sum(first | (there.eq(here) & sooner), dims=(dim + 1,), keepdim=False)


def _ordered(b: Any, self: Any, dim: int, descending: bool, count: int) -> tuple[Any, Any]:
    """The first `count` values along `dim` in order, and their positions: each a sum over one element, that of its
    rank."""
    if not self.ndim:
        return b.reshape(self, shape=()), b.scalar(0, i64)
    x = b.convert(self, dtype=i64) if self.dtype is i1 else self
    rank = _over(b, ranks(b, x, dim, descending), dim)
    k = b.iota(shape=tuple(count if d == dim else 1 for d in range(rank.ndim)), dim=dim, dtype=i64)
    hit = rank.eq(k)
    values = b.sum(select(b, hit, _over(b, x, dim), 0), dims=(dim + 1,), keepdim=False)
    at = _over(b, position(b, self.shape, dim, i64), dim)
    return narrow(b, values, self.dtype), b.sum(select(b, hit, at, 0), dims=(dim + 1,), keepdim=False)


def np_order(x: Any, dim: int, descending: bool = False) -> Any:
    """Stable argsort along `dim`, NaN greatest."""
    if not x.ndim:
        return np.zeros((), np.int64)
    if not descending:
        return np.argsort(x, axis=dim, kind="stable")
    return x.shape[dim] - 1 - np.flip(np.argsort(np.flip(x, dim), axis=dim, kind="stable"), dim)


def _np_take(x: Any, at: Any, dim: int) -> Any:
    return np.take_along_axis(x, at, dim) if x.ndim else x.copy()


def _np_sort(x: Any, dim: Any, descending: Any = False) -> Any:
    at = np_order(x, dim, descending)
    return _np_take(x, at, dim), at


def _sort_ct(b: Any, ct: Any, self_t: Any, indices: Any, dim: Any) -> Any:
    """Where each element went is the sorting order of the indices."""
    if ct is None or not self_t.ndim:
        return ct
    return b.gather(ct, b.argsort(indices, dim=dim, descending=False), dim=dim)


def _sort_call(op: Any, self: Any, dim: Any = -1, descending: Any = False, stable: Any = None) -> Any:
    if isinstance(dim, bool):
        dim, descending = -1, dim
    grad_fn = "SortBackward0" if stable is None else "SortBackward1"
    out = op(self, dim=normalize_axis(dim, self.ndim), descending=bool(descending), grad_fn=grad_fn)
    return named("sort", "values", "indices")(*out)


def _argsort_call(op: Any, self: Any, dim: Any = -1, descending: Any = False, stable: Any = False) -> Any:
    return op(self, dim=normalize_axis(dim, self.ndim), descending=bool(descending))


def _sample_sort(rng: Any) -> list[tuple[list[Any], dict[str, Any]]]:
    return [(a, {"dim": attrs["dim"], "descending": i == 1}) for i, (a, attrs) in enumerate(sample_dim(rng))]


SORT = define(
    Op(
        name="grad.sort",
        kind=COMPOSITE,
        operands=("self",),
        results=("values", "indices"),
        attrs={"dim": "int", "descending": "bool"},
        infer=lambda x, dim, descending=False: (x, tensor(x.shape, i64)),
        numpy=_np_sort,
        decompose=lambda b, self, dim, descending=False: _ordered(
            b, self, dim, descending, self.shape[dim] if self.ndim else 1
        ),
        adjoint={"self": _sort_ct},
        grad_fn="SortBackward0",
        saved={"indices": "indices", "dim": "dim"},
        torch=(Torch(_sort_call, ("sort",), ("sort",)),),
        sample=_sample_sort,
    )
)

ARGSORT = define(
    Op(
        name="grad.argsort",
        kind=COMPOSITE,
        operands=("self",),
        results=("result",),
        attrs={"dim": "int", "descending": "bool"},
        infer=lambda x, dim, descending=False: tensor(x.shape, i64),
        numpy=np_order,
        decompose=lambda b, self, dim, descending=False: _ordered(
            b, self, dim, descending, self.shape[dim] if self.ndim else 1
        )[1],
        torch=(Torch(_argsort_call, ("argsort",), ("argsort",)),),
        sample=_sample_sort,
    )
)


def _topk_type(x: TensorType, *, k: int, dim: int, largest: bool = True) -> tuple[TensorType, TensorType]:
    if not 0 <= k <= (x.shape[dim] if x.ndim else 1):
        raise GradRuntimeError("selected index k out of range")
    shape = tuple(k if i == dim else d for i, d in enumerate(x.shape))
    return tensor(shape, x.dtype), tensor(shape, i64)


def _np_topk(x: Any, k: Any, dim: Any, largest: Any = True) -> Any:
    at = np_order(x, dim, largest)
    at = np.take(at, range(k), axis=dim) if x.ndim else at
    return _np_take(x, at, dim), at


def _topk_ct(b: Any, ct: Any, self_t: Any, indices: Any, dim: int) -> Any:
    if ct is None or not self_t.ndim:
        return ct
    at = _over(b, position(b, self_t.shape, dim, i64), dim + 1)
    hit = _over(b, indices, dim).eq(at)
    return b.sum(select(b, hit, _over(b, ct, dim), 0), dims=(dim + 1,), keepdim=False)


def _topk_call(op: Any, self: Any, k: Any, dim: Any = -1, largest: Any = True, sorted: Any = True) -> Any:
    out = op(self, k=int(k), dim=normalize_axis(dim, self.ndim), largest=bool(largest))
    return named("topk", "values", "indices")(*out)


TOPK = define(
    Op(
        name="grad.topk",
        kind=COMPOSITE,
        operands=("self",),
        results=("values", "indices"),
        attrs={"k": "int", "dim": "int", "largest": "bool"},
        infer=_topk_type,
        numpy=_np_topk,
        decompose=lambda b, self, k, dim, largest=True: _ordered(b, self, dim, largest, k),
        adjoint={"self": _topk_ct},
        grad_fn="TopkBackward0",
        saved={"indices": "indices", "dim": "dim"},
        torch=(Torch(_topk_call, ("topk",), ("topk",)),),
        sample=lambda rng: [
            (a, {"k": 2 + i, "dim": attrs["dim"], "largest": i == 1})
            for i, (a, attrs) in enumerate(sample_dim(rng)[:2])
        ],
        doc="Always sorted. Of equal elements the first is taken; torch leaves the choice open.",
    )
)
