"""Fusion: one walk in program order puts every node into a cluster (`cluster.py`), then each becomes a kernel.

Clusters have positions, and a node may only join a cluster whose position is at least that of everything it reads, so
the clusters can always run in order of position. A node joins the latest cluster among its producers if the two agree
on axes and on the kind of kernel; otherwise a later cluster that reads the same memory; otherwise, if it is short
arithmetic on memory, it is left to be repeated by its readers (`repeat.py`); otherwise it opens a cluster. When a node
has joined, its other producers are moved into the same cluster where that is legal (`merge.py`). Every
producer-consumer edge that goes through memory is remarked with one reason of REASONS.
"""

from __future__ import annotations

from gradc.ir.graph import Graph, Module, Node
from gradc.ir.op import CONTRACTION, ELEMENTWISE, RANDOM, REDUCTION, SOURCE

from .cluster import OP_LIMIT, Cluster, Labels
from .edges import not_fused
from .moving import Moving
from .prepare import prepare
from .recompute import recompute
from .remarks import Remark
from .repeat import OP_LIMIT as REPEAT_LIMIT
from .repeat import REDUCTION_BYTES, REDUCTION_LANES, ROOT_LIMIT, SHORT, Repeated
from .schedule import schedule
from .views import STRIDED

REASONS = (
    "axis conflict",
    "reduction finishes in another kernel",
    "rearranged in memory",
    "kernel is full",
    "whole operand needed",
    "a kernel between them",
    "row is too long",
    "domain grows",
)

EXPANSION = 8
"""From this ratio of result to operands on, an elementwise op is left to its readers."""


