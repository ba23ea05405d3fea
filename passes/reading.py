"""What nodes read: views of memory, of values that a cluster computes, or of expressions that are repeated."""

from __future__ import annotations

from typing import Any, cast

from gradc.ir.graph import Graph, Node
from gradc.ir.op import CONTRACTION, INDEXED, RANDOM, REDUCTION, SOURCE

from .cluster import Cluster
from .repeat import Repeated, compose
from .template import Templates
from .views import STRIDED, View, broadcast_to, identity
from .work import Work


class Reading:
    """A graph with what is known so far of its nodes: `view[value]`, `cluster_of[node]`, and `inline[node]` for those
    that every reader repeats. `late` says that a repeated expression was given memory after all; `again` are nodes that
    all clusters but their own repeat, once every node has its place (`settled`)."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.types = cast(Any, graph.types)
        self.producer = graph.producers()
        self.view: list[View] = [identity(v, self.types[v].shape) for v in range(len(graph.types))]
        self.cluster_of: dict[int, Cluster] = {}
        self.inline: dict[int, Repeated] = {}
        self.late = False
        self.settled = False
        self.again: set[int] = set()
        self.templates = Templates()
        self.work = Work(graph, self.templates)
        self._aligned: dict[int, tuple[View, ...]] = {}
        self._reads: dict[int, list[tuple[int, View]]] = {}
        self._opened: dict[int, list[View]] = {}

    def root_node(self, value: int) -> int:
        """The node that computes the memory behind a value; -1 for a program input or a dense constant."""
        i = self.producer[self.view[value].root]
        return -1 if i < 0 or self.graph.nodes[i].op.name == "grad.dense" else i

    def domain(self, node: Node) -> tuple[int, ...]:
        """The shape a node iterates over."""
        v = node.operands[0] if node.op.kind == REDUCTION else node.results[0]
        shape: tuple[int, ...] = self.types[v].shape
        return shape

    def whole(self, node: Node) -> tuple[int, ...]:
        """Operand positions that a kernel must find complete in memory."""
        if node.op.kind == CONTRACTION:
            return (0, 1)
        return (0,) if node.op.kind == INDEXED or "copies" in node.op.traits else ()

    def aligned(self, node: Node) -> tuple[View, ...]:
        """The operands' views over the node's domain (an index operand covers its own dims of it; operands that must be
        whole are as they are)."""
        v = node.results[0]
        found = self._aligned.get(v)
        if found is None:
            views = [self.view[o] for o in node.operands]
            shape = self.types[v].shape
            if node.op.kind == INDEXED:
                views[1] = index_view(node, views[1], shape)
            elif node.op.kind != REDUCTION and not self.whole(node):
                views = [w if w.shape == shape else broadcast_to(w, shape) for w in views]
            found = self._aligned[v] = tuple(views)
        return found

    def repeats(self, i: int, c: Cluster | None = None) -> bool:
        """Whether cluster `c` (or a node yet to be placed) computes node `i` for itself: an expression that was given
        memory after all is still repeated by the kernels before that."""
        if i not in self.inline:
            return False
        home = self.cluster_of.get(i)
        return home is None or (c is not None and home is not c and (home.pos >= c.pos or i in self.again))

    def leaves(self, view: View, c: Cluster | None = None) -> list[View] | None:
        """The views of memory (or of placed values) that reading this view comes down to; None if a repeated expression
        cannot be evaluated under it."""
        if not self.repeats(self.producer[view.root], c):
            return [view]
        as_made = not self.late and view is self.view[view.root]
        if as_made and view.root in self._opened:
            return self._opened[view.root]
        out: list[View] = []
        stack = [view]
        while stack:
            v = stack.pop()
            if not self.late and v is self.view[v.root] and v.root in self._opened:
                # Opened before, and nothing that is repeated was given memory since.
                out.extend(self._opened[v.root])
                continue
            i = self.producer[v.root]
            if not self.repeats(i, c):
                out.append(v)
                continue
            node = self.graph.nodes[i]
            if self.inline[i].reduction or node.op.kind in (SOURCE, RANDOM):
                continue
            for k in range(len(node.operands)):
                inner = self.through(v, node, k)
                if inner is None:
                    return None
                stack.append(inner)
        if as_made:
            self._opened[view.root] = out
        return out

    def through(self, outer: View, node: Node, k: int) -> View | None:
        """What operand `k` of a repeated node is read through when the node's result is read through `outer`."""
        inner = self.aligned(node)[k]
        if outer is self.view[outer.root] and inner.shape == outer.shape:
            return inner
        return compose(outer, inner)

    def reads(self, node: Node, c: Cluster | None = None) -> list[tuple[int, View]]:
        """(operand position, view over the node's domain of memory or a placed value), repeated expressions opened."""
        v = node.results[0]
        found = self._reads.get(v)
        if found is None or (c is not None and self.late and not self.settled):
            found = self.opened(node, c)
            assert found is not None
            if c is None:
                self._reads[v] = found
        return found

    def opened(self, node: Node, c: Cluster | None) -> list[tuple[int, View]] | None:
        """What `reads` returns, looked at anew; None if a repeated expression cannot be evaluated here."""
        found = []
        whole = self.whole(node)
        for k, view in enumerate(self.aligned(node)):
            views = [view] if k in whole else self.leaves(view, c)
            if views is None:
                return None
            found.extend([(k, leaf) for leaf in views])
        return found

    def note_reads(self, node: Node, reads: list[tuple[int, View]]) -> None:
        """From here on, `reads` of this node are these."""
        self._reads[node.results[0]] = reads

    def placed(self, root: int) -> Cluster | None:
        i = self.producer[root]
        return self.cluster_of.get(i) if i >= 0 else None

    def floor(self, node: Node) -> int:
        """The least position at which the node can run."""
        least = 0
        for o in node.operands:
            p = self.root_node(o)
            c = self.cluster_of.get(p)
            if c is not None:
                least = max(least, c.pos)
            elif self.repeats(p):
                for root in self.inline[p].leaves:
                    home = self.placed(root)
                    if home is not None:
                        least = max(least, home.pos + 1)
        return least

    def read_whole(self) -> set[int]:
        """Values that some kernel must find in memory."""
        out = set()
        for node in self.graph.nodes:
            for k in self.whole(node):
                v = node.operands[k]
                while self.producer[v] >= 0 and self.graph.nodes[self.producer[v]].op.name in STRIDED:
                    v = self.graph.nodes[self.producer[v]].operands[0]
                out.add(v)
        return out


def index_view(node: Node, view: View, shape: tuple[int, ...]) -> View:
    """The index operand of take or gather over the dims of the result that it covers."""
    if node.op.short == "gather":
        return view
    dim = node.attrs["dim"]
    after = len(shape) - dim - len(view.shape)
    strides = (0,) * dim + view.strides + (0,) * after
    return View(view.root, shape, strides, view.offset)
