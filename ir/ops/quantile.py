"""One element by its rank: median and kthvalue."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradc.ir.dim import normalize_axis, product
from gradc.ir.errors import GradRuntimeError
from gradc.ir.op import COMPOSITE, Op, Torch, define
from gradc.ir.types import TensorType, i64, tensor

from .axis import narrow, position, require_extent, select
from .extreme import picked, sample_dim, shared
from .family import reduced_shape
from .order import np_order, ranks
from .returns import named


def _one(b: Any, self: Any, k: Any, dim: int, keepdim: bool) -> tuple[Any, Any]:
    """Value and position of the element of rank `k` (a number, or a value per row) along `dim`."""
    hit = ranks(b, self, dim, False).eq(k)
    values = b.sum(select(b, hit, self, 0), dims=(dim,), keepdim=keepdim)
    at = b.broadcast(position(b, self.shape, dim, i64), shape=self.shape)
    return narrow(b, values, self.dtype), b.sum(select(b, hit, at, 0), dims=(dim,), keepdim=keepdim)


def _scalar(b: Any, self: Any) -> tuple[Any, Any]:
    return b.reshape(self, shape=()), b.scalar(0, i64)


def _median(b: Any, self: Any, dim: Any, keepdim: Any = False) -> Any:
    if not self.ndim:
        return _scalar(b, self)
    n = self.shape[dim]
    middle: Any = (n - 1) // 2
    if self.dtype.is_float:
        nans = b.sum(self.ne(self), dims=(dim,), keepdim=True)
        middle = b.where(nans > 0, n - nans, b.scalar(middle, i64))
    return _one(b, self, middle, dim, keepdim)


def _np_middle(x: Any, dim: int) -> Any:
    """Position of the lower median along `dim`, kept; of the first NaN where there is one."""
    order, n = np_order(x, dim), x.shape[dim]
    nans = np.sum(x != x, axis=dim, keepdims=True)
    return np.take_along_axis(order, np.where(nans > 0, n - nans, (n - 1) // 2), dim)


def _np_pick(x: Any, at: Any, dim: int, keepdim: bool) -> tuple[Any, Any]:
    values = np.take_along_axis(x, at, dim)
    return (values, at) if keepdim else (values.squeeze(dim), at.squeeze(dim))


def _np_median(x: Any, dim: Any, keepdim: Any = False) -> Any:
    return _np_pick(x, _np_middle(x, dim), dim, keepdim) if x.ndim else (x.copy(), np.zeros((), np.int64))


def _pair_type(name: str, x: TensorType, dim: int, keepdim: bool) -> tuple[TensorType, TensorType]:
    require_extent(name, x, (dim,))
    shape = reduced_shape(x.shape, (dim,), keepdim)
    return tensor(shape, x.dtype), tensor(shape, i64)


def _picked_ct(b: Any, ct: Any, self_t: Any, indices: Any, dim: Any, keepdim: Any) -> Any:
    return None if ct is None else picked(b, ct, indices, self_t, dim, keepdim)


def _median_all(b: Any, self: Any) -> Any:
    n = product(self.shape)
    if not n:
        return b.full(shape=(), value=float("nan"), dtype=self.dtype)
    return _median(b, b.reshape(self, shape=(n,)), 0)[0]


MEDIAN_ALL = define(
    Op(
        name="grad.median_all",
        kind=COMPOSITE,
        operands=("self",),
        results=("result",),
        infer=lambda x: tensor((), x.dtype),
        numpy=lambda x: _np_median(x.reshape(-1), 0)[0] if x.size else np.asarray(np.nan, x.dtype),
        decompose=_median_all,
        adjoint={"self": shared},
        grad_fn="MedianBackward0",
        saved={"self": "self", "result": "result"},
        sample=lambda rng: [([rng.standard_normal((3, 5)).astype(np.float32)], {})],
        doc="The lower of two medians. Elements equal to it share the gradient, as in torch.",
    )
)


def _median_call(op: Any, self: Any, dim: Any = None, keepdim: Any = False) -> Any:
    if dim is None:
        return op(self, record=MEDIAN_ALL)
    return named("median", "values", "indices")(*op(self, dim=normalize_axis(dim, self.ndim), keepdim=keepdim))


MEDIAN = define(
    Op(
        name="grad.median",
        kind=COMPOSITE,
        operands=("self",),
        results=("values", "indices"),
        attrs={"dim": "int", "keepdim": "bool?"},
        infer=lambda x, dim, keepdim=False: _pair_type("median", x, dim, keepdim),
        numpy=_np_median,
        decompose=_median,
        adjoint={"self": _picked_ct},
        grad_fn="MedianBackward1",
        saved={"indices": "indices", "dim": "dim", "keepdim": "keepdim"},
        torch=(Torch(_median_call, ("median",), ("median",)),),
        sample=sample_dim,
        doc="The lower of two medians, the first of equal elements; NaN where there is one.",
    )
)


def _kth_type(x: TensorType, *, k: int, dim: int, keepdim: bool = False) -> tuple[TensorType, TensorType]:
    if not 1 <= k <= (x.shape[dim] if x.ndim else 1):
        raise GradRuntimeError(f"kthvalue(): selected number k out of range for dimension {dim}")
    return _pair_type("kthvalue", x, dim, keepdim)


def _kth(b: Any, self: Any, k: Any, dim: Any, keepdim: Any = False) -> Any:
    return _one(b, self, k - 1, dim, keepdim) if self.ndim else _scalar(b, self)


def _np_kth(x: Any, k: Any, dim: Any, keepdim: Any = False) -> Any:
    if not x.ndim:
        return x.copy(), np.zeros((), np.int64)
    return _np_pick(x, np.take(np_order(x, dim), [k - 1], axis=dim), dim, keepdim)


def _kth_call(op: Any, self: Any, k: Any, dim: Any = -1, keepdim: Any = False) -> Any:
    out = op(self, k=int(k), dim=normalize_axis(dim, self.ndim), keepdim=keepdim)
    return named("kthvalue", "values", "indices")(*out)


KTHVALUE = define(
    Op(
        name="grad.kthvalue",
        kind=COMPOSITE,
        operands=("self",),
        results=("values", "indices"),
        attrs={"k": "int", "dim": "int", "keepdim": "bool?"},
        infer=_kth_type,
        numpy=_np_kth,
        decompose=_kth,
        adjoint={"self": _picked_ct},
        grad_fn="KthvalueBackward0",
        saved={"indices": "indices", "dim": "dim", "keepdim": "keepdim"},
        torch=(Torch(_kth_call, ("kthvalue",), ("kthvalue",)),),
        sample=lambda rng: [(a, {"k": 2, **attrs}) for a, attrs in sample_dim(rng)],
    )
)
