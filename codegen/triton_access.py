"""Indices, masks and addresses in Triton. Each is defined once, where its group is known: at the top of the kernel, or
at the top of the loop for a looped group; and only if something asks for it."""

from __future__ import annotations

from gradc.ir.tile import Group

from .access import INT32_MAX, Access, Term, flat_limit
from .names import Names
from .triton_ops import ADD, AND, ATOM, MUL
from .triton_programs import Expr, Programs, Scope
from .walk import Walk


class Frame(Programs):
    """Names of indices, masks and offsets; `scope` is the innermost block being printed. `windowed` is the letter of
    the group that is printed in two sides, if any, and `side` the one being printed (`triton_window.py`)."""

    windowed = ""

    def __init__(self, walk: Walk, names: Names, pid: str) -> None:
        super().__init__(walk, names, pid)
        self.axes = self._axis_order()
        self.side = 0

    def key(self, key: object, axes: str) -> object:
        """What tells apart definitions of the same meaning that have these axes."""
        return key

    def _axis_order(self) -> str:
        """Groups with more than one lane, in group order, but so that operands of `tile.dot` need no transpose."""
        letters = "".join(g.letter for g in self.walk.groups if g.tile > 1)
        for i in self.walk.live:
            node = self.walk.kernel.nodes[i]
            if node.op.name == "tile.dot":
                a, b = (set(self.walk.space(o)) for o in node.operands)
                place = {c: 2 if c in b and c not in a else 1 if c in node.attrs["over"] else 0 for c in letters}
                return "".join(sorted(letters, key=lambda c: place[c]))
        return letters

    def axes_of(self, letters: str) -> str:
        return "".join([c for c in self.axes if c in letters])

    def shape(self, axes: str) -> str:
        """A shape tuple as text."""
        sizes = [str(self.lanes_of(c)) for c in axes]
        return f"({', '.join(sizes)}{',' if len(sizes) == 1 else ''})"

    def lanes_of(self, letter: str) -> int:
        return self.walk.groups[self.walk.position[letter]].tile

    def expand(self, e: Expr, axes: str) -> Expr:
        """The expression with the axes of a wider value; as it is where Triton broadcasts by itself."""
        if not e.axes or e.axes == axes:
            return e
        marks = ", ".join(":" if c in e.axes else "None" for c in axes)
        return Expr(f"{e.at(ATOM)}[{marks}]", ATOM, axes)

    def home(self, g: Group) -> Scope:
        return self.scope if g.loop > 1 else self.top

    def tile_name(self, g: Group) -> str:
        """The loop variable of a looped group: the number of the tile."""
        return self.fix(("tile", g.letter), f"{g.letter}index" if self._bare(g) else f"{g.letter}tile")

    def _bare(self, g: Group) -> bool:
        """Whether a looped group's tile number is its flat index."""
        return g.tile == 1 and flat_limit(g) <= INT32_MAX

    def flat(self, position: int) -> Expr:
        """The flat index of a group."""
        return self.lanes(position, f"{self.walk.groups[position].letter}index")

    def lanes(self, position: int, hint: str) -> Expr:
        """Where each lane of a group lies, counted over tiles, loop steps and programs."""
        g = self.walk.groups[position]
        wide = flat_limit(g) > INT32_MAX
        if g.loop > 1:
            if self._bare(g):
                return Expr(self.tile_name(g))
            start = Expr(self.tile_name(g))
        else:
            start = self.program(position)
        if wide and not start.literal:
            start = Expr(f"tl.cast({start.text}, tl.int64)")
        if g.tile == 1:
            return start
        lanes = f"tl.arange(0, {g.tile})"
        text = lanes if start.literal else f"{start.text} * {g.tile} + {lanes}"
        return self.define(self.home(g), ("flat", g.letter), hint, text, g.letter)

    def part(self, t: Term) -> Expr:
        """The index of a run of dims, without its coefficient."""
        g = self.walk.groups[t.group]
        flat = self.flat(t.group)
        if t.divisor == 1 and t.modulus is None:
            return flat
        text = flat.text if t.divisor == 1 else f"{flat.text} // {t.divisor}"
        if t.modulus is not None:
            text += f" % {t.modulus}"
        key = ("part", g.letter, t.divisor, t.modulus)
        return self.define(self.home(g), key, f"{g.letter}{self._rank(g, t)}", text, flat.axes)

    def _rank(self, g: Group, t: Term) -> int:
        """Which dim of the group a run ends with."""
        return max((d for d, s in enumerate(g.strides) if s == t.divisor), default=0)

    def guard(self, letter: str) -> Expr:
        """Which lanes of a group are no padding."""
        position = self.walk.position[letter]
        g = self.walk.groups[position]
        flat = self.flat(position)
        text = f"{self.pid if flat.literal else flat.text} < {g.extent}"
        return self.define(self.home(g), ("mask", letter), f"{letter}mask", text, flat.axes)

    def mask(self, letters: str, extra: Expr | None, axes: str, repeated: bool = False) -> Expr | None:
        """The lanes an access may touch: no padding of these groups, and the explicit mask. What several accesses
        share gets a name."""
        guarded = "".join(g.letter for g in self.walk.groups if g.letter in letters and g.letter in self.walk.guarded)
        key, home = ("masks", guarded, axes), self.scope_of(guarded)
        if len(guarded) > 1 and len(axes) > 1 and (repeated or self.key(key, axes) in home.defined):
            whole = self._all(guarded, axes)
            named = self.define(home, key, f"{guarded}mask", whole.text, whole.axes)
            return named if extra is None else Expr(f"{named.text} & {self.expand(extra, axes).at(AND + 1)}", AND, axes)
        if not guarded:
            return self.expand(extra, axes) if extra is not None else None
        whole = self._all(guarded, axes)
        if extra is None:
            return whole
        return Expr(f"{whole.at(AND)} & {self.expand(extra, axes).at(AND + 1)}", AND, axes)

    def _all(self, guarded: str, axes: str) -> Expr:
        """Lanes that are no padding in any of these groups."""
        parts = [self.expand(self.guard(c), axes) for c in guarded]
        return parts[0] if len(parts) == 1 else Expr(" & ".join(p.at(AND) for p in parts), AND, axes)

    def scope_of(self, letters: str) -> Scope:
        """Where something that varies over these groups is defined."""
        return self.scope if any(self.walk.groups[self.walk.position[c]].loop > 1 for c in letters) else self.top

    def offset(self, a: Access, index: list[Expr], axes: str, repeated: bool = False) -> Expr | None:
        """Elements from the start of the buffer; None for none. Long offsets that several accesses share get a name."""
        parts: list[Expr] = []
        for position, c in a.program:
            parts.append(self._times(self.program(position), c, a.wide))
        for t in a.terms:
            p = self.part(t)
            if not p.literal:
                parts.append(self._times(self.expand(p, axes), t.coeff, a.wide))
        for e, (_, c) in zip(index, a.indices, strict=True):
            if not e.literal:
                e = Expr(f"{e.at(ATOM)}.to({'tl.int64' if a.wide else 'tl.int32'})", ATOM, e.axes)
            parts.append(self._times(self.expand(e, axes), c, False))
        parts.sort(key=lambda p: len(p.axes) > 0)
        if a.offset or not parts:
            if not a.offset:
                return None
            parts.append(Expr(str(a.offset), literal=True))
        text = " + ".join(p.at(ADD + (i > 0)) for i, p in enumerate(parts)).replace("+ -", "- ")
        out = Expr(text, ADD if len(parts) > 1 else parts[0].level, max((p.axes for p in parts), key=len))
        if repeated and len(parts) > 1 and not index:
            key = ("offset", a.offset, a.terms, a.program, a.wide, axes)
            letters = a.space + "".join(self.walk.groups[p].letter for p, _ in a.program)
            return self.define(self.scope_of(letters), key, "offsets", text, out.axes)
        return out

    def _times(self, e: Expr, coeff: int, wide: bool) -> Expr:
        if wide:
            e = Expr(f"tl.cast({e.text}, tl.int64)", ATOM, e.axes)
        if coeff == 1:
            return e
        if coeff == -1:
            return Expr(f"-{e.at(MUL + 1)}", MUL, e.axes)
        return Expr(f"{e.at(MUL)} * {coeff}", MUL, e.axes)
