"""Blocks of Triton statements with the names defined in them, and the program numbers of a kernel's groups."""

from __future__ import annotations

from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

from gradc.ir.dim import product

from .names import Names
from .triton_ops import ATOM
from .walk import Walk

BAND = 8
"""Rows of tiles of a matrix product whose programs follow each other: a band's operands stay in the L2 cache."""


class Expr(NamedTuple):
    """Printed text, how tightly it binds, and the axes (group letters with more than one lane) it has, in order."""

    text: str
    level: int = ATOM
    axes: str = ""
    literal: bool = False

    def at(self, level: int) -> str:
        """The text as an operand that must bind at least this tightly."""
        return self.text if self.level >= level else f"({self.text})"


class Scope:
    """A block of statements: definitions asked for on the way (`head`), then the statements."""

    def __init__(self, indent: str) -> None:
        self.indent = indent
        self.head: list[str] = []
        self.body: list[str] = []
        self.defined: dict[object, Expr] = {}


class Programs:
    """`top` is the kernel's own block, `scope` the innermost one being printed."""

    def __init__(self, walk: Walk, names: Names, pid: str) -> None:
        """`pid` is the text of the program's number."""
        self.walk, self.names, self.pid = walk, names, pid
        self.top = Scope("    ")
        self.scope = self.top
        self._fixed: dict[object, str] = {}

    def define(self, scope: Scope, key: object, hint: str, text: str, axes: str = "") -> Expr:
        """A name for this text, defined at the head of the scope; the same name for the same key."""
        if key not in scope.defined:
            name = self._fixed.get(key) or self._fixed.setdefault(key, self.names.fresh(hint))
            scope.head.append(f"{scope.indent}{name} = {text}")
            scope.defined[key] = Expr(name, ATOM, axes)
        return scope.defined[key]

    def fix(self, key: object, hint: str) -> str:
        """The name that belongs to this key throughout the kernel."""
        return self._fixed.get(key) or self._fixed.setdefault(key, self.names.fresh(hint))

    def program(self, position: int) -> Expr:
        """The program number along one group; 0 where there is one program."""
        g = self.walk.groups[position]
        if g.grid == 1:
            return Expr("0", literal=True)
        spread = [i for i, other in enumerate(self.walk.groups) if other.grid > 1]
        pair = self._tile_pair
        if pair is not None and position in pair:
            return self._near(position, pair)
        if len(spread) == 1:
            return self.define(self.top, ("pid", position), f"{g.letter}pid", self.pid)
        return self.define(self.top, ("pid", position), f"{g.letter}pid", self._digit(position, position))

    def _digit(self, first: int, last: int) -> str:
        """The program number along groups first..last, taken from the one of the whole grid."""
        gs = self.walk.groups
        outer, inner = product(g.grid for g in gs[:first]), product(g.grid for g in gs[last + 1 :])
        if outer == 1 and inner == 1:
            return self.pid
        pid = self.define(self.top, "pid", "pid", self.pid).text
        text = pid if inner == 1 else f"{pid} // {inner}"
        return text if outer == 1 else f"{text} % {product(g.grid for g in gs[first : last + 1])}"

    @cached_property
    def _tile_pair(self) -> tuple[int, int] | None:
        """The neighbouring groups of rows and columns of a matrix product, where both are cut into programs."""
        for i in self.walk.live:
            node = self.walk.kernel.nodes[i]
            if node.op.name == "tile.dot":
                a, b = (set(self.walk.space(o)) for o in node.operands)
                for p, (g, h) in enumerate(pairwise(self.walk.groups)):
                    if g.letter in a - b and h.letter in b - a and g.grid > 1 and h.grid > 1:
                        return p, p + 1
        return None

    def _near(self, position: int, pair: tuple[int, int]) -> Expr:
        """Programs go down bands of tile rows, so that those that run together read the same operands."""
        rows, columns = (self.walk.groups[p] for p in pair)
        tile = self.define(self.top, ("pid", pair), "tile", self._digit(*pair)).text
        if rows.grid <= BAND:
            texts = f"{tile} % {rows.grid}", f"{tile} // {rows.grid}"
        else:
            width = BAND * columns.grid
            first = self.define(self.top, "first", "first", f"{tile} // {width} * {BAND}").text
            high = str(BAND)
            if rows.grid % BAND:
                high = self.define(self.top, "high", "high", f"tl.minimum({rows.grid} - {first}, {BAND})").text
            texts = f"{first} + {tile} % {width} % {high}", f"{tile} % {width} // {high}"
        letter = self.walk.groups[position].letter
        return self.define(self.top, ("pid", position), f"{letter}pid", texts[pair.index(position)])
