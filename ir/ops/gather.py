"""Elements at indices given at run time: the primitive gather, and its adjoint that adds into place (see take.py)."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradc.ir.dim import broadcast, normalize_axis
from gradc.ir.errors import DTypeError, GradRuntimeError, ShapeError, UnsupportedError
from gradc.ir.op import INDEXED, Op, Torch, define
from gradc.ir.types import TensorType, tensor

from .labels import total
from .shape import normal
from .take import INDEX_DTYPES, outside, whole


def _gather_type(self: TensorType, index: TensorType, *, dim: int) -> TensorType:
    if index.dtype not in INDEX_DTYPES:
        raise DTypeError("gather(): Expected dtype int32/int64 for index")
    if max(self.ndim, 1) != max(index.ndim, 1):
        raise ShapeError("Index tensor must have the same number of dimensions as input tensor")
    for i, (n, d) in enumerate(zip(index.shape, self.shape, strict=False)):
        if i != dim and n > d:
            raise ShapeError(
                f"Size does not match at dimension {i} expected index {list(index.shape)} to be no larger than self "
                f"{list(self.shape)} apart from dimension {dim}"
            )
    return tensor(index.shape, self.dtype)


def grid(index: Any, dim: int) -> tuple[Any, ...]:
    """NumPy's key for the elements that a torch-style index names."""
    key: list[Any] = list(np.ogrid[tuple(slice(n) for n in index.shape)])
    if key:
        key[dim] = index
    return tuple(key)


def check_dim_range(index: Any, shape: tuple[int, ...], dim: int) -> None:
    size = shape[dim] if shape else 1
    bad = index[(index < 0) | (index >= size)]
    if bad.size:
        raise GradRuntimeError(f"index {bad.flat[0]} is out of bounds for dimension {dim} with size {size}")


def check_places(index: Any, shape: tuple[int, ...], dim: int) -> Any:
    size = shape[dim] if shape else 1
    message = f"index is out of bounds for dimension {dim} with size {size}"
    return ((outside(index, 0, size), "runtime", message),)


def _gather_numpy(x: Any, index: Any, dim: int) -> Any:
    check_dim_range(index, x.shape, dim)
    return x.reshape(index.shape) if not x.ndim or not index.ndim else x[grid(index, dim)]


def _gather_call(op: Any, input: Any, dim: int, index: Any, *, sparse_grad: bool = False) -> Any:
    if sparse_grad:
        raise UnsupportedError("gather: sparse gradients are not covered")
    return op(input, index, dim=normalize_axis(dim, input.ndim))


def _take_along_dim_call(op: Any, input: Any, indices: Any, dim: int | None = None) -> Any:
    if dim is None:
        return op(input.reshape(-1), indices.reshape(-1), dim=0)
    if input.ndim != indices.ndim:
        raise GradRuntimeError(
            "torch.take_along_dim(): input and indices should have the same number of dimensions, but got "
            f"{input.ndim} dimensions for input, and {indices.ndim} dimensions for indices"
        )
    d = normalize_axis(dim, input.ndim)
    shape = list(broadcast(_without(input.shape, d), _without(indices.shape, d)))
    x = input.expand((*shape[:d], input.shape[d], *shape[d + 1 :]))
    return op(x, indices.expand((*shape[:d], indices.shape[d], *shape[d + 1 :])), dim=d)


def _without(shape: Any, dim: int) -> tuple[int, ...]:
    return (*shape[:dim], 1, *shape[dim + 1 :])


GATHER = define(
    Op(
        name="grad.gather",
        kind=INDEXED,
        operands=("self", "index"),
        results=("result",),
        attrs={"dim": "int"},
        infer=_gather_type,
        numpy=_gather_numpy,
        check=lambda b, self, index, dim: check_places(index, self.shape, dim),
        adjoint={"self": lambda b, ct, self_t, index, dim: b.gather_add(ct, index, dim=dim, shape=self_t.shape)},
        grad_fn="GatherBackward0",
        saved={"dim": "dim", "index": "index"},
        flops=0,
        torch=(
            Torch(_gather_call, ("gather",), ("gather",)),
            Torch(_take_along_dim_call, ("take_along_dim",), ("take_along_dim",)),
        ),
        sample=lambda rng: [
            ((normal(rng, 5, 3), whole(rng, 5, 4, 2)), {"dim": 0}),
            ((normal(rng, 2, 5), whole(rng, 5, 2, 3)), {"dim": 1}),
        ],
        doc="torch.gather: result[i, j] = self[index[i, j], j] for dim 0.",
    )
)


def _gather_add_numpy(ct: Any, index: Any, dim: int, shape: tuple[int, ...]) -> Any:
    check_dim_range(index, shape, dim)
    out = np.zeros(shape, ct.dtype)
    np.add.at(out, grid(index, dim) if shape else (), ct.reshape(()) if not shape else ct)
    return out


def hits(b: Any, index: Any, dim: int, size: int) -> Any:
    """i1 with one more dimension at `dim`: whether the index names place 0 ... size - 1."""
    at = index.shape
    row = b.iota(shape=(size, *(1,) * (len(at) - dim)), dim=0, dtype=index.dtype)
    return row.eq(b.reshape(index, shape=(*at[:dim], 1, *at[dim:])))


def place(b: Any, x: Any, dim: int, shape: tuple[int, ...]) -> Any:
    """`x`, which may be smaller than `shape` except along `dim`, at the origin of zeros."""
    if x.shape == shape:
        return x
    zero, one = (0,) * len(shape), (1,) * len(shape)
    return b.unslice(x, shape=shape, start=zero, limit=x.shape, step=one)


def _gather_add_parts(b: Any, ct: Any, index: Any, dim: int, shape: tuple[int, ...]) -> Any:
    if not shape:
        return b.reshape(ct, shape=())
    spread = b.reshape(ct, shape=(*ct.shape[:dim], 1, *ct.shape[dim:]))
    chosen = b.where(hits(b, index, dim, shape[dim]), spread, b.scalar(0, ct.dtype))
    return place(b, total(b, chosen, (dim + 1,)), dim, shape)


GATHER_ADD = define(
    Op(
        name="grad.gather_add",
        kind=INDEXED,
        operands=("ct", "index"),
        results=("result",),
        attrs={"dim": "int", "shape": "ints"},
        infer=lambda ct, index, *, dim, shape: tensor(shape, ct.dtype),
        numpy=_gather_add_numpy,
        decompose=_gather_add_parts,
        adjoint={"ct": lambda b, ct, index, dim: b.gather(ct, index, dim=dim)},
        grad_fn="GatherBackward0",
        sample=lambda rng: [
            ((normal(rng, 4, 2), whole(rng, 5, 4, 2)), {"dim": 0, "shape": (5, 3)}),
            ((normal(rng, 2, 3), whole(rng, 5, 2, 3)), {"dim": 1, "shape": (2, 5)}),
        ],
        doc="The adjoint of gather: zeros of `shape`, to which every element is added at its index.",
    )
)
