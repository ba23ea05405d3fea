"""Pairs of reductions along a row of which the second needs the first, in one walk.

In a kernel that walks its rows, `max(v)` is there only after a walk, and `sum(exp(v - max(v)))` after a second one;
`tile.exp_sum` is both after one. So is `tile.moments`, for the sum of a row and the squared distances from its mean.
"""

from __future__ import annotations

from gradc.ir.graph import Graph, Node
from gradc.ir.rewrite import Rewriter
from gradc.ir.tile import Group

from .sweep import sweep


def one_walk(kernel: Graph, row: Group) -> Graph:
    """The kernel with such pairs of reductions over this group as one."""
    producer = kernel.producers()
    pairs: dict[int, tuple[str, int]] = {}
    for i, node in enumerate(kernel.nodes):
        if _is(node, "sum", row.letter):
            for name, find in (("exp_sum", _below_top), ("moments", _from_mean)):
                first = find(kernel, producer, node, row)
                if first >= 0 and first not in pairs:
                    pairs[first] = (name, i)
    if not pairs:
        return kernel
    r = Rewriter(kernel, "tile")
    seconds = {i for _, i in pairs.values()}
    for i, node in enumerate(kernel.nodes):
        if i in pairs:
            name, second = pairs[i]
            results = r.at(node).call(name, *r.vars(node), over=row.letter)
            for old, new in zip((node, kernel.nodes[second]), results, strict=True):
                r.replace(old, [new])
        elif i not in seconds:
            r.copy(node)
    return sweep(r.finish())


def _below_top(kernel: Graph, producer: list[int], node: Node, row: Group) -> int:
    """The maximum `m` of a sum over `exp(v - m)`; -1 if this is none."""
    exp = _made(kernel, producer, node.operands[0], "tile.exp")
    below = None if exp is None else _made(kernel, producer, exp.operands[0], "tile.sub")
    if below is None:
        return -1
    v, m = below.operands
    i = producer[m]
    return i if i >= 0 and _is(kernel.nodes[i], "max", row.letter) and kernel.nodes[i].operands == (v,) else -1


def _from_mean(kernel: Graph, producer: list[int], node: Node, row: Group) -> int:
    """The sum `s` of a sum over `(v - s / n) * (v - s / n)`, n the length of the row; -1 if this is none."""
    square = _made(kernel, producer, node.operands[0], "tile.mul")
    if square is None or square.operands[0] != square.operands[1]:
        return -1
    off = _made(kernel, producer, square.operands[0], "tile.sub")
    mean = None if off is None else _made(kernel, producer, off.operands[1], "tile.div")
    if off is None or mean is None:
        return -1
    n = _made(kernel, producer, mean.operands[1], "tile.constant")
    i = producer[mean.operands[0]]
    whole = n is not None and n.attrs["value"] == row.extent
    first = whole and i >= 0 and _is(kernel.nodes[i], "sum", row.letter)
    return i if first and kernel.nodes[i].operands == off.operands[:1] else -1


def _is(node: Node, monoid: str, letter: str) -> bool:
    return node.op.name == "tile.reduce" and (node.attrs["monoid"], node.attrs["over"]) == (monoid, letter)


def _made(kernel: Graph, producer: list[int], v: int, name: str) -> Node | None:
    i = producer[v]
    return kernel.nodes[i] if i >= 0 and kernel.nodes[i].op.name == name else None
