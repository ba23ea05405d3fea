"""Rounding to integers, remainders, and division with rounding."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradc.ir.errors import GradRuntimeError
from gradc.ir.formulas_power import floor_divide, fmod, remainder
from gradc.ir.op import Op, Torch
from gradc.ir.types import promote

from .arithmetic import DIV
from .family import elementwise, is_number, no_derivative, spelling, zero
from .sampling import both, integers, reals
from .tile import c_div, c_rem

REAL = (-4.0, 4.0)
DIVISOR = (0.6, 3.0)
ZERO = "ZeroDivisionError"
"""torch raises a RuntimeError of this text."""


def _rounding(name: str, numpy: Any, tile: str, **more: Any) -> Op:
    """An op that leaves integers alone and has a derivative of zero, as torch's floor has."""
    return elementwise(
        name,
        ("self",),
        lambda x: numpy(x) if x.dtype.kind == "f" else x,
        lambda b, self: b.call(tile, self) if self.dtype.is_float else self,
        {"self": zero},
        accepts="number",
        kernel=f"{name}_vml_cpu",
        sample=reals(REAL, ints=True),
        **more,
    )


FLOOR = _rounding("floor", np.floor, "floor")
CEIL = _rounding("ceil", np.ceil, "ceil")
TRUNC = _rounding("trunc", np.trunc, "trunc", also=("fix",))


def _round_call(op: Any, input: Any, *, decimals: int = 0) -> Any:
    if decimals == 0:
        return op(input)
    scale = 10.0 ** abs(decimals)
    return op(input * scale) / scale if decimals > 0 else op(input / scale) * scale


ROUND = _rounding(
    "round", np.rint, "rint", torch=(spelling("round", _round_call),), doc="To the nearest integer, halves to even."
)

FRAC = elementwise(
    "frac",
    ("self",),
    lambda x: x - np.trunc(x),
    lambda b, self: self - b.trunc(self),
    {"self": lambda b, ct: ct},
    accepts="float",
    sample=reals(REAL),
)


def refuse_zero(x: Any, y: Any) -> None:
    """Integers have no quotient by 0."""
    if (y == 0).any() and x.size:
        raise GradRuntimeError(ZERO)


def _divisor(b: Any, self: Any, other: Any, rounding_mode: str | None = None) -> Any:
    """Where a divisor may be 0: not if it is a number that is known."""
    known = b.number(other)
    if promote(self.type, other.type).is_float or not self.type.numel or (known is not None and known != 0):
        return ()
    return ((other.eq(0), "runtime", ZERO),)


def _fmod(x: Any, y: Any) -> Any:
    if x.dtype.kind == "f":
        return np.fmod(x, y)
    refuse_zero(x, y)
    return c_rem(x, y)


def _fmod_call(op: Any, input: Any, other: Any) -> Any:
    return op(input, other, grad_fn="FmodBackward0" if is_number(other) else "FmodBackward1")


FMOD = elementwise(
    "fmod",
    ("self", "other"),
    _fmod,
    fmod,
    {
        "self": lambda b, ct: ct,
        "other": lambda b, ct, self, other: -ct * b.trunc(self / other),
    },
    check=_divisor,
    accepts="number",
    grad_fn="FmodBackward1",
    saved={"self": "self", "other": "other"},
    torch=(spelling("fmod", _fmod_call),),
    doc="The remainder with the sign of the dividend. An integer divided by 0 is an error.",
    sample=both(reals(REAL, DIVISOR), integers((-9, 9), (1, 4))),
)


def _remainder_call(op: Any, input: Any, other: Any) -> Any:
    return op(input, other, grad_fn="RemainderBackward0" if is_number(other) else "RemainderBackward1")


def _remainder(x: Any, y: Any) -> Any:
    if x.dtype.kind == "f":
        return np.remainder(x, y)
    refuse_zero(x, y)
    return np.remainder(x, y)


REMAINDER = elementwise(
    "remainder",
    ("self", "other"),
    _remainder,
    remainder,
    {
        "self": lambda b, ct: ct,
        "other": lambda b, ct, self, other: -ct * b.div_rounded(self, other, rounding_mode="floor"),
    },
    check=_divisor,
    accepts="number",
    grad_fn="RemainderBackward1",
    saved={"self": "self", "other": "other"},
    torch=(
        spelling("remainder", _remainder_call),
        Torch(_remainder_call, (), ("__mod__",), ("__imod__",)),
        Torch(lambda op, self, other: op(other, self), (), ("__rmod__",)),
    ),
    doc="The remainder with the sign of the divisor. An integer divided by 0 is an error.",
    sample=both(reals(REAL, DIVISOR), integers((-9, 9), (1, 4))),
)


def _floor_divide(x: Any, y: Any) -> Any:
    if x.dtype.kind == "f":
        return np.floor_divide(x, y)
    refuse_zero(x, y)
    return np.floor_divide(x, y)


def _binary(op: Any, input: Any, other: Any) -> Any:
    return op(input, other)


FLOOR_DIVIDE = elementwise(
    "floor_divide",
    ("self", "other"),
    _floor_divide,
    floor_divide,
    {"self": no_derivative("floor_divide"), "other": no_derivative("floor_divide")},
    check=_divisor,
    accepts="number",
    kernel="div_floor_cpu",
    grad_fn="NotImplemented",
    torch=(
        spelling("floor_divide", _binary),
        Torch(_binary, (), ("__floordiv__",), ("__ifloordiv__",)),
        Torch(lambda op, self, other: op(other, self), (), ("__rfloordiv__",)),
    ),
    sample=both(reals(REAL, DIVISOR), integers((-9, 9), (1, 4))),
)


def _rounded(x: Any, y: Any, rounding_mode: str) -> Any:
    if rounding_mode == "floor":
        return _floor_divide(x, y)
    if x.dtype.kind == "f":
        return np.trunc(x / y)
    refuse_zero(x, y)
    return c_div(x, y)


def _rounded_formula(b: Any, self: Any, other: Any, rounding_mode: str) -> Any:
    if rounding_mode == "floor":
        return floor_divide(b, self, other)
    return b.trunc(self / other) if self.dtype.is_float else b.idiv(self, other)


def _div_call(op: Any, input: Any, other: Any, *, rounding_mode: str | None = None) -> Any:
    if rounding_mode is None:
        return op(input, other, record=DIV)
    if rounding_mode not in ("floor", "trunc"):
        raise GradRuntimeError(
            f"div expected rounding_mode to be one of None, 'trunc', or 'floor' but found '{rounding_mode}'"
        )
    return op(input, other, rounding_mode=rounding_mode)


DIV_ROUNDED = elementwise(
    "div_rounded",
    ("self", "other"),
    _rounded,
    _rounded_formula,
    {"self": zero, "other": zero},
    check=_divisor,
    attrs={"rounding_mode": "str"},
    accepts="number",
    kernel="div_floor_cpu",
    grad_fn="DivBackward2",
    saved={"self": "self", "other": "other", "rounding_mode": "rounding_mode"},
    torch=(spelling("div", _div_call, also=("divide",)),),
    sample=both(
        reals(REAL, DIVISOR, attrs=({"rounding_mode": "floor"}, {"rounding_mode": "trunc"})),
        lambda rng: [
            (xs, {"rounding_mode": mode}) for mode in ("floor", "trunc") for xs, _ in integers((-9, 9), (1, 4))(rng)
        ],
    ),
)
