"""The tile level: what a kernel is.

A kernel is a `Graph` of kind "kernel". Its inputs are buffers (`!tile.buffer<...>`), read ones first, then written ones
(`input_attrs[i]["mode"]` is "in" or "out"). Its body is straight-line SSA over the whole iteration space, so its
meaning does not depend on the schedule, except for the grouping of partial results:

* The iteration space is a product of **index groups**, each named by one letter and made of one or more dims that are
  flattened row-major (`x` = kept or mapped, `r` = reduced, `m`, `n`, `k` = contraction, `b` = batch of contractions).
* A value varies over a set of groups (its type's `space`); operands of different spaces broadcast.
* A group's flat index is split over programs, loop steps and lanes:
      strided:  (l * grid + g) * tile + t         (consecutive tiles go to consecutive programs)
      blocked:  (g * loop + l) * tile + t         (a program owns a run of tiles)
  Lanes with index >= extent are padding: they are never stored and never reach a reduction.
* `tile.load` and `tile.store` address element `offset + sum coeffs[group][dim] * index(group, dim)
  + sum program[group] * g + sum index_coeffs[i] * index operand i`.
* `tile.reduce` over a group combines all its lanes and loop steps *within one program*. If the group's `grid` is more
  than 1 the result is a partial: it may only be stored, at an address with a `program` coefficient for that group.
* Ops whose operand varies over a looped group run inside that loop; ops on a finished reduction of it run after it. An
  op that needs both opens a next **phase**: the loop runs again and reloads (`phases`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from .dim import Dim, Shape, ceil_div, next_pow2, product, row_major
from .graph import Graph, Node
from .types import TileType

COMBINING = ("tile.reduce", "tile.exp_sum", "tile.moments", "tile.dot")
"""Ops whose results are there only after the loops over the groups that they combine."""
CLASSES = ("MAP", "ROW", "ROW-LOOP", "COL", "FULL", "MIXED", "CONTRACT", "INDEXED", "SCAN", "FLASH", "BATCH")


class Group(NamedTuple):
    """One index group. `grid * loop * tile >= extent`; `tile` is a power of two."""

    letter: str
    dims: Shape
    grid: Dim = 1
    loop: Dim = 1
    tile: Dim = 1
    strided: bool = True

    @property
    def extent(self) -> Dim:
        return product(self.dims)

    @property
    def exact(self) -> bool:
        """No padding lanes."""
        return self.grid * self.loop * self.tile == self.extent

    @property
    def loop_stride(self) -> Dim:
        """How far the flat index moves per loop step."""
        return self.grid * self.tile if self.strided else self.tile

    @property
    def grid_stride(self) -> Dim:
        """How far the flat index moves per program."""
        return self.tile if self.strided else self.loop * self.tile

    @property
    def strides(self) -> Shape:
        """Divisors that take the flat index apart: dim d = flat // strides[d] % dims[d]."""
        return row_major(self.dims)

    def to_attr(self) -> dict[str, Any]:
        return self._asdict()

    @staticmethod
    def from_attr(attr: dict[str, Any]) -> Group:
        return Group(**attr)


def resident(letter: str, dims: Shape) -> Group:
    """A group that lies whole in each program's tile."""
    return Group(letter, dims, tile=next_pow2(product(dims)))


def spread(letter: str, dims: Shape, tile: int) -> Group:
    """A group cut into tiles, one program per tile."""
    n = max(product(dims), 1)
    t = min(tile, next_pow2(n))
    return Group(letter, dims, grid=ceil_div(n, t), tile=t)


def persistent(letter: str, dims: Shape, tile: int, programs: int) -> Group:
    """A group whose tiles are dealt to at most `programs` programs, each looping over its share."""
    n = max(product(dims), 1)
    t = min(tile, next_pow2(n))
    tiles = ceil_div(n, t)
    grid = min(programs, tiles)
    return Group(letter, dims, grid=grid, loop=ceil_div(tiles, grid), tile=t)


def groups(kernel: Graph) -> tuple[Group, ...]:
    """The index groups of a kernel, in order (the order of axes in the printed code)."""
    return tuple(Group.from_attr(a) for a in kernel.attrs["groups"])


def set_groups(kernel: Graph, gs: tuple[Group, ...]) -> None:
    kernel.attrs["groups"] = tuple(g.to_attr() for g in gs)


def parts(kernel: Graph) -> list[Node]:
    """The `tile.part` nodes of a kernel that runs several kernels, each in programs of its own; none for others."""
    return [n for n in kernel.nodes if n.op.name == "tile.part"]


