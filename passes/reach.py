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
    """`templates[i]` is that of an elementwise node; `cost[i]` its scalar operations, 0 for all other nodes; `added[i]`
    those that no node before it with the same operands has; `together` are operands that several nodes have."""

    def __init__(self, graph: Graph, templates: Templates) -> None:
        self.graph = graph
        self.types: Any = graph.types
        self.producer = graph.producers()
        types, nodes = self.types, graph.nodes
        self.templates = [templates.of_node(n, types) if n.op.kind == ELEMENTWISE else None for n in nodes]
        self.cost = [0 if t is None else t.size for t in self.templates]
        self.added = list(self.cost)
        self.together: set[tuple[int, ...]] = set()
        self.last = last = [-1] * len(types)
        seen: dict[tuple[int, ...], frozenset[int]] = {}
        for i, (node, template) in enumerate(zip(nodes, self.templates, strict=True)):
            operands = node.operands
            for o in operands:
                last[o] = i
            if template is None:
                continue
            if operands in seen:
                self.added[i] = len(template.lines - seen[operands])
                seen[operands] |= template.lines
                self.together.add(operands)
            else:
                seen[operands] = template.lines

    def far(self) -> bool:
        """Whether any elementwise value waits for a reader."""
        total = list(accumulate(self.added, initial=0))
        return any(
            [c and total[self.last[n.results[0]]] - total[i] > SOON
             for i, (n, c) in enumerate(zip(self.graph.nodes, self.cost, strict=True))]
        )  # fmt: skip

    def measure(self) -> None:
        """Per chain (nodes that values connect): `at[i]` operations before a node. And `width` and `blocks`, see
        there."""
        self.chain = self._chains()
        self.at = []
        spent: dict[int, int] = {}
        for c, n in zip(self.chain, self.added, strict=True):
            before = spent.get(c, 0)
            self.at.append(before)
            spent[c] = before + n
        self.width = self._width()
        self.blocks = self._blocks()

    def simulate(self) -> None:
        """After `measure`, per chain: `kernel[i]` kernels filled before a node, `depth[i]` values that wait for a
        reader."""
        nodes, added, last, chain = self.graph.nodes, self.added, self.last, self.chain
        self.kernel, self.depth = [0] * len(nodes), [0] * len(nodes)
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
