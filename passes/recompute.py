"""Values that no kernel stores, because their readers compute them again from what lies in memory anyway.

Fusion puts a node where its operands are, so a kernel may leave several values that differ by arithmetic on one of
them: a gradient, the gradient times a weight, the normalised rows beside rows, mean and deviation. Once every node has
its place, each value that crosses between kernels is looked at, the last one first: if bytes are saved by not writing
it, and by its readers reading what it is computed from instead, they do that.
"""

from __future__ import annotations

from typing import TypeAlias

from gradc.ir.dim import product
from gradc.ir.graph import Node
from gradc.ir.op import ELEMENTWISE

from .cluster import BUFFER_LIMIT, OP_LIMIT, Cluster
from .moving import Moving
from .repeat import OP_LIMIT as REPEAT_LIMIT
from .repeat import Repeated
from .views import View

Reads: TypeAlias = list[tuple[int, View]]


class Expression:
    """Nodes to repeat, the values in memory that they read, those that are not there yet, and scalar operations."""

    def __init__(self, nodes: set[int], known: set[int], new: set[int], cost: int) -> None:
        self.nodes, self.known, self.new, self.cost = nodes, known, new, cost


class Recompute:
    """`table(cluster)` are the bytes it reads per value in memory."""

    def __init__(self, fuser: Moving, pinned: set[int]) -> None:
        self.fuser, self.pinned = fuser, pinned
        self.tables: dict[Cluster, dict[int, int]] = {}

    def run(self) -> None:
        fuser = self.fuser
        crossing = {fuser.producer[v] for v in fuser.readers if v not in self.pinned}
        for i in sorted(crossing, reverse=True):
            if i in fuser.cluster_of and fuser.graph.nodes[i].op.kind == ELEMENTWISE:
                self._try(i)
        if fuser.again:
            self._prune()

    def table(self, c: Cluster) -> dict[int, int]:
        if c not in self.tables:
            self.tables[c] = self._bytes(c, {})
        return self.tables[c]

    def readers(self, root: int) -> list[Cluster]:
        """The clusters that find the value in memory."""
        home = self.fuser.placed(root)
        return [c for c in dict.fromkeys(self.fuser.readers.get(root, ())) if c is not home and c.nodes]

    def _in_memory(self, root: int) -> bool:
        return root in self.pinned or bool(self.readers(root))

    def _bytes(self, c: Cluster, changed: dict[int, Reads]) -> dict[int, int]:
        """Bytes that a cluster reads per value in memory, some of its nodes with changed reads."""
        fuser = self.fuser
        out: dict[int, int] = {}
        for i in c.nodes:
            node = fuser.graph.nodes[i]
            for k, view in changed[i] if i in changed else fuser.reads(node, c):
                root = view.root
                if (fuser.placed(root) is c and k not in fuser.whole(node)) or root in c.finishes:
                    continue
                t = fuser.types[root]
                n = product(d for d, s in zip(view.shape, view.strides, strict=True) if s)
                out[root] = max(out.get(root, 0), min(n, t.numel) * t.dtype.itemsize)
        return out

    def _expand(self, i: int) -> Expression | None:
        """What a reader of node `i` would repeat; None if that costs too much."""
        fuser = self.fuser
        e = Expression({i}, set(), set(), 0)
        stack = [i]
        while stack:
            node = fuser.graph.nodes[stack.pop()]
            e.cost += fuser.work.cost(node)
            if e.cost > REPEAT_LIMIT or fuser.whole(node):
                return None
            for o in node.operands:
                root = fuser.view[o].root
                p = fuser.root_node(o)
                if p < 0 or self._in_memory(root):
                    e.known.add(root)
                elif p in fuser.inline and (p not in fuser.cluster_of or p in fuser.again):
                    e.cost += fuser.inline[p].cost
                    e.known.update(fuser.inline[p].leaves)
                elif fuser.graph.nodes[p].op.kind != ELEMENTWISE:
                    e.new.add(root)
                elif p not in e.nodes:
                    e.nodes.add(p)
                    stack.append(p)
        return e

    def _try(self, i: int) -> None:
        fuser = self.fuser
        e = self._expand(i)
        if e is None:
            return
        v = fuser.graph.nodes[i].results[0]
        readers = self.readers(v)
        size = {x: fuser.types[x].nbytes for x in (v, *e.new, *e.known)}
        kept = size[v] - sum(size[x] for x in e.new)
        if kept <= 0 or any(c.cost + e.cost > OP_LIMIT for c in readers):
            return
        more = sum(size[x] for c in readers for x in e.new | e.known if x not in self.table(c))
        if kept + len(readers) * size[v] <= more:
            return
        before = {p: fuser.inline.get(p) for p in e.nodes}
        fuser.inline.update({p: Repeated(e.cost, tuple(sorted(e.known | e.new))) for p in e.nodes})
        fuser.again |= e.nodes
        changed = {c: self._changed(c, v) for c in readers}
        tables = {c: self._bytes(c, reads) for c, reads in changed.items() if reads is not None}
        saved = kept + sum(sum(self.table(c).values()) - sum(t.values()) for c, t in tables.items())
        if len(tables) < len(readers) or saved <= 0 or any(len(t) > BUFFER_LIMIT for t in tables.values()):
            fuser.again -= e.nodes
            for p, known in before.items():
                if known is None:
                    del fuser.inline[p]
                else:
                    fuser.inline[p] = known
            return
        for c, table in tables.items():
            self._note(c, table, changed[c] or {}, e.cost)

    def _note(self, c: Cluster, table: dict[int, int], changed: dict[int, Reads], cost: int) -> None:
        """The cluster repeats an expression from here on."""
        fuser = self.fuser
        c.cost += cost
        for root in self.table(c).keys() - table.keys():
            fuser.readers[root] = [u for u in fuser.readers[root] if u is not c]
        for root in table.keys() - self.table(c).keys():
            fuser.readers.setdefault(root, []).append(c)
        self.tables[c] = table
        for k, reads in changed.items():
            fuser.note_reads(fuser.graph.nodes[k], reads)

    def _changed(self, c: Cluster, v: int) -> dict[int, Reads] | None:
        """The new reads of the cluster's nodes that read `v`; None if one of them cannot repeat it."""
        fuser = self.fuser
        out: dict[int, Reads] = {}
        for i in c.nodes:
            node = fuser.graph.nodes[i]
            if any(view.root == v for _, view in fuser.reads(node, c)):
                reads = fuser.opened(node, c)
                if reads is None:
                    return None
                out[i] = reads
        return out

    def _prune(self) -> None:
        """Take away nodes that nothing needs any more where they were placed."""
        fuser = self.fuser
        for c in list(fuser.clusters):
            needed: set[int] = set()
            kept = []
            for i in reversed(c.nodes):
                node = fuser.graph.nodes[i]
                if self._needed(node, needed, c):
                    kept.append(i)
                    needed.update(view.root for _, view in fuser.reads(node, c))
                else:
                    del fuser.cluster_of[i]
            c.nodes = kept[::-1]
            if not c.nodes and not c.finishes:
                fuser.clusters.remove(c)

    def _needed(self, node: Node, needed: set[int], c: Cluster) -> bool:
        return any(v in needed or v in c.final or self._in_memory(v) for v in node.results)


def settle(fuser: Moving) -> None:
    """Every node has its place: from here on `reads` is what the node's own cluster reads, and `readers` who does."""
    if fuser.late:
        fuser.readers.clear()
        for c in fuser.clusters:
            for i in c.nodes:
                reads = fuser.opened(fuser.graph.nodes[i], c)
                assert reads is not None
                fuser.note_reads(fuser.graph.nodes[i], reads)
                for _, view in reads:
                    fuser.readers.setdefault(view.root, []).append(c)
    fuser.settled = fuser.late = True


def recompute(fuser: Moving, pinned: set[int]) -> None:
    """Choose what is computed again; every node must have its place."""
    settle(fuser)
    Recompute(fuser, pinned).run()