class Fuser(Moving):
    """The walk. `pinned` are values that must lie in memory; `refused` says why a node did not join a producer's
    kernel."""

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph)
        self.refused: dict[tuple[int, Cluster], str] = {}
        self.pinned = set(graph.outputs) | self.read_whole()
        self.readings = [0] * len(graph.types)
        for node in graph.nodes:
            for o in node.operands:
                self.readings[o] += 1

    def run(self) -> None:
        for i, node in enumerate(self.graph.nodes):
            if node.op.name in STRIDED:
                view = STRIDED[node.op.name](self.view[node.operands[0]], node)
                assert view is not None, "prepare() copies before a reshape that no strides express"
                self.view[node.results[0]] = view
            elif node.op.name != "grad.dense":
                self._visit(i, node)

    def _continues(self, i: int, node: Node) -> bool:
        """The common case, taken at once: an elementwise node whose operands all come, element for element, from one
        cluster (constants aside) joins it."""
        if node.op.kind != ELEMENTWISE:
            return False
        home: Cluster | None = None
        labels: Labels = ()
        for view in self.aligned(node):
            p = self.producer[view.root]
            c = self.cluster_of.get(p)
            if c is None:
                if p in self.inline and not self.inline[p].leaves:
                    continue
                return False
            if (home is not None and c is not home) or view is not self.view[view.root] or view.root in c.final:
                return False
            if home is not None and c.labels[view.root] != labels:
                return False
            home, labels = c, c.labels[view.root]
        if home is None or home.cost + self.work.room(node, home) > OP_LIMIT:
            return False
        v = node.results[0]
        home.nodes.append(i)
        self.work.add(node, home)
        home.labels[v] = home.domains[v] = labels
        self.cluster_of[i] = home
        return True

    def _visit(self, i: int, node: Node) -> None:
        if i in self.work.heads:
            self._start(i, node)
            return
        if self._continues(i, node) or self._expected(i, node):
            return
        whole = self.whole(node)
        for k, view in enumerate(self.aligned(node)):
            p = self.producer[view.root]
            if p in self.inline and k not in whole and self.repeats(p) and self.leaves(view) is None:
                self.late = True
                self.open(p, self.graph.nodes[p])
        if node.op.kind in (SOURCE, RANDOM) and self.pinned.isdisjoint(node.results):
            self.inline[i] = Repeated(1, tuple(self.view[o].root for o in node.operands))
            return
        at_once = all(self.cluster_of.get(self.root_node(o)) is None for o in node.operands)
        if (at_once or self.expands(node)) and self._repeats(i, node):
            return
        if node.op.kind == CONTRACTION:
            if not self.join_product(i, node):
                self.open(i, node)
            return
        blocked = self._join(i, node)
        if blocked is None:
            return
        full = blocked == "kernel is full"
        whole_block = full and node.results[0] in self.work.blocks
        if whole_block or not self._repeats(i, node, SHORT if full else REPEAT_LIMIT):
            self.open(i, node)

    def _start(self, i: int, node: Node) -> None:
        """A copied segment goes where its gradient is, if there is room for it and its readers; else it opens a
        cluster, which reads what the segment starts from."""
        c = self.cluster_of.get(self.root_node(node.operands[1]))
        if c is not None and c.pos >= self.floor(node):
            reason: str | None = "kernel is full"
            if c.cost + sum([n for _, n in self.work.segment(i, c)]) <= OP_LIMIT:
                reason = self.try_join(c, i, node, self.domain(node), horizontal=False)
            if reason is None:
                self.work.reserve(i, c)
                return
            self.refused[(i, c)] = reason
        self.open(i, node)
        self.work.reserve(i, self.cluster_of[i])

    def _expected(self, i: int, node: Node) -> bool:
        """Whether the node joined the cluster that keeps room for it."""
        c = self.work.reserved.get(node.results[0]) if node.results else None
        if c is None or not c.nodes or c.pos < self.floor(node):
            return False
        within = any([self.cluster_of.get(self.root_node(o)) is c for o in node.operands])
        return self.try_join(c, i, node, self.domain(node), horizontal=not within) is None

    def expands(self, node: Node) -> bool:
        """Whether the result is far larger than all it reads: such a value had better never lie in memory."""
        if node.op.kind != ELEMENTWISE:
            return False
        n = self.types[node.results[0]].numel
        for view in self.aligned(node):
            if EXPANSION * self.types[view.root].numel > n and not self.repeats(self.producer[view.root]):
                return False
        read = [self.types[view.root].numel for _, view in self.reads(node)]
        return bool(n >= EXPANSION * max(read, default=n))

    def _repeats(self, i: int, node: Node, limit: int = REPEAT_LIMIT) -> bool:
        """Leave the node to its readers if it is short arithmetic on memory, or counts something in integer inputs."""
        if not self.pinned.isdisjoint(node.results) or node.op.kind not in (ELEMENTWISE, REDUCTION):
            return False
        cost = self.work.cost(node)
        leaves: list[int] = []
        for o in node.operands:
            p = self.root_node(o)
            found = self.inline.get(p) if self.repeats(p) else None
            cost += 0 if found is None else found.cost
            leaves.extend([self.view[o].root] if found is None else found.leaves)
        distinct = tuple(dict.fromkeys(leaves))
        if cost > limit:
            return False
        v = node.results[0]
        if node.op.kind == REDUCTION:
            lanes = self.types[node.operands[0]].numel
            small = sum(self.types[x].nbytes for x in distinct) <= REDUCTION_BYTES and 0 < lanes <= REDUCTION_LANES
            counts = all(self.producer[x] < 0 and not self.types[x].dtype.is_float for x in distinct)
            if not (small and counts and distinct and self.types[v].numel == 1 and self.readings[v] > 1):
                return False
        else:
            n = self.types[v].numel
            large = [x for x in distinct if 2 * self.types[x].numel > n > 1]
            if len(large) > ROOT_LIMIT and self.readings[v] > 1:
                return False
        self.inline[i] = Repeated(cost, distinct, node.op.kind == REDUCTION)
        return True

    def _join(self, i: int, node: Node) -> str | None:
        """None if the node joined a cluster, else why not."""
        floor = self.floor(node)
        shape = self.domain(node)
        producers = {id(c): c for c in (self.cluster_of.get(self.root_node(o)) for o in node.operands) if c is not None}
        tried = sorted((c for c in producers.values() if c.pos >= floor), key=lambda c: -c.pos)
        for _, view in self.reads(node):
            for c in self.readers.get(view.root, ())[-3:]:
                if c.pos >= floor and c not in tried:
                    tried.append(c)
        blocked = "a kernel between them" if producers else ""
        for n, c in enumerate(tried):
            reason = self.try_join(c, i, node, shape, horizontal=id(c) not in producers)
            if reason is None:
                self.gather_producers(c, node)
                return None
            self.refused[(i, c)] = reason
            if n == 0:
                blocked = reason
        return blocked or "whole operand needed"


def clustered(graph: Graph) -> Fuser:
    """The fusion of a prepared graph."""
    fuser = Fuser(graph)
    fuser.run()
    fuser.join_siblings()
    recompute(fuser, fuser.pinned)
    return fuser


def fuse(module: Module, remarks: list[Remark]) -> Module:
    """simplified -> scheduled: clusters, then one kernel per cluster (`schedule.py`)."""
    graph, origin = prepare(module.main)
    fuser = clustered(graph)
    scheduled = schedule(module, graph, fuser)
    remarks.extend(not_fused(fuser, origin))
    return scheduled
