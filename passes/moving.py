"""Moving whole clusters into later ones: producers into their consumers, siblings that read the same memory
together."""

from __future__ import annotations

from gradc.ir.graph import Node

from .cluster import Cluster, Mismatch, match
from .joining import Joining
from .merge import absorb, complete, may_merge, renaming


class Moving(Joining):
    """Clusters that move keep every dependence: nothing between the old position and the new one needs them."""

    def join_siblings(self) -> None:
        """Move clusters into later ones that read the same memory the same way, where nothing in between needs them."""
        for a in list(self.clusters):
            if a.finalisers or self.late or not a.nodes:
                continue
            later = [c for root in a.reads for c in self.readers.get(root, ()) if c.pos > a.pos and c.nodes]
            limit = min((u.pos for v in a.labels for u in self.readers.get(v, ())), default=1 << 62)
            for c in {id(c): c for c in later if c.pos <= limit}.values():
                rename: dict[int, int] | None = {}
                for root, table in a.reads.items():
                    other = c.reads.get(root, {})
                    for key, axis in table.items():
                        if rename is not None and key in other and rename.setdefault(axis, other[key]) != other[key]:
                            rename = None
                if rename is None or len(set(rename.values())) != len(rename) or set(rename) != set(a.axes):
                    continue
                if may_merge(a, c, rename) and self._agrees(a, c, rename):
                    self._move(a, c, rename)
                    break

    def _move(self, a: Cluster, c: Cluster, rename: dict[int, int]) -> None:
        for root in a.reads:
            self.readers[root] = [c if u is a else u for u in self.readers[root]]
        for v in a.labels:
            if v in self.readers:
                self.readers[v] = [u for u in self.readers[v] if u is not c]
        for i in a.nodes:
            self.cluster_of[i] = c
        absorb(a, c, rename)
        self.clusters.remove(a)

    def gather_producers(self, c: Cluster, node: Node) -> None:
        """Move the node's other producers into the cluster it joined, where nothing in between needs them."""
        for k, o in enumerate(node.operands):
            a = self.cluster_of.get(self.root_node(o))
            if a is None or a is c or k in self.whole(node) or a.finalisers or self.late:
                continue
            if any(u.pos < c.pos for v in a.labels for u in self.readers.get(v, ())):
                continue
            view = self.view[o]
            got = match(self.aligned(node)[k], a.labels[view.root], self.types[view.root].shape, a.axes)
            if isinstance(got, Mismatch):
                continue
            rename = renaming(a, c, got, c.domains[node.results[0]])
            rename = None if rename is None else complete(a, c, rename)
            if rename is None or not may_merge(a, c, rename) or not self._agrees(a, c, rename):
                continue
            self._move(a, c, rename)

    def _agrees(self, a: Cluster, c: Cluster, rename: dict[int, int]) -> bool:
        """Whether every node of `c` reads the values of `a` at the lane that would compute them."""
        for i in c.nodes:
            node = self.graph.nodes[i]
            mine = c.domains[node.results[0]]
            for k, view in self.reads(node):
                if view.root not in a.labels:
                    continue
                got = match(view, a.labels[view.root], self.types[view.root].shape, a.axes)
                if k in self.whole(node) or isinstance(got, Mismatch):
                    return False
                for here, there in zip(mine, got, strict=True):
                    if there and tuple(rename[x] for x in there) != here:
                        return False
        return True
