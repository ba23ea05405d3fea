"""What the rules of `simplify` may ask of the graph that is being made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from gradc.ir.build import GraphBuilder, Var
from gradc.ir.graph import Graph, Node
from gradc.ir.op import ELEMENTWISE
from gradc.ir.types import TensorType

from .template import Templates

NOTICED = frozenset({"grad.constant", "grad.broadcast", "grad.reshape", "grad.neg"})
"""What one operand at least must be defined by for a rule of arithmetic to apply."""


class Context:
    """What a rule may ask: the new graph's types and the definitions of its values."""

    def __init__(self, b: GraphBuilder, graph: Graph) -> None:
        self.b = b
        self.compared = compared_values(graph)
        self.templates = Templates()
        self._defs: dict[int, Node] = {}
        self._seen = 0
        self.definition = self._defs.get
        """The node that defines a value, None for an input."""

    def catch_up(self) -> None:
        """Take note of the nodes made since the last call."""
        nodes, defs = self.b.graph.nodes, self._defs
        for i in range(self._seen, len(nodes)):
            for r in nodes[i].results:
                defs[r] = nodes[i]
        self._seen = len(nodes)

    def noticed(self, operands: tuple[int, ...]) -> bool:
        """Whether some operand is defined by an op that the rules of arithmetic look for."""
        for o in operands:
            node = self.definition(o)
            if node is not None and node.op.name in NOTICED:
                return True
        return False

    def defined_by(self, v: int, op: str) -> Node | None:
        node = self.definition(v)
        return node if node is not None and node.op.name == op else None

    def constant(self, v: int) -> Any:
        """The Python number that every element of a value is, None where there is no such."""
        node = self.definition(v)
        while node is not None and node.op.name in ("grad.broadcast", "grad.reshape"):
            node = self.definition(node.operands[0])
        return node.attrs["value"] if node is not None and node.op.name == "grad.constant" else None

    def type(self, v: int) -> TensorType:
        t = self.b.graph.types[v]
        assert isinstance(t, TensorType)
        return t


Rule: TypeAlias = Callable[[Context, Node, tuple[int, ...], TensorType], "Var | int | None"]


def compared_values(graph: Graph) -> set[int]:
    """Values of `graph` that some node makes a mask of. They must be rounded wherever they are read: the place of a
    maximum is found by comparing with it, in another kernel perhaps."""
    types: Any = graph.types
    return {
        o
        for n in graph.nodes
        if n.op.kind == ELEMENTWISE and types[n.results[0]].dtype.kind == "bool"
        for o in n.operands
    }
