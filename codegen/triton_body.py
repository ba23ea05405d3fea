"""What every step of the Triton printer works with: values as expressions, statements, names, padding replaced."""

from __future__ import annotations

from gradc.ir.graph import Graph, Loc, Node
from gradc.ir.types import DType, TileType

from .constants import Number
from .names import Names, identifier, location_comment
from .triton_access import Frame
from .triton_ops import ATOM, HELPERS, UNARY, Form, literal, reduction, type_text
from .triton_programs import Expr
from .triton_window import WindowFrame
from .walk import Walk

PID = "program"
"""The parameter of a part that is its program's number."""


def function_name(kernel: Graph) -> str:
    """A kernel's name as that of a Triton function."""
    name = identifier(kernel.name, "kernel")
    return f"{name}_kernel" if name in HELPERS else name


class Body:
    """A kernel's text while it grows: `env` holds the expression of every value printed so far, per side."""

    def __init__(self, kernel: Graph, part: str | None = None) -> None:
        """`part` is the name of the function, if it is part of a launch and given its program's number."""
        self.kernel = kernel
        self.walk = Walk(kernel, windowed=True)
        self.part = part
        self.name = function_name(kernel) if part is None else part
        self.names = Names({self.name, *HELPERS, *(() if part is None else (PID,))})
        self.pointers: dict[int, str] = {}
        for i, v in enumerate(kernel.inputs):
            self.pointers[v] = self.names.fresh(identifier(f"{kernel.names.get(v, f'arg{i}')}_ptr", "arg"))
        window = self.walk.window
        pid = "tl.program_id(0)" if part is None else PID
        frame = Frame(self.walk, self.names, pid)
        self.frame = frame if window is None else WindowFrame(self.walk, self.names, pid, window)
        self.helpers: set[str] = set()
        self.env: dict[tuple[int, int], Expr] = {}
        self.literals = {v: self._literal(v) for v in self.walk.constants}
        self.loc: Loc | None = None
        self.after: list[str] = []

    def line(self, text: str) -> None:
        self.frame.scope.body.append(self.frame.scope.indent + text)

    def comment(self, node: Node) -> None:
        if node.loc is not None and (self.loc is None or node.loc[:2] != self.loc[:2]):
            self.loc = node.loc
            self.line(location_comment(node.loc))

    def hint(self, node: Node, default: str) -> str:
        return self.kernel.names.get(node.results[0], default)

    def assign(self, node: Node, e: Expr, hint: str) -> None:
        self.comment(node)
        name = self.names.fresh(self.suffixed(node.results[0], identifier(hint)))
        self.line(f"{name} = {e.text}")
        self.keep(node.results[0], Expr(name, ATOM, e.axes))

    def suffixed(self, v: int, hint: str) -> str:
        """The hint for a value, told apart where the ends of a window are printed."""
        return f"{hint}_end" if self._side(v) else hint

    def _side(self, v: int) -> int:
        return self.frame.side if self.frame.windowed and self.frame.windowed in self.walk.space(v) else 0

    def keep(self, v: int, e: Expr) -> None:
        self.env[v, self._side(v)] = e

    def value(self, v: int) -> Expr:
        found = self.literals.get(v)
        return self.env[v, self._side(v)] if found is None else found

    def _literal(self, v: int) -> Expr:
        text = literal(self.walk.constants[v], self.walk.type(v).dtype)
        return Expr(text, UNARY if text.startswith("-") else ATOM, literal=True)

    def sides(self, node: Node, i: int) -> tuple[int, ...]:
        """The sides of a window that a node is printed for, one after the other."""
        letter = self.frame.windowed
        if not letter or letter in node.attrs.get("over", ""):
            return (0,)
        access = self.walk.accesses.get(i)
        types = (self.kernel.types[v] for v in (*node.operands, *node.results))
        spaces = [t.space for t in types if isinstance(t, TileType)]
        spaces += [] if access is None else [access.letters, access.space]
        return (0, 1) if any(letter in s for s in spaces) else (0,)

    def named(self, e: Expr, hint: str = "t") -> Expr:
        """The expression as something that may be repeated."""
        if e.text.isidentifier() or e.literal:
            return e
        name = self.names.fresh(hint)
        self.line(f"{name} = {e.text}")
        return Expr(name, ATOM, e.axes)

    def apply(self, f: Form, operands: list[Expr], dtypes: list[DType], axes: str) -> Expr:
        """One op of the table on expressions."""
        if f.helper is not None:
            self.helpers.add(f.helper)
        texts = {}
        for k, e, d, need in zip("abc", operands, dtypes, f.need, strict=False):
            if f.tensors and e.literal:
                e = Expr(f"tl.full((), {e.text}, {type_text(d)})")
            if k in f.repeats:
                e = self.named(e)
            if e.axes != axes:
                e = self.frame.expand(e, axes)
            texts[k] = e.text if e.level >= need else f"({e.text})"
        return Expr(f.template.format_map(texts), f.level or operands[0].level, axes)

    def masked(self, v: int, over: str, neutral: Number, dtype: DType) -> Expr:
        """A value whose padding lanes in the groups `over` hold the neutral element, with all axes of those groups."""
        e = self.value(v)
        axes = self.frame.axes_of(e.axes + over)
        if self.walk.needs_mask(v, over, neutral):
            padded = "".join(c for c in over if c in self.walk.guarded)
            covered = self.frame.axes_of(e.axes + padded)
            mask = self.frame.mask(padded, None, covered)
            assert mask is not None
            e = Expr(
                f"tl.where({mask.text}, {self.frame.expand(e, covered).text}, {literal(neutral, dtype)})", ATOM, covered
            )
        if e.axes != axes:
            e = Expr(f"tl.broadcast_to({self.frame.expand(e, axes).text}, {self.frame.shape(axes)})", ATOM, axes)
        return e

    def combined(self, e: Expr, over: str, monoid: str, dtype: DType) -> Expr:
        """The value combined along its axes in `over`, the last one first."""
        f = reduction(monoid, dtype)
        if f.helper is not None and any(c in over for c in e.axes):
            self.helpers.add(f.helper)
        for c in reversed(e.axes):
            if c in over:
                axis = e.axes.index(c)
                e = Expr(f.template.format(a=e.at(f.need[0]), b=axis), f.level, e.axes.replace(c, ""))
        return e
