"""Indices, masks and addresses of an aligned window (`window.py`) in Triton. Whatever varies over the windowed group is
printed twice: `side` says whether whole vectors or the ends are being printed."""

from __future__ import annotations

from .access import INT32_MAX, Access, flat_limit
from .names import Names
from .triton_access import Frame
from .triton_ops import ADD, MUL
from .triton_programs import Expr, Scope
from .walk import Walk
from .window import Window

VECTORS, ENDS = 0, 1


class WindowFrame(Frame):
    """A frame one of whose groups is windowed."""

    def __init__(self, walk: Walk, names: Names, pid: str, window: Window) -> None:
        super().__init__(walk, names, pid)
        self.window = window
        self.group = walk.groups[window.position]
        self.windowed = self.group.letter

    def define(self, scope: Scope, key: object, hint: str, text: str, axes: str = "") -> Expr:
        ends = self.side == ENDS and self.windowed in axes
        return super().define(scope, self.key(key, axes), f"{hint}_end" if ends else hint, text, axes)

    def key(self, key: object, axes: str) -> object:
        return (self.side, key) if self.windowed in axes else key

    def lanes_of(self, letter: str) -> int:
        return self.window.ends if self.side == ENDS and letter == self.windowed else super().lanes_of(letter)

    def flat(self, position: int) -> Expr:
        if position != self.window.position:
            return super().flat(position)
        lanes = self._lanes()
        if not self.window.shifted:
            return lanes
        text = f"{lanes.text} - {self._shift().text}"
        return self.define(self.home(self.group), "index", f"{self.windowed}index", text, lanes.axes)

    def guard(self, letter: str) -> Expr:
        """Lanes of whole vectors, or those at the ends that are in no whole vector."""
        if letter != self.windowed:
            return super().guard(letter)
        lanes, vector, extent = self._lanes(), self.window.vector, self.group.extent
        if self.side == VECTORS:
            if self.window.shifted:
                text = f"({lanes.text} >= {self._first().text}) & ({lanes.text} < {self._last().text})"
            else:
                text = f"{lanes.text} < {extent // vector * vector}"
        elif self.window.shifted:
            half, shift = self._halves().text, self._shift()
            head = f"({half} >= {shift.text})" + ("" if shift.literal else f" & ({shift.text} > 0)") + self._tile(0)
            tail = f"({lanes.text} < {shift.text} + {extent})" + self._tile(-1)
            text = f"tl.where({half} < {vector}, {head}, {tail})"
        else:
            text = f"({lanes.text} < {extent})" + self._tile(-1)
        return self.define(self.home(self.group), "guard", f"{letter}mask", text, letter)

    def offset(self, a: Access, index: list[Expr], axes: str, repeated: bool = False) -> Expr | None:
        if a not in self.window.members:
            return super().offset(a, index, axes, repeated)
        programs, constant = self.window.shift
        rest = a._replace(terms=tuple(t for t in a.terms if t.group != self.window.position))
        if not programs:
            rest = rest._replace(offset=a.offset - constant)
        start = super().offset(rest, [], axes)
        lanes = self._times(self.expand(self._lanes(), axes), 1, a.wide)
        if start is None:
            return lanes
        if programs:
            text = f"{start.at(MUL)} // {self.window.vector} * {self.window.vector}"
            moving = {t.group for t in rest.terms} | {p for p, _ in rest.program}
            scope = self.scope_of("".join(self.walk.groups[p].letter for p in moving))
            key = ("start", rest.offset, rest.terms, rest.program, a.wide)
            start = self.define(scope, key, "start", text, start.axes)
        return Expr(f"{start.at(ADD)} + {lanes.at(ADD + 1)}", ADD, lanes.axes if not start.axes else axes)

    def _lanes(self) -> Expr:
        """The lanes, counted from the boundary."""
        if self.side == VECTORS:
            return self.lanes(self.window.position, f"{self.windowed}{'lane' if self.window.shifted else 'index'}")
        vector = self.window.vector
        if self.window.shifted:
            half = self._halves().text
            text = f"tl.where({half} < {vector}, {half}, {self._last().text} + ({half} - {vector}))"
            return self.define(self.top, "lanes", f"{self.windowed}lane", text, self.windowed)
        lanes = f"tl.arange(0, {vector})"
        if flat_limit(self.group) > INT32_MAX:
            lanes = f"tl.cast({lanes}, tl.int64)"
        text = f"{self.group.extent // vector * vector} + {lanes}"
        return self.define(self.top, "lanes", f"{self.windowed}index", text, self.windowed)

    def _halves(self) -> Expr:
        """Two vectors of lanes: the first for the start of the row, the second for its end."""
        text = f"tl.arange(0, {self.window.ends})"
        return self.define(self.top, "halves", f"{self.windowed}half", text, self.windowed)

    def _shift(self) -> Expr:
        programs, constant = self.window.shift
        if not programs:
            return Expr(str(constant), literal=True)
        vector = self.window.vector
        parts = []
        for p, c in programs:
            program = self.program(p).text
            if self.walk.groups[p].grid * vector > INT32_MAX:
                program = f"{program} % {vector}"
            parts.append(program if c == 1 else f"{program} * {c}")
        if constant:
            parts.append(str(constant))
        text = parts[0] if len(parts) == 1 else f"({' + '.join(parts)})"
        return self.define(self.top, "shift", f"{self.windowed}shift", f"{text} % {vector}")

    def _first(self) -> Expr:
        """The first lane of a whole vector."""
        return self._rounded("first", self.window.vector - 1)

    def _last(self) -> Expr:
        """One past the last lane of a whole vector."""
        return self._rounded("last", self.group.extent)

    def _rounded(self, name: str, more: int) -> Expr:
        shift, vector = self._shift(), self.window.vector
        if shift.literal:
            return Expr(str((int(shift.text) + more) // vector * vector), literal=True)
        text = f"({shift.text} + {more}) // {vector} * {vector}"
        return self.define(self.top, name, f"{self.windowed}{name}", text)

    def _tile(self, which: int) -> str:
        """The condition that this is the first (0) or the last (-1) tile of the group. Programs past the last tile
        hold none."""
        g = self.group
        if g.grid * g.loop == 1:
            return ""
        number = self.tile_name(g) if g.loop > 1 else self.program(self.window.position).text
        return f" & ({number} == {which % self.walk.tiles(g)})"
