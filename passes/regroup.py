"""The same kernel over other index groups: rows walked in a loop, or cut into blocks of columns."""

from __future__ import annotations

from gradc.ir.dim import ceil_div, product
from gradc.ir.graph import Graph, Node
from gradc.ir.rewrite import Rewriter
from gradc.ir.tile import Group, groups, set_groups, split_store, spread
from gradc.ir.types import BufferType

from .online import one_walk

LOOP_TILE = 4096
"""Elements of a row per step of a loop along it."""


def row_loop(kernel: Graph, row: Group) -> Graph:
    """Each program takes one row and walks it in tiles, again for every phase: few registers at any length."""
    kernel = one_walk(kernel, row)
    made = regroup(kernel, tuple(_walked(g) if g.letter == row.letter else _at_once(g) for g in groups(kernel)))
    made.attrs["class"] = "ROW-LOOP"
    return made


def _walked(g: Group) -> Group:
    return Group(g.letter, g.dims, loop=ceil_div(g.extent, LOOP_TILE), tile=LOOP_TILE)


def _at_once(g: Group) -> Group:
    return spread(g.letter, g.dims, g.tile) if g.loop > 1 else g


def regroup(kernel: Graph, new: tuple[Group, ...]) -> Graph:
    """The kernel over new groups with the old letters and dims: only where partial results go, and how many there are,
    follows from how groups are split."""
    r = Rewriter(kernel, "tile")
    set_groups(r.graph, new)
    producer = kernel.producers()
    for node in kernel.nodes:
        r.copy(node)
        if node.op.name == "tile.store":
            value, buffer, _, _ = split_store(node)
            i = producer[value]
            over = kernel.nodes[i].attrs["over"] if i >= 0 and kernel.nodes[i].op.name == "tile.reduce" else ""
            split = {g.letter for g in new if g.letter in over and g.grid > 1}
            if split or any(node.attrs.get("program") or ()):
                _lay_out(r, node, buffer, new, split)
    return r.finish()


def _lay_out(r: Rewriter, node: Node, buffer: int, new: tuple[Group, ...], split: set[str]) -> None:
    """Give the partials of the store just copied one place per program, as `emit.py` does."""
    size = max(
        product(
            n for g, cs in zip(new, node.attrs["coeffs"], strict=True) for n, c in zip(g.dims, cs, strict=True) if c
        ),
        1,
    )
    step, strides = size, []
    for g in reversed(new):
        strides.append(step if g.letter in split else 0)
        step *= g.grid if g.letter in split else 1
    r.graph.nodes[-1].attrs = {**node.attrs, "program": tuple(reversed(strides))}
    old = r.graph.types[r.map[buffer]]
    assert isinstance(old, BufferType)
    r.graph.types[r.map[buffer]] = BufferType(step, old.dtype, old.align)
