"""How a node joins a cluster: the axes of its domain, the mode of its reduction, the partials it leaves."""

from __future__ import annotations

from gradc.ir.dim import next_pow2, product
from gradc.ir.graph import Graph, Node
from gradc.ir.op import CONTRACTION, ELEMENTWISE, REDUCTION

from .cluster import (
    BUFFER_LIMIT,
    COLUMN_LIMIT,
    OP_LIMIT,
    ROW_LIMIT,
    ROW_SHARE,
    Cluster,
    Label,
    Labels,
    Mismatch,
    match,
    reduction_mode,
    settle,
)
from .product import epilogue_mode, parts_of, takes_product
from .reading import Reading


class Joining(Reading):
    """`clusters` in order of position; `readers[root]` are the clusters that load a value from memory."""

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph)
        self.clusters: list[Cluster] = []
        self.readers: dict[int, list[Cluster]] = {}
        self.fresh = 0

    def fresh_axis(self, c: Cluster, extent: int) -> int:
        self.fresh += 1
        c.axes[self.fresh] = extent
        return self.fresh

    def open(self, i: int, node: Node) -> None:
        shape = self.domain(node)
        c = Cluster(pos=(self.clusters[-1].pos if self.clusters else 0) + 1)
        self.clusters.append(c)
        labels = tuple(() if d == 1 else (self.fresh_axis(c, d),) for d in shape)
        if node.op.kind == CONTRACTION:
            c.kind, c.parts = "CONTRACT", parts_of(node, labels, self.types[node.operands[0]])
        over = self._over(node, labels)
        mode = self._mode(c, node, labels, over) if over else "inner"
        assert mode is not None
        self._add(c, i, node, labels, over, mode)

    def join_product(self, i: int, node: Node) -> bool:
        """Let a matrix product share the kernel, and so the loads, of one with the same shapes and a common operand;
        whether it does."""
        floor, roots = self.floor(node), [self.view[o].root for o in node.operands]
        for k, root in enumerate(roots):
            for c in self.readers.get(root, ())[-3:]:
                if c.kind != "CONTRACT" or c.pos < floor or any(self.placed(r) is c for r in roots):
                    continue
                if not takes_product(c) or c.cost + self.work.room(node, c) > OP_LIMIT:
                    continue
                first = next(n for n in (self.graph.nodes[j] for j in c.nodes) if n.op.kind == CONTRACTION)
                pairs = list(zip(first.operands, node.operands, strict=True))
                same = all(self.types[a] == self.types[b] for a, b in pairs) and first.attrs == node.attrs
                if not same or self.view[pairs[k][0]] != self.view[pairs[k][1]]:
                    continue
                assert c.parts is not None
                c.parts = c.parts._replace(products=c.parts.products + 1)
                self._add(c, i, node, c.labels[first.results[0]], None, "inner")
                return True
        return False

    def _over(self, node: Node, labels: Labels) -> frozenset[int] | None:
        if node.op.kind != REDUCTION:
            return None
        return frozenset(a for d in node.attrs["dims"] for a in labels[d])

    def _mode(self, c: Cluster, node: Node, labels: Labels, over: frozenset[int]) -> str | None:
        """How the reduction may join, given how long a row one program may walk: much shorter where memory is not
        contiguous along the row, longer where many rows keep all programs busy."""
        if c.kind == "CONTRACT":
            return epilogue_mode(c, over)
        last = next((lab for lab in reversed(labels) if lab), ())
        if not last or last[-1] not in over:
            return reduction_mode(c, over, COLUMN_LIMIT)
        shape = self.domain(node)
        rows = product(n for d, n in enumerate(shape) if d not in node.attrs["dims"])
        return reduction_mode(c, over, max(ROW_LIMIT, next_pow2(rows * ROW_SHARE)))

    def _labels(self, c: Cluster, node: Node, shape: tuple[int, ...]) -> list[Label | None] | str:
        """The labels that producers in the cluster give the node's domain, or the reason they cannot."""
        while True:
            labels: list[Label | None] = [() if d == 1 else None for d in shape]
            walked: dict[int, int] = {}
            again = False
            for k, o in enumerate(node.operands):
                view = self.view[o]
                p = self.root_node(o)
                if p < 0 or self.cluster_of.get(p) is not c:
                    continue
                if k in self.whole(node):
                    return "whole operand needed"
                if view.root in c.final:
                    return "reduction finishes in another kernel"
                got = match(self.aligned(node)[k], c.labels[view.root], self.types[view.root].shape, c.axes)
                if isinstance(got, Mismatch):
                    if got.split is None:
                        return "rearranged in memory"
                    self.fresh += 2
                    c.split(got.split[0], got.split[1], self.fresh - 1)
                    again = True
                    break
                for d, label in enumerate(got):
                    if label is None or shape[d] == 1:
                        continue
                    if labels[d] is not None and labels[d] != label:
                        return "axis conflict"
                    if any(walked.setdefault(a, d) != d for a in label):
                        return "axis conflict"
                    labels[d] = label
            if not again:
                return labels

    def try_join(self, c: Cluster, i: int, node: Node, shape: tuple[int, ...], horizontal: bool) -> str | None:
        """Join, or say why not (and leave the cluster as it was, up to split axes)."""
        if c.cost + self.work.room(node, c) > OP_LIMIT or len(c.reads) + len(node.operands) > BUFFER_LIMIT:
            return "kernel is full"
        if c.kind == "CONTRACT" and node.op.kind not in (ELEMENTWISE, REDUCTION):
            return "axis conflict"
        if (0 in shape) != c.empty:
            return "domain grows"
        found = self._labels(c, node, shape)
        if isinstance(found, str):
            return found
        taken = {a for lab in found if lab for a in lab}
        self._line_up(c, node, shape, found, taken)
        grow = [d for d, lab in enumerate(found) if lab is None]
        if horizontal and (grow or not (c.one_program or taken in (set(c.axes), c.kept))):
            return "axis conflict"
        if grow and (c.reduced or c.kind != "MAP"):
            return "domain grows"
        over: frozenset[int] | None = None
        mode = "inner"
        if node.op.kind == REDUCTION:
            if grow:
                return "domain grows"
            labels = tuple(lab or () for lab in found)
            over = self._over(node, labels)
            wanted = self._mode(c, node, labels, over) if over else "inner"
            if wanted is None:
                return "axis conflict"
            mode = wanted
        labels = tuple((self.fresh_axis(c, shape[d]),) if lab is None else lab for d, lab in enumerate(found))
        self._add(c, i, node, labels, over, mode)
        return None

    def _line_up(
        self, c: Cluster, node: Node, shape: tuple[int, ...], labels: list[Label | None], taken: set[int]
    ) -> None:
        """Label open dims by what the cluster already reads: the same memory at the same stride, then equal extents."""
        for k, view in self.reads(node):
            table = c.reads.get(view.root)
            if table is None or k in self.whole(node):
                continue
            for d, (extent, stride) in enumerate(zip(view.shape, view.strides, strict=True)):
                a = table.get((stride, extent))
                if labels[d] is None and stride and a is not None and a not in taken:
                    labels[d] = (a,)
                    taken.add(a)
        for d in range(len(shape)):
            if labels[d] is None:
                for a, n in c.axes.items():
                    if n == shape[d] and a not in taken:
                        labels[d] = (a,)
                        taken.add(a)
                        break

    def _add(self, c: Cluster, i: int, node: Node, labels: Labels, over: frozenset[int] | None, mode: str) -> None:
        c.nodes.append(i)
        self.work.add(node, c)
        v = node.results[0]
        c.domains[v] = labels
        for k, view in self.reads(node):
            if self.placed(view.root) is c:
                continue
            self.readers.setdefault(view.root, []).append(c)
            table = c.reads.setdefault(view.root, {})
            if k in self.whole(node):
                continue
            for d, (extent, stride) in enumerate(zip(view.shape, view.strides, strict=True)):
                if stride and len(labels[d]) == 1:
                    table.setdefault((stride, extent), labels[d][0])
        if over is None:
            c.labels[v] = labels
            self.cluster_of[i] = c
            return
        dims, keep = set(node.attrs["dims"]), node.attrs.get("keepdim", False)
        kept = tuple(() if d in dims else lab for d, lab in enumerate(labels) if keep or d not in dims)
        settle(c, over, mode)
        c.labels[v] = kept
        if mode == "inner":
            self.cluster_of[i] = c
            return
        c.final[v] = over
        self._finish(c, i, v, kept)

    def _finish(self, c: Cluster, i: int, v: int, kept: Labels) -> None:
        """Let a finaliser of this cluster add up the value's partials; the value then belongs to the finaliser."""
        extents = [c.axes[a] for lab in kept for a in lab]
        chosen = None
        for f in c.finalisers:
            own = [n for a, n in f.axes.items() if a not in f.inner]
            if not extents or own == extents or (not own and not f.final):
                chosen = f
                for n in extents[len(own) :]:
                    self.fresh_axis(f, n)
                break
        if chosen is None:
            chosen = Cluster(pos=self.clusters[-1].pos + 1, kind="ROW", source=c)
            chosen.inner = {self.fresh_axis(chosen, 1)}
            for n in extents:
                self.fresh_axis(chosen, n)
            c.finalisers.append(chosen)
            self.clusters.append(chosen)
        axes = iter([a for a in chosen.axes if a not in chosen.inner])
        chosen.labels[v] = tuple(tuple(next(axes) for _ in lab) for lab in kept)
        chosen.finishes.append(v)
        self.cluster_of[i] = chosen
