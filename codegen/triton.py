"""Triton source of a kernel: the text people read, export and compile."""

from __future__ import annotations

from collections import Counter

from gradc.ir.graph import Graph, Loc, Node
from gradc.ir.tile import Group, parts

from .access import Access, runs
from .launch import KernelSource, num_stages, num_warps
from .triton_body import PID
from .triton_ops import ATOM, form, literal, type_text
from .triton_parts import Part, assembled, pointers, together
from .triton_programs import Expr, Scope
from .triton_reduce import Reductions
from .walk import Section

MAX_INLINE = 72
MAX_LINE = 100


def triton_source(kernel: Graph) -> KernelSource:
    """Print one kernel."""
    return together(kernel, _part) if parts(kernel) else _Printer(kernel).source()


def _part(kernel: Graph, name: str) -> Part:
    printer = _Printer(kernel, name)
    lines, _, _ = printer.function()
    return Part(printer.helpers, "\n".join(lines), num_warps(printer.walk), num_stages(printer.walk))


def _key(a: Access) -> object:
    """What two accesses share when they have the same offsets."""
    return a.offset, a.terms, a.program, a.indices, a.wide


class _Printer(Reductions):
    def __init__(self, kernel: Graph, part: str | None = None) -> None:
        super().__init__(kernel, part)
        self.uses: dict[int, int] = {}
        self.user_loc: dict[int, Loc | None] = {}
        accesses = self.walk.accesses.values()
        self.repeated = Counter([*map(_key, accesses), *(a.letters for a in accesses)])

    def source(self) -> KernelSource:
        lines, signature, divisible = self.function()
        return KernelSource(
            assembled(self.helpers, ["\n".join(lines)]),
            self.name,
            signature,
            (max(self.walk.grid, 1), 1, 1),
            divisible=divisible,
            num_warps=num_warps(self.walk),
            num_stages=num_stages(self.walk),
        )

    def function(self) -> tuple[list[str], dict[str, str], frozenset[str]]:
        """The lines of the function, its signature, and the pointers that are known to be multiples of 16."""
        top = self.frame.top
        for section in self.walk.sections:
            self._section(section)
        signature, divisible = pointers(self.kernel, self.pointers)
        comment = "; ".join(self._describe(p, g) for p, g in enumerate(self.walk.groups))
        lines = [f"def {self.name}({', '.join((*(() if self.part is None else (PID,)), *signature))}):"]
        lines += [f"    # {comment}"] if comment else []
        lines += top.head + top.body
        if len(lines) == 1 + bool(comment):
            lines.append("    pass")
        return lines, signature, divisible

    def _describe(self, position: int, g: Group) -> str:
        shape = " x ".join(str(d) for d in g.dims) or "1"
        cut = [f"{n} {what}" for n, what in ((g.grid, "programs"), (g.loop, "steps")) if n > 1]
        cut.append(f"tiles of {g.tile}")
        window = self.walk.window
        if position in self.walk.narrow:
            cut.append(f"not in whole vectors: {self.walk.narrow[position]}")
        if window is not None and position == window.position:
            rest = "both ends" if window.shifted else "what is left"
            cut.append(f"whole vectors of {window.vector} and {rest} apart")
        return f"{g.letter}: {shape} in " + ", ".join(cut)

    def _section(self, section: Section) -> None:
        self.uses = self.walk.uses(section)
        self.user_loc = {}
        for i in section.nodes:
            for o in self.kernel.nodes[i].operands:
                self.user_loc[o] = self.kernel.nodes[i].loc
        outer = self.frame.scope
        self.after = []
        if section.loops:
            self.frame.scope = inner = Scope(outer.indent + "    " * len(section.loops))
        for i in section.nodes:
            self._node(i, self.kernel.nodes[i])
        if section.loops:
            self.frame.scope = outer
            for depth, position in enumerate(section.loops):
                outer.body.append(self._loop(position, outer.indent + "    " * depth))
            outer.body += inner.head + inner.body + self.after

    def _loop(self, position: int, indent: str) -> str:
        g = self.walk.groups[position]
        r = self.walk.tile_range(g)
        program = self.frame.program(position).text

        def bound(b: tuple[int, int]) -> str:
            factor, constant = b
            if not factor:
                return str(constant)
            scaled = program if factor == 1 else f"{program} * {factor}"
            return f"{scaled} + {constant}" if constant else scaled

        stop = bound(r.stop) if r.limit is None else f"tl.minimum({bound(r.stop)}, {r.limit})"
        step = f", {r.step}" if r.step != 1 else ""
        return f"{indent}for {self.frame.tile_name(g)} in tl.range({bound(r.start)}, {stop}{step}):"

    def _node(self, i: int, node: Node) -> None:
        step = _STEPS.get(node.op.name, _Printer._scalar)
        if not self.frame.windowed:
            step(self, i, node)
            return
        for side in self.sides(node, i):
            self.frame.side = side
            step(self, i, node)
        self.frame.side = 0

    def _scalar(self, i: int, node: Node) -> None:
        dtypes = [self.walk.type(o).dtype for o in node.operands]
        operands = [self.value(o) for o in node.operands]
        letters = "".join([e.axes for e in operands])
        short = node.op.short
        if short == "add" and operands[1].literal and operands[1].text.startswith("-"):
            short, operands[1] = "sub", Expr(operands[1].text[1:], literal=True)
        f = form(short, tuple(dtypes), node.attrs)
        if short == "select" and operands[1].literal and operands[2].literal and dtypes[1].name != "f32":
            operands[1] = Expr(f"tl.full((), {operands[1].text}, {type_text(dtypes[1])})")
        if short == "select" and operands[0].literal:
            operands[0] = Expr(f"tl.full((), {operands[0].text}, tl.int1)")
        if short in ("convert", "bitcast") and operands[0].literal:
            operands[0] = Expr(f"tl.full((), {operands[0].text}, {type_text(dtypes[0])})")
        e = self.apply(f, operands, dtypes, self.frame.axes_of(letters))
        result = node.results[0]
        once = self.uses.get(result, 0) == 1 and self.user_loc.get(result) == node.loc
        if once and result not in self.kernel.names and len(e.text) <= MAX_INLINE:
            self.keep(result, e)
        else:
            self.assign(node, e, self.hint(node, "t"))

    def _index(self, i: int, node: Node) -> None:
        position = self.walk.position[node.attrs["group"]]
        g = self.walk.groups[position]
        unit = tuple(int(d == node.attrs["dim"]) for d in range(len(g.dims)))
        terms = runs(g, position, unit)
        e = self.frame.part(terms[0]) if terms else Expr("0", literal=True)
        if not e.axes:
            e = Expr(f"tl.cast({e.text}, {type_text(node.attrs['dtype'])})")
        else:
            e = Expr(f"{e.at(ATOM)}.to({type_text(node.attrs['dtype'])})", ATOM, e.axes)
        self.keep(node.results[0], e)

    def _load(self, i: int, node: Node) -> None:
        a = self.walk.accesses[i]
        dtype = self.walk.type(node.results[0]).dtype
        pointer, mask = self._address(node, i)
        more = ""
        if mask is not None:
            more = f", mask={mask.text}, other={literal(self.walk.identities[node.results[0]], dtype)}"
        e = Expr(f"tl.load({pointer.text}{more})", ATOM, pointer.axes)
        self.assign(node, e, self.hint(node, self.kernel.names.get(a.buffer, "v")))

    def _store(self, i: int, node: Node) -> None:
        pointer, mask = self._address(node, i)
        value, dtype = self.value(node.operands[0]), self.walk.type(node.operands[0]).dtype
        if value.literal and dtype.name == "f64":
            # A bare number would be stored by way of float32.
            value = Expr(f"tl.full((), {value.text}, {type_text(dtype)})")
        value = self.frame.expand(value, pointer.axes) if pointer.axes else value
        self.comment(node)
        more = f", mask={mask.text}" if mask is not None else ""
        if len(pointer.text + value.text + more) > MAX_LINE:
            value = self.named(value, "result")
        self.line(f"tl.store({pointer.text}, {value.text}{more})")

    def _address(self, node: Node, i: int) -> tuple[Expr, Expr | None]:
        """Pointer and mask of an access, of the same shape."""
        a = self.walk.accesses[i]
        index = [self.value(v) for v, _ in a.indices]
        extra = self.value(a.mask) if a.mask is not None else None
        own = self.frame.axes_of(a.space + "".join(e.axes for e in index))
        guards = "".join(c for c in a.letters if c in self.walk.guarded)
        axes = self.frame.axes_of(own + guards + (extra.axes if extra is not None else ""))
        offset = self.frame.offset(a, index, axes, self.repeated[_key(a)] > 1)
        text = self.pointers[a.buffer]
        if offset is not None:
            text = f"{text} + {offset.text}"
        pointer = Expr(text, 0, axes)
        if axes and own != axes:
            pointer = Expr(f"tl.broadcast_to({text}, {self.frame.shape(axes)})", ATOM, axes)
        return pointer, self.frame.mask(a.letters, extra, axes, self.repeated[a.letters] > 1)

    def _check(self, i: int, node: Node) -> None:
        bad, flag = node.operands
        e = self.value(bad)
        letters = "".join(c for c in self.walk.space(bad) if c in self.walk.guarded)
        axes = self.frame.axes_of(e.axes + letters)
        mask = self.frame.mask(letters, e, axes)
        assert mask is not None
        self.comment(node)
        pointer = self.pointers[flag]
        if axes:
            pointer = f"tl.broadcast_to({pointer}, {self.frame.shape(axes)})"
        self.line(f"tl.store({pointer}, {node.attrs['code']}, mask={mask.text})")


_STEPS = {
    "tile.index": _Printer._index,
    "tile.load": _Printer._load,
    "tile.store": _Printer._store,
    "tile.reduce": _Printer.reduce,
    "tile.exp_sum": _Printer.exp_sum,
    "tile.moments": _Printer.moments,
    "tile.dot": _Printer.dot,
    "tile.check": _Printer._check,
}
