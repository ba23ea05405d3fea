"""Trigonometric formulas in tile scalar ops (see formulas.py for what they promise).

Arguments are reduced by multiples of pi/2 in float64 (float32 operands too: six operations), in pieces whose products
with the multiple are exact: full accuracy up to |x| = 1.6e6. Beyond, the absolute error grows like |x| * 2^-52, and the
result stays within [-1, 1]; infinities give NaN.
"""

from __future__ import annotations

from math import inf, nan, pi
from typing import Any

from .formulas import by_dtype, horner, keep_zero, not_nan, with_sign
from .types import f32, f64, i32

_PIECES = (1.57079632673412561417e00, 6.07710050630396597660e-11, 2.02226624871116645580e-21)
_REST = (6.07710050650619224932e-11, 2.02226624879595063154e-21, 8.47842766036889956997e-32)
_SIN_32 = (-0.166666647, 0.00833274827, -0.000195878909)
_SIN_64 = (
    -0.16666666666666667,
    0.0083333333333333315,
    -0.00019841269841265065,
    2.7557319219339167e-6,
    -2.5052106232447577e-8,
    1.6058531618986147e-10,
    -7.586697117706918e-13,
)
_COS_32 = (0.0416666647, -0.0013888303, 2.45479421e-5)
_COS_64 = (
    0.041666666666666667,
    -0.0013888888888888888,
    2.4801587301584646e-5,
    -2.7557319221402824e-7,
    2.0876755791080424e-9,
    -1.1470460887609959e-11,
    4.7458719020432915e-14,
)


def _reduce(b: Any, x: Any) -> tuple[Any, Any]:
    """x - k * pi/2 within [-pi/4, pi/4], and k modulo 4."""
    d = b.convert(x, dtype=f64)
    k = b.floor(d * (2.0 / pi) + 0.5)
    r = d - k * _PIECES[0]
    if x.dtype is f64:
        lost: Any = 0.0
        for piece in _PIECES[1:]:
            step = k * piece
            rest = r - step
            lost = (r - rest) - step + lost
            r = rest
        r = r + (lost - k * _REST[2])
    else:
        r = b.convert(r - k * _REST[0], dtype=f32)
    low, high = b.scalar(-0.8, x.dtype), b.scalar(0.8, x.dtype)
    quadrant = b.convert(k - b.floor(k * 0.25) * 4.0, dtype=i32)
    return b.minimum(b.maximum(r, low), high), quadrant


def _kernels(b: Any, r: Any) -> tuple[Any, Any]:
    z = r * r
    s = r * z * horner(z, by_dtype(r, _SIN_32, _SIN_64)) + r
    c = (1.0 - z * 0.5) + z * z * horner(z, by_dtype(r, _COS_32, _COS_64))
    return s, c


def _finite(b: Any, x: Any, value: Any) -> Any:
    return b.select(b.abs(x) < inf, value, b.scalar(nan, x.dtype))


def sin(b: Any, x: Any) -> Any:
    r, q = _reduce(b, x)
    s, c = _kernels(b, r)
    v = b.select((q & 1).ne(0), c, s)
    return keep_zero(b, x, _finite(b, x, b.select((q & 2).ne(0), -v, v)))


def cos(b: Any, x: Any) -> Any:
    r, q = _reduce(b, x)
    s, c = _kernels(b, r)
    v = b.select((q & 1).ne(0), s, c)
    return _finite(b, x, b.select(((q + 1) & 2).ne(0), -v, v))


def tan(b: Any, x: Any) -> Any:
    r, q = _reduce(b, x)
    s, c = _kernels(b, r)
    odd = (q & 1).ne(0)
    return keep_zero(b, x, _finite(b, x, b.select(odd, -c, s) / b.select(odd, s, c)))


