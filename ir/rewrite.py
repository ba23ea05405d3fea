"""The one way a pass makes a new graph: walk the old one in order, copy or replace each node, keep the value map.

    r = Rewriter(graph)
    for node in graph.nodes:
        r.copy(node)                      # or r.replace(node, new ids) after r.b.<op>(...)
    return r.finish()

Values keep their ids, and a node that reads no replaced value is shared with the old graph, as nodes are immutable.
Values that are new come after all old ones; the types of those that were dropped stay behind (`compact` drops them).
Time and memory are linear in nodes and edges. Names, locations and no_grad marks follow their values.
"""

from __future__ import annotations

from collections.abc import Sequence

from .build import GraphBuilder, Var
from .graph import Attr, Graph, Node


class Rewriter:
    """Builds `self.graph` from `source`; `self.map[old value] = new value`, itself unless it was replaced."""

    def __init__(self, source: Graph, dialect: str = "grad") -> None:
        self.source = source
        self.graph = graph = Graph(source.name, source.kind)
        graph.attrs = dict(source.attrs)
        graph.types = list(source.types)
        graph.inputs = list(source.inputs)
        graph.input_attrs = [dict(attrs) for attrs in source.input_attrs]
        graph.names = {v: source.names[v] for v in source.inputs if v in source.names}
        self.b = GraphBuilder(graph, dialect)
        self.map = list(range(len(source.types)))
        self._given = frozenset(graph.inputs)

    def operands(self, node: Node) -> tuple[int, ...]:
        m = self.map
        return tuple([m[o] for o in node.operands])

    def vars(self, node: Node) -> list[Var]:
        return [Var(self.b, self.map[o]) for o in node.operands]

    def at(self, node: Node) -> GraphBuilder:
        """The builder, making nodes at this node's location and with its no_grad mark."""
        self.b.loc, self.b.no_grad = node.loc, node.no_grad
        return self.b

    def copy(self, node: Node, attrs: dict[str, Attr] | None = None) -> tuple[int, ...]:
        """The same node over what now stands for its operands, with other attributes if given; types are taken over,
        not inferred again."""
        m = self.map
        operands = tuple([m[o] for o in node.operands])
        if attrs is not None or operands != node.operands:
            kept = node.attrs if attrs is None else attrs
            node = Node(node.op, operands, kept, node.results, node.loc, node.no_grad, node.regions)
        self.graph.nodes.append(node)
        names = self.source.names
        if names:
            for r in node.results:
                if r in names:
                    self.graph.names[r] = names[r]
        return node.results

    def replace(self, node: Node, values: Sequence[int | Var]) -> None:
        """Let these new values stand for the node's results. An input keeps its own name or none."""
        names, new_names = self.source.names, self.graph.names
        for old, value in zip(node.results, values, strict=True):
            new = self.map[old] = value.v if isinstance(value, Var) else value
            if old in names and new not in new_names and new not in self._given:
                new_names[new] = names[old]

    def finish(self) -> Graph:
        for v, attrs in zip(self.source.outputs, self.source.output_attrs, strict=True):
            self.graph.add_output(self.map[v], **attrs)
        return self.graph


def compact(source: Graph, keep: Sequence[int]) -> Graph:
    """The nodes `i` with `keep[i]`, which read no others' results, with values numbered in the order of their
    definition."""
    graph = Graph(source.name, source.kind)
    graph.attrs = dict(source.attrs)
    graph.input_attrs = [dict(attrs) for attrs in source.input_attrs]
    graph.output_attrs = [dict(attrs) for attrs in source.output_attrs]
    n = len(source.inputs)
    graph.inputs = list(range(n))
    old_types, names = source.types, source.names
    types = [old_types[v] for v in source.inputs]
    m = [-1] * len(old_types)
    for new, old in enumerate(source.inputs):
        m[old] = new
    nodes = graph.nodes
    for node, kept in zip(source.nodes, keep, strict=True):
        if not kept:
            continue
        results = node.results
        start = len(types)
        for new, old in enumerate(results, start):
            m[old] = new
            types.append(old_types[old])
        operands = tuple([m[o] for o in node.operands])
        ids = (start,) if len(results) == 1 else tuple(range(start, len(types)))
        if operands != node.operands or ids != results:
            node = Node(node.op, operands, node.attrs, ids, node.loc, node.no_grad, node.regions)
        nodes.append(node)
    graph.types = types
    graph.outputs = [m[o] for o in source.outputs]
    graph.names = {m[v]: name for v, name in names.items() if m[v] >= 0}
    return graph
