"""The functions that printed NumPy code calls: the reduction tree, matrix products, and the few scalar ops that are no
ufunc."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import ml_dtypes
import numpy as np

from gradc.ir.ops.tile import c_div, c_rem, erf_array

Array: TypeAlias = np.ndarray[Any, Any]
Axes: TypeAlias = tuple[int, ...]

_ERF_P = (-2.72614225801306e-10, 2.77068142495902e-08, -2.10102402082508e-06, -5.69250639462346e-05,
          -7.34990630326855e-04, -2.95459980854025e-03, -1.60960333262415e-02)  # fmt: skip
_ERF_Q = (-1.45660718464996e-05, -2.13374055278905e-04, -1.68282697438203e-03, -7.37332916720468e-03,
          -1.42647390514189e-02)  # fmt: skip


FEW = 32
"""Lanes from which on the tree goes on with the lanes outermost: short inner loops cost more than a copy."""


MANY = 4096
"""Elements from which on it pays to copy them so."""


def tree(ufunc: Any, x: Array, groups: Sequence[Sequence[int]]) -> Array:
    """Combine lanes by halves: lane i with lane i + h, h the half of the next power of two, then again; missing lanes
    are the identity. The axes of one group are one run of lanes; groups are combined one after the other. Axes stay,
    with length 1."""
    for axes in groups:
        if not axes:
            continue
        first, lanes = axes[0], 1
        for k in axes:
            lanes *= x.shape[k]
        kept = x.shape[:first] + (1,) * len(axes) + x.shape[axes[-1] + 1 :]
        x = _halve(ufunc, x.reshape(*x.shape[:first], lanes, *x.shape[axes[-1] + 1 :]), first).reshape(kept)
    return x


def _halve(ufunc: Any, x: Array, axis: int) -> Array:
    n = x.shape[axis]
    if n == 0:
        shape = (*x.shape[:axis], 1, *x.shape[axis + 1 :])
        return np.full(shape, ufunc.identity, x.dtype)
    if n > FEW:
        x = _fold(ufunc, x.swapaxes(axis, -1), FEW).swapaxes(axis, -1)
        n = x.shape[axis]
    lanes = x.swapaxes(0, axis)
    if axis and n > 1:
        lanes = np.ascontiguousarray(lanes)
    while n > 1:
        half = 1 << ((n - 1).bit_length() - 1)
        whole = ufunc(lanes[: n - half], lanes[half:n])
        lanes = whole if n == 2 * half else np.concatenate((whole, lanes[n - half : half]))
        n = half
    out = lanes.swapaxes(0, axis)
    return out.copy() if np.may_share_memory(out, x) else out


def _fold(ufunc: Any, x: Array, few: int) -> Array:
    """The first levels of the tree, along the last axis. Every level is a new array: NumPy copies an operand that
    interleaves with the result."""
    n = x.shape[-1]
    while n > few:
        half = 1 << ((n - 1).bit_length() - 1)
        whole = ufunc(x[..., : n - half], x[..., half:n])
        x = whole if n == 2 * half else np.concatenate((whole, x[..., n - half : half]), axis=-1)
        n = half
    return x


def reduce(ufunc: Any, x: Array, axes: tuple[int, ...], initial: Any) -> Array:
    """Combine where order cannot be seen: extremes, truth values, integers."""
    if axes == (x.ndim - 1,) and x.shape[-1] <= FEW and x.size > MANY:
        first = np.ascontiguousarray(x.swapaxes(0, -1))
        out: Array = ufunc.reduce(first, axis=0, keepdims=True, initial=initial).swapaxes(0, -1)
    else:
        out = ufunc.reduce(x, axis=axes, keepdims=True, initial=initial)
    return out if out.dtype == x.dtype else out.astype(x.dtype)


def exp_step(top: Array, total: Array, x: Array) -> None:
    """One more step of a sum of exponentials, in place: `total` counts in units of exp(top)."""
    new = np.maximum(top, x)
    total *= np.where(top == new, np.ones((), x.dtype), np.exp(top - new))
    total += np.where(x == new, np.ones((), x.dtype), np.exp(x - new))
    top[...] = new


def moments_step(total: Array, mean: Array, squares: Array, count: Array, x: Array) -> None:
    """One more step of a sum and of the squared distances from the mean, in place."""
    count += 1
    total += x
    off = x - mean
    mean += off / count
    squares += off * (x - mean)


def dot(a: Array, b: Array, dtype: Any, batch: Axes, m: Axes, n: Axes, k: Axes) -> Array:
    """Sum over the axes `k` of a * b; all arrays have all axes, of length 1 where they do not vary."""
    a, b = a.astype(dtype, copy=False), b.astype(dtype, copy=False)
    sizes = [max(p, q) if p and q else 0 for p, q in zip(a.shape, b.shape, strict=True)]
    rest = tuple(i for i in range(a.ndim) if i not in batch + m + n + k)

    def flat(x: Array, outer: tuple[int, ...], inner: tuple[int, ...]) -> Array:
        used = batch + outer + inner
        want = [sizes[i] if i in used else 1 for i in range(x.ndim)]
        order = used + tuple(i for i in range(x.ndim) if i not in used)
        full: Array = np.broadcast_to(x, want).transpose(order)
        return full.reshape([*(sizes[i] for i in batch), _product(sizes, outer), _product(sizes, inner)])

    out: Array = np.matmul(flat(a, m, k), flat(b, k, n))
    order = batch + m + n
    out = out.reshape([sizes[i] for i in order] + [1] * (len(k) + len(rest)))
    places = order + k + rest
    return out.transpose([places.index(i) for i in range(a.ndim)])


def _product(sizes: Sequence[int], axes: Sequence[int]) -> int:
    total = 1
    for i in axes:
        total *= sizes[i]
    return total


def rsqrt(x: Array) -> Array:
    root = np.sqrt(x)
    return np.reciprocal(root, out=root) if root.ndim else np.reciprocal(root)


def fma(a: Array, b: Array, c: Array) -> Array:
    return np.multiply(a, b) + c


def umulhi(a: Array, b: Array) -> Array:
    """The high 32 bits of the product of two uint32."""
    return ((np.asarray(a).astype(np.uint64) * np.asarray(b).astype(np.uint64)) >> np.uint64(32)).astype(np.uint32)


def erf(x: Array) -> Array:
    """A rational approximation for float32 (at most a few ulp), the C library's for float64."""
    if x.dtype != np.float32:
        return np.asarray(erf_array(x))
    c = np.clip(x, -4.0, 4.0)
    z = c * c
    p = np.full_like(z, _ERF_P[0])
    for coefficient in _ERF_P[1:]:
        p *= z
        p += coefficient
    q = np.full_like(z, _ERF_Q[0])
    for coefficient in _ERF_Q[1:]:
        q *= z
        q += coefficient
    p *= c
    p /= q
    return np.asarray(p)


def names() -> dict[str, Any]:
    """What printed code may refer to."""
    return {
        "np": np,
        "bfloat16": ml_dtypes.bfloat16,
        "c_div": c_div,
        "c_rem": c_rem,
        "dot": dot,
        "erf": erf,
        "exp_step": exp_step,
        "moments_step": moments_step,
        "fma": fma,
        "reduce": reduce,
        "rsqrt": rsqrt,
        "tree": tree,
        "umulhi": umulhi,
    }
