"""Bytes and operations of a kernel, counted from its accesses alone.

`moved`: per phase and buffer the distinct bytes loaded, plus the bytes stored (once, whatever the phase). A phase that
loads again counts again; an operand that many programs read counts once. `issued` counts what the programs ask for.
Accesses of one phase to one buffer with the same address function are one access; others are taken as disjoint, up to
the buffer's size. Data-dependent addresses count one element per lane, up to the buffer's size.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from .dim import product
from .graph import Graph, Node
from .tile import Group, groups, parts, phases
from .types import BufferType, TileType


class Traffic(NamedTuple):
    """`reads` and `writes` map buffer positions (of the kernel's inputs) to bytes; `least` counts each buffer's
    distinct bytes once."""

    reads: dict[int, int]
    writes: dict[int, int]
    issued: int
    least: int
    flops: int

    @property
    def moved(self) -> int:
        return sum(self.reads.values()) + sum(self.writes.values())


def touched(node: Node, gs: tuple[Group, ...], kernel: Graph) -> int:
    """Distinct elements that one load or store addresses."""
    n = 1
    for g, cs in zip(gs, node.attrs["coeffs"], strict=True):
        if any(cs) and not g.extent:
            return 0
        for d, c in zip(g.dims, cs, strict=True):
            if c:
                n *= d
    for g, c in zip(gs, node.attrs.get("program") or (), strict=False):
        if c:
            n *= g.grid
    if node.attrs.get("index_coeffs"):
        letters = {c for o in node.operands for c in _space(kernel, o)}
        letters |= {g.letter for g, cs in zip(gs, node.attrs["coeffs"], strict=True) if any(cs)}
        n = product(g.extent for g in gs if g.letter in letters)
    return n


def _space(kernel: Graph, v: int) -> str:
    t = kernel.types[v]
    return t.space if isinstance(t, TileType) else ""


def _issued(node: Node, gs: tuple[Group, ...], kernel: Graph) -> int:
    letters = set("".join(_space(kernel, o) for o in (*node.operands, *node.results)))
    letters |= {g.letter for g, cs in zip(gs, node.attrs["coeffs"], strict=True) if any(cs)}
    return product(g.extent if g.letter in letters else g.grid for g in gs)


def traffic(kernel: Graph) -> Traffic:
    """The traffic of one launch; cached nowhere, linear in the kernel's nodes and phases."""
    if parts(kernel):
        return _together(kernel)
    gs = groups(kernel)
    position = {v: i for i, v in enumerate(kernel.inputs)}
    reads: dict[int, int] = {}
    distinct: dict[int, dict[Any, int]] = {}
    writes: dict[int, dict[Any, int]] = {}
    issued = flops = 0
    for phase in phases(kernel):
        seen: dict[int, dict[Any, int]] = {}
        for i in (*phase.body, *phase.tail):
            node = kernel.nodes[i]
            if node.op.name == "tile.load":
                _record(seen, kernel, gs, position, node, node.operands[0])
                issued += _issued(node, gs, kernel) * _itemsize(kernel, node.operands[0])
            elif node.op.name == "tile.store":
                _record(writes, kernel, gs, position, node, node.operands[1])
                issued += _issued(node, gs, kernel) * _itemsize(kernel, node.operands[1])
            else:
                flops += _flops(kernel, gs, node)
        for buffer, table in seen.items():
            reads[buffer] = reads.get(buffer, 0) + _bytes(kernel, buffer, table)
            distinct.setdefault(buffer, {}).update(table)
    stored = {b: _bytes(kernel, b, t) for b, t in writes.items()}
    least = sum(_bytes(kernel, b, t) for b, t in distinct.items()) + sum(stored.values())
    return Traffic(reads, stored, issued, least, flops)


def _together(kernel: Graph) -> Traffic:
    """The traffic of a kernel's parts. Each reads for itself, as a phase does."""
    position = {v: i for i, v in enumerate(kernel.inputs)}
    reads: dict[int, int] = {}
    writes: dict[int, int] = {}
    issued = flops = least = 0
    for part in parts(kernel):
        one = traffic(part.regions[0])
        at = [position[o] for o in part.operands]
        for table, own in ((reads, one.reads), (writes, one.writes)):
            for k, n in own.items():
                table[at[k]] = table.get(at[k], 0) + n
        least += one.least
        issued += one.issued
        flops += one.flops
    again = sum(max(n - _size(kernel, k), 0) for k, n in reads.items())
    return Traffic(reads, writes, issued, least - again, flops)


def _size(kernel: Graph, buffer: int) -> int:
    t = kernel.types[kernel.inputs[buffer]]
    assert isinstance(t, BufferType)
    return t.nbytes


def _record(
    table: dict[int, dict[Any, int]],
    kernel: Graph,
    gs: tuple[Group, ...],
    position: dict[int, int],
    node: Node,
    buffer: int,
) -> None:
    a = node.attrs
    key = (a["coeffs"], a["offset"], a.get("program"), node.operands[1:] if a.get("index_coeffs") else None)
    table.setdefault(position[buffer], {})[key] = touched(node, gs, kernel)


def _bytes(kernel: Graph, buffer: int, table: dict[Any, int]) -> int:
    t = kernel.types[kernel.inputs[buffer]]
    assert isinstance(t, BufferType)
    return min(sum(table.values()), t.numel) * t.dtype.itemsize


def _itemsize(kernel: Graph, v: int) -> int:
    return kernel.types[v].dtype.itemsize


def _flops(kernel: Graph, gs: tuple[Group, ...], node: Node) -> int:
    """Floating-point operations of one node over all its valid lanes; a dot counts multiply and add."""
    if not any(t.dtype.is_float for t in (kernel.types[r] for r in node.results)):
        return 0
    if node.op.name == "tile.dot":
        letters = set(_space(kernel, node.operands[0]) + _space(kernel, node.operands[1]))
        return 2 * product(g.extent for g in gs if g.letter in letters)
    letters = set("".join(_space(kernel, v) for v in (*node.operands, *node.results)))
    return product(g.extent for g in gs if g.letter in letters) if node.operands else 0
