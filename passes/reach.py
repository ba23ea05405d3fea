"""How far apart the nodes of a graph lie: in scalar operations, in kernels, in values that wait for a reader."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

from gradc.ir.graph import Graph
from gradc.ir.op import CONTRACTION, ELEMENTWISE, SOURCE

from .cluster import OP_LIMIT
from .template import Templates

SOON = 32
"""A value read within so many scalar operations waits in no register."""
BESIDE = 100
"""What is read within so many operations, by another kernel, is what the two kernels hand over."""


class Reach:
    """`cost[i]` are the scalar operations of a node, 0 for all but elementwise ones; `added[i]` those that no node
    before it with the same operands has."""

    def __init__(self, graph: Graph, templates: Templates) -> None:
        self.graph = graph
        self.types: Any = graph.types
        self.producer = graph.producers()
        self.cost, self.added = [0] * len(graph.nodes), [0] * len(graph.nodes)
        seen: dict[tuple[int, ...], frozenset[int]] = {}
        for i, node in enumerate(graph.nodes):
            template = templates.of_node(node, self.types) if node.op.kind == ELEMENTWISE else None
            if template is not None:
                self.cost[i] = self.added[i] = template.size
                before = seen.get(node.operands)
                if before is not None:
                    self.added[i] = len(template.lines - before)
                seen[node.operands] = template.lines if before is None else before | template.lines
        self.last = [-1] * len(graph.types)
        for i, node in enumerate(graph.nodes):
            for o in node.operands:
                self.last[o] = i

    def far(self) -> bool:
        """Whether any elementwise value waits for a reader."""
        total = list(accumulate(self.added, initial=0))
        return any(
            [c and total[self.last[n.results[0]]] - total[i] > SOON
             for i, (n, c) in enumerate(zip(self.graph.nodes, self.cost, strict=True))]
        )  # fmt: skip

    def measure(self) -> None:
        """Per chain (nodes that values connect): `at[i]` operations before a node, `kernel[i]` kernels filled before
        it, `depth[i]` values that wait for a reader. And `blocks`, see there."""
        nodes, added, last = self.graph.nodes, self.added, self.last
        self.chain = chain = self._chains()
        self.at, self.kernel, self.depth = [0] * len(nodes), [0] * len(nodes), [0] * len(nodes)
        spent: dict[int, int] = {}
        for i in range(len(nodes)):
            self.at[i] = spent.get(chain[i], 0)
            spent[chain[i]] = self.at[i] + added[i]
        self.width = self._width()
        self.blocks = self._blocks()
        filled: dict[int, tuple[int, int]] = {}
        waiting: dict[int, int] = {}
        for i, node in enumerate(nodes):
            c = chain[i]
            count, used = filled.get(c, (0, 0))
            full = used + max(added[i], self.blocks.get(i, 0)) > OP_LIMIT
            filled[c] = (count + 1, self.cost[i]) if full else (count, used + added[i])
            self.kernel[i] = filled[c][0]
            self.depth[i] = waiting.get(c, 0)
            if self.cost[i] and last[node.results[0]] >= 0 and self.at[last[node.results[0]]] - self.at[i] > SOON:
                waiting[c] = self.depth[i] + 1

    def _chains(self) -> list[int]:
        """For each node a number that nodes share if values connect them, matrix products and constants aside."""
        nodes, producer = self.graph.nodes, self.producer
        parent = list(range(len(nodes)))

        def root(i: int) -> int:
            while parent[i] != i:
                parent[i] = parent[parent[i]]
                i = parent[i]
            return i

        for i, node in enumerate(nodes):
            if node.op.kind in (CONTRACTION, SOURCE):
                continue
            for o in node.operands:
                p = producer[o]
                if p >= 0 and nodes[p].op.kind not in (CONTRACTION, SOURCE):
                    parent[root(p)] = root(i)
        return [root(i) for i in range(len(parent))]

    def _width(self) -> list[int]:
        """For each node how many values of nodes up to it are read soon after it."""
        change = [0] * (len(self.graph.nodes) + 1)
        until = list(range(len(self.graph.nodes)))
        for j, node in enumerate(self.graph.nodes):
            for o in node.operands:
                p = self.producer[o]
                if p >= 0 and self.cost[p] and self.at[j] - self.at[p] <= BESIDE:
                    until[p] = j
        for p, q in enumerate(until):
            change[p] += 1
            change[q] -= 1
        return list(accumulate(change))

    def _blocks(self) -> dict[int, int]:
        """Nodes before which at most one value crosses -> the operations up to the next such node. A kernel that has no
        room for them all had better have none: else what crosses inside lies in memory."""
        out: dict[int, int] = {}
        head = -1
        for i, c in enumerate(self.cost):
            if c and (head < 0 or self.width[i - 1] <= 1):
                head = i
                out[head] = 0
            if c:
                out[head] += self.added[i]
        return {i: n for i, n in out.items() if n <= OP_LIMIT // 2}
