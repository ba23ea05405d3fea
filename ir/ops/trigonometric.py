"""Trigonometric functions. Kernels are exact to a few units in the last place up to |x| = 1.6e6 (formulas_trig.py)."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradc.ir import formulas_trig

from .family import binary_call, elementwise, spelling
from .sampling import both, reals
from .transcendental import of_float

SIN = of_float("sin", np.sin, formulas_trig.sin, lambda b, ct, self: ct * b.cos(self), "self")
COS = of_float("cos", np.cos, formulas_trig.cos, lambda b, ct, self: ct * -b.sin(self), "self")
TAN = of_float(
    "tan",
    np.tan,
    formulas_trig.tan,
    lambda b, ct, result: ct * (result * result + 1.0),
    "result",
    (-1.2, 1.2),
)
ASIN = of_float(
    "asin",
    np.arcsin,
    formulas_trig.asin,
    lambda b, ct, self: ct * b.rsqrt(1.0 - self * self),
    "self",
    (-0.9, 0.9),
    also=("arcsin",),
)
ACOS = of_float(
    "acos",
    np.arccos,
    formulas_trig.acos,
    lambda b, ct, self: ct * -b.rsqrt(1.0 - self * self),
    "self",
    (-0.9, 0.9),
    also=("arccos",),
)
ATAN = of_float(
    "atan",
    np.arctan,
    formulas_trig.atan,
    lambda b, ct, self: ct / (self * self + 1.0),
    "self",
    also=("arctan",),
)



def _over_square(b: Any, x: Any, self: Any, other: Any) -> Any:
    """x / (self**2 + other**2), and 0 where that sum is 0 (also by underflow), as torch has it."""
    square = self * self + other * other
    return b.where(square.eq(0.0), 0.0, x / square)


ATAN2 = elementwise(
    "atan2",
    ("self", "other"),
    np.arctan2,
    formulas_trig.atan2,
    {
        "self": lambda b, ct, self, other: ct * _over_square(b, other, self, other),
        "other": lambda b, ct, self, other: ct * _over_square(b, -self, self, other),
    },
    floating=True,
    saved={"self": "self", "other": "other"},
    torch=(spelling("atan2", binary_call, also=("arctan2",)),),
    sample=both(reals((-2.0, 2.0), (0.3, 3.0)), reals((0.3, 2.0), (-3.0, -0.3))),
)
