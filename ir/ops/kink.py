"""Piecewise linear activations. At a kink the derivative is torch's: relu'(0) = 0, hardtanh' = 0 on both bounds."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradc.ir.errors import DTypeError, GradRuntimeError, GradValueError
from gradc.ir.op import Torch
from gradc.ir.types import TensorType

from .activation import activation, node
from .axis import SCALAR_NAMES
from .clamp import bounded, clamp_formula
from .family import elementwise, functional, same_as_promoted, spelling, unary_call
from .sampling import both, reals

REAL = (-3.0, 3.0)


def _kinks(*points: float) -> Any:
    """A sample that stands on the kinks."""
    return lambda rng: [([np.asarray([*points, 0.25, -0.25], np.float32)], {})]


def _relu_call(op: Any, input: Any, inplace: bool = False) -> Any:
    return op(input, inplace=inplace)


RELU = elementwise(
    "relu",
    ("self",),
    lambda x: np.maximum(x, x.dtype.type(0)),
    lambda b, self: b.maximum(self, b.scalar(0, self.dtype)),
    {"self": lambda b, ct, result: b.threshold_backward(ct, result, threshold=0)},
    accepts="number",
    no_bool="Boolean inputs not supported for relu",
    saved={"result": "result"},
    torch=(spelling("relu", unary_call), functional("relu", _relu_call)),
    sample=both(reals(REAL, ints=True), _kinks(0.0)),
)

LEAKY_RELU = activation(
    "leaky_relu",
    lambda x, negative_slope: np.where(x > 0, x, x * x.dtype.type(negative_slope)),
    lambda b, self, negative_slope: b.select(self > 0.0, self, self * float(negative_slope)),
    lambda b, ct, self, negative_slope: b.leaky_relu_backward(ct, self, negative_slope=negative_slope),
    call=lambda op, input, negative_slope=0.01, inplace=False: op(
        input, negative_slope=negative_slope, inplace=inplace, grad_fn=node("LeakyRelu", inplace)
    ),
    attrs={"negative_slope": "number"},
    choices=({"negative_slope": 0.01}, {"negative_slope": -0.5}),
)


def _hardtanh_call(
    op: Any, input: Any, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> Any:
    if min_val > max_val:
        raise GradValueError("min_val cannot be greater than max_val")
    return op(input, min_val=_like(input, min_val), max_val=_like(input, max_val), inplace=inplace)


def _like(input: Any, bound: float) -> float:
    """A bound as torch's kernel takes it: integers stay what they are on an integer tensor."""
    return bound if input.dtype.is_float else int(bound)


def _hardtanh(x: Any, min_val: float, max_val: float) -> Any:
    x, low, high = bounded(x, min_val, max_val)
    return np.minimum(np.maximum(x, low), high)


HARDTANH = activation(
    "hardtanh",
    _hardtanh,
    lambda b, self, min_val, max_val: clamp_formula(b, self, min_val, max_val),
    lambda b, ct, self, min_val, max_val: b.hardtanh_backward(ct, self, min_val=min_val, max_val=max_val),
    attrs={"min_val": "number", "max_val": "number"},
    accepts="number",
    torch=(
        functional("hardtanh", _hardtanh_call),
        functional("relu6", lambda op, input, inplace=False: op(input, min_val=0, max_val=6, inplace=inplace)),
    ),
    sample=both(
        reals(REAL, attrs=({"min_val": -1.0, "max_val": 1.0}, {"min_val": 0, "max_val": 2})),
        lambda rng: [(_kinks(-1.0, 1.0)(rng)[0][0], {"min_val": -1.0, "max_val": 1.0})],
    ),
)


def _relu6(x: Any) -> Any:
    return np.minimum(np.maximum(x, 0), 6)


def _ramp(b: Any, self: Any) -> Any:
    return clamp_formula(b, self + 3.0, 0, 6)


def _exact_hardsigmoid(x: Any) -> Any:
    """torch's own takes its sixth in float32, for float64 too, and has no second derivative."""
    from torch.nn.functional import relu6

    return relu6(x + 3) / 6


HARDSIGMOID = activation(
    "hardsigmoid",
    lambda x: _relu6(x + 3) / 6,
    lambda b, self: _ramp(b, self) * (1.0 / 6.0),
    lambda b, ct, self: b.where((self > -3.0) & (self < 3.0), ct * (1.0 / 6.0), 0.0),
    sample=lambda rng: [(*e[:2], _exact_hardsigmoid) for e in both(reals((-5.0, 5.0)), _kinks(-3.0, 3.0))(rng)],
)

