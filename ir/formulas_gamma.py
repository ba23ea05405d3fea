"""The logarithm of the gamma function and its derivatives, and the inverse of the error function.

Written once over arithmetic that NumPy arrays and values of a builder share, in float64: `lib` gives log, floor and
the like. Methods: the recurrence up to where an asymptotic series holds (Abramowitz and Stegun 6.1.41, 6.3.18), the
Euler-Maclaurin sum of the Hurwitz zeta function for polygamma, and reflection below 1/2. The first guess of erfinv is
the single-precision approximation of M. Giles ("Approximating the erfinv function", 2010), improved by Newton's steps.
"""

from __future__ import annotations

from math import factorial, log, pi, sqrt
from typing import Any, NamedTuple

from .formulas import horner

BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510)
"""B_2, B_4, ..."""
SHIFT = 10
"""Steps of the recurrence: from there on the series are good to 1e-16."""


class Lib(NamedTuple):
    """The functions beside + - * /; `where` takes a condition and two values."""

    log: Any
    exp: Any
    floor: Any
    sin: Any
    cos: Any
    where: Any
    erf: Any
    erfc: Any


def lgamma(lib: Lib, x: Any) -> Any:
    """log |gamma(x)|; inf at 0, -1, -2, ... and at both infinities."""
    low = x < 0.5
    y = lib.where(low, 1.0 - x, x)
    small = y < SHIFT
    z, product = y, y * 0.0 + 1.0
    for _ in range(SHIFT):
        short = z < SHIFT
        product = lib.where(short, product * z, product)
        z = lib.where(short, z + 1.0, z)
    r = 1.0 / z
    series = horner(r * r, [b / (2 * k * (2 * k - 1)) for k, b in enumerate(BERNOULLI, 1)]) * r
    value = (z - 0.5) * lib.log(z) - z + 0.5 * log(2 * pi) + series
    value = lib.where(small, value - lib.log(product), value)
    value = lib.where(y > 1e306, y, value)  # the product above would be inf - inf
    s = _sin_pi(lib, x)
    s = lib.where(s < 0.0, -s, s)
    reflected = log(pi) - lib.log(s) - value
    pole = low & (lib.floor(x) >= x) & (lib.floor(x) <= x)
    reflected = lib.where(pole, s * 0.0 + float("inf"), reflected)
    return lib.where(x >= float("inf"), x, lib.where(x <= float("-inf"), -x, lib.where(low, reflected, value)))


def digamma(lib: Lib, x: Any) -> Any:
    """The derivative of lgamma. As in torch it is infinite at zeros, by their sign, and NaN at the other poles."""
    low = x < 0.0
    y = lib.where(low, 1.0 - x, x)
    total, z = y * 0.0, y
    for _ in range(SHIFT):
        short = z < SHIFT
        total = lib.where(short, total - 1.0 / z, total)
        z = lib.where(short, z + 1.0, z)
    r = 1.0 / z
    square = r * r
    value = total + lib.log(z) - 0.5 * r - square * horner(square, [b / (2 * k) for k, b in enumerate(BERNOULLI, 1)])
    value = lib.where(y >= float("inf"), y, value)
    reflected = value - pi * _cos_pi(lib, x) / _sin_pi(lib, x)
    pole = low & (lib.floor(x) >= x)
    reflected = lib.where(pole, reflected * 0.0 + float("nan"), reflected)
    zero = (x >= 0.0) & (x <= 0.0)
    return lib.where(zero, -1.0 / x, lib.where(low, reflected, value))


def polygamma(lib: Lib, x: Any, n: int) -> Any:
    """The n-th derivative of digamma, n >= 1: below 1/2 by the n-th derivative of pi cot(pi x), a polynomial in the
    cotangent."""
    s = n + 1
    low = x < 0.5
    y = lib.where(low, 1.0 - x, x)
    total = _power(1.0 / y, s)
    for k in range(1, SHIFT):
        total = total + _power(1.0 / (y + float(k)), s)
    r = 1.0 / (y + float(SHIFT))
    tail = _power(r, s - 1) * (1.0 / (s - 1)) + _power(r, s) * 0.5
    rising, term = float(s), _power(r, s + 1)
    for j, b in enumerate(BERNOULLI, 1):
        tail = tail + term * (b / factorial(2 * j) * rising)
        rising *= (s + 2 * j - 1) * (s + 2 * j)
        term = term * r * r
    value = (total + tail) * float((-1) ** s * factorial(n))
    cotangent, p = _cos_pi(lib, x) / _sin_pi(lib, x), [0.0, 1.0]
    for _ in range(n):
        slope = [k * c for k, c in enumerate(p)][1:]
        p = [-(a + b) for a, b in zip([*slope, 0.0, 0.0], [0.0, 0.0, *slope], strict=True)]
    reflected = float((-1) ** n) * value - pi**s * horner(cotangent, p)
    pole = lib.floor(x) >= x
    reflected = lib.where(pole, value * 0.0 + float((-1) ** s) * float("inf"), reflected)
    return lib.where(low, reflected, value)


def _power(x: Any, n: int) -> Any:
    out = x
    for _ in range(n - 1):
        out = out * x
    return out


def _fraction(lib: Lib, x: Any) -> Any:
    """The distance to the nearest integer below or above, and whether that integer is odd."""
    n = lib.floor(x + 0.5)
    half = lib.floor(n * 0.5) * 2.0
    return x - n, n > half


def _sin_pi(lib: Lib, x: Any) -> Any:
    f, odd = _fraction(lib, x)
    s = lib.sin(f * pi)
    return lib.where(odd, -s, s)


def _cos_pi(lib: Lib, x: Any) -> Any:
    f, odd = _fraction(lib, x)
    c = lib.cos(f * pi)
    return lib.where(odd, -c, c)


_NEAR = (
    1.50140941, 0.246640727, -0.00417768164, -0.00125372503, 0.00021858087, -4.39150654e-06, -3.5233877e-06,
    3.43273939e-07, 2.81022636e-08,
)  # fmt: skip
_FAR = (
    2.83297682, 1.00167406, 0.00943887047, -0.0076224613, 0.00573950773, -0.00367342844, 0.00134934322, 0.000100950558,
    -0.000200214257,
)  # fmt: skip


def erfinv(lib: Lib, y: Any, sqrt_: Any) -> Any:
    """x with erf(x) = y; infinite at -1 and 1, NaN beyond."""
    a = lib.where(y < 0.0, -y, y)
    left = 1.0 - a
    w = -lib.log(left * (1.0 + a))
    x = a * lib.where(w < 5.0, horner(w - 2.5, _NEAR), horner(sqrt_(w) - 3.0, _FAR))
    outside = w + log(2.0)  # beyond single precision: erfc(x) is near exp(-x^2) / (x sqrt(pi))
    x = lib.where(w < 16.0, x, sqrt_(outside - 0.5 * lib.log(outside * pi)))
    for _ in range(2):
        error = lib.where(a < 0.5, lib.erf(x) - a, left - lib.erfc(x))
        step = error * lib.exp(x * x) * (sqrt(pi) / 2)
        x = x - step / (1.0 + x * step)
    x = lib.where(left > 0.0, x, lib.where(left < 0.0, w, left + float("inf")))
    return lib.where(y < 0.0, -x, x)
