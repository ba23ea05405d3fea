"""Values as long as a row that are computed again after a reduction along the row, instead of held while it runs.

What follows a reduction often needs several values of a row that are short arithmetic on one of them. Then that one is
held, and behind the reduction the others are made of it once more. `tile.fresh` keeps compilers from seeing that they
have been there.
"""

from __future__ import annotations

from gradc.ir.graph import Graph
from gradc.ir.rewrite import Rewriter
from gradc.ir.tile import Group

from .pressure import BUDGET, FREE, across, pressure, space_of
from .sweep import sweep

OPS = 8
"""Scalar operations that a value may take to be made again."""


def remake(kernel: Graph, row: Group) -> Graph:
    """The kernel with less held at each reduction along the row where that is over the budget."""
    at = 0
    while (barrier := _barrier(kernel, row, at)) >= 0:
        if pressure(kernel, row) <= BUDGET:
            break
        kernel = _again(kernel, row, barrier)
        at += 1
    return kernel


def _barrier(kernel: Graph, row: Group, at: int) -> int:
    """The position of a reduction along the row, by its number."""
    found = [i for i, n in enumerate(kernel.nodes) if n.op.name == "tile.reduce" and row.letter in n.attrs["over"]]
    return found[at] if at < len(found) else -1


def _again(kernel: Graph, row: Group, barrier: int) -> Graph:
    """Hold as little as can be at this reduction."""
    producer = kernel.producers()
    kept = across(kernel, row, barrier)
    plans: dict[int, list[int]] = {}
    for v in sorted(kept, reverse=True):
        nodes = _made_of(kernel, row, producer, v, kept - {v})
        if nodes is not None:
            kept = kept - {v}
            plans[v] = nodes
    if not plans:
        return kernel
    r = Rewriter(kernel, "tile")
    for i, node in enumerate(kernel.nodes):
        r.copy(node)
        if i == barrier:
            b = r.at(node)
            for v in sorted(kept):
                r.map[v] = b.fresh(b.var(r.map[v])).v
            for nodes in reversed(plans.values()):
                for j in nodes:
                    again = kernel.nodes[j]
                    types = [kernel.types[v] for v in again.results]
                    r.map[again.results[0]] = b.emit(again.op, r.operands(again), again.attrs, types)[0]
    return sweep(r.finish())


def _made_of(kernel: Graph, row: Group, producer: list[int], v: int, kept: set[int]) -> list[int] | None:
    """The few scalar operations that make a value of kept ones and of what is not as long as a row."""
    nodes: set[int] = set()
    stack = [v]
    while stack:
        o = stack.pop()
        i = producer[o]
        if o in kept or i in nodes or row.letter not in space_of(kernel, o) or kernel.nodes[i].op.name in FREE:
            continue
        if i < 0 or "scalar" not in kernel.nodes[i].op.traits or len(nodes) == OPS:
            return None
        nodes.add(i)
        stack.extend(kernel.nodes[i].operands)
    return sorted(nodes)
