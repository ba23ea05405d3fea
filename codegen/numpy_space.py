"""How a kernel's index groups become array axes for NumPy, and how programs are batched.

* A group whose split into programs cannot be seen in any result (nothing is reduced over it across programs or loop
  steps, no store has a program coefficient) is a **span**: one axis per run of dims that every access steps through
  evenly, so that all its accesses are strided views.
* Any other group is **tiled**: an axis over programs (where there is more than one) and an axis over the lanes of one
  tile; loop steps run one after the other, as on a GPU. Programs are batched only with programs that have the same
  number of steps and of lanes, so that no lane is ever padding.
"""

from __future__ import annotations

from dataclasses import dataclass

from gradc.ir.dim import ceil_div
from gradc.ir.tile import COMBINING, Group

from .walk import Walk


@dataclass(frozen=True)
class Axis:
    """One array axis. `size` is a number for an axis that is never cut, else the name of its length. A span's index
    runs from `start` (a number or a name) and counts `flat // divisor % extent`."""

    group: int
    kind: str  # span, program, lane
    size: str
    start: str
    divisor: int
    extent: int


@dataclass(frozen=True)
class Range:
    """Programs lo..hi of a tiled group that all run `steps` tiles, the last of them with `last` lanes."""

    lo: int
    hi: int
    steps: int
    last: int


@dataclass(frozen=True)
class Cut:
    """An axis that the driver cuts into batches: a span of an extent, or the programs of a tiled group."""

    name: str
    extent: int
    ranges: tuple[Range, ...] | None


def program_ranges(g: Group) -> tuple[Range, ...]:
    """The programs of a group, by what they run."""
    tiles = ceil_div(g.extent, g.tile)
    rest = g.extent - (tiles - 1) * g.tile
    if tiles == 0:
        return (Range(0, g.grid, 0, 0),)
    if g.strided:
        at, steps = (tiles - 1) % g.grid, ceil_div(tiles, g.grid)
        found = [Range(0, at, steps, g.tile), Range(at, at + 1, steps, rest), Range(at + 1, g.grid, steps - 1, g.tile)]
    else:
        at = (tiles - 1) // g.loop
        own = tiles - at * g.loop
        found = [Range(0, at, g.loop, g.tile), Range(at, at + 1, own, rest), Range(at + 1, g.grid, 0, 0)]
    return tuple(
        Range(r.lo, r.hi, r.steps, r.last if r.steps else 0) for r in found if r.hi > r.lo
    )  # fmt: skip


class SpacePlan:
    """The axes of a kernel's values, in group order, and what may be cut into batches."""

    def __init__(self, walk: Walk) -> None:
        self.walk = walk
        self.tiled = self._tiled()
        reduced = self._reduced()
        self.axes: list[Axis] = []
        self.cuts: list[Cut] = []
        for i, g in enumerate(walk.groups):
            name = g.letter
            if i in self.tiled:
                if g.grid > 1:
                    self.axes.append(Axis(i, "program", f"{name}_n", f"{name}_lo", 1, g.grid))
                self.axes.append(Axis(i, "lane", f"{name}_t", f"{name}_b", 1, g.tile))
                self.cuts.append(Cut(name, g.grid, program_ranges(g)))
                continue
            for d, (divisor, extent) in enumerate(self._runs(i)):
                if g.letter in reduced:
                    self.axes.append(Axis(i, "span", str(extent), "0", divisor, extent))
                else:
                    label = name if len(self._runs(i)) == 1 else f"{name}{d}"
                    self.axes.append(Axis(i, "span", f"{label}_n", f"{label}_lo", divisor, extent))
                    self.cuts.append(Cut(label, extent, None))
        self.rank = len(self.axes)

    def of_group(self, position: int) -> list[int]:
        return [k for k, a in enumerate(self.axes) if a.group == position]

    def lanes(self, letters: str) -> list[list[int]]:
        """Axes that a reduction over these groups combines, one list per group, the last group first."""
        out = []
        for i in range(len(self.walk.groups) - 1, -1, -1):
            if self.walk.groups[i].letter in letters:
                out.append([k for k in self.of_group(i) if self.axes[k].kind != "program"])
        return out

    def regular(self, position: int) -> bool:
        """Whether every access steps through this group evenly, so that its accesses are views."""
        return position not in self.tiled or len(self._runs(position)) <= 1

    def strides(self, position: int, coeffs: tuple[int, ...]) -> dict[int, int]:
        """Elements from one index to the next along each axis of a regular group."""
        g = self.walk.groups[position]
        if position in self.tiled:
            runs = self._runs(position)
            c = self._coeff(g, runs[0][0], coeffs) if runs else 0
            out = {}
            for k in self.of_group(position):
                out[k] = c * g.grid_stride if self.axes[k].kind == "program" else c
            return out
        return {k: self._coeff(g, self.axes[k].divisor, coeffs) for k in self.of_group(position)}

    def _coeff(self, g: Group, divisor: int, coeffs: tuple[int, ...]) -> int:
        """The coefficient of the innermost dim of the run that ends at this divisor."""
        if not g.extent:
            return int(any(coeffs))
        inner_first = range(len(g.dims) - 1, -1, -1)
        return next((coeffs[d] for d in inner_first if g.strides[d] == divisor and g.dims[d] != 1), 0)

    def _runs(self, position: int) -> list[tuple[int, int]]:
        """(divisor, extent) of the runs of dims that no access tells apart, outermost first."""
        g = self.walk.groups[position]
        if not g.extent:
            return [(1, 0)]
        found: list[list[int]] = []
        inner = -1
        for d in range(len(g.dims) - 1, -1, -1):
            if g.dims[d] == 1:
                continue
            together = inner >= 0 and all(cs[d] == cs[inner] * g.dims[inner] for cs in self._coeffs(position))
            if together:
                found[-1][1] *= g.dims[d]
            else:
                found.append([g.strides[d], g.dims[d]])
            inner = d
        return [(a, b) for a, b in reversed(found)]

    def _coeffs(self, position: int) -> list[tuple[int, ...]]:
        return [self.walk.kernel.nodes[i].attrs["coeffs"][position] for i in self.walk.accesses]

    def _reduced(self) -> str:
        nodes = self.walk.kernel.nodes
        return "".join(nodes[i].attrs["over"] for i in self.walk.live if nodes[i].op.name in COMBINING)

    def _tiled(self) -> frozenset[int]:
        reduced = self._reduced()
        seen = {p for a in self.walk.accesses.values() for p, _ in a.program}
        split = {i for i, g in enumerate(self.walk.groups) if g.letter in reduced and (g.grid > 1 or g.loop > 1)}
        return frozenset(seen | split)
