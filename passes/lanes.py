"""Values inside one kernel: loaded with their strides, repeated, or already there; and the addresses they live at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gradc.ir.build import GraphBuilder, Var
from gradc.ir.dim import Shape, product, row_major
from gradc.ir.graph import Graph, Node
from gradc.ir.op import REDUCTION
from gradc.ir.types import BufferType, TensorType, i32, i64

from .cluster import Cluster, Labels
from .sources import SOURCES
from .space import Affine, Space, affine_of
from .template import Stamper
from .views import View

if TYPE_CHECKING:
    from .joining import Joining


class Lanes:
    """The kernel of one cluster while it is made. `inputs` and `outputs` are the graph's values behind its buffers, in
    order; `partial_count[v]` is the number of partials it leaves for a reduction it does not finish."""

    kernel: Graph
    b: GraphBuilder
    stamper: Stamper
    space: Space

    def __init__(self, fuser: Joining, c: Cluster, wanted: set[int], partials: dict[int, tuple[int, int]]) -> None:
        self.fuser, self.c, self.wanted, self.partials = fuser, c, wanted, partials
        self.graph = fuser.graph
        self.inputs: list[int] = []
        self.outputs: list[int] = []
        self.partial_count: dict[int, int] = {}
        self.buffers: dict[tuple[str, int], Var] = {}
        self.values: dict[int, Var] = {}
        self.loads: dict[Any, Var] = {}
        self.extra: dict[Shape, Labels] = {}
        self.own = {v for i in c.nodes for v in self.graph.nodes[i].results}
        if c.source is not None:
            (axis,) = c.inner
            c.axes[axis] = max(partials[v][1] for v in c.finishes)

    def nodes(self) -> list[Node]:
        return [self.graph.nodes[i] for i in self.c.nodes]

    def type_of(self, v: int) -> TensorType:
        t = self.graph.types[v]
        assert isinstance(t, TensorType)
        return t

    def domain_labels(self, node: Node) -> Labels:
        """The labels of the node's iteration domain."""
        v = node.results[0]
        if node.op.kind != REDUCTION:
            return self.c.labels[v]
        return self.c.domains[v]

    def is_local(self, root: int) -> bool:
        """Whether the value lives in this kernel's registers."""
        return (root in self.own and root not in self.c.final) or root in self.c.finishes

    def store_affine(self, v: int) -> Affine:
        shape = self.type_of(v).shape
        return affine_of(View(v, shape, row_major(shape), 0), self.c.labels[v], self.c.axes)

    def partial_affine(self, v: int) -> Affine:
        (axis,) = self.c.inner
        return {axis: max(product(self.type_of(v).shape), 1), **self.store_affine(v)}

    def operand_views(self, node: Node, view: View) -> list[View]:
        """What a repeated elementwise node reads when it is read through `view`."""
        out = []
        for k in range(len(node.operands)):
            inner = self.fuser.through(view, node, k)
            assert inner is not None
            out.append(inner)
        return out

    def extra_labels(self, node: Node) -> Labels:
        """Axes of their own for the domain of a repeated reduction; equal domains share them."""
        shape = self.fuser.domain(node)
        found = self.extra.get(shape)
        if found is None:
            found = tuple(() if n == 1 else (self.fuser.fresh_axis(self.c, n),) for n in shape)
            self.extra[shape] = found
            self.c.extra.update(a for lab in found for a in lab)
        return found

    def buffer(self, mode: str, v: int) -> Var:
        found = self.buffers.get((mode, v))
        if found is None:
            t = self.type_of(v)
            count = self.partial_count.get(v, 1) if mode == "out" else 1
            if mode == "in" and v in self.c.finishes:
                count = self.partials[v][1]
            name = self.graph.names.get(v)
            if name is None:
                name = "partial" if count > 1 else ("in" if mode == "in" else "out")
            elif count > 1:
                name += "_partial"
            handle = self.kernel.add_input(BufferType(t.numel * count, t.dtype), name, mode=mode)
            found = self.buffers[(mode, v)] = Var(self.b, handle)
            (self.inputs if mode == "in" else self.outputs).append(v)
        return found

    def operand(self, view: View, labels: Labels) -> Var:
        """A value over the labelled domain: from registers, repeated, or loaded."""
        p = self.fuser.producer[view.root]
        if self.fuser.repeats(p, self.c):
            reader, self.b.loc = self.b.loc, self.graph.nodes[p].loc
            value = self.repeated(self.graph.nodes[p], view, labels)
            self.b.loc = reader
            return value
        if self.is_local(view.root):
            return self.values[view.root]
        return self.load(view.root, affine_of(view, labels, self.c.axes), view.offset)

    def load(
        self,
        root: int,
        affine: Affine,
        offset: int,
        mask: Var | None = None,
        index: tuple[Var, ...] = (),
        index_coeffs: tuple[int, ...] = (),
    ) -> Var:
        coeffs = self.space.coeffs(affine)
        key = (root, coeffs, offset, None if mask is None else mask.v, tuple(x.v for x in index), index_coeffs)
        found = self.loads.get(key)
        if found is None:
            letters = "".join(g.letter for g, cs in zip(self.space.groups, coeffs, strict=True) if any(cs))
            rest = ((mask,) if mask is not None else ()) + index
            found = self.loads[key] = self.b.load(
                self.buffer("in", root),
                *rest,
                coeffs=coeffs,
                offset=offset,
                space=letters,
                masked=True if mask is not None else None,
                index_coeffs=index_coeffs or None,
            )
        return found

    def repeated(self, node: Node, view: View, labels: Labels) -> Var:
        """A repeated expression's value here: sources by their own rule, reductions over axes of their own, arithmetic
        on the operands read through the same view."""
        source = SOURCES.get(node.op.name)
        if source is not None:
            return source(self, node, view, labels)
        result = self.type_of(node.results[0]).dtype
        if node.op.kind == REDUCTION:
            inner = self.extra_labels(node)
            key: Any = ("repeated", node.results[0])
            found = self.loads.get(key)
            if found is None:
                x = self.operand(self.fuser.view[node.operands[0]], inner)
                found = self.loads[key] = self.reduce(node, x, inner)
            return found
        args = [self.operand(x, labels) for x in self.operand_views(node, view)]
        return self.stamper.apply(node.op, node.attrs, args, result)

    def reduce(self, node: Node, x: Var, labels: Labels) -> Var:
        monoid = next(t[7:] for t in node.op.traits if t.startswith("monoid:"))
        over = self.space.letters(a for d in node.attrs["dims"] for a in labels[d])
        return self.b.reduce(x, monoid=monoid, over=over) if over else x

    def affine_index(self, affine: Affine, offset: int) -> Var:
        """The integer `offset + sum coefficient * axis index` of every lane (int64 only where 2^31 may be passed)."""
        span = abs(offset) + sum(abs(k) * self.c.axes.get(a, 1) for a, k in affine.items())
        d = i64 if span >= 1 << 31 else i32
        total: Any = None
        for g, cs in zip(self.space.groups, self.space.coeffs(affine), strict=True):
            for dim, k in enumerate(cs):
                if k:
                    term = self.b.index(group=g.letter, dim=dim, dtype=d)
                    term = term if k == 1 else term * k
                    total = term if total is None else total + term
        if total is None:
            return self.b.scalar(offset, d)
        return total + offset if offset else total  # type: ignore[no-any-return]
