"""The one way a pass makes a new graph: walk the old one in order, copy or replace each node, keep the value map.

    r = Rewriter(graph)
    for node in graph.nodes:
        r.copy(node)                      # or r.replace(node, new ids) after r.b.<op>(...)
    return r.finish()

Time and memory are linear in nodes and edges. Names, locations and no_grad marks follow their values.
"""

from __future__ import annotations

from collections.abc import Sequence

from .build import GraphBuilder, Var
from .graph import Graph, Node


class Rewriter:
    """Builds `self.graph` from `source`; `self.map[old value] = new value` (-1 where there is none yet)."""

    def __init__(self, source: Graph, dialect: str = "grad") -> None:
        self.source = source
        self.graph = Graph(source.name, source.kind)
        self.graph.attrs = dict(source.attrs)
        self.b = GraphBuilder(self.graph, dialect)
        self.map: list[int] = [-1] * len(source.types)
        for v, attrs in zip(source.inputs, source.input_attrs, strict=True):
            new = self.graph.add_input(source.types[v], **attrs)
            if v in source.names:
                self.graph.names[new] = source.names[v]
            self.map[v] = new
        self.n_inputs = len(self.graph.inputs)
        """Values below are inputs, whose names are their own: a value that turns out to be one passes on no name."""

    def operands(self, node: Node) -> tuple[int, ...]:
        m = self.map
        return tuple([m[o] for o in node.operands])

    def vars(self, node: Node) -> list[Var]:
        return [Var(self.b, self.map[o]) for o in node.operands]

    def at(self, node: Node) -> GraphBuilder:
        """The builder, making nodes at this node's location and with its no_grad mark."""
        self.b.loc, self.b.no_grad = node.loc, node.no_grad
        return self.b

    def copy(self, node: Node, regions: tuple[Graph, ...] | None = None) -> tuple[int, ...]:
        """The same node over the new operands; types are taken over, not inferred again."""
        graph, types, old = self.graph, self.graph.types, self.source.types
        start = len(types)
        results = node.results
        if len(results) == 1:
            types.append(old[results[0]])
            ids: tuple[int, ...] = (start,)
        else:
            types.extend([old[r] for r in results])
            ids = tuple(range(start, start + len(results)))
        m = self.map
        graph.nodes.append(
            Node(
                node.op,
                tuple([m[o] for o in node.operands]),
                node.attrs,
                ids,
                node.loc,
                node.no_grad,
                node.regions if regions is None else regions,
            )
        )
        self._record(node, ids)
        return ids

    def replace(self, node: Node, values: Sequence[int | Var]) -> None:
        """Let these new values stand for the node's results."""
        self._record(node, [v.v if isinstance(v, Var) else v for v in values])

    def _record(self, node: Node, ids: Sequence[int]) -> None:
        names = self.source.names
        for old, new in zip(node.results, ids, strict=True):
            self.map[old] = new
            if names and old in names and new not in self.graph.names and new >= self.n_inputs:
                self.graph.names[new] = names[old]

    def finish(self) -> Graph:
        for v, attrs in zip(self.source.outputs, self.source.output_attrs, strict=True):
            self.graph.add_output(self.map[v], **attrs)
        return self.graph
