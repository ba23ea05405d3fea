"""One kernel with sums per column beside whole rows, as two: what is known of each row, then blocks of columns.

The first kernel ends with the reductions along the rows, a number per row each. The second reads the rows again, in
blocks of columns that each have their own programs, and makes what is as long as a row or summed per column.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from gradc.ir.build import GraphBuilder, Var
from gradc.ir.dim import ceil_div, row_major
from gradc.ir.graph import Graph, Node
from gradc.ir.tile import Group, groups, persistent, set_groups, spread
from gradc.ir.types import BufferType, i32

from .pitch import programs
from .pressure import space_of
from .regroup import regroup
from .space import PROGRAMS
from .sweep import ROOTS

ONE_TILE = 32768
"""Longest row held in one tile."""
BLOCK = 1024
"""Columns of a block."""
VECTOR = 8
"""Rows of which a program takes one, where they start at different places in 16 bytes: that is the longest vector."""


class Part(NamedTuple):
    """A kernel made of a part of another. `buffers` says for each of its inputs which of the other's it is, or, from
    the number of those on, which value between the parts."""

    kernel: Graph
    buffers: tuple[int, ...]


def divide(kernel: Graph, row: Group) -> tuple[Part, Part]:
    """The kernel of the rows and the kernel of the columns, which runs after it."""
    late = _after_row(kernel, row)
    columns = {i for i, n in enumerate(kernel.nodes) if n.op.name == "tile.store" and _as_long(kernel, n, row)}
    rest = {i for i, n in enumerate(kernel.nodes) if n.op.name in ROOTS} - columns
    behind, between = _behind(kernel, columns, row, late)
    first = _behind(kernel, rest, row, set())[0] | _behind_values(kernel, between, row)
    rows = _part(kernel, f"{kernel.name}_rows", first, stored=between)
    blocks = _part(kernel, kernel.name, behind, loaded=between)
    gs = groups(kernel)
    one_each = tuple(spread(g.letter, g.dims, g.tile) if g.loop > 1 else g for g in gs)
    count = ceil_div(row.extent, BLOCK)
    at_once = programs(ceil_div(2 * PROGRAMS, count), bool(row.extent % VECTOR), VECTOR)
    cut = tuple(_block(g, row, at_once) for g in gs)
    rows.kernel.attrs["class"] = "ROW"
    return Part(regroup(rows.kernel, one_each), rows.buffers), Part(regroup(blocks.kernel, cut), blocks.buffers)


def _block(g: Group, row: Group, at_once: int) -> Group:
    if g.letter == row.letter:
        return spread(g.letter, g.dims, BLOCK)
    return persistent(g.letter, g.dims, 1, at_once) if g.grid > 1 or g.loop > 1 else g


def _as_long(kernel: Graph, store: Node, row: Group) -> bool:
    """Whether what is stored is as long as a row, or summed from what is over all rows: such a sum is one more
    reduction for a kernel that holds its row, but nothing to one that walks it."""
    if any(any(cs) for g, cs in zip(groups(kernel), store.attrs["coeffs"], strict=True) if g.letter == row.letter):
        return True
    i = kernel.producers()[store.operands[0]]
    over = kernel.nodes[i].attrs.get("over", "") if i >= 0 else ""
    return row.letter in over and over != row.letter and row.extent <= ONE_TILE


def _after_row(kernel: Graph, row: Group) -> set[int]:
    """Values that depend on a reduction along the row."""
    late: set[int] = set()
    for node in kernel.nodes:
        if (node.op.name == "tile.reduce" and node.attrs["over"] == row.letter) or not late.isdisjoint(node.operands):
            late.update(node.results)
    return late


def _behind(kernel: Graph, roots: set[int], row: Group, late: set[int]) -> tuple[set[int], tuple[int, ...]]:
    """The nodes behind these, up to values per row that are in `late`; and those values."""
    producer = kernel.producers()
    nodes, stack, between = set(roots), list(roots), []
    while stack:
        for o in kernel.nodes[stack.pop()].operands:
            i = producer[o]
            if o in late and row.letter not in space_of(kernel, o) and not _sums_columns(kernel.nodes[i], row):
                between.append(o)
            elif i >= 0 and i not in nodes:
                nodes.add(i)
                stack.append(i)
    return nodes, tuple(sorted(set(between)))


def _behind_values(kernel: Graph, values: tuple[int, ...], row: Group) -> set[int]:
    producer = kernel.producers()
    return _behind(kernel, {producer[v] for v in values}, row, set())[0]


def _sums_columns(node: Node, row: Group) -> bool:
    return node.op.name == "tile.reduce" and node.attrs["over"] != row.letter


def _part(
    kernel: Graph, name: str, nodes: set[int], loaded: tuple[int, ...] = (), stored: tuple[int, ...] = ()
) -> Part:
    """These nodes as a kernel; values `loaded` come from memory, values `stored` are left there."""
    made = Graph(name, "kernel")
    made.attrs = dict(kernel.attrs)
    set_groups(made, groups(kernel))
    b = GraphBuilder(made, "tile")
    used = {o for i in nodes for o in kernel.nodes[i].operands}
    place: dict[int, int] = {}
    buffers: list[int] = []
    n = len(kernel.inputs)

    def take(mode: str) -> None:
        for k, (v, attrs) in enumerate(zip(kernel.inputs, kernel.input_attrs, strict=True)):
            if v in used and attrs["mode"] == mode:
                place[v] = made.add_input(kernel.types[v], **attrs)
                buffers.append(k)
                if v in kernel.names:
                    made.names[place[v]] = kernel.names[v]

    def between(v: int, k: int, mode: str) -> Var:
        size, _ = _per_row(kernel, v)
        buffers.append(n + k)
        return Var(b, made.add_input(BufferType(size, kernel.types[v].dtype), f"row_{k}", mode=mode))

    take("in")
    given = [between(v, k, "in") for k, v in enumerate(loaded)]
    take("out")
    left = [between(v, k, "out") for k, v in enumerate(stored)]
    for v, buffer in zip(loaded, given, strict=True):
        b.loc = kernel.nodes[kernel.producers()[v]].loc
        place[v] = b.load(buffer, coeffs=_per_row(kernel, v)[1], offset=0, space=space_of(kernel, v)).v
    for i in sorted(nodes):
        node = kernel.nodes[i]
        b.loc = node.loc
        operands = tuple([place[o] for o in node.operands])
        ids = b.emit(node.op, operands, node.attrs, [kernel.types[r] for r in node.results])
        place.update(zip(node.results, ids, strict=True))
        for old, new in zip(node.results, ids, strict=True):
            if old in kernel.names:
                made.names[new] = kernel.names[old]
    for v, buffer in zip(stored, left, strict=True):
        b.loc = kernel.nodes[kernel.producers()[v]].loc
        mask = _first_program(b, kernel, space_of(kernel, v))
        rest = () if mask is None else (mask,)
        b.store(
            Var(b, place[v]),
            buffer,
            *rest,
            coeffs=_per_row(kernel, v)[1],
            offset=0,
            masked=None if mask is None else True,
        )
    return Part(made, tuple(buffers))


def _first_program(b: GraphBuilder, kernel: Graph, space: str) -> Any:
    """For a value that several programs find alike: the one that stores it."""
    mask: Any = None
    for g in groups(kernel):
        for d, n in enumerate(g.dims if g.letter not in space and g.grid * g.loop > 1 else ()):
            if n != 1:
                first = b.index(group=g.letter, dim=d, dtype=i32).eq(0)
                mask = first if mask is None else mask & first
    return mask


def _per_row(kernel: Graph, v: int) -> tuple[int, tuple[tuple[int, ...], ...]]:
    """How many elements a value has in memory, and where each lies."""
    space, size = space_of(kernel, v), 1
    out = []
    for g in reversed(groups(kernel)):
        inside = g.letter in space
        out.append(tuple(size * s for s in row_major(g.dims)) if inside else (0,) * len(g.dims))
        size *= g.extent if inside else 1
    return size, tuple(reversed(out))
