"""Views as strides: how a value that only rearranges another one addresses it.

`View(root, shape, strides, offset)`: element (i0, i1, ...) of the value is element `offset + sum(i_k * strides_k)` of
`root` laid out row-major. Broadcast, permute, slice and flip always are such views; a reshape is one if the strides
of its operand allow it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from gradc.ir.dim import Shape, row_major
from gradc.ir.graph import Node


class View(NamedTuple):
    root: int
    shape: Shape
    strides: Shape
    offset: int


def identity(root: int, shape: Shape) -> View:
    return View(root, shape, row_major(shape), 0)


def reshape_strides(shape: Shape, strides: Shape, new: Shape) -> Shape | None:
    """Strides of the same elements under another shape, or None where no strides express it (NumPy's rule)."""
    if 0 in shape:
        return row_major(new)
    old = [(d, s) for d, s in zip(shape, strides, strict=True) if d != 1]
    runs: list[tuple[int, int]] = []
    for d, s in old:
        if runs and runs[-1][1] == d * s:
            runs[-1] = (runs[-1][0] * d, s)
        else:
            runs.append((d, s))
    out: list[int] = []
    i = 0
    left, inner = runs[0] if runs else (1, 1)
    for d in new:
        if d == 1:
            out.append(0)
            continue
        while left == 1:
            i += 1
            left, inner = runs[i]
        if left % d:
            return None
        left //= d
        out.append(left * inner)
    return tuple(out)


def _broadcast(v: View, node: Node) -> View:
    shape: Shape = node.attrs["shape"]
    lead = len(shape) - len(v.shape)
    strides = (0,) * lead + tuple(
        0 if d == 1 and shape[i + lead] != 1 else s for i, (d, s) in enumerate(zip(v.shape, v.strides, strict=True))
    )
    return View(v.root, shape, strides, v.offset)


def _permute(v: View, node: Node) -> View:
    dims = node.attrs["dims"]
    return View(v.root, tuple(v.shape[d] for d in dims), tuple(v.strides[d] for d in dims), v.offset)


def _slice(v: View, node: Node) -> View:
    start, limit, step = node.attrs["start"], node.attrs["limit"], node.attrs["step"]
    shape = tuple(max(0, -(-(e - s) // t)) for s, e, t in zip(start, limit, step, strict=True))
    offset = v.offset + sum(s * k for s, k in zip(start, v.strides, strict=True))
    return View(v.root, shape, tuple(k * t for k, t in zip(v.strides, step, strict=True)), offset)


def _flip(v: View, node: Node) -> View:
    dims = {d % len(v.shape) for d in node.attrs["dims"]}
    offset = v.offset + sum((v.shape[d] - 1) * v.strides[d] for d in dims if v.shape[d])
    return View(v.root, v.shape, tuple(-s if d in dims else s for d, s in enumerate(v.strides)), offset)


def _reshape(v: View, node: Node) -> View | None:
    strides = reshape_strides(v.shape, v.strides, node.attrs["shape"])
    return None if strides is None else View(v.root, node.attrs["shape"], strides, v.offset)


STRIDED: dict[str, Callable[[View, Node], View | None]] = {
    "grad.broadcast": _broadcast,
    "grad.permute": _permute,
    "grad.slice": _slice,
    "grad.flip": _flip,
    "grad.reshape": _reshape,
}
"""How each strided view op transforms the view of its operand."""


def broadcast_to(v: View, shape: Shape) -> View:
    """The view as an operand of an elementwise op with this result shape."""
    if v.shape == shape:
        return v
    lead = len(shape) - len(v.shape)
    strides = (0,) * lead + tuple(
        0 if d == 1 and shape[i + lead] != 1 else s for i, (d, s) in enumerate(zip(v.shape, v.strides, strict=True))
    )
    return View(v.root, shape, strides, v.offset)


__all__ = ["STRIDED", "View", "broadcast_to", "identity", "reshape_strides"]
