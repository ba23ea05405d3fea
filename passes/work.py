"""How many scalar operations a node adds to a kernel, as the kernel's text will have them."""

from __future__ import annotations

from typing import Any

from gradc.ir.graph import Graph, Node
from gradc.ir.op import ELEMENTWISE

from .cluster import OP_LIMIT, Cluster
from .reach import Reach
from .template import Template, Templates


class Work:
    """Costs of the nodes of a graph. Two nodes with the same operands share what their formulas share (a sine and a
    cosine all but the last steps). A copy (`checkpoint`) of what a cluster computes anyway costs nothing there, so that
    a chain that fits one kernel is one kernel, copies or not; nor does a node that a cluster has reserved room for."""

    def __init__(self, graph: Graph, templates: Templates) -> None:
        self.graph = graph
        self.heads = heads(graph)
        """The first node of every copied segment -> the first node of the next one."""
        self.same = originals(graph) if self.heads else {}
        self.reserved: dict[int, Cluster] = {}
        reach = Reach(graph, templates)
        self.blocks: dict[int, int] = {}
        """Value of a block's first node -> operations of the block (`reach.py`)."""
        if sum(reach.added) > OP_LIMIT:
            reach.measure()
            self.blocks = {graph.nodes[i].results[0]: n for i, n in reach.blocks.items()}
        self.together = reach.together
        self._templates = reach.templates
        self._producer = reach.producer

    def template(self, node: Node) -> Template | None:
        return self._templates[self._producer[node.results[0]]]

    def cost(self, node: Node, c: Cluster | None = None) -> int:
        """Scalar operations per element that the node takes, or adds to cluster `c`."""
        if c is not None:
            v = node.results[0]
            if self.reserved.get(v) is c or (v in self.same and self.same[v] in c.labels):
                return 0
        template = self.template(node)
        if template is None:
            return 1
        if c is None or node.operands not in self.together or node.operands not in c.lines:
            return template.size
        return len(template.lines - c.lines[node.operands])

    def room(self, node: Node, c: Cluster) -> int:
        """Operations that cluster `c` must have room for if the node is to join: its own, or its block's."""
        n = self.cost(node, c)
        return max(n, self.blocks.get(node.results[0], 0)) if n else 0

    def add(self, node: Node, c: Cluster) -> None:
        """The node is in the cluster now."""
        c.cost += self.cost(node, c)
        if node.operands in self.together:
            template = self.template(node)
            if template is not None:
                c.lines[node.operands] = c.lines.get(node.operands, frozenset()) | template.lines

    def segment(self, head: int, c: Cluster | None = None) -> list[tuple[Node, int]]:
        """The nodes from a copied segment's first to the next segment, with what each adds to the cluster."""
        out = []
        lines: dict[Any, frozenset[int]] = {}
        for node in self.graph.nodes[head : self.heads[head]]:
            if node.op.kind != ELEMENTWISE:
                continue
            n = self.cost(node, c)
            template = self.template(node)
            if n and template is not None and node.operands in self.together:
                before = lines.get(node.operands, c.lines.get(node.operands, frozenset()) if c else frozenset())
                n = len(template.lines - before)
                lines[node.operands] = before | template.lines
            out.append((node, n))
        return out

    def reserve(self, head: int, c: Cluster) -> None:
        """Keep room in the cluster for as much of a copied segment, and of what reads it, as fits."""
        for node, n in self.segment(head, c):
            if c.cost + n > OP_LIMIT:
                return
            if node.results[0] not in c.labels:
                c.cost += n
                self.reserved[node.results[0]] = c


def heads(graph: Graph) -> dict[int, int]:
    """The first node of every copied segment -> the first node of the next one."""
    out: dict[int, int] = {}
    head = -1
    for i, node in enumerate(graph.nodes):
        if "again" in node.op.traits and (i == 0 or "again" not in graph.nodes[i - 1].op.traits):
            if head >= 0:
                out[head] = i
            head = i
    if head >= 0:
        out[head] = len(graph.nodes)
    return out


def originals(graph: Graph) -> dict[int, int]:
    """For each result of a copied node the value that it equals."""
    same: dict[int, int] = {}
    made: dict[Any, list[Node]] = {}
    for node in graph.nodes:
        if "again" in node.op.traits:
            same[node.results[0]] = same.get(node.operands[0], node.operands[0])
            continue
        key = (node.op.name, tuple([same.get(o, o) for o in node.operands]))
        others = made.setdefault(key, [])
        found = None
        if any([o in same for o in node.operands]):
            found = next((n for n in others if n.attrs == node.attrs), None)
        if found is None:
            others.append(node)
        else:
            same.update(zip(node.results, found.results, strict=True))
    return same
