"""Error functions, logit, logaddexp, xlogy."""

from __future__ import annotations

from math import pi, sqrt
from typing import Any

import numpy as np

from gradc.ir import formulas
from gradc.ir.formulas_erf import erf_array, erfc, erfc_array

from .family import binary_call, elementwise, is_number, spelling
from .sampling import reals
from .transcendental import of_float

REAL = (-2.0, 2.0)
POSITIVE = (0.3, 3.0)
UNIT = (0.1, 0.9)

ERF = of_float(
    "erf",
    erf_array,
    lambda b, self: b.erf(self),
    lambda b, ct, self: ct * (b.exp(-(self * self)) * (2.0 / sqrt(pi))),
    "self",
    special=True,
)
ERFC = of_float(
    "erfc",
    erfc_array,
    erfc,
    lambda b, ct, self: ct * (b.exp(-(self * self)) * (-2.0 / sqrt(pi))),
    "self",
    special=True,
)


def _logit(x: Any, eps: float | None = None) -> Any:
    if eps is not None:
        lo, hi = x.dtype.type(eps), x.dtype.type(1.0 - eps)
        x = np.where(x < lo, lo, np.where(x > hi, hi, x))
    return np.log(x / (1 - x))


def _logit_formula(b: Any, self: Any, eps: float | None = None) -> Any:
    if eps is not None:
        lo, hi = b.scalar(eps, self.dtype), b.scalar(1.0 - eps, self.dtype)
        self = b.select(self < lo, lo, b.select(self > hi, hi, self))
    return b.log(self / (1.0 - self))


def _logit_rule(b: Any, ct: Any, self: Any, eps: float | None) -> Any:
    inside = ct / (self * (1.0 - self))
    if eps is None:
        return b.where((self < 0.0) | (self > 1.0), float("nan"), inside)
    return b.where((self < eps) | (self > 1.0 - eps), 0.0, inside)


LOGIT = elementwise(
    "logit",
    ("self",),
    _logit,
    _logit_formula,
    {"self": _logit_rule},
    attrs={"eps": "float?"},
    floating=True,
    saved={"self": "self", "eps": "eps"},
    torch=(spelling("logit", lambda op, input, eps=None: op(input, eps=eps), names=("logit", "special.logit")),),
    sample=reals(UNIT, attrs=({}, {"eps": 0.25})),
)

LOGADDEXP = elementwise(
    "logaddexp",
    ("self", "other"),
    np.logaddexp,
    formulas.logaddexp,
    {
        "self": lambda b, ct, self, other: ct * b.sigmoid(self - other),
        "other": lambda b, ct, self, other: ct * b.sigmoid(other - self),
    },
    accepts="float",
    saved={"self": "self", "other": "other"},
    torch=(spelling("logaddexp", binary_call, inplace=False),),
    sample=reals(REAL, REAL),
)


def _xlogy(x: Any, y: Any) -> Any:
    return np.where(np.isnan(y), y, np.where(x == 0, np.zeros_like(x), x * np.log(y)))


def _xlogy_formula(b: Any, self: Any, other: Any) -> Any:
    value = b.select(self.eq(0.0), b.scalar(0.0, self.dtype), self * b.log(other))
    return b.select(other.eq(other), value, other)


def _xlogy_call(op: Any, input: Any, other: Any) -> Any:
    if is_number(input):
        return op(input, other, grad_fn="XlogyBackward1")
    return op(input, other, grad_fn="XlogyBackward2" if is_number(other) else "XlogyBackward0")


XLOGY = elementwise(
    "xlogy",
    ("self", "other"),
    _xlogy,
    _xlogy_formula,
    {
        "self": lambda b, ct, self, other: ct * b.where(self.eq(0.0) & (other <= 0.0), 0.0, b.log(other)),
        "other": lambda b, ct, self, other: ct * (self / other),
    },
    floating=True,
    saved={"self": "self", "other": "other"},
    torch=(spelling("xlogy", _xlogy_call, names=("xlogy", "special.xlogy")),),
    doc="self * log(other), 0 where self is 0 and other is not NaN.",
    sample=reals(REAL, POSITIVE),
)
