"""Dimensions: the one type for extents and affine coefficients, and the arithmetic allowed on them.

Today a dimension is always a constant. Code that combines dimensions goes through this module, so that a symbolic
dimension needs a change here and not in every op.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from .errors import ShapeError

Dim: TypeAlias = int
Shape: TypeAlias = tuple[Dim, ...]


def product(dims: Iterable[Dim]) -> Dim:
    """The number of elements of a box with these extents; 1 for none."""
    n = 1
    for d in dims:
        n *= d
    return n


def ceil_div(a: Dim, b: Dim) -> Dim:
    return -(-a // b)


def round_up(a: Dim, multiple: Dim) -> Dim:
    return -(-a // multiple) * multiple


def next_pow2(a: Dim) -> Dim:
    """The least power of two that is at least `a` (1 for 0 and 1)."""
    return 1 << max(a - 1, 0).bit_length()


def row_major(shape: Shape) -> Shape:
    """Element strides of a contiguous tensor of this shape."""
    strides = [1] * len(shape)
    for i in range(len(shape) - 2, -1, -1):
        strides[i] = strides[i + 1] * max(shape[i + 1], 1)
    return tuple(strides)


def broadcast(a: Shape, b: Shape) -> Shape:
    """The common shape of two operands under NumPy's rule; raises ShapeError with torch's sentence."""
    if a == b or not b:
        return a
    if not a:
        return b
    n = max(len(a), len(b))
    pa, pb = (1,) * (n - len(a)) + a, (1,) * (n - len(b)) + b
    out = []
    for i, (x, y) in enumerate(zip(pa, pb, strict=True)):
        if x != y and x != 1 and y != 1:
            raise ShapeError(
                f"The size of tensor a ({x}) must match the size of tensor b ({y}) at non-singleton dimension {i}"
            )
        out.append(y if x == 1 else x)
    return tuple(out)


def normalize_axis(axis: int, rank: int) -> int:
    """A non-negative axis; raises GradIndexError with torch's sentence. A scalar counts as rank 1, as in torch."""
    from .errors import GradIndexError

    r = max(rank, 1)
    if not -r <= axis < r:
        raise GradIndexError(f"Dimension out of range (expected to be in range of [{-r}, {r - 1}], but got {axis})")
    return axis % r
