"""torch's own views: records whose attributes and node names are torch's, and which decompose to structural
primitives. Attributes are final (no negative dimension); the calls below check and normalise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gradc.ir.dim import normalize_axis
from gradc.ir.errors import GradRuntimeError
from gradc.ir.op import VIEW, Op, Torch, define
from gradc.ir.types import tensor

from .shape import normal


def _swap(rank: int, dim0: int, dim1: int) -> tuple[int, ...]:
    dims = list(range(rank))
    if rank:
        dims[dim0], dims[dim1] = dims[dim1], dims[dim0]
    return tuple(dims)


def view(name: str, attrs: dict[str, str], result: Any, numpy: Any, decompose: Any, adjoint: Any, **more: Any) -> Op:
    """Define a one-operand view; `result(shape, **attrs)` is its shape."""
    return define(
        Op(
            name=f"grad.{name}",
            kind=VIEW,
            operands=("self",),
            results=("result",),
            attrs=attrs,
            infer=lambda x, **a: tensor(result(x.shape, **a), x.dtype),
            numpy=numpy,
            decompose=decompose,
            adjoint={"self": adjoint},
            flops=0,
            **more,
        )
    )


def _transpose_call(op: Any, self: Any, dim0: int, dim1: int) -> Any:
    return op(self, dim0=normalize_axis(dim0, self.ndim), dim1=normalize_axis(dim1, self.ndim))


def _matrix_transpose(name: str) -> Torch:
    def call(op: Any, self: Any) -> Any:
        if self.ndim < 2:
            raise GradRuntimeError(
                f"tensor.{name} is only supported on matrices or batches of matrices. Got {self.ndim}-D tensor."
            )
        return op(self, dim0=self.ndim - 2, dim1=self.ndim - 1)

    return Torch(call, (), (), (), (name,))


TRANSPOSE = view(
    "transpose",
    {"dim0": "int", "dim1": "int"},
    lambda shape, *, dim0, dim1: tuple(shape[d] for d in _swap(len(shape), dim0, dim1)),
    lambda x, dim0, dim1: np.swapaxes(x, dim0, dim1) if x.ndim else x[...],
    lambda b, self, dim0, dim1: b.permute(self, dims=_swap(self.ndim, dim0, dim1)),
    lambda b, ct, dim0, dim1: b.transpose(ct, dim0=dim0, dim1=dim1),
    grad_fn="TransposeBackward0",
    saved={"dim0": "dim0", "dim1": "dim1"},
    torch=(
        Torch(_transpose_call, ("transpose",), ("transpose",)),
        Torch(lambda op, self, axis0, axis1: _transpose_call(op, self, axis0, axis1), ("swapaxes",), ("swapaxes",)),
        Torch(lambda op, self, dim0, dim1: _transpose_call(op, self, dim0, dim1), ("swapdims",), ("swapdims",)),
        _matrix_transpose("mT"),
        _matrix_transpose("mH"),
    ),
    sample=lambda rng: [((normal(rng, 2, 3, 4),), {"dim0": 0, "dim1": 2}), ((normal(rng),), {"dim0": 0, "dim1": 0})],
    doc="Two dimensions exchanged.",
)


def _t_call(op: Any, self: Any) -> Any:
    if self.ndim > 2:
        raise GradRuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {self.ndim}D")
    return op(self)


T = view(
    "t",
    {},
    lambda shape: tuple(reversed(shape)),
    lambda x: x.T,
    lambda b, self: b.permute(self, dims=tuple(reversed(range(self.ndim)))),
    lambda b, ct: b.t(ct),
    grad_fn="TBackward0",
    torch=(Torch(_t_call, ("t",), ("t",)),),
    sample=lambda rng: [((normal(rng, 2, 3),), {}), ((normal(rng, 3),), {})],
    doc="A matrix transposed; vectors and scalars as they are.",
)

UNSQUEEZE = view(
    "unsqueeze",
    {"dim": "int"},
    lambda shape, *, dim: (*shape[:dim], 1, *shape[dim:]),
    lambda x, dim: np.expand_dims(x, dim),
    lambda b, self, dim: b.reshape(self, shape=(*self.shape[:dim], 1, *self.shape[dim:])),
    lambda b, ct, dim: b.squeeze(ct, dim=dim),
    grad_fn="UnsqueezeBackward0",
    saved={"dim": "dim"},
    torch=(
        Torch(lambda op, self, dim: op(self, dim=normalize_axis(dim, self.ndim + 1)), ("unsqueeze",), ("unsqueeze",)),
    ),
    sample=lambda rng: [((normal(rng, 2, 3),), {"dim": 1}), ((normal(rng),), {"dim": 0})],
    doc="A dimension of extent 1 put in before `dim`.",
)


def squeezed(shape: tuple[int, ...], dim: Any = None) -> tuple[int, ...]:
    gone = range(len(shape)) if dim is None else (dim,) if isinstance(dim, int) else dim
    return tuple(d for i, d in enumerate(shape) if d != 1 or i not in gone)


def _squeeze_call(op: Any, self: Any, dim: int | Sequence[int] | None = None) -> Any:
    if dim is None:
        return op(self)
    if isinstance(dim, int):
        return op(self, dim=normalize_axis(dim, self.ndim), grad_fn="SqueezeBackward1")
    return op(self, dim=tuple(normalize_axis(d, self.ndim) for d in dim), grad_fn="SqueezeBackward2")


SQUEEZE = view(
    "squeeze",
    {"dim": "any?"},
    squeezed,
    lambda x, dim=None: x.reshape(squeezed(x.shape, dim)),
    lambda b, self, dim=None: b.reshape(self, shape=squeezed(self.shape, dim)),
    lambda b, ct, self_t: b.reshape(ct, shape=self_t.shape),
    grad_fn="SqueezeBackward0",
    saved={"dim": "dim"},
    torch=(Torch(_squeeze_call, ("squeeze",), ("squeeze",)),),
    sample=lambda rng: [
        ((normal(rng, 1, 3, 1),), {}),
        ((normal(rng, 1, 3, 1),), {"dim": 0}),
        ((normal(rng, 1, 3, 1),), {"dim": (1, 2)}),
        ((normal(rng),), {"dim": 0}),
    ],
    doc="Dimensions of extent 1 left out: all of them, or those in `dim` (an int or ints).",
)


ALIAS = view(
    "alias",
    {},
    lambda shape: shape,
    lambda x: x[...],
    lambda b, self: self,
    lambda b, ct: ct,
    grad_fn="AliasBackward0",
    sample=lambda rng: [((normal(rng, 2),), {})],
    doc="The same elements, seen by a new tensor.",
)
