"""Matrix products: their index groups and the addresses of their operands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gradc.ir.build import Var
from gradc.ir.dim import ceil_div, next_pow2, product
from gradc.ir.graph import Node
from gradc.ir.op import CONTRACTION
from gradc.ir.tile import Group

from .cluster import Labels
from .space import LETTERS, Affine, Pairs, Space, affine_of, extra_groups, make_space, merge
from .views import View

if TYPE_CHECKING:
    from .lanes import Lanes


def contract_space(
    batch: list[int],
    rows: list[int],
    columns: list[int],
    depth: list[int],
    extents: dict[int, int],
    accesses: list[Affine],
    half: bool,
    extra: Pairs,
) -> Space:
    """Tiles of a matrix product: m x n per program, a loop over k, one program row per batch element. Only half types
    get the large tiles: full-precision products of 128 x 128 do not fit the registers."""

    def dims(axes: list[int]) -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]:
        parts = merge([a for a in axes if extents[a] != 1], extents, accesses)
        return tuple(product(extents[a] for a in p) for p in parts), tuple(tuple(p) for p in parts)

    (bd, bp), (md, mp), (nd, np_), (kd, kp) = dims(batch), dims(rows), dims(columns), dims(depth)
    m, n, k = product(md), product(nd), product(kd)
    big = half and m >= 512 and n >= 512
    tm = min(128 if big else 64, max(16, next_pow2(m)))
    tn = min(128 if big else 64, max(16, next_pow2(n)))
    tk = min(32, max(16, next_pow2(k)))
    pairs = [(Group("b", bd, grid=max(product(bd), 1), tile=1), bp)] if bd else []
    pairs += [
        (Group("m", md, grid=max(ceil_div(m, tm), 1), tile=tm), mp),
        (Group("n", nd, grid=max(ceil_div(n, tn), 1), tile=tn), np_),
        (Group("k", kd, loop=max(ceil_div(k, tk), 1), tile=tk), kp),
    ]
    return make_space([*pairs, *extra])


def product_space(maker: Lanes, accesses: list[Affine]) -> Space:
    """The space of the cluster's one contraction."""
    node = next(n for n in maker.nodes() if n.op.kind == CONTRACTION)
    a = node.attrs
    nb = len(a["lhs_batch"])
    n_left = maker.type_of(node.operands[0]).ndim - nb - len(a["lhs_contract"])
    labels = maker.c.labels[node.results[0]]
    batch = [x for lab in labels[:nb] for x in lab]
    rows = [x for lab in labels[nb : nb + n_left] for x in lab]
    columns = [x for lab in labels[nb + n_left :] for x in lab]
    depth = [x for x in maker.c.axes if x < 0]
    half = maker.type_of(node.operands[0]).dtype.is_half
    extra = extra_groups(maker.c, accesses, LETTERS)
    return contract_space(batch, rows, columns, depth, maker.c.axes, accesses, half, extra)


def contract_affines(maker: Lanes, node: Node, labels: Labels) -> tuple[Affine, Affine, int, int]:
    """The addresses of both operands; contracted dims become axes -1, -2, ... of the cluster."""
    a = node.attrs
    views = [maker.fuser.view[o] for o in node.operands]
    lb, rb, lc, rc = (list(a[k]) for k in ("lhs_batch", "rhs_batch", "lhs_contract", "rhs_contract"))
    out = []
    for side, (view, batch, inner) in enumerate(((views[0], lb, lc), (views[1], rb, rc))):
        free = [d for d in range(len(view.shape)) if d not in batch + inner]
        left_free = len(labels) - len(free) if side else len(batch)
        dims: list[tuple[int, ...]] = [()] * len(view.shape)
        for k, d in enumerate(batch):
            dims[d] = labels[k]
        for k, d in enumerate(free):
            dims[d] = labels[left_free + k]
        for k, d in enumerate(inner):
            maker.c.axes[-1 - k] = view.shape[d]
            dims[d] = (-1 - k,)
        out.append(affine_of(view, tuple(dims), maker.c.axes))
    return out[0], out[1], views[0].offset, views[1].offset


def contraction(maker: Lanes, node: Node, labels: Labels) -> Var:
    left, right, lo, ro = contract_affines(maker, node, labels)
    b = maker.b
    x = maker.load(maker.fuser.view[node.operands[0]].root, left, lo)
    y = maker.load(maker.fuser.view[node.operands[1]].root, right, ro)
    t = maker.type_of(node.results[0])
    acc = t.dtype.compute
    total: Var = b.dot(x, y, over="k", dtype=acc)
    if acc is not t.dtype:
        total = b.convert(total, dtype=t.dtype)
    return total


def contract_whole(maker: Lanes, node: Node, view: View, labels: Labels) -> list[Affine]:
    left, right, _, _ = contract_affines(maker, node, labels)
    return [left, right]
