"""Powers: of tensors by numbers (squares among them) and of tensors by tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradc.ir.errors import DTypeError
from gradc.ir.formulas_power import integer_power, power, power_by
from gradc.ir.op import Torch
from gradc.ir.types import TensorType, i1, i64, tensor

from .family import beside_number, elementwise, is_number, refuse, spelling
from .sampling import both, integers, reals

POSITIVE = (0.3, 3.0)
REAL = (-2.0, 2.0)


def _pow_scalar_type(self: TensorType, *, exponent: float) -> TensorType:
    d = beside_number(self.dtype, exponent)
    if not d.is_float and exponent < 0:
        raise DTypeError("Integers to negative integer powers are not allowed.")
    if d.kind == "bool":
        refuse("pow", d)
    return self if d is self.dtype else tensor(self.shape, d)


def _pow_scalar_rule(b: Any, ct: Any, self: Any, exponent: float) -> Any:
    if exponent == 0:
        return b.scalar(0.0, ct.dtype)
    if exponent == 1:
        return ct
    slope = self if exponent == 2 else b.pow_scalar(self, exponent=exponent - 1)
    return ct * (slope * float(exponent))


def _integer_power(x: Any, y: Any) -> Any:
    below = np.where(x == 1, 1, np.where(x == -1, np.where(y % 2 == 0, 1, -1), 0)).astype(x.dtype)
    return np.where(y < 0, below, np.power(x, np.maximum(y, np.zeros_like(y))))


def _power(x: Any, y: Any) -> Any:
    return np.power(x, y) if x.dtype.kind == "f" else _integer_power(x, y)


def _power_formula(b: Any, self: Any, exponent: Any) -> Any:
    return power(b, self, exponent) if self.dtype.is_float else integer_power(b, self, exponent)


def _power_by(x: Any, exponent: float) -> Any:
    x = x.astype(np.int64) if x.dtype == bool else x
    return np.power(x, x.dtype.type(exponent))


def _pow_call(op: Any, input: Any, exponent: Any) -> Any:
    if is_number(input):
        return op(input, exponent, record=POW, grad_fn="PowBackward2")
    if is_number(exponent):
        return op(input, exponent=exponent)
    return op(input, exponent, record=POW)


POW_SCALAR = elementwise(
    "pow_scalar",
    ("self",),
    _power_by,
    lambda b, self, exponent: power_by(b, b.convert(self, dtype=i64) if self.dtype is i1 else self, exponent),
    {"self": _pow_scalar_rule},
    attrs={"exponent": "number"},
    infer=_pow_scalar_type,
    grad_fn="PowBackward0",
    saved={"self": "self", "exponent": "exponent"},
    torch=(
        spelling("pow", _pow_call),
        spelling("square", lambda op, input: op(input, exponent=2)),
        Torch(_pow_call, (), ("__pow__",), ("__ipow__",)),
        Torch(lambda op, self, other: _pow_call(op, other, self), (), ("__rpow__",)),
    ),
    sample=both(
        reals(REAL, attrs=({"exponent": 2}, {"exponent": 0}, {"exponent": 1}, {"exponent": 3.0})),
        reals(POSITIVE, attrs=({"exponent": -1}, {"exponent": 0.5}, {"exponent": -0.5}, {"exponent": 2.7})),
        lambda rng: [([np.arange(-3, 4)], {"exponent": 3}), ([np.arange(-3, 4)], {"exponent": 2.0})],
    ),
)

POW = elementwise(
    "pow",
    ("self", "exponent"),
    _power,
    _power_formula,
    {
        "self": lambda b, ct, self, exponent: (
            ct * b.where(exponent.eq(0.0), 0.0, exponent * b.pow(self, exponent - 1.0))
        ),
        "exponent": lambda b, ct, self, exponent, result: (
            ct * b.where(self.eq(0.0) & (exponent >= 0.0), 0.0, result * b.log(self))
        ),
    },
    accepts="number",
    kernel="pow",
    grad_fn="PowBackward1",
    saved={"self": "self", "exponent": "exponent", "result": "result"},
    torch=(),
    sample=both(reals(POSITIVE, REAL, torch="pow"), integers((-3, 3), (0, 5), torch="pow")),
)