def batch(kernels: Sequence[Graph]) -> Group:
    """The programs of several kernels in one launch, as one group with an index per program."""
    n = sum(grid_size(groups(k)) for k in kernels)
    return Group("p", (n,), grid=n)


def grid_size(gs: tuple[Group, ...]) -> Dim:
    """Programs per launch; the flat program id is row-major over the groups in order."""
    return product(g.grid for g in gs)


def is_partial(kernel: Graph, node: Node) -> bool:
    """Whether a `tile.reduce` leaves one result per program instead of the whole one."""
    over = set(node.attrs["over"])
    return any(g.grid > 1 for g in groups(kernel) if g.letter in over)


def split_load(node: Node) -> tuple[int, int | None, tuple[int, ...]]:
    """Buffer, explicit mask (or None) and index operands of a `tile.load`."""
    buffer, rest = node.operands[0], node.operands[1:]
    if node.attrs.get("masked"):
        return buffer, rest[0], rest[1:]
    return buffer, None, rest


def split_store(node: Node) -> tuple[int, int, int | None, tuple[int, ...]]:
    """Value, buffer, explicit mask (or None) and index operands of a `tile.store`."""
    value, buffer, rest = node.operands[0], node.operands[1], node.operands[2:]
    if node.attrs.get("masked"):
        return value, buffer, rest[0], rest[1:]
    return value, buffer, None, rest


def address_space(coeffs: tuple[tuple[int, ...], ...], gs: tuple[Group, ...]) -> str:
    """Letters of the groups an affine address moves with."""
    return "".join(g.letter for g, cs in zip(gs, coeffs, strict=True) if any(cs))


class Phase(NamedTuple):
    """Node indices that run inside the kernel's loops (`body`) and after them (`tail`), in order."""

    body: tuple[int, ...]
    tail: tuple[int, ...]


def phases(kernel: Graph) -> tuple[Phase, ...]:
    """The order of execution. Phase 0's body is all that loop-varying code the first reductions need; a value that
    depends on a finished loop reduction and varies over the loop again belongs to the next phase, whose body repeats
    (reloads, recomputes) the loop-varying values it reads. A kernel without loops has one phase with an empty tail."""
    gs = groups(kernel)
    looped = {g.letter for g in gs if g.loop > 1}
    n = len(kernel.nodes)
    if not looped:
        return (Phase(tuple(range(n)), ()),)
    level = [0] * len(kernel.types)
    in_loop = [False] * n
    node_level = [0] * n
    made = kernel.producers()
    for i, node in enumerate(kernel.nodes):
        lv = max([level[o] for o in node.operands], default=0)
        repeated = any(made[o] >= 0 and in_loop[made[o]] and level[o] == node_level[made[o]] for o in node.operands)
        varies = repeated or bool(node.attrs.get("each_step")) or _varies(kernel, node, looped, gs)
        in_loop[i] = varies
        node_level[i] = lv
        out = lv + 1 if _finishes(kernel, node, looped) else lv
        for r in node.results:
            level[r] = out
    out_phases = []
    for p in range(max(node_level, default=0) + 1):
        body = {i for i in range(n) if in_loop[i] and node_level[i] == p and _anchors(kernel, kernel.nodes[i])}
        stack = list(body)
        while stack:
            for o in kernel.nodes[stack.pop()].operands:
                j = made[o]
                if j >= 0 and in_loop[j] and j not in body and not _finishes(kernel, kernel.nodes[j], looped):
                    body.add(j)
                    stack.append(j)
        tail = tuple(i for i in range(n) if not in_loop[i] and node_level[i] == p)
        if body or tail:
            out_phases.append(Phase(tuple(sorted(body)), tail))
    return tuple(out_phases)


def _varies(kernel: Graph, node: Node, looped: set[str], gs: tuple[Group, ...]) -> bool:
    spaces = [t.space for t in (kernel.types[o] for o in node.operands) if isinstance(t, TileType)]
    spaces += [t.space for t in (kernel.types[r] for r in node.results) if isinstance(t, TileType)]
    spaces.append(node.attrs.get("over", ""))
    if "coeffs" in node.attrs:
        spaces.append(address_space(node.attrs["coeffs"], gs))
    return any(looped & set(s) for s in spaces)


def _finishes(kernel: Graph, node: Node, looped: set[str]) -> bool:
    """Whether this is a reduction whose result is there only after the loops."""
    return node.op.name in COMBINING and bool(looped & set(node.attrs["over"]))


def _anchors(kernel: Graph, node: Node) -> bool:
    """Nodes that a phase exists for: stores and reductions."""
    return node.op.name in (*COMBINING, "tile.store", "tile.check")
