"""The error function and its complement, in tile scalar ops and in NumPy (which has neither)."""

from __future__ import annotations

from math import inf
from typing import Any

import numpy as np

from .formulas import by_dtype, horner, with_sign

_ERF = (
    1.1283791670955126,
    -0.37612638903183748,
    0.11283791670954879,
    -0.026866170645076793,
    0.0052239776248180145,
    -0.00085483269808337899,
    0.00012055331111642711,
    -1.4925595266831182e-5,
    1.6461000484121368e-6,
    -1.6350312701054695e-7,
    1.4659775274047436e-8,
    -1.1372848856791674e-9,
    5.9571761477489114e-11,
)
"""erf(x) / x over x^2 in [0, 1]"""

_ERFCX_32 = (
    0.28209479,
    0.282095242,
    0.246817332,
    0.176470581,
    0.0835399072,
    -0.0107575415,
    -0.0106860722,
    -0.195947889,
    0.211342707,
    -0.0650427508,
)
_ERFCX_64 = (
    0.28209479177387814,
    0.28209479177387854,
    0.24683294280204752,
    0.17630924486739611,
    0.083746890924575981,
    -0.0044077224970274287,
    -0.056749609454077067,
    -0.05344505423489855,
    -0.0037367623537114565,
    0.048807236643607078,
    0.063125091032115525,
    -0.080621445998062996,
    0.35041443672899255,
    -2.0761506323911106,
    7.3696686806628688,
    -20.786712943498369,
    47.334678971593211,
    -82.958790584308971,
    109.40237115557295,
    -107.68280912994451,
    78.220814288510498,
    -40.883555897233349,
    14.599730620253323,
    -3.1988744696078091,
    0.32516513197351999,
)
"""exp(x^2) * erfc(x) / t over t = 1 / (1 + x/2) in [0, 0.8]"""


def erf(b: Any, x: Any) -> Any:
    """erf without the tile op of that name, for printers whose language has none: its series below 1, 1 - erfc
    beyond."""
    a = b.abs(x)
    near = x * horner(b.minimum(x * x, b.scalar(1.0, x.dtype)), _ERF)
    far = with_sign(b, 1.0 - _tail(b, a), x)
    return b.select(a < 1.0, near, b.select(x.eq(x), far, x))


def erfc(b: Any, x: Any) -> Any:
    """1 - erf(x) up to 1/2; beyond, the tail."""
    tail = _tail(b, b.abs(x))
    return b.select(x < 0.5, b.select(x > -0.5, 1.0 - b.erf(x), 2.0 - tail), b.select(x.eq(x), tail, x))


def _tail(b: Any, a: Any) -> Any:
    """erfc of a number that is not negative: a polynomial times exp(-a^2), with a^2 split into an exact part and a
    small one."""
    t = 1.0 / (a * 0.5 + 1.0)
    head = b.rint(b.minimum(a, b.scalar(40.0, a.dtype)) * 16.0) * 0.0625
    rest = b.exp(head * -head) * b.exp((head - a) * (head + a))
    tail = rest * t * horner(t, by_dtype(a, _ERFCX_32, _ERFCX_64))
    return b.select(a < 40.0, tail, b.scalar(0.0, a.dtype))


BLOCK = 1 << 14
"""Elements that are worked on at a time, so that the many passes stay in the cache."""


def _by_blocks(f: Any, x: Any) -> Any:
    x = np.asarray(x)
    flat = np.ascontiguousarray(x).reshape(-1)
    out = np.empty_like(flat)
    with np.errstate(all="ignore"):
        for i in range(0, flat.size, BLOCK):
            out[i : i + BLOCK] = f(flat[i : i + BLOCK].astype(np.float64))
    return out.reshape(x.shape)


def _erfc(d: Any) -> Any:
    a = np.abs(d)
    t = 1.0 / (a * 0.5 + 1.0)
    head = np.rint(np.minimum(a, 40.0) * 16.0) * 0.0625
    tail = np.exp(-head * head) * np.exp((head - a) * (head + a)) * t * horner(t, _ERFCX_64)
    tail = np.where(a < 40.0, tail, 0.0)
    near = 1.0 - d * horner(d * d, _ERF)
    out = np.where(a < 0.5, near, np.where(d < 0.0, 2.0 - tail, tail))
    return np.where(d == d, out, d)


def _erf(d: Any) -> Any:
    near = d * horner(np.minimum(d * d, 1.0), _ERF)
    far = np.copysign(1.0 - _erfc(np.abs(d)), d)
    return np.where(np.abs(d) < 1.0, near, np.where(np.abs(d) < inf, far, np.sign(d)))


def erfc_array(x: Any) -> Any:
    """erfc of an array, computed in float64."""
    return _by_blocks(_erfc, x)


def erf_array(x: Any) -> Any:
    """erf of an array, computed in float64."""
    return _by_blocks(_erf, x)
