"""Exponentials, logarithms, hyperbolic functions and their kin."""

from __future__ import annotations

from collections.abc import Callable
from math import log
from typing import Any

import numpy as np

from gradc.ir import formulas
from gradc.ir.op import Op

from .family import elementwise, spelling, unary_call
from .sampling import Domain, reals

LN2, LN10 = log(2.0), log(10.0)
REAL = (-2.0, 2.0)
POSITIVE = (0.3, 3.0)


def of_float(
    name: str,
    numpy: Callable[..., Any],
    formula: Callable[..., Any],
    rule: Callable[..., Any],
    saved: str,
    domain: Domain = REAL,
    *,
    also: tuple[str, ...] = (),
    special: bool = False,
    alias: tuple[str, ...] = (),
    grad_fn: str | None = None,
    sample: Callable[..., Any] | None = None,
) -> Op:
    """A function of one real variable: integers become float32. `saved` is the one value that the rule needs;
    `special` offers it under gradc.special too, `alias` under other dotted names."""
    every = (name, *also)
    return elementwise(
        name,
        ("self",),
        numpy,
        formula,
        {"self": rule},
        floating=True,
        saved={saved: saved},
        torch=(
            spelling(
                name,
                unary_call,
                also=also,
                names=(*every, *alias, *((f"special.{name}",) if special else ())),
            ),
        ),
        grad_fn=grad_fn,
        sample=sample or reals(domain),
    )


EXP = of_float("exp", np.exp, lambda b, self: b.exp(self), lambda b, ct, result: ct * result, "result")
EXP2 = of_float(
    "exp2",
    np.exp2,
    lambda b, self: b.exp2(self),
    lambda b, ct, result: ct * result * LN2,
    "result",
    special=True,
)
EXPM1 = of_float(
    "expm1", np.expm1, formulas.expm1, lambda b, ct, result: ct * (result + 1.0), "result", special=True
)
LOG = of_float("log", np.log, lambda b, self: b.log(self), lambda b, ct, self: ct / self, "self", POSITIVE)
LOG2 = of_float(
    "log2", np.log2, lambda b, self: b.log2(self), lambda b, ct, self: ct / (self * LN2), "self", POSITIVE
)
LOG10 = of_float("log10", np.log10, formulas.log10, lambda b, ct, self: ct / (self * LN10), "self", POSITIVE)
LOG1P = of_float(
    "log1p",
    np.log1p,
    formulas.log1p,
    lambda b, ct, self: ct / (self + 1.0),
    "self",
    (-0.8, 3.0),
    special=True,
    grad_fn="Log1PBackward0",
)
SINH = of_float("sinh", np.sinh, formulas.sinh, lambda b, ct, self: ct * b.cosh(self), "self")
COSH = of_float("cosh", np.cosh, formulas.cosh, lambda b, ct, self: ct * b.sinh(self), "self")
TANH = of_float("tanh", np.tanh, formulas.tanh, lambda b, ct, result: ct * (1.0 - result * result), "result")
ASINH = of_float(
    "asinh",
    np.arcsinh,
    formulas.asinh,
    lambda b, ct, self: ct * b.rsqrt(self * self + 1.0),
    "self",
    also=("arcsinh",),
)
ACOSH = of_float(
    "acosh",
    np.arccosh,
    formulas.acosh,
    lambda b, ct, self: ct * b.rsqrt(self * self - 1.0),
    "self",
    (1.2, 4.0),
    also=("arccosh",),
)
ATANH = of_float(
    "atanh",
    np.arctanh,
    formulas.atanh,
    lambda b, ct, self: ct / (1.0 - self * self),
    "self",
    (-0.9, 0.9),
    also=("arctanh",),
)
