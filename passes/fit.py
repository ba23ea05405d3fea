"""Row kernels that fit a multiprocessor: what is done when a kernel would hold more than the registers.

A row kernel as fusion makes it holds its row in one tile, whatever its length, and reads it once. If the estimate of
`pressure.py` says that this cannot be, even if what is short arithmetic is computed twice (`remake.py`), the row is
walked in a loop, once per phase (`regroup.py`): each further phase is a second read, counted as such. A kernel that
also sums per column becomes two (`divide.py`).
"""

from __future__ import annotations

from gradc.ir.graph import Graph
from gradc.ir.rewrite import Rewriter
from gradc.ir.tile import Group, groups

from .divide import ONE_TILE, Part, divide
from .order import columns_early, constants_first
from .pick import pick
from .pressure import BUDGET, columns, pressure, space_of
from .regroup import row_loop
from .remake import remake

EASY = 100
"""Registers per lane up to which a loop over rows can hold the vectors that every row is combined with."""
SHORT = 8192
"""Rows up to this always fit."""


def fit(kernel: Graph) -> tuple[Part, ...]:
    """The kernels that are launched in its place, in order."""
    kernel = columns_early(constants_first(pick(kernel)))
    row = long_row(kernel)
    whole = tuple(range(len(kernel.inputs)))
    if row is None:
        return (Part(kernel, whole),)
    if row.tile <= ONE_TILE:
        again = remake(kernel, row)
        if pressure(again, row) <= BUDGET:
            return (Part(vectors_each_step(again, row) if pressure(again, row) > EASY else again, whole),)
    if not columns(kernel, row):
        return (Part(row_loop(kernel, row), whole),)
    rows, blocks = divide(kernel, row)
    return (*(Part(part.kernel, rows.buffers) for part in fit(rows.kernel)), blocks)


def vectors_each_step(kernel: Graph, row: Group) -> Graph:
    """The kernel with such vectors loaded again for each row (from a cache, most likely) instead of held."""
    looped = {g.letter for g in groups(kernel) if g.loop > 1}
    r = Rewriter(kernel, "tile")
    for node in kernel.nodes:
        space = space_of(kernel, node.results[0]) if node.op.name == "tile.load" else ""
        same = looped and row.letter in space and not looped & set(space)
        r.copy(node, {**node.attrs, "each_step": True} if same else None)
    return r.finish()


def long_row(kernel: Graph) -> Group | None:
    """The group that lies whole in each program's tile and is long, if there is one."""
    found = [g for g in groups(kernel) if g.grid == g.loop == 1 and g.tile > SHORT]
    return max(found, key=lambda g: g.tile, default=None)
