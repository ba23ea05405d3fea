"""Numeric formulas in tile scalar ops: what they share, and the exponential family.

Every function takes the builder and values of one dtype, float32 or float64, and returns that dtype. The branch on
`x.dtype` is static: float64 takes more terms of the same series. Polynomials are Chebyshev interpolants over the range
in use. Where nothing else is said: NaN gives NaN, infinities give their limits, a zero keeps its sign, and the error is
below 5 units in the last place if `exp` and `log` of the executor are good to 2.5 (tests/test_formulas.py measures).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, log, nan
from typing import Any

from .types import f64

LN2 = log(2.0)


def horner(x: Any, coefficients: Sequence[float]) -> Any:
    """c0 + x * (c1 + x * (c2 + ...))"""
    r: Any = coefficients[-1]
    for c in reversed(coefficients[:-1]):
        r = x * r + c
    return r


def by_dtype(x: Any, narrow: Sequence[float], wide: Sequence[float]) -> Sequence[float]:
    """The coefficients for float32 or float64."""
    return wide if x.dtype is f64 else narrow


def not_nan(b: Any, x: Any, value: Any) -> Any:
    """`value`, or NaN where `x` is one."""
    return b.select(x.eq(x), value, x)


def keep_zero(b: Any, x: Any, value: Any) -> Any:
    """`value`, or `x` where it is a zero of either sign."""
    return b.select(x.eq(0.0), x, value)


def with_sign(b: Any, magnitude: Any, x: Any) -> Any:
    """`magnitude` with the sign of `x`; a zero `x` is returned itself."""
    return keep_zero(b, x, b.select(x < 0.0, -magnitude, magnitude))


_EXPM1_32 = (0.500000012, 0.166666668, 0.0416657912, 0.00833323613, 0.0013982186, 0.000199448744)
_EXPM1_64 = (
    0.5,
    0.16666666666666667,
    0.041666666666666667,
    0.0083333333333333999,
    0.001388888888888893,
    0.00019841269841056861,
    2.4801587301454231e-5,
    2.7557319516028309e-6,
    2.755731940645727e-7,
    2.5051913745634797e-8,
    2.0876635370907815e-9,
    1.6121291390767837e-10,
    1.1509642370665761e-11,
)


def expm1(b: Any, x: Any) -> Any:
    """exp(x) - 1, by its series for |x| < 1/2."""
    series = x * x * horner(x, by_dtype(x, _EXPM1_32, _EXPM1_64)) + x
    return keep_zero(b, x, b.select(b.abs(x) < 0.5, series, b.exp(x) - 1.0))


_LOG_32 = (0.66666685, 0.399887806, 0.295799494)
_LOG_64 = (
    0.66666666666666697,
    0.39999999999899504,
    0.28571428625975485,
    0.2222221113479508,
    0.18182889125261722,
    0.15331721600556041,
    0.14616449685043406,
)


def log1p(b: Any, x: Any) -> Any:
    """log(1 + x): the atanh series for x in [-0.29, 0.41], else log with the rounding of 1 + x put right."""
    s = x / (x + 2.0)
    z = s * s
    half = x * x * 0.5
    series = x - (half - s * (half + z * horner(z, by_dtype(x, _LOG_32, _LOG_64))))
    u = x + 1.0
    lost = b.select(x > 1.0, 1.0 - (u - x), x - (u - 1.0))
    big = b.select((u > 0.0) & (u < inf), b.log(u) + lost / u, b.log(u))
    return keep_zero(b, x, b.select((x > -0.29) & (x < 0.41), series, big))


def log10(b: Any, x: Any) -> Any:
    return b.log(x) * (1.0 / log(10.0))


_TANH_32 = (-0.333333332, 0.133333038, -0.0539593111, 0.0217693384, -0.00834532114, 0.00229430486)


def tanh(b: Any, x: Any) -> Any:
    """The odd series below 0.625 (float32) or expm1 (float64), 1 - 2 / (exp(2|x|) + 1) above."""
    a = b.abs(x)
    if x.dtype is f64:
        t = expm1(b, a * -2.0)
        return with_sign(b, -t / (t + 2.0), x)
    q = x * x
    series = x * q * horner(q, _TANH_32) + x
    e = b.exp(b.minimum(a, b.scalar(20.0, x.dtype)) * 2.0)
    big = 1.0 - 2.0 / (e + 1.0)
    return keep_zero(b, x, b.select(a < 0.625, series, b.select(x < 0.0, -big, big)))


def sigmoid(b: Any, x: Any) -> Any:
    """1 / (1 + exp(-x)) with no overflow and no cancellation on either side."""
    t = b.exp(-b.abs(x))
    r = 1.0 / (t + 1.0)
    return b.select(x < 0.0, t * r, r)


def softplus(b: Any, x: Any) -> Any:
    """log(1 + exp(x))"""
    return not_nan(b, x, b.maximum(x, b.scalar(0.0, x.dtype)) + log1p(b, b.exp(-b.abs(x))))


def log_sigmoid(b: Any, x: Any) -> Any:
    return not_nan(b, x, b.minimum(x, b.scalar(0.0, x.dtype)) - log1p(b, b.exp(-b.abs(x))))


def logaddexp(b: Any, x: Any, y: Any) -> Any:
    """log(exp(x) + exp(y)); equal operands apart, so that two infinities meet no difference."""
    return b.select(x.eq(y), x + LN2, b.maximum(x, y) + log1p(b, b.exp(-b.abs(x - y))))


def sinh(b: Any, x: Any) -> Any:
    a = b.abs(x)
    t = expm1(b, a)
    small = (t + t / (t + 1.0)) * 0.5
    h = b.exp(a * 0.5)
    return with_sign(b, b.select(a < 1.0, small, h * 0.5 * h - 0.5 / h / h), x)


def cosh(b: Any, x: Any) -> Any:
    h = b.exp(b.abs(x) * 0.5)
    return h * 0.5 * h + 0.5 / h / h


def asinh(b: Any, x: Any) -> Any:
    """log1p of a + a^2 / (1 + sqrt(1 + a^2)); log(2a) where the square could overflow."""
    a = b.abs(x)
    large = 2.0**28
    c = b.minimum(a, b.scalar(large, x.dtype))
    square = c * c
    small = log1p(b, c + square / (b.sqrt(square + 1.0) + 1.0))
    return not_nan(b, x, with_sign(b, b.select(a < large, small, b.log(a) + LN2), x))


def acosh(b: Any, x: Any) -> Any:
    large = 2.0**28
    t = b.minimum(x, b.scalar(large, x.dtype)) - 1.0
    value = b.select(x < large, log1p(b, t + b.sqrt(t * t + t * 2.0)), b.log(x) + LN2)
    # Far below 1 the sum under the logarithm cancels to -1, where log1p is -inf.
    return b.select(x < 1.0, b.scalar(nan, x.dtype), value)


def atanh(b: Any, x: Any) -> Any:
    a = b.abs(x)
    return with_sign(b, log1p(b, a * 2.0 / (1.0 - a)) * 0.5, x)


def mish(b: Any, x: Any) -> Any:
    """x * tanh(log(1 + exp(x))) as a ratio of polynomials in exp(-|x|)."""
    t = b.exp(-b.abs(x))
    low = t * (t + 2.0)
    high = t * 2.0 + 1.0
    ratio = b.select(x < 0.0, low / (low + 2.0), high / (high + t * t * 2.0))
    return x * ratio
