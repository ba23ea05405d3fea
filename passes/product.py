"""Matrix products: their index groups and the addresses of their operands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gradc.ir.build import Var
from gradc.ir.dim import ceil_div, next_pow2, product
from gradc.ir.graph import Node
from gradc.ir.op import CONTRACTION
from gradc.ir.tile import Group
from gradc.ir.types import TensorType

from .cluster import COLUMN_LIMIT, ROW_LIMIT, Cluster, Labels, Parts
from .space import LETTERS, PROGRAMS, Affine, Space, affine_of, extra_groups, make_space, merge
from .views import View

if TYPE_CHECKING:
    from .lanes import Lanes


PRODUCTS = 3
"""Products of one shape that share a kernel."""
WIDE = 128
"""Columns of a product up to which a tile may hold them all, so that whole rows can be reduced after the product."""


def parts_of(node: Node, labels: Labels, lhs: TensorType) -> Parts:
    """Which axes of a contraction's result are batches, rows and columns."""
    a = node.attrs
    nb = len(a["lhs_batch"])
    n_left = lhs.ndim - nb - len(a["lhs_contract"])
    batch, rows, columns = (
        frozenset(x for lab in part for x in lab)
        for part in (labels[:nb], labels[nb : nb + n_left], labels[nb + n_left :])
    )
    return Parts(batch, rows, columns, lhs.dtype.is_half)


def tile_sizes(c: Cluster) -> tuple[int, int]:
    """Rows and columns of a product's tile: those of least estimated time, which is the tiles of the busiest
    multiprocessor times the work of one. That is its products and, for each row and column, what loading it costs
    beside a product: more for half types, which multiply on tensor cores. Full-precision tiles of 128 x 128 do not fit
    the registers, nor do several products of that size, or two values of it that are read beside the product; where
    rows are reduced, a tile is 64 whole ones."""
    parts = c.parts
    assert parts is not None
    batches, m, n = (max(c.extent(set(axes)), 1) for axes in (parts.batch, parts.rows, parts.columns))
    sides: tuple[int, ...] = (128, 64) if parts.half else (64, 32)
    beside = [set(t.values()) for t in c.reads.values()]
    values = sum(bool(axes & parts.rows and axes & parts.columns) for axes in beside)
    most = (128 * 128 if parts.half else 2 * 64 * 64) // (parts.products if values < 2 else 2 * parts.products)
    load = 64 if parts.half else 16
    high = {min(side, max(16, next_pow2(m))) for side in ((64,) if c.overs else sides)}
    wide = {max(16, next_pow2(n))} if c.overs else {min(side, max(16, next_pow2(n))) for side in sides}

    def time(tile: tuple[int, int]) -> tuple[int, int]:
        tm, tn = tile
        tiles = batches * ceil_div(m, tm) * ceil_div(n, tn)
        return ceil_div(tiles, PROGRAMS) * (tm * tn + load * (tm + tn)), -tm * tn

    tiles = [(tm, tn) for tm in sorted(high) for tn in sorted(wide)]
    return min([t for t in tiles if t[0] * t[1] <= most] or tiles[:1], key=time)


def takes_product(c: Cluster) -> bool:
    """Whether one more product fits beside those of the kernel: its accumulators take registers of their own."""
    return c.parts is not None and c.parts.products < PRODUCTS and not c.final and not c.overs


def epilogue_mode(c: Cluster, over: frozenset[int]) -> str | None:
    """How a reduction of a product's result may join it: whole rows that a tile holds are usable inside; sums over all
    rows leave one partial per tile, as many as one finaliser adds up. Sums of longer rows are left to a kernel that has
    whole rows: what follows them mostly wants the rows too."""
    parts = c.parts
    assert parts is not None
    if over == parts.columns and c.extent(set(over)) <= WIDE and not c.final:
        return "inner"
    if not parts.rows <= over or any(over & p and not p <= over for p in (parts.batch, parts.columns)):
        return None
    m, n = c.extent(set(parts.rows)), c.extent(set(parts.columns))
    tm, tn = tile_sizes(c)
    count = c.extent(set(parts.batch & over))
    count *= ceil_div(m, tm) * (ceil_div(n, tn) if over & parts.columns else 1)
    return "final" if count <= (ROW_LIMIT if over == frozenset(c.axes) else COLUMN_LIMIT) else None


def product_space(maker: Lanes, accesses: list[Affine]) -> Space:
    """The space of the cluster's one contraction: tiles of m x n per program, a loop over k, one program row per batch
    element."""
    c = maker.c
    parts, extents = c.parts, c.axes
    assert parts is not None
    node = next(n for n in maker.nodes() if n.op.kind == CONTRACTION)
    order = [x for lab in c.labels[node.results[0]] for x in lab]

    def dims(axes: list[int]) -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]:
        found = merge([a for a in axes if extents[a] != 1], extents, accesses)
        return tuple(product(extents[a] for a in p) for p in found), tuple(tuple(p) for p in found)

    bd, bp = dims([a for a in order if a in parts.batch])
    md, mp = dims([a for a in order if a in parts.rows])
    nd, np_ = dims([a for a in order if a in parts.columns])
    kd, kp = dims([a for a in extents if a < 0])
    m, n, k = product(md), product(nd), product(kd)
    tm, tn = tile_sizes(c)
    tk = min(32, max(16, next_pow2(k)))
    pairs = [(Group("b", bd, grid=max(product(bd), 1), tile=1), bp)] if bd else []
    pairs += [
        (Group("m", md, grid=max(ceil_div(m, tm), 1), tile=tm), mp),
        (Group("n", nd, grid=max(ceil_div(n, tn), 1), tile=tn), np_),
        (Group("k", kd, loop=max(ceil_div(k, tk), 1), tile=tk), kp),
    ]
    return make_space([*pairs, *extra_groups(c, accesses, LETTERS)])


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
