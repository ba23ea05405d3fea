"""Writing at indices given at run time. Where an index repeats, additions add up; of several writes the last stays."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradc.ir.dim import normalize_axis, product
from gradc.ir.errors import DTypeError, GradIndexError, GradRuntimeError, ShapeError, UnsupportedError
from gradc.ir.op import COMPOSITE, Op, Torch, define
from gradc.ir.types import TensorType, i64

from .gather import check_dim_range, check_places, grid, hits, place
from .shape import normal
from .take import INDEX_DTYPES, outside, whole


def _scatter_type(name: str) -> Any:
    def infer(self: TensorType, index: TensorType, src: TensorType, *, dim: int) -> TensorType:
        if index.dtype not in INDEX_DTYPES:
            raise DTypeError(f"{name}(): Expected dtype int32/int64 for index")
        if src.dtype is not self.dtype and src.shape:
            raise DTypeError(f"{name}(): Expected self.dtype to be equal to src.dtype")
        if index.ndim != self.ndim:
            raise ShapeError("Index tensor must have the same number of dimensions as self tensor")
        if src.shape and index.ndim != src.ndim:
            raise ShapeError("Index tensor must have the same number of dimensions as src tensor")
        small = all(n <= d for i, (n, d) in enumerate(zip(index.shape, self.shape, strict=True)) if i != dim)
        if not small or (src.shape and any(n > d for n, d in zip(index.shape, src.shape, strict=True))):
            raise ShapeError(
                f"Expected index {list(index.shape)} to be no larger than self {list(self.shape)} apart from dimension "
                f"{dim} and to be no larger size than src {list(src.shape)}"
            )
        return self

    return infer


def _part(src: Any, shape: tuple[int, ...]) -> Any:
    return np.broadcast_to(src, shape) if not src.ndim else src[tuple(slice(n) for n in shape)]


def _scatter_numpy(x: Any, index: Any, src: Any, dim: int) -> Any:
    check_dim_range(index, x.shape, dim)
    out = x.copy()
    out[grid(index, dim)] = _part(src, index.shape)
    return out


def _scatter_add_numpy(x: Any, index: Any, src: Any, dim: int) -> Any:
    check_dim_range(index, x.shape, dim)
    out = x.copy()
    np.add.at(out, grid(index, dim), _part(src, index.shape))
    return out


def _source(b: Any, src: Any, index: Any, d: Any) -> Any:
    """`src` cut or stretched to the index's shape, in the dtype written."""
    src = src if src.dtype is d else b.convert(src, dtype=d)
    if src.ndim < index.ndim:
        return b.broadcast(src, shape=index.shape)
    zero, one = (0,) * src.ndim, (1,) * src.ndim
    return src if src.shape == index.shape else b.slice(src, start=zero, limit=index.shape, step=one)


def last_writer(b: Any, index: Any, dim: int, size: int) -> Any:
    """For each place along `dim` the position of the last index that names it, or -1."""
    hit = hits(b, index, dim, size)
    order = b.iota(shape=(1, *index.shape[dim:]), dim=1, dtype=i64)
    return b.amax(b.where(hit, order, b.scalar(-1, i64)), dims=(dim + 1,), keepdim=False)


def _scatter_parts(b: Any, self: Any, index: Any, src: Any, dim: int) -> Any:
    if product(index.shape) == 0:
        return self
    if not self.ndim:
        return _source(b, src, index, self.dtype)
    writer = last_writer(b, index, dim, self.shape[dim])
    zero = b.scalar(0, i64)
    values = b.gather(_source(b, src, index, self.dtype), b.where(writer < 0, zero, writer), dim=dim)
    written = place(b, writer >= 0, dim, self.shape)
    return b.where(written, place(b, values, dim, self.shape), self)


def _scatter_add_parts(b: Any, self: Any, index: Any, src: Any, dim: int) -> Any:
    return self + b.gather_add(_source(b, src, index, self.dtype), index, dim=dim, shape=self.shape)


def _src_adjoint(b: Any, ct: Any, src_t: TensorType, index: Any, dim: int) -> Any:
    read = b.gather(ct, index, dim=dim)
    return place(b, read, dim, src_t.shape) if src_t.shape else read


def _scatter_call(
    op: Any, self: Any, dim: int, index: Any, src: Any = None, *, value: Any = None, reduce: Any = None
) -> Any:
    if reduce is not None:
        raise UnsupportedError(f"scatter: reduce={reduce!r} is not covered", hint="scatter_add adds")
    d = normalize_axis(dim, self.ndim)
    given = value if src is None else src
    return (
        op(self, index, given, dim=d)
        if hasattr(given, "ndim")
        else op(self, index, given, dim=d, grad_fn="ScatterBackward1")
    )


