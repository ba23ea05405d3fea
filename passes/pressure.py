"""How many registers per lane a row kernel needs for values as long as the row: an estimate, from its nodes alone.

What is computed and used between two reductions along the row passes through few registers, element by element. What is
made before such a reduction and used after it must be held whole while it runs, and so must, in a loop over rows, the
sums per column and the vectors that every row is combined with.
"""

from __future__ import annotations

from gradc.ir.dim import ceil_div
from gradc.ir.graph import Graph, Node
from gradc.ir.tile import Group, groups
from gradc.ir.types import TileType

THREADS = 512
"""Lanes of a program whose row is long: 16 warps."""
BUDGET = 112
"""Registers per lane for whole rows; 128 are there, the others go to addresses and what is in flight."""
MASKS = 8
"""Registers per lane for which lanes of the tile are part of the row, unless all are."""
FREE = ("tile.index", "tile.constant")


def across(kernel: Graph, row: Group, barrier: int) -> set[int]:
    """The values as long as the row that are made before this reduction along it and used after it."""
    last = {o: i for i, n in enumerate(kernel.nodes) for o in n.operands}
    made = {
        r
        for n in kernel.nodes[:barrier]
        if n.op.name not in FREE and not _per_column(kernel, n, row)
        for r in n.results
        if row.letter in space_of(kernel, r)
    }
    return {v for v in made if last.get(v, -1) > barrier}


def held(kernel: Graph, row: Group) -> set[int]:
    """The values as long as the row that are held at the point where most are; sums per column are not among them."""
    always = _hoisted(kernel, row)
    found = [always]
    for i, node in enumerate(kernel.nodes):
        if node.op.name == "tile.reduce" and row.letter in node.attrs["over"]:
            found.append(across(kernel, row, i) | always)
    return max(found, key=len)


def pressure(kernel: Graph, row: Group) -> int:
    """Registers per lane for the values held and for the sums per column."""
    masks = MASKS if row.extent % row.tile else 0
    return (len(held(kernel, row)) + columns(kernel, row)) * ceil_div(row.extent, THREADS) + masks


def columns(kernel: Graph, row: Group) -> int:
    """How many sums per column the kernel makes."""
    return sum(1 for n in kernel.nodes if _per_column(kernel, n, row))


def _per_column(kernel: Graph, node: Node, row: Group) -> bool:
    return node.op.name == "tile.reduce" and row.letter in space_of(kernel, node.results[0])


def _hoisted(kernel: Graph, row: Group) -> set[int]:
    """In a loop over rows, what is as long as a row and the same for all."""
    looped = {g.letter for g in groups(kernel) if g.loop > 1}
    free = {r for n in kernel.nodes if n.op.name in FREE or n.op.name == "tile.reduce" for r in n.results}
    out: set[int] = set()
    for node in kernel.nodes:
        if any(looped & set(space_of(kernel, v)) for v in (*node.operands, *node.results)):
            out |= {o for o in node.operands if row.letter in space_of(kernel, o)}
    return {v for v in out if not looped & set(space_of(kernel, v))} - free


def space_of(kernel: Graph, v: int) -> str:
    t = kernel.types[v]
    return t.space if isinstance(t, TileType) else ""
