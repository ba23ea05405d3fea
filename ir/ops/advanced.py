"""Advanced indexing: index tensors, broadcast against each other, for some dimensions of a tensor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from gradc.ir.dim import broadcast, product
from gradc.ir.errors import GradIndexError, ShapeError
from gradc.ir.op import COMPOSITE, Op, define
from gradc.ir.types import TensorType, i64, tensor

from .shape import inverse, normal
from .take import INDEX_DTYPES, outside, whole


class Layout(NamedTuple):
    """How an advanced index reads: the operand permuted by `order`, its indexed dimensions (one after another from
    `dim`) merged into one of extent `size`."""

    order: tuple[int, ...]
    dim: int
    size: int
    merged: tuple[int, ...]


def layout(shape: tuple[int, ...], dims: tuple[int, ...]) -> Layout:
    """Indexed dimensions that are not neighbours come first, as in NumPy."""
    rest = [i for i in range(len(shape)) if i not in dims]
    together = dims == tuple(range(dims[0], dims[0] + len(dims)))
    p = dims[0] if together else 0
    size = product(shape[d] for d in dims)
    lead, trail = rest[:p], rest[p:]
    merged = (*(shape[i] for i in lead), size, *(shape[i] for i in trail))
    return Layout((*lead, *dims, *trail), p, size, merged)


def index_shape(shape: tuple[int, ...], indices: Sequence[Any], dims: tuple[int, ...]) -> tuple[int, ...]:
    """The result shape of an advanced index."""
    at: tuple[int, ...] = ()
    try:
        for t in indices:
            at = broadcast(at, t.shape)
    except ShapeError:
        shapes = ", ".join(str(list(t.shape)) for t in indices)
        raise GradIndexError(
            f"shape mismatch: indexing tensors could not be broadcast together with shapes {shapes}"
        ) from None
    at_dims = layout(shape, dims)
    return (*at_dims.merged[: at_dims.dim], *at, *at_dims.merged[at_dims.dim + 1 :])


def linear(b: Any, shape: tuple[int, ...], indices: Sequence[Any], dims: tuple[int, ...]) -> Any:
    """The indices as one index into the merged dimension. One that is out of range stays so."""
    total, valid = None, None
    for t, d in zip(indices, dims, strict=True):
        n = shape[d]
        i = t if t.dtype is i64 else b.convert(t, dtype=i64)
        i = b.where(i < 0, i + n, i)
        if len(dims) > 1:
            inside = (i >= 0) & (i < n)
            valid = inside if valid is None else valid & inside
        total = i if total is None else total * n + i
    return total if valid is None else b.where(valid, total, b.scalar(product(shape[d] for d in dims), i64))


def merge(b: Any, x: Any, at: Layout) -> Any:
    return b.reshape(b.permute(x, dims=at.order), shape=at.merged)


def unmerge(b: Any, x: Any, shape: tuple[int, ...], at: Layout) -> Any:
    return b.permute(b.reshape(x, shape=tuple(shape[i] for i in at.order)), dims=inverse(at.order))


def check_indices(shape: tuple[int, ...], indices: Sequence[Any], dims: tuple[int, ...]) -> tuple[Any, ...]:
    """NumPy's key for an advanced index, all in range."""
    key: list[Any] = [slice(None)] * len(shape)
    for k, (t, d) in enumerate(zip(indices, dims, strict=True)):
        bad = t[(t < -shape[d]) | (t >= shape[d])]
        if bad.size:
            # torch counts only the indexed dimensions here
            raise GradIndexError(f"index {bad.flat[0]} is out of bounds for dimension {k} with size {shape[d]}")
        key[d] = t
    return tuple(key)


def check_bounds(shape: tuple[int, ...], indices: Sequence[Any], dims: tuple[int, ...]) -> Any:
    """The same as a check of compiled programs; which index it was is not known then."""
    return tuple(
        (
            outside(t, -shape[d], shape[d]),
            "index",
            f"index is out of bounds for dimension {k} with size {shape[d]}",
        )
        for k, (t, d) in enumerate(zip(indices, dims, strict=True))
    )


def _index_type(self: TensorType, *indices: TensorType, dims: tuple[int, ...]) -> TensorType:
    for t in indices:
        if t.dtype not in INDEX_DTYPES:
            raise GradIndexError("tensors used as indices must be long, int, byte or bool tensors")
    return tensor(index_shape(self.shape, indices, dims), self.dtype)


def _index_parts(b: Any, self: Any, *indices: Any, dims: tuple[int, ...]) -> Any:
    at = layout(self.shape, dims)
    return b.take(merge(b, self, at), linear(b, self.shape, indices, dims), dim=at.dim)


def _index_adjoint(b: Any, ct: Any, self_t: TensorType, indices: Any, dims: tuple[int, ...]) -> Any:
    at = layout(self_t.shape, dims)
    where = linear(b, self_t.shape, indices, dims)
    return unmerge(b, b.take_add(ct, where, dim=at.dim, size=at.size), self_t.shape, at)


INDEX = define(
    Op(
        name="grad.index",
        kind=COMPOSITE,
        operands=("self", "indices*"),
        results=("result",),
        attrs={"dims": "ints"},
        infer=_index_type,
        numpy=lambda x, *indices, dims: x[check_indices(x.shape, indices, dims)],
        decompose=_index_parts,
        check=lambda b, self, *indices, dims: check_bounds(self.shape, indices, dims),
        adjoint={"self": _index_adjoint},
        grad_fn="IndexBackward0",
        flops=0,
        sample=lambda rng: [
            ((normal(rng, 4, 3), whole(rng, 4, 5) - 4), {"dims": (0,)}),
            ((normal(rng, 2, 4, 3), whole(rng, 4, 2, 1), whole(rng, 3, 2)), {"dims": (1, 2)}),
            ((normal(rng, 2, 4, 3), whole(rng, 2, 2), whole(rng, 3, 2)), {"dims": (0, 2)}),
        ],
        doc="An advanced index: index tensors, broadcast against each other, for the dimensions `dims`.",
    )
)
