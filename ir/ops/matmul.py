"""Products of any rank: matmul and linear. One contraction each, batch dimensions and all; no operand is expanded."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from gradc.ir.dim import broadcast, product
from gradc.ir.errors import ShapeError
from gradc.ir.op import COMPOSITE, Op, Torch, define
from gradc.ir.types import TensorType, tensor

from .contract import check_dtypes
from .labels import pair
from .matrix import SCALARS, check_dot, expand_to
from .shape import normal


class Plan(NamedTuple):
    """Labels of both operands and of the result; the operands' shapes without batch dimensions that broadcasting
    stretches, which carry no label."""

    x: list[Any]
    y: list[Any]
    out: list[Any]
    x_shape: tuple[int, ...]
    y_shape: tuple[int, ...]
    out_shape: tuple[int, ...]


def _batch(shape: tuple[int, ...], full: tuple[int, ...]) -> list[int]:
    """The dimensions of the broadcast batch that an operand really has."""
    lead = len(full) - len(shape)
    return [i + lead for i, d in enumerate(shape) if not (d == 1 and full[i + lead] != 1)]


def plan(xs: tuple[int, ...], ys: tuple[int, ...]) -> Plan:
    row, column = xs[-2:-1], ys[-1:] if len(ys) > 1 else ()
    full = broadcast(xs[:-2], ys[:-2])
    x_batch, y_batch = _batch(xs[:-2], full), _batch(ys[:-2], full)
    rows, columns = ["row"] * len(row), ["column"] * len(column)
    return Plan(
        [*x_batch, *rows, "inner"],
        [*y_batch, "inner", *columns],
        [*range(len(full)), *rows, *columns],
        (*(full[i] for i in x_batch), *row, xs[-1]),
        (*(full[i] for i in y_batch), ys[-2] if len(ys) > 1 else ys[0], *column),
        (*full, *row, *column),
    )


def check_matmul(x: TensorType, y: TensorType) -> None:
    if not x.shape or not y.shape:
        raise ShapeError(f"both arguments to matmul need to be at least 1D, but they are {x.ndim}D and {y.ndim}D")
    if x.ndim == y.ndim == 1:
        check_dot(x, y)
    k, n = x.shape[-1], y.shape[-2] if y.ndim > 1 else y.shape[0]
    if k == n:
        broadcast(x.shape[:-2], y.shape[:-2])
        return
    rows = product(x.shape[:-1])
    if y.ndim == 1:
        raise ShapeError(f"size mismatch, got input ({rows}), mat ({rows}x{k}), vec ({n})")
    if y.ndim == 2:
        raise ShapeError(f"mat1 and mat2 shapes cannot be multiplied ({rows}x{k} and {n}x{y.shape[1]})")
    batch = product(broadcast(x.shape[:-2], y.shape[:-2]))
    raise ShapeError(
        f"Expected size for first two dimensions of batch2 tensor to be: [{batch}, {k}] but got: [{batch}, {n}]."
    )


def _matmul_type(x: TensorType, y: TensorType) -> TensorType:
    check_matmul(x, y)
    d = check_dtypes(x, y, "bmm", SCALARS) if max(x.ndim, y.ndim) > 2 else check_dtypes(x, y)
    return tensor(plan(x.shape, y.shape).out_shape, d)


def _matmul_parts(b: Any, self: Any, other: Any) -> Any:
    p = plan(self.shape, other.shape)
    return pair(b, b.reshape(self, shape=p.x_shape), p.x, b.reshape(other, shape=p.y_shape), p.y, p.out)


def _self_adjoint(b: Any, ct: Any, self_t: TensorType, other: Any) -> Any:
    p = plan(self_t.shape, other.shape)
    return b.reshape(pair(b, ct, p.out, b.reshape(other, shape=p.y_shape), p.y, p.x), shape=self_t.shape)


def _other_adjoint(b: Any, ct: Any, other_t: TensorType, self: Any) -> Any:
    p = plan(self.shape, other_t.shape)
    return b.reshape(pair(b, b.reshape(self, shape=p.x_shape), p.x, ct, p.out, p.y), shape=other_t.shape)


def _matmul_call(op: Any, self: Any, other: Any) -> Any:
    ranks = (self.ndim, other.ndim)
    if ranks == (2, 2):
        return self.mm(other)
    if ranks == (2, 1):
        return self.mv(other)
    if ranks == (1, 1):
        return self.dot(other)
    return op(self, other, grad_fn="SqueezeBackward4") if ranks == (1, 2) else op(self, other)


MATMUL = define(
    Op(
        name="grad.matmul",
        kind=COMPOSITE,
        operands=("self", "other"),
        results=("result",),
        infer=_matmul_type,
        numpy=np.matmul,
        decompose=_matmul_parts,
        adjoint={"self": _self_adjoint, "other": _other_adjoint},
        grad_fn="UnsafeViewBackward0",
        flops=2,
        torch=(Torch(_matmul_call, ("matmul",), ("matmul",)),),
        sample=lambda rng: [
            ((normal(rng, 2, 3, 4), normal(rng, 4, 5)), {}),
            ((normal(rng, 2, 1, 3, 4), normal(rng, 5, 4, 2)), {}),
            ((normal(rng, 4), normal(rng, 2, 4, 3)), {}),
            ((normal(rng, 2, 3, 4), normal(rng, 4)), {}),
            ((normal(rng, 4), normal(rng, 4)), {}),
        ],
        doc="numpy.matmul.",
    )
)


def _linear_type(input: TensorType, weight: TensorType, *bias: TensorType) -> TensorType:
    if not input.shape or not weight.shape:
        raise ShapeError(
            f"both arguments to linear need to be at least 1D, but they are {input.ndim}D and {weight.ndim}D"
        )
    if weight.ndim != 2:
        raise ShapeError(f"mat2 must be a matrix, got {weight.ndim}-D tensor")
    rows, (columns, inner) = product(input.shape[:-1]), weight.shape
    if input.shape[-1] != inner:
        raise ShapeError(f"mat1 and mat2 shapes cannot be multiplied ({rows}x{input.shape[-1]} and {inner}x{columns})")
    d = check_dtypes(input, weight)
    for t in bias:
        expand_to(t, (rows, columns))
        check_dtypes(t, weight, sentence="self and mat2 must have the same dtype, but got {0} and {1}")
    return tensor((*input.shape[:-1], columns), d)


def _linear_labels(rank: int) -> tuple[list[Any], list[Any], list[Any]]:
    lead = list(range(rank - 1))
    return [*lead, "inner"], ["column", "inner"], [*lead, "column"]


def _linear_numpy(input: Any, weight: Any, *bias: Any) -> Any:
    out = np.matmul(input, weight.T)
    return out + bias[0] if bias else out


def _linear_parts(b: Any, input: Any, weight: Any, *bias: Any) -> Any:
    x, w, out = _linear_labels(input.ndim)
    result = pair(b, input, x, weight, w, out)
    return result + bias[0] if bias else result


def _input_adjoint(b: Any, ct: Any, input_t: TensorType, weight: Any) -> Any:
    x, w, out = _linear_labels(input_t.ndim)
    return pair(b, ct, out, weight, w, x)


def _weight_adjoint(b: Any, ct: Any, input: Any) -> Any:
    x, w, out = _linear_labels(input.ndim)
    return pair(b, ct, out, input, x, w)


def _linear_call(op: Any, input: Any, weight: Any, bias: Any = None) -> Any:
    if weight.ndim == 1 and bias is None and input.ndim:
        return input.matmul(weight)
    if input.ndim == 2 and weight.ndim == 2:
        return input.mm(weight.t()) if bias is None else bias.addmm(input, weight.t())
    if bias is not None and input.ndim == 1 and weight.ndim == 2 and input.shape[0] == weight.shape[1]:
        row = bias.addmm(input.view(1, input.shape[0]), weight.t())
        return row.view(weight.shape[0])
    if bias is not None:
        return op(input, weight, bias, grad_fn="ViewBackward0")
    return op(input, weight, grad_fn="SqueezeBackward4" if input.ndim == 1 else "UnsafeViewBackward0")


LINEAR = define(
    Op(
        name="grad.linear",
        kind=COMPOSITE,
        operands=("input", "weight", "bias*"),
        results=("result",),
        infer=_linear_type,
        numpy=_linear_numpy,
        decompose=_linear_parts,
        adjoint={"input": _input_adjoint, "weight": _weight_adjoint, "bias": lambda b, ct: ct},
        grad_fn="ViewBackward0",
        flops=2,
        torch=(Torch(_linear_call, ("nn.functional.linear",)),),
        sample=lambda rng: [
            ((normal(rng, 2, 3, 4), normal(rng, 5, 4), normal(rng, 5)), {}),
            ((normal(rng, 4), normal(rng, 5, 4)), {}),
        ],
        doc="input @ weight.T + bias, the bias optional.",
    )
)
