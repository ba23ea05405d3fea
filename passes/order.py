"""The order of a kernel's nodes, where it decides what is held in registers at once."""

from __future__ import annotations

from collections.abc import Sequence

from gradc.ir.graph import Graph
from gradc.ir.rewrite import Rewriter
from gradc.ir.tile import groups

from .pressure import space_of
from .sweep import needed


def constants_first(kernel: Graph) -> Graph:
    """The kernel with reductions that are the same for every program before all else: their lanes are then gone when a
    row comes in."""
    spread = {g.letter for g in groups(kernel) if g.grid > 1 or g.loop > 1}
    first: set[int] = set()
    for i, node in enumerate(kernel.nodes):
        if node.op.name == "tile.reduce" and not spread & set(node.attrs["over"]):
            behind = needed(kernel, {i})
            if not any(spread & set(space_of(kernel, r)) for j in behind for r in kernel.nodes[j].results):
                first |= behind
    return _in_order(kernel, sorted(first))


def columns_early(kernel: Graph) -> Graph:
    """The kernel with sums per column as soon as their operands are there: before the next reduction along the row,
    which would have to hold them."""
    looped = {g.letter for g in groups(kernel) if g.loop > 1}
    sums, barriers = [], set()
    for i, node in enumerate(kernel.nodes):
        if node.op.name == "tile.reduce":
            if looped & set(node.attrs["over"]) and space_of(kernel, node.results[0]):
                sums.append(i)
            else:
                barriers.add(i)
    if not sums:
        return kernel
    behind = {i: needed(kernel, {i}) for i in sums}
    order: list[int] = []
    done: set[int] = set()
    for i in range(len(kernel.nodes)):
        ready = [s for s in sums if s not in done and not barriers & behind[s] - done] if i in barriers else []
        for j in (*sorted({j for s in ready for j in behind[s]}), i):
            if j not in done:
                order.append(j)
                done.add(j)
    return _in_order(kernel, order)


def _in_order(kernel: Graph, first: Sequence[int]) -> Graph:
    """The kernel with these nodes first, in this order, and all others after them."""
    if not first:
        return kernel
    order = list(dict.fromkeys([*first, *range(len(kernel.nodes))]))
    if order == sorted(order):
        return kernel
    r = Rewriter(kernel, "tile")
    for i in order:
        r.copy(kernel.nodes[i])
    return r.finish()
