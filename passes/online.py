"""Sums of exponentials below the greatest element of a row, in the walk that finds it.

In a kernel that walks its rows, `max(v)` is there only after a walk, and `sum(exp(v - max(v)))` after a second one.
`tile.exp_sum` is both after one: the walk that a softmax or a cross entropy would make for the sum alone is saved.
"""

from __future__ import annotations

from gradc.ir.graph import Graph, Node
from gradc.ir.rewrite import Rewriter

from .sweep import sweep


def one_walk(kernel: Graph, letter: str) -> Graph:
    """The kernel with such pairs of reductions over this group as one."""
    producer = kernel.producers()
    pairs: dict[int, int] = {}
    for i, node in enumerate(kernel.nodes):
        if _is(node, "sum", letter):
            top = _below_top(kernel, producer, node, letter)
            if top >= 0 and top not in pairs:
                pairs[top] = i
    if not pairs:
        return kernel
    r = Rewriter(kernel, "tile")
    sums = {i: top for top, i in pairs.items()}
    for i, node in enumerate(kernel.nodes):
        if i in pairs:
            top, total = r.at(node).exp_sum(r.vars(node)[0], over=letter)
            r.replace(node, [top])
            r.replace(kernel.nodes[pairs[i]], [total])
        elif i not in sums:
            r.copy(node)
    return sweep(r.finish())


def _below_top(kernel: Graph, producer: list[int], node: Node, letter: str) -> int:
    """The maximum `m` of a sum over `exp(v - m)`; -1 if this is none."""
    exp = _made(kernel, producer, node.operands[0], "tile.exp")
    below = None if exp is None else _made(kernel, producer, exp.operands[0], "tile.sub")
    if below is None:
        return -1
    v, m = below.operands
    i = producer[m]
    found = i >= 0 and _is(kernel.nodes[i], "max", letter) and kernel.nodes[i].operands == (v,)
    return i if found else -1


def _is(node: Node, monoid: str, letter: str) -> bool:
    return node.op.name == "tile.reduce" and (node.attrs["monoid"], node.attrs["over"]) == (monoid, letter)


def _made(kernel: Graph, producer: list[int], v: int, name: str) -> Node | None:
    i = producer[v]
    return kernel.nodes[i] if i >= 0 and kernel.nodes[i].op.name == name else None
