"""Elementwise arithmetic: sums, products, quotients, roots, signs."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradc.ir.errors import DTypeError
from gradc.ir.op import Torch
from gradc.ir.types import TensorType

from .family import elementwise, is_number, same_as_promoted, spelling, zero
from .sampling import both, masks, reals

REAL = (-2.0, 2.0)
POSITIVE = (0.3, 3.0)


def scaled(other: Any, alpha: float) -> Any:
    return other if alpha == 1 else other * alpha


def _add_call(op: Any, input: Any, other: Any, *, alpha: float = 1) -> Any:
    return op(input, scaled(other, alpha))


ADD = elementwise(
    "add",
    ("self", "other"),
    np.add,
    lambda b, self, other: self | other if self.dtype.kind == "bool" else self + other,
    {"self": lambda b, ct: ct, "other": lambda b, ct: ct},
    torch=(
        spelling("add", _add_call),
        Torch(lambda op, self, other: op(self, other), (), ("__add__",), ("__iadd__",)),
        Torch(lambda op, self, other: op(self, other), (), ("__radd__",)),
    ),
    traits=frozenset({"commutative", "opmath"}),
    sample=both(reals(REAL, REAL, ints=True), masks(2)),
)

BOOL_SUB = (
    "Subtraction, the `-` operator, with two bool tensors is not supported. Use the `^` or `logical_xor()` operator "
    "instead."
)
BOOL_SUB_ONE = (
    "Subtraction, the `-` operator, with a bool tensor is not supported. If you are trying to invert a mask, use the "
    "`~` or `logical_not()` operator instead."
)
_sub_promoted = same_as_promoted("sub")


def _sub_type(self: TensorType, other: TensorType) -> TensorType:
    masked = (self.dtype.kind == "bool") + (other.dtype.kind == "bool")
    if masked:
        raise DTypeError(BOOL_SUB if masked == 2 else BOOL_SUB_ONE)
    out: TensorType = _sub_promoted(self, other)
    return out


def _sub_call(op: Any, input: Any, other: Any, *, alpha: float = 1) -> Any:
    if isinstance(other, bool):
        raise DTypeError(BOOL_SUB_ONE)
    return op(input, scaled(other, alpha))


def _rsub_call(op: Any, input: Any, other: Any, *, alpha: float = 1) -> Any:
    if isinstance(other, bool):
        raise DTypeError(BOOL_SUB_ONE)
    return op(other, scaled(input, alpha), grad_fn="RsubBackward1" if is_number(other) else "RsubBackward0")


SUB = elementwise(
    "sub",
    ("self", "other"),
    np.subtract,
    lambda b, self, other: self - other,
    {"self": lambda b, ct: ct, "other": lambda b, ct: -ct},
    infer=_sub_type,
    torch=(
        spelling("sub", _sub_call, also=("subtract",)),
        spelling("rsub", _rsub_call, methods=("__rsub__",), inplace=False),
        Torch(_sub_call, (), ("__sub__",), ("__isub__",)),
        Torch(lambda op, input: op(input, input.tanh()), ("nn.functional.tanhshrink",)),
    ),
    traits=frozenset({"opmath"}),
    sample=reals(REAL, REAL, ints=True),
)

MUL = elementwise(
    "mul",
    ("self", "other"),
    np.multiply,
    lambda b, self, other: self & other if self.dtype.kind == "bool" else self * other,
    {"self": lambda b, ct, other: ct * other, "other": lambda b, ct, self: ct * self},
    saved={"self": "self", "other": "other"},
    torch=(
        spelling("mul", lambda op, input, other: op(input, other), also=("multiply",)),
        Torch(lambda op, self, other: op(self, other), (), ("__mul__",), ("__imul__",)),
        Torch(lambda op, self, other: op(self, other), (), ("__rmul__",)),
    ),
    traits=frozenset({"commutative", "opmath"}),
    sample=both(reals(REAL, REAL, ints=True), masks(2)),
)

DIV = elementwise(
    "div",
    ("self", "other"),
    np.divide,
    lambda b, self, other: self / other,
    {
        "self": lambda b, ct, other: ct / other,
        "other": lambda b, ct, self, other: -ct * ((self / other) / other),
    },
    floating=True,
    saved={"self": "self", "other": "other"},
    torch=(
        spelling("true_divide", lambda op, input, other: op(input, other)),
        Torch(lambda op, self, other: op(self, other), (), ("__truediv__",), ("__itruediv__",)),
        Torch(lambda op, self, other: self.reciprocal() * other, (), ("__rtruediv__",)),
        Torch(lambda op, input: op(input, input.abs() + 1), ("nn.functional.softsign",)),
    ),
    traits=frozenset({"opmath"}),
    sample=reals(REAL, POSITIVE, ints=True),
)

NEG = elementwise(
    "neg",
    ("self",),
    np.negative,
    lambda b, self: -self,
    {"self": lambda b, ct: -ct},
    no_bool="Negation, the `-` operator, on a bool tensor is not supported. If you are trying to invert a mask, use "
    "the `~` or `logical_not()` operator instead.",
    torch=(
        spelling("neg", lambda op, input: op(input), also=("negative",)),
        Torch(lambda op, self: op(self), (), ("__neg__",)),
    ),
    sample=reals(REAL, ints=True),
)

RECIPROCAL = elementwise(
    "reciprocal",
    ("self",),
    lambda x: np.divide(1.0, x, dtype=x.dtype),
    lambda b, self: 1.0 / self,
    {"self": lambda b, ct, result: -ct * (result * result)},
    floating=True,
    saved={"result": "result"},
    sample=reals(POSITIVE),
)

SQRT = elementwise(
    "sqrt",
    ("self",),
    np.sqrt,
    lambda b, self: b.sqrt(self),
    {"self": lambda b, ct, result: ct / (result * 2.0)},
    floating=True,
    saved={"result": "result"},
    sample=reals(POSITIVE),
)

RSQRT = elementwise(
    "rsqrt",
    ("self",),
    lambda x: np.divide(1.0, np.sqrt(x), dtype=x.dtype),
    lambda b, self: b.rsqrt(self),
    {"self": lambda b, ct, result: ct * (result * result * result) * -0.5},
    floating=True,
    saved={"result": "result"},
    sample=reals(POSITIVE),
)

ABS = elementwise(
    "abs",
    ("self",),
    np.abs,
    lambda b, self: b.abs(self),
    {"self": lambda b, ct, self: ct * b.sign(self)},
    accepts="number",
    saved={"self": "self"},
    torch=(
        spelling("abs", lambda op, input: op(input), also=("absolute",)),
        Torch(lambda op, self: op(self), (), ("__abs__",)),
    ),
    sample=reals(REAL, ints=True),
)


def _sign_formula(b: Any, self: Any) -> Any:
    if self.dtype.kind == "bool":
        return self
    zero, one = b.scalar(0, self.dtype), b.scalar(1, self.dtype)
    if self.dtype.name.startswith("ui"):
        return b.select(self.ne(0), one, zero)
    return b.select(self > 0, one, b.select(self < 0, -one, zero))


def _sign(x: Any) -> Any:
    return x if x.dtype == bool else np.where(x > 0, 1, np.where(x < 0, -1, 0)).astype(x.dtype)


SIGN = elementwise(
    "sign",
    ("self",),
    _sign,
    _sign_formula,
    {"self": zero},
    also=("sgn",),
    doc="-1, 0 or 1; 0 for NaN, as in torch. The derivative is zero everywhere.",
    sample=both(reals(REAL, ints=True), masks(1)),
)
