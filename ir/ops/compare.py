"""Comparisons and logic: results without gradients."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

import numpy as np

from gradc.ir.errors import GradTypeError
from gradc.ir.op import Op, Torch
from gradc.ir.types import i1, i32

from .family import binary_call, elementwise, spelling, unary_call
from .sampling import both, integers, masks, reals

REAL = (-2.0, 2.0)


def _compared(name: str) -> Callable[..., Any]:
    def formula(b: Any, self: Any, other: Any) -> Any:
        # The order of one-bit integers is the back end's affair (true may be -1), that of their 32-bit copies is not.
        if self.dtype is i1:
            self, other = b.convert(self, dtype=i32), b.convert(other, dtype=i32)
        return b.call(name, self, other)

    return formula


def compare(name: str, numpy: Callable[..., Any], *also: str, traits: frozenset[str] = frozenset()) -> Op:
    """Define a comparison with its operator."""
    return elementwise(
        name,
        ("self", "other"),
        numpy,
        _compared(name),
        out=i1,
        torch=(
            spelling(name, binary_call, also=also),
            Torch(lambda op, self, other: op(self, other), (), (f"__{name}__",)),
        ),
        traits=traits,
        sample=both(_ties, reals(REAL, REAL), masks(2)),
    )


def _ties(rng: Any) -> list[tuple[list[Any], dict[str, Any]]]:
    """Operands that are often equal, of equal and of different dtypes."""
    a, b = (rng.integers(-1, 2, (4, 5)) for _ in range(2))
    return [([a, b], {}), ([a.astype(np.float32), b], {}), ([a.astype(np.float32), b.astype(np.float32)], {})]


COMMUTATIVE = frozenset({"commutative"})
EQ = compare("eq", np.equal, traits=COMMUTATIVE)
NE = compare("ne", np.not_equal, "not_equal", traits=COMMUTATIVE)
LT = compare("lt", np.less, "less")
LE = compare("le", np.less_equal, "less_equal")
GT = compare("gt", np.greater, "greater")
GE = compare("ge", np.greater_equal, "greater_equal")


def truth(x: Any) -> Any:
    """A value as i1: whether it is not zero."""
    return x if x.dtype is i1 else x.ne(0)


def _logical(name: str, numpy: Callable[..., Any], combine: Callable[..., Any]) -> Op:
    return elementwise(
        name,
        ("self", "other"),
        numpy,
        lambda b, self, other: combine(truth(self), truth(other)),
        out=i1,
        traits=COMMUTATIVE,
        sample=both(_ties, masks(2)),
    )


LOGICAL_AND = _logical("logical_and", np.logical_and, lambda x, y: x & y)
LOGICAL_OR = _logical("logical_or", np.logical_or, lambda x, y: x | y)
LOGICAL_XOR = _logical("logical_xor", np.logical_xor, lambda x, y: x ^ y)
LOGICAL_NOT = elementwise(
    "logical_not",
    ("self",),
    np.logical_not,
    lambda b, self: b.bitwise_not(truth(self)),
    out=i1,
    sample=both(lambda rng: [(xs[:1], at) for xs, at in _ties(rng)], masks(1)),
)


def _bitwise(name: str, numpy: Callable[..., Any], short: str) -> Op:
    return elementwise(
        name,
        ("self", "other"),
        numpy,
        lambda b, self, other: b.call(name, self, other),
        accepts="integral",
        torch=(
            spelling(name, binary_call),
            Torch(lambda op, self, other: op(self, other), (), (f"__{short}__",), (f"__i{short}__",)),
            Torch(lambda op, self, other: op(other, self), (), (f"__r{short}__",)),
        ),
        traits=COMMUTATIVE,
        sample=both(integers((-9, 9), (-9, 9)), masks(2)),
    )


BITWISE_AND = _bitwise("bitwise_and", np.bitwise_and, "and")
BITWISE_OR = _bitwise("bitwise_or", np.bitwise_or, "or")
BITWISE_XOR = _bitwise("bitwise_xor", np.bitwise_xor, "xor")
def _invert(op: Any, self: Any) -> Any:
    if self.dtype.is_float:
        raise GradTypeError("~ (operator.invert) is only implemented on integer and Boolean-type tensors")
    return op(self)


BITWISE_NOT = elementwise(
    "bitwise_not",
    ("self",),
    np.invert,
    lambda b, self: b.bitwise_not(self),
    accepts="integral",
    torch=(spelling("bitwise_not", unary_call), Torch(_invert, (), ("__invert__",))),
    sample=both(integers((-9, 9)), masks(1)),
)


def _shift(name: str, numpy: Callable[..., Any], torch: str, short: str) -> Op:
    return elementwise(
        name,
        ("self", "other"),
        numpy,
        lambda b, self, other: b.call(name, self, other),
        accepts="int",
        kernel=f"{short}_cpu",
        torch=(
            spelling(torch, binary_call),
            Torch(lambda op, self, other: op(self, other), (), (f"__{short}__",), (f"__i{short}__",)),
            Torch(lambda op, self, other: op(other, self), (), (f"__r{short}__",)),
        ),
        sample=integers((-9, 9), (0, 5)),
    )


SHIFT_LEFT = _shift("shift_left", np.left_shift, "bitwise_left_shift", "lshift")
SHIFT_RIGHT = _shift("shift_right", np.right_shift, "bitwise_right_shift", "rshift")


def _test(name: str, numpy: Callable[..., Any], formula: Callable[..., Any]) -> Op:
    return elementwise(
        name,
        ("self",),
        numpy,
        formula,
        out=i1,
        torch=(spelling(name, unary_call, inplace=False),),
        sample=lambda rng: [
            ([np.asarray([[1.0, np.nan, -0.0], [np.inf, -np.inf, 3.0]], np.float32)], {}),
            ([np.arange(3)], {}),
        ],
    )


ISNAN = _test("isnan", np.isnan, lambda b, self: self.ne(self))
ISINF = _test(
    "isinf", np.isinf, lambda b, self: b.abs(self).eq(inf) if self.dtype.is_float else self.ne(self)
)
ISFINITE = _test(
    "isfinite", np.isfinite, lambda b, self: b.abs(self) < inf if self.dtype.is_float else self.eq(self)
)