_ASIN_32 = (0.166666663, 0.0750009454, 0.0445994015, 0.0311006627, 0.0171492384, 0.0336908472)
_ASIN_64 = (
    0.16666666666666667,
    0.075000000000001178,
    0.044642857142551893,
    0.03038194447553234,
    0.022372157443507222,
    0.017352816540325495,
    0.01396378001220357,
    0.011566459612121669,
    0.009621842970100281,
    0.0093195607947674463,
    0.0030448799094556774,
    0.019554513336123379,
    -0.019241671746743041,
    0.02961201126495512,
)


def _asin_pieces(b: Any, x: Any) -> tuple[Any, Any, Any]:
    """|x| > 1/2, and asin of |x| or, there, of sqrt((1 - |x|) / 2)."""
    a = b.abs(x)
    far = a > 0.5
    z = b.select(far, (1.0 - a) * 0.5, a * a)
    s = b.select(far, b.sqrt(z), a)
    return far, a, s * z * horner(z, by_dtype(x, _ASIN_32, _ASIN_64)) + s


def asin(b: Any, x: Any) -> Any:
    far, _, p = _asin_pieces(b, x)
    return not_nan(b, x, with_sign(b, b.select(far, pi / 2 - p * 2.0, p), x))


def acos(b: Any, x: Any) -> Any:
    far, _, p = _asin_pieces(b, x)
    outer = b.select(x < 0.0, pi - p * 2.0, p * 2.0)
    return b.select(far, outer, pi / 2 - b.select(x < 0.0, -p, p))


_ATAN_32 = (-0.333333318, 0.199995405, -0.142639556, 0.107437315, -0.0645192821)
_ATAN_64 = (
    -0.33333333333333333,
    0.19999999999999992,
    -0.14285714285711519,
    0.11111111110754729,
    -0.090909090670099901,
    0.076923067360001735,
    -0.066666420200551662,
    0.058819252531928636,
    -0.052580415542977796,
    0.04719395030027433,
    -0.04104436265755082,
    0.030635704112969497,
    -0.013918229291024428,
)
_TAN_PI_8, _TAN_3PI_8 = 0.41421356237309503, 2.414213562373095


def _atan_ratio(b: Any, top: Any, bottom: Any) -> Any:
    """atan(top / bottom) of two non-negative values, by pi/4 and pi/2 less the angle left over."""
    steep = top > bottom * _TAN_3PI_8
    middle = top > bottom * _TAN_PI_8
    n = b.select(steep, -bottom, b.select(middle, top - bottom, top))
    d = b.select(steep, top, b.select(middle, top + bottom, bottom))
    x = n / d
    z = x * x
    p = x * z * horner(z, by_dtype(x, _ATAN_32, _ATAN_64)) + x
    zero = b.scalar(0.0, x.dtype)
    return p + b.select(steep, b.scalar(pi / 2, x.dtype), b.select(middle, b.scalar(pi / 4, x.dtype), zero))


def atan(b: Any, x: Any) -> Any:
    a = b.abs(x)
    value = _atan_ratio(b, b.minimum(a, b.scalar(3e38, x.dtype)), b.scalar(1.0, x.dtype))
    return not_nan(b, x, with_sign(b, value, x))


def atan2(b: Any, y: Any, x: Any) -> Any:
    """The angle of (x, y) with C's cases for zeros and infinities; both zero or both infinite count as 1 and 1."""
    ay, ax = b.abs(y), b.abs(x)
    one, zero = b.scalar(1.0, x.dtype), b.scalar(0.0, x.dtype)
    infinite = ay.eq(inf) | ax.eq(inf)
    top = b.select(infinite, b.select(ay.eq(inf), one, zero), ay)
    bottom = b.select(infinite, b.select(ax.eq(inf), one, zero), ax)
    origin = top.eq(0.0) & bottom.eq(0.0)
    acute = _atan_ratio(b, top, b.select(origin, one, bottom))
    left = (x < 0.0) | (x.eq(0.0) & (1.0 / x < 0.0))
    value = b.select(left, pi - acute, acute)
    below = (y < 0.0) | (y.eq(0.0) & (1.0 / y < 0.0))
    return not_nan(b, x, not_nan(b, y, b.select(below, -value, value)))
