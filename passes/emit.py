"""The body of one kernel: what it reads and writes, its groups, its nodes in order, its stores."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gradc.ir.build import GraphBuilder, Var
from gradc.ir.dim import product
from gradc.ir.graph import Graph, Node
from gradc.ir.monoid import MONOIDS
from gradc.ir.op import ELEMENTWISE, REDUCTION
from gradc.ir.tile import set_groups
from gradc.ir.types import i32

from .batch import width
from .cluster import Labels
from .indirect import read, read_affine, window, window_affine
from .lanes import Lanes
from .pitch import vector
from .product import contract_whole, contraction, product_space
from .sources import SOURCES, iota_affine
from .space import Affine, affine_of, plan_space
from .template import Stamper
from .views import View


class KernelMaker(Lanes):
    """Makes the kernel of a cluster; `make` is the one entry."""

    def stored(self) -> list[int]:
        """Values this kernel leaves in memory, partials included, in program order."""
        return [v for n in self.nodes() for v in n.results if v in self.c.final or v in self.wanted] + [
            v for v in self.c.finishes if v in self.wanted and v not in self.own
        ]

    def accesses(self) -> list[Affine]:
        """Every address this kernel will use, per axis (for ordering and merging axes)."""
        c, out = self.c, []
        for v in c.finishes:
            out.append(self.partial_affine(v))
        for node in self.nodes():
            labels = self.domain_labels(node)
            if node.op.name == "grad.iota":
                out.append(iota_affine(self, node, self.fuser.view[node.results[0]], labels)[0])
            for k, o in enumerate(node.operands):
                if o in self.own and self.is_local(o):
                    continue
                if k in self.fuser.whole(node):
                    out.extend(WHOLE[node.op.name](self, node, self.fuser.view[o], labels))
                else:
                    self._collect(self.fuser.aligned(node)[k], labels, out)
        for v in self.stored():
            out.append(self.store_affine(v))
        return out

    def _collect(self, view: View, labels: Labels, out: list[Affine]) -> None:
        """The addresses behind one operand, through repeated expressions."""
        stack = [(view, labels)]
        while stack:
            view, labels = stack.pop()
            p = self.fuser.producer[view.root]
            if not self.fuser.repeats(p, self.c):
                if not self.is_local(view.root):
                    out.append(affine_of(view, labels, self.c.axes))
                continue
            node = self.graph.nodes[p]
            if node.op.name == "grad.iota":
                out.append(iota_affine(self, node, view, labels)[0])
            elif self.fuser.inline[p].reduction:
                inner = self.extra_labels(node)
                stack.append((self.fuser.view[node.operands[0]], inner))
            elif node.op.kind == ELEMENTWISE:
                stack.extend((x, labels) for x in self.operand_views(node, view))

    def make(self, name: str) -> Graph:
        c = self.c
        self.kernel = Graph(name, "kernel")
        self.b = GraphBuilder(self.kernel, "tile")
        self.stamper = Stamper(self.b, self.fuser.templates)
        for node in self.nodes():
            self._declare_inputs(node)
        for v in c.finishes:
            self.buffer("in", v)
        accesses, stored = self.accesses(), self.stored()
        if c.kind == "CONTRACT":
            self.space = product_space(self, accesses)
        else:
            carry = c.kind == "ROW" and any(set(t) == c.kept and self._along_rows(v) for v, t in c.final.items())
            scalars = any(set(t) == set(c.axes) or set(t) == c.kept for t in c.final.values())
            tensors = (self.type_of(v) for v in (*self.inputs, *stored))
            self.space = plan_space(c, accesses, carry, scalars, vector(tensors))
        set_groups(self.kernel, self.space.groups)
        self.kernel.attrs["class"] = self.class_name()
        for v in stored:
            self._count_partials(v)
        for v in stored:
            self.buffer("out", v)
        for v in c.finishes:
            self.values[v] = self._finish(v)
        for node in self.nodes():
            self.b.loc = node.loc
            v = node.results[0]
            self.values[v] = self._value(node)
            self._name(v)
        for v in stored:
            node_index = self.fuser.producer[v]
            self.b.loc = self.graph.nodes[node_index].loc
            self._store(v)
        return self.kernel

    def _along_rows(self, v: int) -> bool:
        """Whether a reduction's operand varies along the rows of a row kernel."""
        return any(a in self.c.inner for lab in self.c.domains[v] for a in lab)

    def class_name(self) -> str:
        c = self.c
        if c.members > 1:
            return "BATCH"
        if c.kind == "ROW" and any(set(t) == c.kept and c.kept and self.type_of(v).shape for v, t in c.final.items()):
            return "MIXED"
        if c.kind == "MAP" and (c.final or c.one_program):
            return "FULL" if c.reduced else "MAP"
        return c.kind

    def _name(self, v: int) -> None:
        if v in self.graph.names and self.values[v].v not in self.kernel.names:
            self.kernel.names[self.values[v].v] = self.graph.names[v]

    def _declare_inputs(self, node: Node) -> None:
        """Read buffers come before written ones: declare those of this node (and of what it repeats) now."""
        stack = [o for o in node.operands if o not in self.own or not self.is_local(o)]
        while stack:
            o = stack.pop(0)
            root = self.fuser.view[o].root
            p = self.fuser.root_node(o)
            if self.fuser.repeats(p, self.c):
                stack.extend(self.graph.nodes[p].operands)
            elif not self.is_local(root):
                self.buffer("in", root)

    def _count_partials(self, v: int) -> None:
        over = self.c.final.get(v)
        if over is None:
            return
        letters = self.space.letters(over)
        self.partial_count[v] = product(g.grid for g in self.space.groups if g.letter in letters)

    def _value(self, node: Node) -> Var:
        labels = self.domain_labels(node)
        op = node.op
        special = SPECIAL.get(op.name)
        if special is not None:
            return special(self, node, labels)
        source = SOURCES.get(op.name)
        if source is not None:
            return source(self, node, self.fuser.view[node.results[0]], labels)
        operands = [self.operand(view, labels) for view in self.fuser.aligned(node)]
        if op.kind == REDUCTION:
            return self.reduce(node, operands[0], labels)
        template = self.fuser.work.template(node)
        assert template is not None
        return Var(self.b, self.stamper.stamp(template, [x.v for x in operands]))

    def _finish(self, v: int) -> Var:
        """The sum (or other monoid) of a value's partials."""
        node = self.graph.nodes[self.fuser.producer[v]]
        count = self.partials[v][1]
        (axis,) = self.c.inner
        affine = self.partial_affine(v)
        self.b.loc = node.loc
        inside = self._within(v)
        if count == 1:
            affine.pop(axis)
            return self.load(v, affine, 0, mask=inside)
        monoid = next(t[7:] for t in node.op.traits if t.startswith("monoid:"))
        if count != self.c.axes[axis]:
            some = self.affine_index({axis: 1}, 0) < count
            inside = some if inside is None else some & inside
        x = self.load(v, affine, 0, mask=inside)
        if inside is not None:
            x = self.b.select(inside, x, self.b.scalar(MONOIDS[monoid].identity(x.dtype), x.dtype))
        return self.b.reduce(x, monoid=monoid, over="r")  # type: ignore[no-any-return]

    def _within(self, v: int) -> Var | None:
        """The lanes that a value covers, where others in a batch of finalisers are longer."""
        found = width(self.c, self.c.labels[v], self.type_of(v).shape)
        if found is None:
            return None
        axis, extent = found
        inside: Var = self.affine_index({axis: 1}, 0) < extent
        return inside

    def _store(self, v: int) -> None:
        c = self.c
        affine = self.store_affine(v)
        coeffs = self.space.coeffs(affine)
        program: tuple[int, ...] | None = None
        over: frozenset[int] = c.final.get(v, frozenset())
        if self.partial_count.get(v, 1) > 1:
            step = max(product(self.type_of(v).shape), 1)
            letters = self.space.letters(over)
            strides = []
            for g in reversed(self.space.groups):
                strides.append(step if g.letter in letters else 0)
                step *= g.grid if g.letter in letters else 1
            program = tuple(reversed(strides))
        mask: Any = self._within(v)
        gone = self.space.letters(over)
        for g, cs in zip(self.space.groups, coeffs, strict=True):
            if g.letter in gone or g.letter == "k" or (g.grid == 1 and g.loop == 1 and not any(cs)):
                continue
            for dim, k in enumerate(cs):
                if k == 0 and g.dims[dim] != 1:
                    first = self.b.index(group=g.letter, dim=dim, dtype=i32).eq(0)
                    mask = first if mask is None else mask & first
        rest = () if mask is None else (mask,)
        self.b.store(
            self.values[v],
            self.buffer("out", v),
            *rest,
            coeffs=coeffs,
            offset=0,
            program=program,
            masked=None if mask is None else True,
        )


SPECIAL: dict[str, Callable[[KernelMaker, Node, Labels], Var]] = {
    "grad.contract": contraction,
    "grad.take": read,
    "grad.gather": read,
    "grad.unslice": window,
}
"""Ops whose body is neither a formula nor a reduction."""
WHOLE: dict[str, Callable[[KernelMaker, Node, View, Labels], list[Affine]]] = {
    "grad.contract": contract_whole,
    "grad.take": read_affine,
    "grad.gather": read_affine,
    "grad.unslice": window_affine,
}
"""The addresses at which such an op reads the operand it needs whole."""
