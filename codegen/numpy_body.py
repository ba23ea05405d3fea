"""Values in printed NumPy code: their names and axes, and which memory an op may compute into."""

from __future__ import annotations

from dataclasses import dataclass

from gradc.ir.graph import Graph, Node
from gradc.ir.types import BufferType, DType

from .names import Names, identifier
from .numpy_access import AccessText
from .numpy_ops import REDUCTIONS, literal, typed_literal
from .numpy_space import SpacePlan
from .walk import Section, Walk


@dataclass(frozen=True)
class Value:
    """A printed array (or literal) and the axes it varies along. `owned` arrays may be overwritten when dead."""

    text: str
    axes: frozenset[int] = frozenset()
    owned: bool = False
    literal: bool = False


class Body:
    """A kernel's code while it grows. `left` counts the reads of each value that are still to come in the section being
    printed, `free` holds temporaries that are dead, `targets` the values that go straight to a buffer."""

    def __init__(self, kernel: Graph) -> None:
        self.kernel = kernel
        self.walk = Walk(kernel)
        self.space = SpacePlan(self.walk)
        self.access = AccessText(self.walk, self.space)
        self.name = identifier(kernel.name, "kernel")
        axis_names = {a.size for a in self.space.axes} | {a.start for a in self.space.axes}
        loops = {f"{g.letter}_{s}" for g in self.walk.groups for s in ("lo", "n", "steps", "last", "s", "t", "b")}
        self.names = Names({self.name, "io", "box", *axis_names, *loops, *REDUCTIONS, "dot", "erf", "tree", "reduce"})
        self.env: dict[int, Value] = {}
        self.lines: list[str] = []
        self.indent = "    "
        self.total = self.total_uses()
        self.producer = kernel.producers()
        self.left: dict[int, int] = {}
        self.here: dict[int, int] = {}
        self.born: dict[int, int] = {}
        self.free: list[tuple[frozenset[int], DType, str]] = []
        self.targets: dict[int, int] = {}
        self.direct: set[int] = set()
        self.after: list[str] = []
        self.section = 0
        self.outer = self.indent
        self.loop_start = 0

    def total_uses(self) -> dict[int, int]:
        total: dict[int, int] = {}
        for section in self.walk.sections:
            for v, n in self.walk.uses(section).items():
                total[v] = total.get(v, 0) + n
        return total

    def line(self, text: str) -> None:
        self.lines.append(self.indent + text)

    def store_targets(self, section: Section) -> dict[int, int]:
        """Values that may be computed right into a buffer: value -> the node that stores it, its only reader."""
        found: dict[int, int] = {}
        for i in section.nodes:
            node = self.kernel.nodes[i]
            if node.op.name != "tile.store" or not self.access.is_view(i) or self.walk.accesses[i].mask is not None:
                continue
            v = node.operands[0]
            same = self.buffer(i).dtype is self.walk.type(v).dtype
            if self.total.get(v) == 1 and same and v not in self.walk.constants and not self.overwrites(i):
                found[v] = i
        return found

    def overwrites(self, i: int) -> bool:
        """Whether storing a value as soon as it is there could change what is loaded between that and its store: a
        buffer that is read at the same addresses may be the written one, planned in place."""
        store = self.kernel.nodes[i]
        first = self.producer[store.operands[0]]
        size = self.buffer(i).dtype.itemsize
        place = (store.attrs["coeffs"], store.attrs["offset"])
        for j, a in self.walk.accesses.items():
            node = self.kernel.nodes[j]
            if first < j < i and node.op.name == "tile.load" and (node.attrs["coeffs"], node.attrs["offset"]) == place:
                t = self.kernel.types[a.buffer]
                if isinstance(t, BufferType) and t.dtype.itemsize == size:
                    return True
        return False

    def buffer(self, i: int) -> BufferType:
        t = self.kernel.types[self.walk.accesses[i].buffer]
        assert isinstance(t, BufferType)
        return t

    def value(self, v: int, typed: bool = False) -> Value:
        if v in self.walk.constants:
            d = self.walk.type(v).dtype
            text = (typed_literal if typed or d.is_half else literal)(self.walk.constants[v], d)
            return Value(text, literal=True)
        return self.env[v]

    def local(self, v: int) -> bool:
        """Whether a value is made and read in this section only."""
        return self.born.get(v) == self.section and self.total.get(v) == self.here.get(v)

    def release(self, o: int, node: Node) -> None:
        """Count a read; the memory of a dead temporary made in this section is taken by later ones."""
        if o not in self.left or o not in self.env:
            return
        self.left[o] -= node.operands.count(o)
        e = self.env[o]
        if self.left[o] == 0 and e.owned and self.local(o):
            self.free.append((e.axes, self.walk.type(o).dtype, e.text))

    def set(self, node: Node, text: str, axes: frozenset[int], owned: bool = True) -> None:
        r = node.results[0]
        name = self.names.fresh(identifier(self.kernel.names.get(r, "t")))
        self.line(f"{name} = {text}")
        self.env[r] = Value(name, axes, owned)
        self.born[r] = self.section

    def alias(self, node: Node, text: str, axes: frozenset[int]) -> None:
        """Let the result be its operand's array: neither may be overwritten."""
        self.env[node.results[0]] = Value(text, axes)
        self.pin(node.operands[0])

    def pin(self, v: int) -> None:
        e = self.env.get(v)
        if e is not None:
            self.env[v] = Value(e.text, e.axes)

    def out(self, node: Node, operands: list[Value], axes: frozenset[int], dtype: DType) -> str | None:
        """An array that the result may be computed into: the buffer it is stored to, an operand that dies here, or the
        memory of a temporary that is dead."""
        store = self.targets.get(node.results[0])
        if store is not None and self.access.axes(store, self.index_axes(store)) == axes:
            view = self.names.fresh("out")
            self.line(f"{view} = {self.access.view(store, 'write')}")
            self.direct.add(node.results[0])
            return view
        if not axes:
            return None
        for o, e in zip(node.operands, operands, strict=True):
            dies = e.owned and self.local(o) and self.left.get(o) == node.operands.count(o)
            if dies and e.axes == axes and self.walk.type(o).dtype is dtype:
                self.env[o] = Value(e.text, e.axes)
                return e.text
        for entry in self.free:
            if entry[0] == axes and entry[1] is dtype:
                self.free.remove(entry)
                return entry[2]
        return None

    def index_axes(self, i: int) -> frozenset[int]:
        return frozenset().union(*(self.value(v).axes for v, _ in self.walk.accesses[i].indices))
