"""NumPy source of a kernel: one function that runs a batch of programs at once, in the order of the printed Triton.

`def kernel(io, box)`: `io` reads and writes the buffers (`read`, `write`, `gather`, ...), `box` says which batch: one
entry per `NumpySource.cuts`, (first index, count) for a span and (first program, programs, steps, lanes of the last
step) for a tiled group. All arrays have one axis per `SpacePlan.axes`, of length 1 where a value does not vary.
"""

from __future__ import annotations

from dataclasses import dataclass

from gradc.ir.graph import Graph, Node

from .numpy_body import Value
from .numpy_ops import CALLS, TYPED_LITERALS, UFUNCS, dtype_text
from .numpy_reduce import Reductions
from .numpy_space import Cut
from .walk import Section


@dataclass(frozen=True)
class NumpySource:
    """A printed function with what its driver must know: what to cut into batches, elements of one value per element of
    the cut axes, and whether it multiplies matrices (which wants square batches)."""

    text: str
    name: str
    cuts: tuple[Cut, ...]
    fixed: int
    contracts: bool


def numpy_source(kernel: Graph) -> NumpySource:
    """Print one kernel."""
    return _Printer(kernel).source()


class _Printer(Reductions):
    def source(self) -> NumpySource:
        for cut in self.space.cuts:
            at = self.space.cuts.index(cut)
            names = [f"{cut.name}_lo", f"{cut.name}_n"]
            if cut.ranges is not None:
                names += [f"{cut.name}_steps", f"{cut.name}_last"]
            self.line(f"{', '.join(names)} = box[{at}]")
        for i in sorted(self.space.tiled):
            g = self.walk.groups[i]
            if g.loop == 1:
                self.line(f"{g.letter}_t, {g.letter}_b = {g.letter}_last, {self.access.tile_start(g, '0')}")
        phases = {s.phase for s in self.walk.sections}
        for number, section in enumerate(self.walk.sections):
            self.section = number
            if len(phases) > 1:
                self.line(f"io.phase = {section.phase}")
            self._section(section)
        text = f"def {self.name}(io, box):\n" + "\n".join(self.lines or ["    pass"]) + "\n"
        fixed = 1
        for a in self.space.axes:
            if a.size.isdigit():
                fixed *= max(a.extent, 1)
            elif a.kind == "lane":
                fixed *= a.extent
        contracts = any(self.kernel.nodes[i].op.name == "tile.dot" for i in self.walk.live)
        return NumpySource(text, self.name, tuple(self.space.cuts), 1 if contracts else fixed, contracts)

    def _section(self, section: Section) -> None:
        self.here = self.walk.uses(section)
        self.left = dict(self.here)
        self.free = []
        self.targets = self.store_targets(section)
        self.after = []
        outer, start = self.indent, len(self.lines)
        loops = [i for i in section.loops if i in self.space.tiled]
        for i in loops:
            g = self.walk.groups[i]
            c = g.letter
            self.line(f"for {c}_s in range({c}_steps):")
            self.indent += "    "
            self.line(f"{c}_t = {c}_last if {c}_s == {c}_steps - 1 else {g.tile}")
            self.line(f"{c}_b = {self.access.tile_start(g, f'{c}_s')}")
        self.loop_start = start
        self.outer = outer
        for i in section.nodes:
            self._node(i, self.kernel.nodes[i])
        self.indent = outer
        self.lines += self.after

    def _node(self, i: int, node: Node) -> None:
        if "scalar" in node.op.traits:
            self._scalar(node)
        else:
            _STEPS[node.op.name](self, i, node)
        for o in set(node.operands):
            self.release(o, node)

    def _scalar(self, node: Node) -> None:
        short, r = node.op.short, node.results[0]
        operands = [self.value(o, typed=short in TYPED_LITERALS) for o in node.operands]
        axes = frozenset().union(*(e.axes for e in operands))
        dtype = self.walk.type(r).dtype
        if short in CALLS:
            texts = dict(zip("abc", (e.text for e in operands), strict=False))
            same = short in ("convert", "bitcast") and self.walk.type(node.operands[0]).dtype is dtype
            if same or short in ("fresh", "again"):
                self.alias(node, operands[0].text, operands[0].axes)
                return
            text = CALLS[short].format(**texts, dtype=dtype_text(dtype))
            self.set(node, text, axes, owned=short != "bitcast")
            if short == "bitcast":
                self.pin(node.operands[0])
            return
        out = self.out(node, operands, axes, dtype)
        arguments = ", ".join(e.text for e in operands)
        if out is None:
            self.set(node, f"{UFUNCS[short]}({arguments})", axes)
            return
        self.line(f"{UFUNCS[short]}({arguments}, out={out})")
        self.env[r] = Value(out, axes, r not in self.direct)
        self.born[r] = self.section

    def _index(self, i: int, node: Node) -> None:
        text, axes = self.access.dim(self.walk.position[node.attrs["group"]], node.attrs["dim"])
        self.set(node, f"({text}).astype({dtype_text(node.attrs['dtype'])})", axes)

    def _load(self, i: int, node: Node) -> None:
        a = self.walk.accesses[i]
        axes = self.access.axes(i, self.index_axes(i))
        mask = self.value(a.mask, typed=True) if a.mask is not None else None
        if mask is not None:
            axes |= mask.axes
        if self.access.is_view(i):
            if mask is None:
                self.set(node, self.access.view(i, "read"), axes, owned=False)
            else:
                self.set(node, self.access.view(i, "read_masked", mask.text), axes)
            return
        address = self.access.address(i, [self.value(v, typed=True).text for v, _ in a.indices])
        self.set(node, f"io.gather({self.access.number(i)}, {address}, {mask.text if mask else None})", axes)

    def _store(self, i: int, node: Node) -> None:
        v = node.operands[0]
        if v in self.direct:
            return
        a = self.walk.accesses[i]
        e = self.value(v, typed=True)
        mask = self.value(a.mask, typed=True).text if a.mask is not None else None
        if self.access.is_view(i) and mask is None:
            self.line(f"{self.access.view(i, 'write')}[...] = {e.text}")
        elif self.access.is_view(i):
            self.line(self.access.view(i, "write_masked", f"{e.text}, {mask}"))
        else:
            address = self.access.address(i, [self.value(x, typed=True).text for x, _ in a.indices])
            self.line(f"io.scatter({self.access.number(i)}, {address}, {e.text}, {mask})")

    def _check(self, i: int, node: Node) -> None:
        bad, flag = node.operands
        e = self.value(bad, typed=True)
        self.line(f"io.flag({self.kernel.inputs.index(flag)}, {e.text}, {node.attrs['code']})")


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
