"""lgamma, digamma, polygamma and erfinv. Kernels compute them in float64, whatever the element type."""

from __future__ import annotations

from math import lgamma as exact
from math import pi, sqrt
from typing import Any

import numpy as np

from gradc.ir import formulas_gamma as gamma
from gradc.ir.errors import GradRuntimeError, UnsupportedError
from gradc.ir.formulas_erf import erf_array, erfc, erfc_array
from gradc.ir.formulas_trig import cos, sin
from gradc.ir.op import Torch
from gradc.ir.types import f64

from .family import elementwise
from .sampling import both, reals
from .transcendental import of_float

ARRAYS = gamma.Lib(np.log, np.exp, np.floor, np.sin, np.cos, np.where, erf_array, erfc_array)
SPREAD = both(reals((0.2, 30.0)), reals((-4.7, -4.3)))


def _values(b: Any) -> gamma.Lib:
    trig = (lambda x: sin(b, x), lambda x: cos(b, x))
    return gamma.Lib(b.log, b.exp, b.floor, *trig, b.select, b.erf, lambda x: erfc(b, x))


def _array(f: Any, *more: Any) -> Any:
    def numpy(x: Any, **attrs: Any) -> Any:
        with np.errstate(all="ignore"):
            return f(ARRAYS, x.astype(np.float64), *more, *attrs.values()).astype(x.dtype)

    return numpy


def _formula(f: Any) -> Any:
    def formula(b: Any, self: Any, **attrs: Any) -> Any:
        return b.convert(f(_values(b), b.convert(self, dtype=f64), *attrs.values()), dtype=self.dtype)

    return formula


def _exact(x: float) -> float:
    try:
        return exact(x)
    except ValueError:
        return float("inf")


LGAMMA = of_float(
    "lgamma",
    lambda x: np.vectorize(_exact, otypes=[np.float64])(x.astype(np.float64)).astype(x.dtype),
    _formula(gamma.lgamma),
    lambda b, ct, self: ct * b.digamma(self),
    "self",
    alias=("special.gammaln",),
    sample=SPREAD,
)
DIGAMMA = of_float(
    "digamma",
    _array(gamma.digamma),
    _formula(gamma.digamma),
    lambda b, ct, self: ct * b.polygamma(self, n=1),
    "self",
    alias=("special.digamma", "special.psi"),
    sample=SPREAD,
)


def _polygamma_call(op: Any, n: Any, input: Any) -> Any:
    if n < 0:
        raise GradRuntimeError("polygamma(n, x) does not support negative n.")
    if n > 8:
        raise UnsupportedError(f"polygamma: n up to 8, got {n}")
    return op(input, record=DIGAMMA) if n == 0 else op(input, n=n)


def _sample_polygamma(rng: Any) -> Any:
    entries = reals((-3.7, 20.0), attrs=({"n": 1}, {"n": 2}, {"n": 3}))(rng)
    return [(arrays, attrs, lambda x, n=attrs["n"]: x.polygamma(n)) for arrays, attrs in entries]


POLYGAMMA = elementwise(
    "polygamma",
    ("self",),
    _array(gamma.polygamma),
    _formula(gamma.polygamma),
    {"self": lambda b, ct, self, n: ct * b.polygamma(self, n=n + 1)},
    floating=True,
    attrs={"n": "int"},
    saved={"self": "self", "n": "n"},
    torch=(
        Torch(_polygamma_call, ("polygamma", "special.polygamma")),
        Torch(lambda op, self, n: _polygamma_call(op, n, self), (), ("polygamma",), ("polygamma_",)),
    ),
    sample=_sample_polygamma,
)

ERFINV = of_float(
    "erfinv",
    lambda x: _erfinv_array(x),
    lambda b, self: b.convert(
        gamma.erfinv(_values(b), b.convert(self, dtype=f64), b.sqrt), dtype=self.dtype
    ),
    lambda b, ct, result: ct * (b.exp(result * result) * (sqrt(pi) / 2)),
    "result",
    (-0.95, 0.95),
    special=True,
)


def _erfinv_array(x: Any) -> Any:
    with np.errstate(all="ignore"):
        return gamma.erfinv(ARRAYS, x.astype(np.float64), np.sqrt).astype(x.dtype)


