"""Powers, remainders and divisions with rounding, in tile scalar ops (see formulas.py for what they promise)."""

from __future__ import annotations

from math import inf, nan
from typing import Any

from .types import f32, f64


def power(b: Any, x: Any, y: Any) -> Any:
    """x ** y of floats with C's table of special cases. Through float64's log2 and exp2: float32 results are exact to
    one unit in the last place, float64 ones to about |log2 of the result| units."""
    a = b.abs(x)
    if x.dtype is f64:
        t = b.exp2(y * b.log2(a))
    else:
        t = b.convert(b.exp2(b.convert(y, dtype=f64) * b.log2(b.convert(a, dtype=f64))), dtype=x.dtype)
    one = b.scalar(1.0, x.dtype)
    t = b.select(a.eq(1.0) & y.eq(y), one, t)
    whole = b.floor(y).eq(y)
    odd = whole & b.floor(y * 0.5).ne(y * 0.5)
    negative = (x < 0.0) | (x.eq(0.0) & (1.0 / x < 0.0))
    t = b.select(negative & odd, -t, t)
    t = b.select((x < 0.0) & a.ne(inf) & b.bitwise_not(whole), b.scalar(nan, x.dtype), t)
    return b.select(y.eq(0.0) | x.eq(1.0), one, t)


def integer_power(b: Any, x: Any, y: Any) -> Any:
    """x ** y of integers, wrapping; a negative exponent leaves 1, -1 or 0, as in torch."""
    one, zero = b.scalar(1, x.dtype), b.scalar(0, x.dtype)
    r, base = one, x
    for bit in range(x.dtype.bits - 1):
        r = b.select((y & (1 << bit)).ne(0), r * base, r)
        base = base * base
    if x.dtype.name.startswith("ui"):
        top = b.shift_right(y, b.scalar(x.dtype.bits - 1, x.dtype)).ne(0)
        return b.select(top, r * base, r)
    unit = b.select((y & 1).ne(0), x, one)
    inverse = b.select(x.eq(1) | x.eq(-1), unit, zero)
    return b.select(y < 0, inverse, r)


def whole_power(b: Any, x: Any, n: int) -> Any:
    """x ** n for a known n >= 0 by repeated squaring."""
    r: Any = None
    base = x
    while n:
        if n & 1:
            r = base if r is None else r * base
        n >>= 1
        if n:
            base = base * base
    return b.scalar(1, x.dtype) if r is None else r


def power_by(b: Any, x: Any, exponent: float) -> Any:
    """x ** exponent for a known number."""
    if not x.dtype.is_float:
        return whole_power(b, x, int(exponent))
    if exponent == 0.5:
        return b.sqrt(x)
    if exponent == -0.5:
        return 1.0 / b.sqrt(x)
    if exponent == int(exponent) and abs(exponent) <= 8:
        p = whole_power(b, x, int(abs(exponent)))
        return p if exponent >= 0 else 1.0 / p
    return power(b, x, b.scalar(float(exponent), x.dtype))


def hypot(b: Any, x: Any, y: Any) -> Any:
    """sqrt(x^2 + y^2) without overflow; infinite if either is, even beside NaN."""
    a, c = b.abs(x), b.abs(y)
    big, small = b.maximum(a, c), b.minimum(a, c)
    r = b.select(big.eq(0.0), big, small / big)
    value = big * b.sqrt(r * r + 1.0)
    infinity = b.scalar(inf, x.dtype)
    return b.select(a.eq(inf) | c.eq(inf), infinity, value)


def _two_product(a: Any, c: Any) -> tuple[Any, Any]:
    """a * c as a float64 and what it lost, by Veltkamp's splitting."""
    hi = a * c
    split = 134217729.0
    ah = a * split - (a * split - a)
    ch = c * split - (c * split - c)
    al, cl = a - ah, c - ch
    return hi, ((ah * ch - hi) + ah * cl + al * ch) + al * cl


def fmod(b: Any, x: Any, y: Any) -> Any:
    """The remainder with the sign of the dividend; exact for floats up to |x / y| = 2^29 (float32), 2^52 (float64)."""
    if not x.dtype.is_float:
        return b.rem(x, y)
    a, c = b.abs(x), b.abs(y)
    ad, cd = b.convert(a, dtype=f64), b.convert(c, dtype=f64)
    q = b.floor(ad / cd)
    if x.dtype is f32:
        r = ad - q * cd
    else:
        hi, lo = _two_product(q, cd)
        r = (ad - hi) - lo
    r = b.select(r < 0.0, r + cd, r)
    r = b.select(r >= cd, r - cd, r)
    r = b.convert(r, dtype=x.dtype)
    r = b.select(c.eq(inf) & (a < inf), a, r)
    r = b.select(x < 0.0, -r, r)
    return b.select(x.eq(0.0) & r.eq(r), x, r)


def remainder(b: Any, x: Any, y: Any) -> Any:
    """The remainder with the sign of the divisor."""
    m = fmod(b, x, y)
    return b.select(m.ne(0) & (m < 0).ne(y < 0), m + y, m)


def floor_divide(b: Any, x: Any, y: Any) -> Any:
    """The quotient rounded down, such that x = floor_divide * y + remainder."""
    if not x.dtype.is_float:
        q, m = b.idiv(x, y), b.rem(x, y)
        return b.select(m.ne(0) & (m < 0).ne(y < 0), q - 1, q)
    m = fmod(b, x, y)
    q = (x - m) / y
    q = b.select(m.ne(0.0) & (m < 0.0).ne(y < 0.0), q - 1.0, q)
    f = b.floor(q)
    f = b.select(q - f > 0.5, f + 1.0, f)
    return b.select(y.eq(0.0), x / y, b.select(q.eq(0.0), x / y * 0.0, f))
