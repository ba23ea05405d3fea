"""Expressions that are repeated in every kernel that reads them, instead of going through memory.

Constants, iotas and random bits always are; arithmetic on values that lie in memory is, while it stays short and reads
little; so is a scalar reduced from at most 128 KB of integer inputs (the count of targets that are not ignored, say).
"""

from __future__ import annotations

from typing import NamedTuple

from gradc.ir.dim import Shape, row_major

from .views import View

OP_LIMIT = 64
"""Scalar operations of a repeated expression."""
SHORT = 8
"""Scalar operations of one whose producers are in a kernel that is full."""
ROOT_LIMIT = 2
"""Full-size values that an expression with several readers may load."""
REDUCTION_BYTES = 1 << 17
"""Bytes that every program may read again for a repeated scalar reduction."""
REDUCTION_LANES = 16384


class Repeated(NamedTuple):
    """`leaves` are the values in memory that the expression reads; `reduction` marks a scalar reduction."""

    cost: int
    leaves: tuple[int, ...] = ()
    reduction: bool = False


def compose(outer: View, inner: View) -> View | None:
    """The view that reads, through `outer` (of a value with `inner`'s shape), what `inner` reads; None if no strides
    express it."""
    if 0 in outer.shape:
        return View(inner.root, outer.shape, tuple([int(n == 0) for n in outer.shape]), inner.offset)
    dims = _coalesce(inner.shape, inner.strides)
    if not dims:
        return View(inner.root, outer.shape, (0,) * len(outer.shape), inner.offset)
    sizes = tuple(n for n, _ in dims)
    steps = row_major(sizes)
    offset = inner.offset
    start = []
    for n, step, (_, stride) in zip(sizes, steps, dims, strict=True):
        at = outer.offset // step % max(n, 1)
        start.append(at)
        offset += at * stride
    low, high = list(start), list(start)
    strides = []
    for extent, s in zip(outer.shape, outer.strides, strict=True):
        if s == 0 or extent == 1:
            strides.append(0)
            continue
        j = next((j for j, step in enumerate(steps) if step <= abs(s) < step * sizes[j]), -1)
        if j < 0 or s % steps[j]:
            return None
        k = s // steps[j]
        low[j] += min(k * (extent - 1), 0)
        high[j] += max(k * (extent - 1), 0)
        strides.append(k * dims[j][1])
    if any(lo < 0 or hi >= n for lo, hi, n in zip(low, high, sizes, strict=True)):
        return None
    return View(inner.root, outer.shape, tuple(strides), offset)


def _coalesce(shape: Shape, strides: Shape) -> list[tuple[int, int]]:
    """(extent, stride) of the dims, neighbours that are walked as one merged."""
    out: list[tuple[int, int]] = []
    for n, s in zip(shape, strides, strict=True):
        if n == 1:
            continue
        if out and out[-1][1] == n * s:
            out[-1] = (out[-1][0] * n, s)
        else:
            out.append((n, s))
    return out
