"""Source locations of a module, taken away."""

from __future__ import annotations

from .graph import Graph, Module, Node


def strip_locations(module: Module) -> Module:
    """The same module without source locations."""
    graphs = {name: _without_locations(g) for name, g in module.graphs.items()}
    return Module(module.state, graphs, module.entry, module.attrs)


def _without_locations(top: Graph) -> Graph:
    """A copy that shares all but nodes; inner graphs are copied before the nodes that hold them."""
    order = [top]
    for _, node in top.walk():
        order.extend(node.regions)
    copies: dict[int, Graph] = {}
    for graph in reversed(order):
        new = Graph(graph.name, graph.kind)
        for slot in ("types", "inputs", "outputs", "input_attrs", "output_attrs", "names", "attrs"):
            setattr(new, slot, getattr(graph, slot))
        new.nodes = [
            Node(n.op, n.operands, n.attrs, n.results, None, n.no_grad, tuple(copies[id(r)] for r in n.regions))
            for n in graph.nodes
        ]
        copies[id(graph)] = new
    return copies[id(top)]
