"""Kernel bodies of ops that read memory at computed places: take, gather, unslice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gradc.ir.build import Var
from gradc.ir.dim import row_major
from gradc.ir.graph import Node
from gradc.ir.types import i32, i64

from .cluster import Labels
from .space import Affine, affine_of
from .views import View

if TYPE_CHECKING:
    from .lanes import Lanes


def _source_labels(node: Node, labels: Labels, rank: int) -> tuple[Labels, int]:
    """For each dim of the read tensor the labels of the result's dim that walks it; () where the index does."""
    dim = node.attrs["dim"]
    if node.op.short == "gather":
        return tuple(() if d == dim else lab for d, lab in enumerate(labels)), dim
    after = len(labels) - (rank - 1 - dim)
    return (*labels[:dim], (), *labels[after:]), dim


def read_affine(maker: Lanes, node: Node, view: View, labels: Labels) -> list[Affine]:
    source, _ = _source_labels(node, labels, len(view.shape))
    return [affine_of(view, source, maker.c.axes)]


def read(maker: Lanes, node: Node, labels: Labels) -> Var:
    """One element per lane at the index the lane computed; an index out of range reads 0 (a check reports it)."""
    fuser, b = maker.fuser, maker.b
    view = fuser.view[node.operands[0]]
    source, dim = _source_labels(node, labels, len(view.shape))
    index = maker.operand(fuser.aligned(node)[1], labels)
    index = index if index.dtype is i64 else b.convert(index, dtype=i64)
    inside = (index >= 0) & (index < view.shape[dim])
    affine = affine_of(view, source, maker.c.axes)
    return maker.load(view.root, affine, view.offset, mask=inside, index=(index,), index_coeffs=(view.strides[dim],))


def _window(maker: Lanes, node: Node, view: View, labels: Labels) -> tuple[Any, Affine, int]:
    """Where the result's lanes fall inside the operand: the mask, and the address (step 1 in every dim)."""
    a = node.attrs
    axes = maker.c.axes
    mask: Any = None
    affine: Affine = {}
    offset = view.offset
    dims = zip(labels, a["shape"], a["start"], a["limit"], view.strides, strict=True)
    for label, n, start, limit, stride in dims:
        if start > 0 or limit < n:
            i = maker.affine_index(affine_of(View(0, (n,), (1,), 0), (label,), axes), 0)
            for inside in ([i >= start] if start > 0 else []) + ([i < limit] if limit < n else []):
                mask = inside if mask is None else mask & inside
        for axis, k in affine_of(View(0, (n,), (stride,), 0), (label,), axes).items():
            affine[axis] = affine.get(axis, 0) + k
        offset -= start * stride
    return mask, affine, offset


def window_affine(maker: Lanes, node: Node, view: View, labels: Labels) -> list[Affine]:
    """Addresses for ordering and merging axes: the result's own, and the operand's where its step is 1."""
    shape = node.attrs["shape"]
    own = affine_of(View(0, shape, row_major(shape), 0), labels, maker.c.axes)
    parts = [affine_of(View(0, (n,), (1,), 0), (lab,), maker.c.axes) for n, lab in zip(shape, labels, strict=True)]
    return [own, affine_of(View(0, shape, view.strides, 0), labels, maker.c.axes), *parts]


def window(maker: Lanes, node: Node, labels: Labels) -> Var:
    """unslice: the operand where the result's index falls into the slice, 0 elsewhere."""
    view = maker.fuser.view[node.operands[0]]
    a = node.attrs
    if all(s == 1 for s in a["step"]):
        mask, affine, offset = _window(maker, node, view, labels)
        return maker.load(view.root, affine, offset, mask=mask)
    b = maker.b
    mask = None
    address: Any = None
    for label, n, start, limit, step, stride in zip(
        labels, a["shape"], a["start"], a["limit"], a["step"], view.strides, strict=True
    ):
        i = maker.affine_index(affine_of(View(0, (n,), (1,), 0), (label,), maker.c.axes), 0)
        i = i if i.dtype is i32 else b.convert(i, dtype=i32)
        inside = (i >= start) & (i < limit) & b.rem(i - start, step).eq(0)
        mask = inside if mask is None else mask & inside
        place = b.convert(b.idiv(i - start, step), dtype=i64) * stride
        address = place if address is None else address + place
    return maker.load(view.root, {}, view.offset, mask=mask, index=(address,), index_coeffs=(1,))
