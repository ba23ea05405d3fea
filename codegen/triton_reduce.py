"""Reductions and matrix products in Triton, within a tile and carried across a kernel's loops."""

from __future__ import annotations

from gradc.ir.dim import product
from gradc.ir.graph import Node
from gradc.ir.monoid import MONOIDS
from gradc.ir.types import DType

from .names import identifier
from .triton_body import Body
from .triton_ops import ADD, ATOM, MUL, form, literal, type_text
from .triton_programs import Expr

MIN_DOT = 16
RESULT = {"sum": "total", "prod": "prod", "max": "top", "min": "low", "any": "some", "all": "every"}
"""What the result of a reduction is called that has no name of the user's."""


class Reductions(Body):
    """`after` collects what follows the loops of the section being printed."""

    def reduce(self, i: int, node: Node) -> None:
        monoid, over = MONOIDS[node.attrs["monoid"]], node.attrs["over"]
        dtype = self.walk.type(node.operands[0]).dtype
        hint = self.hint(node, RESULT[monoid.name])
        if not self.walk.finishes(node):
            pieces = self._pieces(node, over)
            if len(pieces) > 1:
                pieces = [self.named(e, identifier(hint) + end) for e, end in zip(pieces, ("", "_end"), strict=True)]
            self.assign(node, self._joined(pieces, monoid.combine, dtype), hint)
            return
        looped = {self.walk.groups[p].letter for p in self.walk.looped}
        pieces = self._pieces(node, "".join(c for c in over if c not in looped))
        if all(e.axes == pieces[0].axes and self.frame.windowed not in e.axes for e in pieces):
            pieces = [self._joined(pieces, monoid.combine, dtype)]
        left = any(c in over for e in pieces for c in e.axes)
        sums = []
        for side, e in enumerate(pieces, self.frame.side):
            self.frame.side = side
            name = self.suffixed(node.operands[0], identifier(hint) + ("_acc" if left else ""))
            acc = Expr(self.names.fresh(name), ATOM, e.axes)
            self.start(acc, literal(monoid.identity(dtype), dtype), dtype)
            self.comment(node)
            update = self.apply(form(monoid.combine, (dtype, dtype), {}), [acc, e], [dtype, dtype], e.axes)
            self.line(f"{acc.text} += {e.text}" if monoid.name == "sum" else f"{acc.text} = {update.text}")
            sums.append(self.combined(acc, over, monoid.name, dtype) if left else acc)
        self.finish(node, self._joined(sums, monoid.combine, dtype), hint)

    def _pieces(self, node: Node, over: str) -> list[Expr]:
        """The operand of a reduction combined over these groups; once for each side of a window that is reduced."""
        monoid, v = MONOIDS[node.attrs["monoid"]], node.operands[0]
        dtype = self.walk.type(v).dtype
        letter = self.frame.windowed
        pieces = []
        for side in (0, 1) if letter and letter in node.attrs["over"] else (self.frame.side,):
            self.frame.side = side
            e = self.masked(v, node.attrs["over"], monoid.identity(dtype), dtype)
            pieces.append(self.combined(e, over, monoid.name, dtype))
        self.frame.side -= len(pieces) - 1
        return pieces

    def _joined(self, pieces: list[Expr], combine: str, dtype: DType) -> Expr:
        first, *rest = pieces
        for e in rest:
            first = self.apply(form(combine, (dtype, dtype), {}), [first, e], [dtype, dtype], e.axes)
        return first

    def exp_sum(self, i: int, node: Node) -> None:
        v, over = node.operands[0], node.attrs["over"]
        dtype = self.walk.type(v).dtype
        low = MONOIDS["max"].identity(dtype)
        self.helpers |= {"nan_max", "exp_below"}
        letter = self.frame.windowed
        states = []
        for side in (0, 1) if letter and letter in over else (0,):
            self.frame.side = side
            e = self.named(self.masked(v, over, low, dtype))
            names = [self.names.fresh(self.suffixed(v, hint)) for hint in ("top_acc", "total_acc", "new")]
            top, total, new = (Expr(n, ATOM, e.axes) for n in names)
            self.start(top, literal(low, dtype), dtype)
            self.start(total, "0.0", dtype)
            self.comment(node)
            self.line(f"{new.text} = nan_max({top.text}, {e.text})")
            self.line(
                f"{total.text} = {total.text} * exp_below({top.text}, {new.text}) + exp_below({e.text}, {new.text})"
            )
            self.line(f"{top.text} = {new.text}")
            states.append((top, total))
        self.frame.side = 0
        tops = [self.combined(top, over, "max", dtype) for top, _ in states]
        self.finish(node, self._joined(tops, "maximum", dtype), "top", 0)
        best = self.env[node.results[0], 0]
        sums = []
        for top, total in states:
            wide = self.frame.expand(best, top.axes)
            each = Expr(f"{total.text} * tl.exp({top.text} - {wide.text})", MUL, top.axes)
            sums.append(self.combined(each, over, "sum", dtype))
        self.finish(node, self._joined(sums, "add", dtype), "total", 1)

    def moments(self, i: int, node: Node) -> None:
        v, over = node.operands[0], node.attrs["over"]
        dtype = self.walk.type(v).dtype
        letter = self.frame.windowed
        padded = "".join(c for c in over if c in self.walk.guarded)
        states = []
        for side in (0, 1) if letter and letter in over else (0,):
            self.frame.side = side
            e = self.named(self.masked(v, over, 0.0, dtype))
            hints = ("total_acc", "mean_acc", "squares_acc", "count_acc", "off")
            state = [Expr(self.names.fresh(self.suffixed(v, h)), ATOM, e.axes) for h in hints]
            total, mean, squares, count, off = (s.text for s in state)
            for s in state[:4]:
                self.start(s, "0.0", dtype)
            inside = self.frame.mask(padded, None, e.axes)
            self.comment(node)
            apart = f"{e.text} - {mean}"
            self.line(f"{count} += {'1.0' if inside is None else f'tl.where({inside.text}, 1.0, 0.0)'}")
            self.line(f"{off} = {apart if inside is None else f'tl.where({inside.text}, {apart}, 0.0)'}")
            self.line(f"{mean} += {off} / tl.maximum({count}, 1.0)")
            self.line(f"{squares} += {off} * ({apart})")
            self.line(f"{total} += {e.text}")
            states.append(state)
        self.frame.side = 0
        totals = [self.combined(s[0], over, "sum", dtype) for s in states]
        self.finish(node, self._joined(totals, "add", dtype), "total", 0)
        sums = []
        extent = product(self.walk.groups[self.walk.position[c]].extent for c in over)
        for _, mean_acc, squares_acc, count_acc, _ in states:
            center = self.frame.expand(self.env[node.results[0], 0], mean_acc.axes)
            apart = f"({mean_acc.text} - {center.text} / {float(extent)})"
            each = Expr(f"{squares_acc.text} + {count_acc.text} * {apart} * {apart}", ADD, mean_acc.axes)
            sums.append(self.combined(each, over, "sum", dtype))
        self.finish(node, self._joined(sums, "add", dtype), "squares", 1)

    def start(self, acc: Expr, neutral: str, dtype: DType) -> None:
        outer = self.frame.top
        value = f"tl.full({self.frame.shape(acc.axes)}, {neutral}, {type_text(dtype)})"
        outer.body.append(f"{outer.indent}{acc.text} = {value}")

    def finish(self, node: Node, result: Expr, hint: str, which: int = 0) -> None:
        if not result.text.isidentifier():
            name = self.names.fresh(self.suffixed(node.results[which], identifier(hint)))
            self.after.append(f"{self.frame.top.indent}{name} = {result.text}")
            result = Expr(name, ATOM, result.axes)
        self.keep(node.results[which], result)

    def dot(self, i: int, node: Node) -> None:
        over, acc_type = node.attrs["over"], node.attrs["dtype"]
        types = [self.walk.type(o).dtype for o in node.operands]
        a, b = (self.masked(o, over, 0.0, d) for o, d in zip(node.operands, types, strict=True))
        hint = self.hint(node, "acc")
        finishes = self.walk.finishes(node)
        axes = self.frame.axes_of("".join(c for c in a.axes + b.axes if c not in over))
        acc = Expr(self.names.fresh(identifier(hint)), ATOM, axes) if finishes else None
        if acc is not None:
            self.start(acc, "0.0", acc_type)
        if self.fits_tensor_cores(a, b, over, types):
            self.comment(node)
            into = acc.text if acc is not None else f"out_dtype={type_text(acc_type)}"
            product = Expr(f'tl.dot({a.text}, {b.text}, {into}, input_precision="ieee")', ATOM, axes)
            if acc is None:
                self.assign(node, product, hint)
                return
            self.line(f"{acc.text} = {product.text}")
            self.keep(node.results[0], acc)
            return
        wide = self.frame.axes_of(a.axes + b.axes)
        a, b = (
            e if d is acc_type else Expr(f"{e.at(ATOM)}.to({type_text(acc_type)})", ATOM, e.axes)
            for e, d in zip((a, b), types, strict=True)
        )
        product = self.apply(form("mul", (acc_type, acc_type), {}), [a, b], [acc_type, acc_type], wide)
        total = self.combined(product, over, "sum", acc_type)
        if acc is None:
            self.assign(node, total, hint)
            return
        self.comment(node)
        self.line(f"{acc.text} += {total.text}")
        self.keep(node.results[0], acc)

    def fits_tensor_cores(self, a: Expr, b: Expr, over: str, types: list[DType]) -> bool:
        """Whether this is a plain matrix product of tiles that tl.dot takes on every target."""
        if len(a.axes) != 2 or len(b.axes) != 2 or a.axes[1] != b.axes[0]:
            return False
        if a.axes[1] not in over or a.axes[0] == b.axes[1]:
            return False
        tiles = [self.walk.groups[self.walk.position[c]].tile for c in a.axes + b.axes]
        return min(tiles) >= MIN_DOT and types[0] is types[1] and types[0].is_float and types[0].bits <= 32