def _sample(rng: Any) -> Any:
    return [
        ((normal(rng, 3, 4), np.array([[2, 0, 1], [0, 1, 0]]), normal(rng, 2, 4)), {"dim": 0}),
        ((normal(rng, 2, 3), np.array([[2], [1]]), normal(rng, 2, 2)), {"dim": 1}),
    ]


SCATTER = define(
    Op(
        name="grad.scatter",
        kind=COMPOSITE,
        operands=("self", "index", "src"),
        results=("result",),
        attrs={"dim": "int"},
        infer=_scatter_type("scatter"),
        numpy=_scatter_numpy,
        decompose=_scatter_parts,
        check=lambda b, self, index, src, dim: check_places(index, self.shape, dim),
        adjoint={
            "self": lambda b, ct, index, dim: b.scatter(ct, index, b.scalar(0, ct.dtype), dim=dim),
            "src": _src_adjoint,
        },
        grad_fn="ScatterBackward0",
        saved={"dim": "dim", "index": "index"},
        flops=0,
        torch=(Torch(_scatter_call, ("scatter",), ("scatter",), ("scatter_",)),),
        sample=_sample,
        doc="torch.scatter: self with src written at the index along `dim`.",
    )
)

SCATTER_ADD = define(
    Op(
        name="grad.scatter_add",
        kind=COMPOSITE,
        operands=("self", "index", "src"),
        results=("result",),
        attrs={"dim": "int"},
        infer=_scatter_type("scatter"),
        numpy=_scatter_add_numpy,
        decompose=_scatter_add_parts,
        check=lambda b, self, index, src, dim: check_places(index, self.shape, dim),
        adjoint={"self": lambda b, ct: ct, "src": _src_adjoint},
        grad_fn="ScatterAddBackward0",
        saved={"dim": "dim", "index": "index"},
        torch=(
            Torch(
                lambda op, self, dim, index, src: op(self, index, src, dim=normalize_axis(dim, self.ndim)),
                ("scatter_add",),
                ("scatter_add",),
                ("scatter_add_",),
            ),
        ),
        sample=_sample,
        doc="torch.scatter_add: self with src added at the index along `dim`.",
    )
)


def _index_add_type(self: TensorType, index: TensorType, source: TensorType, *, dim: int, alpha: Any = 1) -> TensorType:
    if index.ndim != 1 or index.dtype not in INDEX_DTYPES:
        raise GradIndexError(f"index_add_(): Index is supposed to be a vector of int32 or int64, got {index}")
    if index.numel != source.shape[dim]:
        raise GradRuntimeError(
            f"index_add_(): Number of indices ({index.numel}) should be equal to source.size(dim): "
            f"({source.shape[dim]}), for dim: {dim}"
        )
    if source.dtype is not self.dtype:
        raise DTypeError("index_add_(): self and source must have the same scalar type")
    return self


def _index_add_parts(b: Any, self: Any, index: Any, source: Any, dim: int, alpha: Any = 1) -> Any:
    added = b.take_add(source, index, dim=dim, size=self.shape[dim])
    return self + (added if alpha == 1 else added * b.scalar(alpha, added.dtype))


def _index_add_source(b: Any, ct: Any, index: Any, dim: int, alpha: Any) -> Any:
    read = b.take(ct, index, dim=dim)
    return read if alpha == 1 else read * b.scalar(alpha, read.dtype)


INDEX_ADD = define(
    Op(
        name="grad.index_add",
        kind=COMPOSITE,
        operands=("self", "index", "source"),
        results=("result",),
        attrs={"dim": "int", "alpha": "number"},
        infer=_index_add_type,
        decompose=_index_add_parts,
        check=lambda b, self, index, source, dim, alpha=1: (
            (outside(index, 0, self.shape[dim]), "index", "index out of range in self"),
        ),
        adjoint={"self": lambda b, ct: ct, "source": _index_add_source},
        grad_fn="IndexAddBackward0",
        saved={"dim": "dim", "index": "index", "alpha": "alpha"},
        torch=(
            Torch(
                lambda op, self, dim, index, source, *, alpha=1: op(
                    self, index, source, dim=normalize_axis(dim, self.ndim), alpha=alpha
                ),
                ("index_add",),
                ("index_add",),
                ("index_add_",),
            ),
        ),
        sample=lambda rng: [((normal(rng, 4, 3), whole(rng, 4, 5), normal(rng, 5, 3)), {"dim": 0, "alpha": 2.0})],
        doc="self with alpha times the slices of `source` added at the index vector along `dim`.",
    )
)
