"""Outer products, distances and diagonals, and tensors that list combinations: functions of torch that are a few other
functions."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gradc.ir.dim import broadcast, normalize_axis
from gradc.ir.errors import GradRuntimeError, GradValueError
from gradc.ir.types import i64

from .composed import meshgrid
from .creation import finish, wanted, zeros
from .methods import FUNCTIONS as TABLE
from .size import Size
from .tensor import Tensor


def addr(input: Tensor, vec1: Tensor, vec2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """`beta * input + alpha * outer(vec1, vec2)`; with beta 0 the input is not read."""
    for name, v in (("vec1", vec1), ("vec2", vec2)):
        if v.ndim != 1:
            raise GradRuntimeError(f"addr: Expected 1-D argument {name}, but got {v.ndim}-D")
    if all(t.dtype.kind == "int" for t in (input, vec1, vec2)):
        for name, number in (("beta", beta), ("alpha", alpha)):
            if isinstance(number, float):
                raise GradRuntimeError(
                    f"For integral input tensors, argument {name} must not be a floating point number."
                )
    product = TABLE["outer"](vec1, vec2)
    product = product if alpha == 1 else product * alpha
    if beta == 0:
        return input.new_zeros(()) + product.expand(broadcast(product.shape, tuple(input.shape)))  # type: ignore[no-any-return]
    return (input if beta == 1 else input * beta) + product  # type: ignore[no-any-return]


def addr_(self: Tensor, vec1: Tensor, vec2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """`addr`, in place."""
    return self.copy_(addr(self, vec1, vec2, beta=beta, alpha=alpha))  # type: ignore[no-any-return]


MODES = ("use_mm_for_euclid_dist_if_necessary", "use_mm_for_euclid_dist", "donot_use_mm_for_euclid_dist")


def cdist(x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: str = MODES[0]) -> Tensor:
    """The p-norm of the difference of each row of x1 [..., n, k] and each row of x2 [..., m, k]: [..., n, m]. Always
    from the differences, whatever `compute_mode` allows; the gradient at distance 0 is 0."""
    if compute_mode not in MODES:
        raise GradValueError(f"{compute_mode} is not a valid value for compute_mode")
    for name, x in (("X1", x1), ("X2", x2)):
        if x.ndim < 2:
            raise GradRuntimeError(f"cdist only supports at least 2D tensors, {name} got: {x.ndim}D")
        if not x.dtype.is_float:
            from .autograd.saved import type_name

            raise GradRuntimeError(f"cdist only supports floating-point dtypes, {name} got: {type_name(x.dtype)}")
    if x1.shape[-1] != x2.shape[-1]:
        raise GradRuntimeError(
            f"X1 and X2 must have the same number of columns. X1: {x1.shape[-1]} X2: {x2.shape[-1]}"
        )
    if p < 0:
        raise GradRuntimeError("cdist only supports non-negative p values")
    apart = x1.unsqueeze(-2) - x2.unsqueeze(-3)
    if not x1.shape[-1]:
        return apart.sum(-1)  # type: ignore[no-any-return]
    if p == math.inf:
        # the gradient of the greatest difference goes to each that is as great, whole
        apart = apart.abs()
        most = apart.amax(-1, keepdim=True).detach()
        tied = (apart - most).where((apart == most) & most.isfinite(), 0.0)
        return tied.sum(-1) + most.squeeze(-1)  # type: ignore[no-any-return]
    return apart.norm(p, -1)  # type: ignore[no-any-return]


def renorm(input: Tensor, p: float, dim: int, maxnorm: float) -> Tensor:
    """Each slice along `dim` whose p-norm is above `maxnorm`, scaled down to it (torch's factor is
    maxnorm / (norm + 1e-7))."""
    if p <= 0:
        raise GradRuntimeError("renorm: non-positive-norm not supported")
    if maxnorm < 0:
        raise GradRuntimeError(f"renorm: expected maxnorm to be >= 0 but got {maxnorm:g}")
    if input.ndim < 2:
        raise GradRuntimeError(f"renorm: input needs at least 2 dimensions, got {input.ndim} dimensions")
    d = normalize_axis(dim, input.ndim)
    others = [i for i in range(input.ndim) if i != d]
    norm = TABLE["linalg.vector_norm"](input, p, others, keepdim=True)
    return input * TABLE["where"](norm > maxnorm, maxnorm / (norm + 1e-7), 1.0)  # type: ignore[no-any-return]


def renorm_(self: Tensor, p: float, dim: int, maxnorm: float) -> Tensor:
    """`renorm`, in place."""
    return self.copy_(renorm(self, p, dim, maxnorm))  # type: ignore[no-any-return]


def fill_diagonal_(self: Tensor, fill_value: Any, wrap: bool = False) -> Tensor:
    """Set the diagonal, of more than two dimensions the elements with equal indices; `wrap`: start again, a row
    further down, below the square part of a tall matrix."""
    if self.ndim < 2:
        raise GradRuntimeError("dimensions must larger than 1")
    if self.ndim > 2 and len(set(self.shape)) > 1:
        raise GradRuntimeError("all dimensions of input must be of equal length")
    rows, columns = self.shape[0], self.shape[1]
    for start in range(0, rows if wrap and self.ndim == 2 else 1, columns + 1):
        line = self[start:] if start else self
        for _ in range(self.ndim - 1):
            line = line.diagonal(0, 0, line.ndim - 1)
        line.fill_(fill_value)
    return self


def block_diag(*tensors: Tensor) -> Tensor:
    """Matrices along the diagonal of one matrix of zeros; a vector is one row."""
    for i, t in enumerate(tensors):
        if t.ndim > 2:
            raise GradRuntimeError(
                "torch.block_diag: Input tensors must have 2 or fewer dimensions. Input "
                f"{i} has {t.ndim} dimensions"
            )
    blocks = [t.reshape(1, -1) if t.ndim < 2 else t for t in tensors]
    if not blocks:
        return zeros(1, 0)
    width, rows, at = sum(t.shape[1] for t in blocks), [], 0
    for t in blocks:
        n, m = t.shape
        rows.append(TABLE["cat"]([t.new_zeros((n, at)), t, t.new_zeros((n, width - at - m))], 1))
        at += m
    return TABLE["cat"](rows, 0)  # type: ignore[no-any-return]


def cartesian_prod(*tensors: Tensor) -> Tensor:
    """A row for each way to take one element of every vector."""
    for t in tensors:
        if t.ndim != 1:
            raise GradRuntimeError(f"Expect a 1D vector, but got shape {list(t.shape)}")
    if len(tensors) == 1:
        return tensors[0]
    grids = meshgrid(*tensors, indexing="ij")
    return TABLE["stack"]([g.reshape(-1) for g in grids], 1)  # type: ignore[no-any-return]


def combinations(input: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """A row for each way to choose `r` elements of a vector, in their order."""
    if input.ndim != 1:
        raise GradRuntimeError(f"Expect a 1D vector, but got shape {list(input.shape)}")
    if r < 0:
        raise GradRuntimeError(f"Expect a non-negative number, but got {r}")
    if r == 0:
        return input.new_zeros((0,))  # type: ignore[no-any-return]
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    places = list(choose(range(input.shape[0]), r))
    return input[finish(np.asarray(places, np.int64).reshape(len(places), r))]


def _triangle(name: str, inside: Callable[..., Any]) -> Callable[..., Tensor]:
    def indices(row: int, col: int, offset: int = 0, *, dtype: Any = i64, **kw: Any) -> Tensor:
        found = np.nonzero(inside(np.ones((row, col), np.bool_), offset))
        return finish(np.stack(found).astype(wanted(dtype).numpy), wanted(dtype))

    indices.__name__ = name
    indices.__doc__ = "The row and column numbers of a triangle of a matrix, row by row: [2, n]."
    return indices


def broadcast_shapes(*shapes: Any) -> Size:
    """The shape that these shapes broadcast to; an int is a shape of one dimension."""
    out: tuple[int, ...] = ()
    for i, s in enumerate(shapes):
        shape = (s,) if isinstance(s, int) else tuple(s)
        for k in range(-1, -min(len(out), len(shape)) - 1, -1):
            if out[k] != shape[k] and 1 not in (out[k], shape[k]):
                raise GradRuntimeError(
                    f"Attempting to broadcast a dimension of length {shape[k]} at {k}! Mismatching argument at index "
                    f"{i} had {shape}; but expected shape should be broadcastable to {list(out)}"
                )
        out = broadcast(out, shape)
    return Size(out)


def broadcast_tensors(*tensors: Any) -> tuple[Tensor, ...]:
    """The tensors, expanded to one shape."""
    given: Sequence[Any] = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)) else tensors
    shape = broadcast_shapes(*(t.shape for t in given))
    return tuple(t.expand(shape) for t in given)


def chain_matmul(*matrices: Tensor) -> Tensor:
    """The product of matrices, from left to right."""
    out = matrices[0]
    for m in matrices[1:]:
        out = out @ m
    return out


METHODS: dict[str, Callable[..., Any]] = {
    f.__name__: f for f in (addr, addr_, renorm, renorm_, fill_diagonal_)
}
FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{f.__name__: f for f in (addr, cdist, renorm, block_diag, cartesian_prod, combinations)},
    **{f.__name__: f for f in (broadcast_shapes, broadcast_tensors, chain_matmul)},
    "tril_indices": _triangle("tril_indices", np.tril),
    "triu_indices": _triangle("triu_indices", np.triu),
}
