"""Values that come from no memory: constants and coordinates."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gradc.ir.build import Var
from gradc.ir.dim import Shape, row_major
from gradc.ir.graph import Node

from .cluster import Labels
from .space import Affine, affine_of
from .views import View

if TYPE_CHECKING:
    from .lanes import Lanes


def _constant(maker: Lanes, node: Node, view: View, labels: Labels) -> Var:
    return maker.b.scalar(node.attrs["value"], node.attrs["dtype"])


def iota_affine(maker: Lanes, node: Node, view: View, labels: Labels) -> tuple[Affine, bool]:
    """The iota's coordinate as a linear form (True), or its flat address, from which to divide it out (False)."""
    shape: Shape = node.attrs["shape"]
    strides = row_major(shape)
    axes = maker.c.axes
    flat = affine_of(view, labels, axes)
    walks = [
        (a, k, next((d for d, (s, n) in enumerate(zip(strides, shape, strict=True)) if s <= k < s * n), -1))
        for a, k in flat.items()
    ]
    exact = all(d >= 0 and k % strides[d] == 0 for _, k, d in walks)
    reach = [sum((k // strides[d]) * (axes[a] - 1) for a, k, w in walks if w == d) for d in range(len(shape))]
    if exact and view.offset == 0 and all(r < max(n, 1) for r, n in zip(reach, shape, strict=True)):
        dim = node.attrs["dim"]
        return {a: k // strides[dim] for a, k, d in walks if d == dim}, True
    return flat, False


def _iota(maker: Lanes, node: Node, view: View, labels: Labels) -> Var:
    """The coordinate along one dim of the iota's own shape, of every element of a view of it."""
    shape: Shape = node.attrs["shape"]
    dim, d = node.attrs["dim"], node.attrs["dtype"]
    affine, linear = iota_affine(maker, node, view, labels)
    index = maker.affine_index(affine, 0 if linear else view.offset)
    if not linear:
        stride = row_major(shape)[dim]
        index = maker.b.idiv(index, stride) if stride != 1 else index
        index = maker.b.rem(index, shape[dim]) if dim != 0 else index
    return _to_dtype(maker, index, d)


def _to_dtype(maker: Lanes, value: Var, d: Any) -> Var:
    return value if value.dtype is d else maker.b.convert(value, dtype=d)


SOURCES: dict[str, Callable[[Lanes, Node, View, Labels], Var]] = {"grad.constant": _constant, "grad.iota": _iota}
