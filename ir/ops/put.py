"""Assignment at an advanced index: index_put, and index_copy and index_fill along one dimension."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gradc.ir.dim import normalize_axis, product
from gradc.ir.errors import DTypeError, ShapeError, UnsupportedError
from gradc.ir.op import COMPOSITE, Op, Torch, define
from gradc.ir.types import TensorType, dtype, i1, i64

from .advanced import check_bounds, check_indices, index_shape, layout, linear, merge, unmerge
from .axis import SCALAR_NAMES
from .scatter import last_writer
from .shape import normal
from .take import whole


def _put_type(
    self: TensorType, value: TensorType, *indices: TensorType, dims: tuple[int, ...], accumulate: bool
) -> TensorType:
    if value.dtype is not self.dtype and value.shape:
        raise DTypeError(
            "Index put requires the source and destination dtypes match, got "
            f"{SCALAR_NAMES[self.dtype.name]} for the destination and {SCALAR_NAMES[value.dtype.name]} for the source."
        )
    at = index_shape(self.shape, indices, dims)
    lead = len(at) - value.ndim
    extra = value.shape[: max(-lead, 0)]
    if any(d != 1 for d in extra) or any(
        d not in (1, at[i + lead]) for i, d in enumerate(value.shape) if i + lead >= 0
    ):
        raise ShapeError(
            f"shape mismatch: value tensor of shape {list(value.shape)} cannot be broadcast to indexing result of "
            f"shape {list(at)}"
        )
    return self


def _put_numpy(x: Any, value: Any, *indices: Any, dims: tuple[int, ...], accumulate: bool) -> Any:
    out = x.copy()
    key = check_indices(x.shape, indices, dims)
    if accumulate:
        np.add.at(out, key, value)
    else:
        out[key] = value
    return out


def _put_parts(b: Any, self: Any, value: Any, *indices: Any, dims: tuple[int, ...], accumulate: bool) -> Any:
    at = layout(self.shape, dims)
    shape = index_shape(self.shape, [i.type for i in indices], dims)
    if product(shape) == 0:
        return self
    where = linear(b, self.shape, indices, dims)
    value = value if value.dtype is self.dtype else b.convert(value, dtype=self.dtype)
    value = b.reshape(value, shape=value.shape[max(value.ndim - len(shape), 0) :])
    value = b.broadcast(value, shape=shape)
    x, n = merge(b, self, at), product(where.shape)
    if accumulate:
        return unmerge(b, x + b.take_add(value, where, dim=at.dim, size=at.size), self.shape, at)
    after = x.shape[at.dim + 1 :]
    writer = last_writer(b, b.reshape(where, shape=(n,)), 0, at.size)
    rows = b.reshape(value, shape=(*x.shape[: at.dim], n, *after))
    written = b.reshape(writer >= 0, shape=(at.size, *(1,) * len(after)))
    new = b.take(rows, b.where(writer < 0, b.scalar(0, i64), writer), dim=at.dim)
    return unmerge(b, b.where(written, new, x), self.shape, at)


def _put_self(b: Any, ct: Any, indices: Any, dims: tuple[int, ...], accumulate: bool) -> Any:
    if accumulate:
        return ct
    return b.index_put(ct, b.scalar(0, ct.dtype), *indices, dims=dims, accumulate=False)


def _put_call(op: Any, self: Any, indices: Sequence[Any], values: Any, accumulate: bool = False) -> Any:
    given = [(d, t) for d, t in enumerate(indices) if t is not None]
    if any(dtype(t.dtype) is i1 for _, t in given):
        raise UnsupportedError("index_put: boolean masks are not covered", hint="where(mask, value, x)")
    return op(self, values, *(t for _, t in given), dims=tuple(d for d, _ in given), accumulate=accumulate)


def _along(name: str) -> Any:
    def call(op: Any, self: Any, dim: int, index: Any, value: Any) -> Any:
        d = normalize_axis(dim, self.ndim)
        return op(self, value, index, dims=(d,), accumulate=False, grad_fn=f"Index{name.capitalize()}Backward0")

    return Torch(call, (f"index_{name}",), (f"index_{name}",), (f"index_{name}_",))


INDEX_PUT = define(
    Op(
        name="grad.index_put",
        kind=COMPOSITE,
        operands=("self", "value", "indices*"),
        results=("result",),
        attrs={"dims": "ints", "accumulate": "bool"},
        infer=_put_type,
        numpy=_put_numpy,
        decompose=_put_parts,
        check=lambda b, self, value, *indices, dims, accumulate: check_bounds(self.shape, indices, dims),
        adjoint={"self": _put_self, "value": lambda b, ct, indices, dims: b.index(ct, *indices, dims=dims)},
        grad_fn="IndexPutBackward0",
        saved={"accumulate": "accumulate"},
        flops=0,
        torch=(
            Torch(_put_call, ("index_put",), ("index_put",), ("index_put_",)),
            _along("copy"),
            _along("fill"),
        ),
        sample=lambda rng: [
            ((normal(rng, 4, 3), normal(rng, 3), np.array([1, -1])), {"dims": (0,), "accumulate": False}),
            (
                (normal(rng, 2, 4, 3), normal(rng, 2, 5), whole(rng, 4, 5), whole(rng, 3, 5)),
                {"dims": (1, 2), "accumulate": True},
            ),
        ],
        doc="self with a value written (or added) at an advanced index, as by x[index] = value.",
    )
)
