"""Aligned windows: how rows that start between two 16-byte boundaries are still read and written 16 bytes at a time.

A contiguous tensor whose rows are no multiple of 16 bytes starts most of its rows off a boundary, and a mask that ends
inside a vector turns every access of a tile narrow. In a windowed group the lanes count from the boundary at or before
the start of the row, so the lane of index i is `i + shift`. The tile holds whole vectors only; what is left at both
ends of the row is a second tile of two vectors (of one, if no row is shifted), in which all else is done once more. No
byte outside the row is touched.

The shift must be one number per program: a sum of multiples of program numbers, modulo the vector. Then accumulators
over the group stay in place across a program's rows, and what has another shift (a row vector) is read narrow, but
once. Where programs share a row and leave partial results of it, there is no shift: each result is of the elements that
the kernel says, not of their neighbours.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from gradc.ir.graph import Graph
from gradc.ir.tile import Group
from gradc.ir.types import BufferType

from .access import Access

VECTOR_BYTES = 16
LANES = 32
"""A tile must hold a vector for each of so many lanes: below that, narrow accesses of a warp are one line anyway."""

Shift = tuple[tuple[tuple[int, int], ...], int]
"""`((group, coefficient), ...)` of program numbers and a constant, all modulo the vector."""


class Window(NamedTuple):
    """The windowed group's position, its vectors' length in elements, by how much its lanes are shifted, and the
    accesses that are made of whole vectors for that."""

    position: int
    vector: int
    shift: Shift
    members: frozenset[Access]

    @property
    def shifted(self) -> bool:
        return self.shift != ((), 0)

    @property
    def ends(self) -> int:
        """Lanes of the second tile."""
        return 2 * self.vector if self.shifted else self.vector


def window_of(kernel: Graph, gs: tuple[Group, ...], accesses: Iterable[Access]) -> tuple[Window | None, dict[int, str]]:
    """The window that most bytes of the kernel gain from, if any; and for groups that would need one but have none,
    by position, the reason."""
    every = tuple(accesses)
    if any(node.op.name == "tile.dot" for node in kernel.nodes):
        return None, {}
    found = {p: w for p in range(len(gs)) if (w := _window(kernel, gs, p, every)) is not None}
    windows = [w for w in found.values() if isinstance(w, Window)]
    best = max(windows, key=lambda w: sum(_weight(kernel, a) for a in w.members), default=None)
    return best, {
        p: w if isinstance(w, str) else "another group has a window" for p, w in found.items() if w is not best
    }


def _window(kernel: Graph, gs: tuple[Group, ...], position: int, accesses: tuple[Access, ...]) -> Window | str | None:
    """The window of one group, or why it has none; None where it needs none or is too small for one."""
    g = gs[position]
    moving = [a for a in accesses if any(t.group == position for t in a.terms)]
    unit = [a for a in moving if _walks(kernel, a, position)]
    if not unit:
        return None
    vector = VECTOR_BYTES // min(_buffer(kernel, a).dtype.itemsize for a in unit)
    if g.tile < LANES * vector or g.extent < vector:
        return None
    classes: dict[Shift | None, list[Access]] = {}
    for a in unit:
        classes.setdefault(_shift(gs, a, position, vector), []).append(a)
    weight = {s: sum(_weight(kernel, a) for a in members) for s, members in classes.items()}
    best = max(weight, key=lambda s: weight[s])
    if best is None:
        return "rows of one program start at different places"
    if best == ((), 0) and g.extent % vector == 0:
        return None
    if 2 * weight[best] < sum(_weight(kernel, a) for a in moving):
        return "no start is that of most bytes"
    if best != ((), 0) and _partial(kernel, g):
        return "programs share the row"
    return Window(position, vector, best, frozenset(classes[best]))


def _partial(kernel: Graph, g: Group) -> bool:
    """Whether programs leave partial results over the group: which elements a program takes must not be shifted."""
    return g.grid > 1 and any(n.op.name == "tile.reduce" and g.letter in n.attrs["over"] for n in kernel.nodes)


def _buffer(kernel: Graph, a: Access) -> BufferType:
    t = kernel.types[a.buffer]
    assert isinstance(t, BufferType)
    return t


def _weight(kernel: Graph, a: Access) -> int:
    t = _buffer(kernel, a)
    return t.numel * t.dtype.itemsize


def _walks(kernel: Graph, a: Access, position: int) -> bool:
    """Whether an access to an aligned buffer goes from element to element along the group, with no mask of its own."""
    own = [t for t in a.terms if t.group == position]
    plain = len(own) == 1 and own[0].coeff == own[0].divisor == 1 and own[0].modulus is None
    return plain and a.mask is None and not a.indices and _buffer(kernel, a).align % VECTOR_BYTES == 0


def _shift(gs: tuple[Group, ...], a: Access, position: int, vector: int) -> Shift | None:
    """By how much the access's start lies past a boundary; None if that is not one number per program."""
    programs: dict[int, int] = {}
    for p, c in a.program:
        programs[p] = c
    for t in a.terms:
        if t.group == position or t.coeff % vector == 0:
            continue
        g = gs[t.group]
        plain = t.divisor == 1 and t.modulus is None and g.tile == 1
        if not plain or (g.loop > 1 and t.coeff * g.loop_stride % vector):
            return None
        if g.grid > 1:  # one index per program number: runs of several have been refused
            programs[t.group] = programs.get(t.group, 0) + t.coeff
    reduced = ((p, c % vector) for p, c in sorted(programs.items()))
    return tuple((p, c) for p, c in reduced if c), a.offset % vector
