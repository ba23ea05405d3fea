"""Losses of element pairs that have a node of their own in torch: value per element, then mean, sum or none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gradc.ir.dim import product
from gradc.ir.errors import GradRuntimeError
from gradc.ir.op import COMPOSITE, Op, Torch, define
from gradc.ir.types import TensorType, broadcast_types, promote, tensor

from .axis import narrow, require_float, sign, wide
from .composed import check_reduction, same_size_or_warn
from .family import camel


def reduced(b: Any, each: Any, reduction: str) -> Any:
    """The value per element as the caller wants it: as it is, summed, or summed and divided by the count."""
    if reduction == "none":
        return each
    total = b.sum(each, dims=tuple(range(each.ndim)), keepdim=False)
    return total / float(product(each.shape)) if reduction == "mean" else total


def np_reduced(each: Any, reduction: str) -> Any:
    if reduction == "none":
        return each
    total = np.sum(each)
    return total / each.dtype.type(each.size) if reduction == "mean" else total


def per_element(b: Any, ct: Any, reduction: str, count: int) -> Any:
    """The cotangent that each element's value gets."""
    g = wide(b, ct)
    return g / float(count) if reduction == "mean" else g


def loss_type(kernel: str) -> Callable[..., TensorType]:
    def infer(*types: TensorType, reduction: str, **attrs: Any) -> TensorType:
        d = promote(*types)
        require_float(kernel, tensor((), d))
        shape = broadcast_types(*types)
        return tensor(shape if reduction == "none" else (), d)

    return infer


def pairwise(
    name: str,
    kernel: str,
    value: Callable[..., Any],
    numpy: Callable[..., Any],
    slope: Callable[..., Any],
    call: Callable[..., Any],
    knee: str | None = None,
) -> Op:
    """Define a loss of `self - target`; `slope` is the derivative by `self`. `knee` is torch's name for the distance
    at which some of them turn from a parabola into a line."""

    def decompose(b: Any, self: Any, target: Any, *, reduction: Any, **attrs: Any) -> Any:
        out = promote(self.type, target.type)
        return narrow(b, reduced(b, value(b, wide(b, self) - wide(b, target), *attrs.values()), reduction), out)

    def gradient(b: Any, ct: Any, self: Any, target: Any, reduction: Any, *args: Any) -> Any:
        d = slope(b, wide(b, self) - wide(b, target), *args)
        return d * per_element(b, ct, reduction, product(d.shape))

    def rule(side: int) -> Callable[..., Any]:
        def signed(*args: Any) -> Any:
            return gradient(*args) if side > 0 else -gradient(*args)

        if knee is None:
            return lambda b, ct, self, target, reduction: signed(b, ct, self, target, reduction)
        return lambda b, ct, self, target, reduction, knee: signed(b, ct, self, target, reduction, knee)

    def sample(rng: Any) -> list[tuple[list[Any], dict[str, Any]]]:
        x, t = (rng.standard_normal((3, 4)).astype(np.float32) * 2 for _ in range(2))
        extra = {} if knee is None else {"knee": 0.75}
        return [([x, t], {"reduction": r, **extra}) for r in ("mean", "sum", "none")]

    return define(
        Op(
            name=f"grad.{name}",
            kind=COMPOSITE,
            operands=("self", "target"),
            results=("result",),
            attrs={"reduction": "str"} | ({} if knee is None else {"knee": "float"}),
            infer=loss_type(kernel),
            numpy=lambda x, t, *, reduction, **attrs: np_reduced(numpy(x - t, *attrs.values()), reduction),
            decompose=decompose,
            adjoint={"self": rule(1), "target": rule(-1)},
            grad_fn=f"{camel(name)}Backward0",
            saved={"self": "self", "target": "target", "reduction": "reduction"}
            | ({} if knee is None else {knee: "knee"}),
            torch=(Torch(call, (f"nn.functional.{name}",)),),
            sample=sample,
        )
    )


def _mse_call(
    op: Any,
    input: Any,
    target: Any,
    size_average: Any = None,
    reduce: Any = None,
    reduction: Any = "mean",
    weight: Any = None,
) -> Any:
    reduction = check_reduction(reduction, size_average, reduce)
    same_size_or_warn(input, target)
    if weight is None:
        return op(input, target, reduction=reduction)
    each = op(input, target, reduction="none") * weight
    if reduction == "none":
        return each
    return each.sum() if reduction == "sum" else each.sum() / weight.expand_as(each).sum()


MSE_LOSS = pairwise(
    "mse_loss",
    "mse_cpu",
    lambda b, d: d * d,
    lambda d: d * d,
    lambda b, d: d * 2.0,
    _mse_call,
)


def _smooth_l1(b: Any, d: Any, beta: Any) -> Any:
    a = b.abs(d)
    return a if beta == 0 else b.where(a < beta, d * d * 0.5 / beta, a - 0.5 * beta)


def _np_smooth_l1(d: Any, beta: Any) -> Any:
    a, beta = np.abs(d), d.dtype.type(beta)
    return a if beta == 0 else np.where(a < beta, a * a / (2 * beta), a - beta / 2)


def _smooth_l1_slope(b: Any, d: Any, beta: Any) -> Any:
    return sign(b, d) if beta == 0 else b.where(b.abs(d) >= beta, sign(b, d), d / beta)


def _smooth_l1_call(
    op: Any,
    input: Any,
    target: Any,
    size_average: Any = None,
    reduce: Any = None,
    reduction: Any = "mean",
    beta: Any = 1.0,
) -> Any:
    reduction = check_reduction(reduction, size_average, reduce)
    same_size_or_warn(input, target)
    if beta < 0:
        raise GradRuntimeError("smooth_l1_loss does not support negative values for beta.")
    return op(input, target, reduction=reduction, knee=float(beta))


SMOOTH_L1_LOSS = pairwise(
    "smooth_l1_loss", "smooth_l1_cpu", _smooth_l1, _np_smooth_l1, _smooth_l1_slope, _smooth_l1_call, "beta"
)


def _huber(b: Any, d: Any, delta: Any) -> Any:
    a = b.abs(d)
    return b.where(a <= delta, d * d * 0.5, (a - 0.5 * delta) * delta)


def _np_huber(d: Any, delta: Any) -> Any:
    a, delta = np.abs(d), d.dtype.type(delta)
    return np.where(a <= delta, a * a / 2, (a - delta / 2) * delta)


def _huber_slope(b: Any, d: Any, delta: Any) -> Any:
    return b.where(b.abs(d) >= delta, sign(b, d) * delta, d)


def _huber_call(op: Any, input: Any, target: Any, reduction: Any = "mean", delta: Any = 1.0, weight: Any = None) -> Any:
    reduction = check_reduction(reduction)
    same_size_or_warn(input, target)
    if delta <= 0:
        raise GradRuntimeError("huber_loss does not support non-positive values for delta.")
    if weight is None:
        return op(input, target, reduction=reduction, knee=float(delta))
    each = op(input, target, reduction="none", knee=float(delta)) * weight
    if reduction == "none":
        return each
    return each.sum() if reduction == "sum" else each.sum() / weight.expand_as(each).sum()


HUBER_LOSS = pairwise("huber_loss", "huber_cpu", _huber, _np_huber, _huber_slope, _huber_call, "delta")
