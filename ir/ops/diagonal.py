"""Diagonals and triangles."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradc.ir.dim import normalize_axis
from gradc.ir.errors import GradRuntimeError
from gradc.ir.op import COMPOSITE, Op, Torch, define
from gradc.ir.types import TensorType, i64, tensor

from .shape import inverse, normal
from .view import view


def _split(shape: tuple[int, ...], offset: int, dim1: int, dim2: int) -> tuple[tuple[int, ...], int, int, int]:
    """The other dimensions, the first row and column of the diagonal, and its length."""
    rest = tuple(i for i in range(len(shape)) if i not in (dim1, dim2))
    row, column = max(-offset, 0), max(offset, 0)
    return rest, row, column, max(0, min(shape[dim1] - row, shape[dim2] - column))


def _diagonal_shape(shape: tuple[int, ...], *, offset: int, dim1: int, dim2: int) -> tuple[int, ...]:
    rest, _, _, n = _split(shape, offset, dim1, dim2)
    return (*(shape[i] for i in rest), n)


def _diagonal_numpy(x: Any, offset: int, dim1: int, dim2: int) -> Any:
    rest, row, column, n = _split(x.shape, offset, dim1, dim2)
    y = np.transpose(x, (*rest, dim1, dim2))
    y = y[..., row : row + n, column : column + n]
    # np.diagonal would be read-only, and torch writes through diagonals
    return np.lib.stride_tricks.as_strided(y, y.shape[:-1], (*y.strides[:-2], y.strides[-2] + y.strides[-1]))


def _diagonal_parts(b: Any, self: Any, offset: int, dim1: int, dim2: int) -> Any:
    rest, row, column, n = _split(self.shape, offset, dim1, dim2)
    y = b.permute(self, dims=(*rest, dim1, dim2))
    *lead, rows, columns = y.shape
    start = row * columns + column if n else 0
    return b.slice(
        b.reshape(y, shape=(*lead, rows * columns)),
        start=(*(0,) * len(lead), start),
        limit=(*lead, start + (n - 1) * (columns + 1) + 1 if n else 0),
        step=(*(1,) * len(lead), columns + 1),
    )


def _embedded(b: Any, x: Any, shape: tuple[int, ...], offset: int, dim1: int, dim2: int) -> Any:
    """Zeros of a shape with the last dimension of x on the diagonal of dim1 and dim2."""
    rest, row, column, n = _split(shape, offset, dim1, dim2)
    if not n:
        return b.full(shape=shape, value=0, dtype=x.dtype)
    lead, (rows, columns) = x.shape[:-1], (shape[dim1], shape[dim2])
    if n == columns:
        spread = b.unsqueeze(x, dim=len(lead))
    else:
        if n < rows:
            zeros, ones = (0,) * len(lead), (1,) * len(lead)
            box = {"start": (*zeros, row), "limit": (*lead, row + n), "step": (*ones, 1)}
            x = b.unslice(x, shape=(*lead, rows), **box)
        spread = b.unsqueeze(x, dim=len(lead) + 1)
    i = b.iota(shape=(rows, columns), dim=0, dtype=i64)
    on = (i if row == column else i + (column - row)).eq(b.iota(shape=(rows, columns), dim=1, dtype=i64))
    placed = b.where(on, spread, b.scalar(0, x.dtype))
    return b.permute(placed, dims=inverse((*rest, dim1, dim2)))


def _diagonal_adjoint(b: Any, ct: Any, self_t: TensorType, offset: int, dim1: int, dim2: int) -> Any:
    return _embedded(b, ct, self_t.shape, offset, dim1, dim2)


def _two_dims(self: Any, rank: int, dim1: int, dim2: int) -> tuple[int, int]:
    d1, d2 = normalize_axis(dim1, rank), normalize_axis(dim2, rank)
    if d1 == d2:
        raise GradRuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    return d1, d2


def _diagonal_call(op: Any, self: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Any:
    d1, d2 = _two_dims(self, self.ndim, dim1, dim2)
    return op(self, offset=offset, dim1=d1, dim2=d2)


def _samples(rng: Any) -> Any:
    return [
        ((normal(rng, 3, 4),), {"offset": 0, "dim1": 0, "dim2": 1}),
        ((normal(rng, 4, 2, 3),), {"offset": -1, "dim1": 0, "dim2": 2}),
        ((normal(rng, 2, 2),), {"offset": 5, "dim1": 1, "dim2": 0}),
    ]


_ATTRS = {"offset": "int", "dim1": "int", "dim2": "int"}
_SAVED = {"offset": "offset", "dim1": "dim1", "dim2": "dim2"}

DIAGONAL = view(
    "diagonal",
    _ATTRS,
    _diagonal_shape,
    _diagonal_numpy,
    _diagonal_parts,
    _diagonal_adjoint,
    grad_fn="DiagonalBackward0",
    saved=_SAVED,
    torch=(Torch(_diagonal_call, ("diagonal",), ("diagonal",)),),
    sample=_samples,
    doc="The diagonal of dim1 and dim2, as the last dimension.",
)


def _diag_call(op: Any, self: Any, diagonal: int = 0) -> Any:
    if self.ndim == 1:
        return self.diag_embed(diagonal)
    if self.ndim != 2:
        raise GradRuntimeError(f"diag(): Supports 1D or 2D tensors. Got {self.ndim}D")
    return op(self, offset=diagonal, dim1=0, dim2=1)


DIAGONAL_COPY = define(
    Op(
        name="grad.diagonal_copy",
        kind=COMPOSITE,
        operands=("self",),
        results=("result",),
        attrs=_ATTRS,
        infer=lambda x, **a: tensor(_diagonal_shape(x.shape, **a), x.dtype),
        numpy=lambda x, offset, dim1, dim2: _diagonal_numpy(x, offset, dim1, dim2).copy(),
        decompose=_diagonal_parts,
        adjoint={"self": _diagonal_adjoint},
        grad_fn="DiagonalBackward0_copy",
        saved=_SAVED,
        flops=0,
        sample=_samples,
        torch=(Torch(_diagonal_call, ("diagonal_copy",)), Torch(_diag_call, ("diag",), ("diag",))),
        doc="What diagonal shows, in memory of its own.",
    )
)


def _embed_shape(shape: tuple[int, ...], dim1: int, dim2: int, n: int) -> tuple[int, ...]:
    rest = iter(shape[:-1])
    return tuple(n if i in (dim1, dim2) else next(rest) for i in range(len(shape) + 1))


def _embed_type(x: TensorType, *, offset: int, dim1: int, dim2: int) -> TensorType:
    return tensor(_embed_shape(x.shape, dim1, dim2, x.shape[-1] + abs(offset)), x.dtype)


def _embed_numpy(x: Any, offset: int, dim1: int, dim2: int) -> Any:
    out = np.zeros(_embed_shape(x.shape, dim1, dim2, x.shape[-1] + abs(offset)), x.dtype)
    _diagonal_numpy(out, offset, dim1, dim2)[...] = x
    return out


def _embed_parts(b: Any, self: Any, offset: int, dim1: int, dim2: int) -> Any:
    return _embedded(b, self, _embed_shape(self.shape, dim1, dim2, self.shape[-1] + abs(offset)), offset, dim1, dim2)


def _embed_call(op: Any, input: Any, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Any:
    d1, d2 = _two_dims(input, input.ndim + 1, dim1, dim2)
    return op(input, offset=offset, dim1=d1, dim2=d2)


DIAG_EMBED = define(
    Op(
        name="grad.diag_embed",
        kind=COMPOSITE,
        operands=("self",),
        results=("result",),
        attrs=_ATTRS,
        infer=_embed_type,
        numpy=_embed_numpy,
        decompose=_embed_parts,
        adjoint={"self": lambda b, ct, offset, dim1, dim2: b.diagonal(ct, offset=offset, dim1=dim1, dim2=dim2)},
        grad_fn="DiagEmbedBackward0",
        saved=_SAVED,
        flops=0,
        torch=(Torch(_embed_call, ("diag_embed",), ("diag_embed",)),),
        sample=lambda rng: [
            ((normal(rng, 3),), {"offset": 0, "dim1": 0, "dim2": 1}),
            ((normal(rng, 2, 3),), {"offset": -1, "dim1": 2, "dim2": 0}),
            ((normal(rng, 0),), {"offset": 1, "dim1": 0, "dim2": 1}),
        ],
        doc="Zeros with the last dimension on the diagonal of dim1 and dim2.",
    )
)


def _triangle(name: str, numpy: Any, keep: Any) -> Op:
    def infer(x: TensorType, *, diagonal: int) -> TensorType:
        if x.ndim < 2:
            raise GradRuntimeError(f"{name}: input tensor must have at least 2 dimensions")
        return x

    def decompose(b: Any, self: Any, diagonal: int) -> Any:
        square = self.shape[-2:]
        rows, columns = b.iota(shape=square, dim=0, dtype=i64), b.iota(shape=square, dim=1, dtype=i64)
        return b.where(keep(rows + diagonal, columns), self, b.scalar(0, self.dtype))

    def call(op: Any, self: Any, diagonal: int = 0) -> Any:
        return op(self, diagonal=diagonal)

    return define(
        Op(
            name=f"grad.{name}",
            kind=COMPOSITE,
            operands=("self",),
            results=("result",),
            attrs={"diagonal": "int"},
            infer=infer,
            numpy=lambda x, diagonal: numpy(x, diagonal),
            decompose=decompose,
            adjoint={"self": lambda b, ct, diagonal: b.call(name, ct, diagonal=diagonal)},
            grad_fn=f"{name.capitalize()}Backward0",
            saved={"diagonal": "diagonal"},
            flops=0,
            torch=(Torch(call, (name,), (name,), (f"{name}_",)),),
            sample=lambda rng: [((normal(rng, 2, 3, 4),), {"diagonal": 1}), ((normal(rng, 3, 2),), {"diagonal": -1})],
            doc=f"The {'lower' if name == 'tril' else 'upper'} triangle; zero elsewhere.",
        )
    )


TRIL = _triangle("tril", np.tril, lambda row, column: column <= row)
TRIU = _triangle("triu", np.triu, lambda row, column: column >= row)
