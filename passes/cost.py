"""What nodes cost, counted on primitives: composites are decomposed in a graph of their own first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from gradc.ir.build import Var
from gradc.ir.dim import product
from gradc.ir.errors import GradcError
from gradc.ir.graph import Graph, Node
from gradc.ir.op import CONTRACTION, REDUCTION, Op
from gradc.ir.pullback import pullback
from gradc.ir.types import Type

from .cse import frozen
from .decompose import PrimitiveBuilder


class Cost(NamedTuple):
    """Floating-point operations, and bytes of results."""

    flops: int
    bytes: int


def primitive_flops(graph: Graph, node: Node) -> int:
    """Floating-point operations of one primitive; a contraction multiplies and adds."""
    if not node.results:
        return 0
    types: Any = graph.types
    result = types[node.results[0]]
    if node.op.kind == CONTRACTION:
        lhs = types[node.operands[0]]
        return int(2 * result.numel * product(lhs.shape[d] for d in node.attrs["lhs_contract"]))
    if not result.dtype.is_float and not any(types[o].dtype.is_float for o in node.operands):
        return 0
    over = types[node.operands[0]] if node.op.kind == REDUCTION else result
    return int(over.numel * node.op.flops)


class Costs:
    """Costs of nodes and of their adjoint rules; equal ops on equal types are counted once."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._known: dict[Any, int] = {}

    def forward(self, node: Node) -> Cost:
        """Of the node itself."""
        types: Any = self.graph.types
        flops = self._flops(node, None)
        return Cost(flops, sum(types[r].nbytes for r in node.results))

    def adjoint(self, node: Node, operand: int) -> Cost:
        """Of the rule for one operand, had it been applied: its operations, and the bytes of the gradient."""
        types: Any = self.graph.types
        return Cost(self._flops(node, operand), types[node.operands[operand]].nbytes)

    def _flops(self, node: Node, operand: int | None) -> int:
        types = self.graph.types
        operands = tuple([types[o] for o in node.operands])
        key = (node.op.name, operands, operand, frozen(node.attrs) if node.attrs else None)
        found = self._known.get(key)
        if found is None:
            results = [types[r] for r in node.results]
            found = self._known[key] = _count(node.op, operands, results, node.attrs, operand)
        return found


def _count(op: Op, operands: Sequence[Type], results: Sequence[Type], attrs: Any, operand: int | None) -> int:
    scratch = Graph("scratch")
    b = PrimitiveBuilder(scratch)
    given = [Var(b, scratch.add_input(t)) for t in operands]
    try:
        if operand is None:
            b.run(op, tuple(v.v for v in given), attrs)
        else:
            made = [Var(b, scratch.add_input(t)) for t in results]
            cts: list[Var | None] = [Var(b, scratch.add_input(t)) if t.dtype.is_float else None for t in results]
            pullback(b, op, operand, cts, given, list(operands), made, attrs)  # type: ignore[arg-type]
    except GradcError:
        return 0
    return sum(primitive_flops(scratch, n) for n in scratch.nodes)