HARDSWISH = activation(
    "hardswish",
    lambda x: x * _relu6(x + 3) / 6,
    lambda b, self: self * _ramp(b, self) * (1.0 / 6.0),
    lambda b, ct, self: b.where(
        self <= -3.0, 0.0, b.where(self < 3.0, ct * (self * (1.0 / 3.0) + 0.5), ct)
    ),
    sample=both(reals((-5.0, 5.0)), _kinks(-3.0, 3.0)),
)


def _threshold_call(op: Any, input: Any, threshold: float, value: float, inplace: bool = False) -> Any:
    return op(input, threshold=threshold, value=value, inplace=inplace, grad_fn=node("Threshold", inplace))


THRESHOLD = activation(
    "threshold",
    lambda x, threshold, value: np.where(x <= x.dtype.type(threshold), x.dtype.type(value), x),
    lambda b, self, threshold, value: b.select(
        self <= b.scalar(threshold, self.dtype), b.scalar(value, self.dtype), self
    ),
    lambda b, ct, self, threshold: b.threshold_backward(ct, self, threshold=threshold),
    attrs={"threshold": "number", "value": "number"},
    accepts="number",
    saved={"self": "self", "threshold": "threshold"},
    torch=(functional("threshold", _threshold_call, "threshold"),),
    choices=({"threshold": 0.5, "value": -1.0},),
)

HARDSHRINK = activation(
    "hardshrink",
    lambda x, lambd: np.where(np.abs(x) <= lambd, 0, x),
    lambda b, self, lambd: b.select(b.abs(self) <= float(lambd), b.scalar(0.0, self.dtype), self),
    lambda b, ct, self, lambd: b.softshrink_backward(ct, self, lambd=lambd),
    attrs={"lambd": "float"},
    torch=(
        functional("hardshrink", lambda op, input, lambd=0.5: op(input, lambd=float(lambd)), "hardshrink"),
        Torch(lambda op, self, lambd=0.5: op(self, lambd=float(lambd)), (), ("hardshrink",)),
    ),
    choices=({"lambd": 0.5},),
)

SOFTSHRINK = activation(
    "softshrink",
    lambda x, lambd: x - np.clip(x, -lambd, lambd),
    lambda b, self, lambd: self - clamp_formula(b, self, -float(lambd), float(lambd)),
    lambda b, ct, self, lambd: b.softshrink_backward(ct, self, lambd=lambd),
    call=lambda op, input, lambd=0.5: op(input, lambd=float(lambd)),
    attrs={"lambd": "float"},
    choices=({"lambd": 0.5},),
)

_prelu_promoted = same_as_promoted("prelu", accepts="float")


def _prelu_type(self: TensorType, weight: TensorType) -> TensorType:
    if self.dtype is not weight.dtype:
        got, other = SCALAR_NAMES[self.dtype.name], SCALAR_NAMES[weight.dtype.name]
        raise DTypeError(f"prelu: Type promoting not supported. Got {got} and {other}")
    out: TensorType = _prelu_promoted(self, weight)
    return out


def _prelu_call(op: Any, input: Any, weight: Any) -> Any:
    """One weight, or one per channel (dim 1)."""
    if weight.ndim > 1:
        raise GradRuntimeError(f"prelu: Expected `weight` to be a scalar or 1D tensor, but got: ndim = {weight.ndim}")
    n = weight.shape[0] if weight.ndim else 1
    if n == 1:
        return op(input, weight)
    if input.ndim == 0:
        raise GradRuntimeError("Not allow zero-dim input tensor.")
    channels = input.shape[1] if input.ndim > 1 else 1
    if channels != n:
        raise GradRuntimeError(
            f"Mismatch of parameter numbers and input channel size. Found parameter numbers = {n} and channel size = "
            f"{channels}."
        )
    return op(input, weight.reshape((n, *(1 for _ in range(input.ndim - 2)))))


PRELU = elementwise(
    "prelu",
    ("self", "weight"),
    lambda x, weight: np.where(x > 0, x, x * weight),
    lambda b, self, weight: b.select(self > 0.0, self, self * weight),
    {
        "self": lambda b, ct, self, weight: b.where(self > 0.0, ct, ct * weight),
        "weight": lambda b, ct, self: b.where(self > 0.0, 0.0, ct * self),
    },
    infer=_prelu_type,
    grad_fn="PreluKernelBackward0",
    saved={"self": "self", "weight": "weight"},
    torch=(
        functional("prelu", _prelu_call, "prelu"),
        Torch(_prelu_call, (), ("prelu",)),
    ),
    sample=lambda rng: [([rng.uniform(-3, 3, (3, 4)).astype(np.float32), np.asarray([0.25], np.float32)], {})],
)
