"""What cut gradients off: which adjoint ops were not made, for whose sake, and what that saved.

A cotangent does not pass a `detach`, an op under no_grad, an op without a floating-point result, or an op whose rule is
zero; it does not enter an argument that requires no gradient; and it does not leave what no output reads. Every adjoint
rule that was not applied, and every forward node that nothing needs, is remarked with the first of these that it met.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from gradc.ir.graph import Graph, Loc, Node
from gradc.ir.types import TensorType

from .cost import Cost, Costs
from .remarks import Remark


class Cause(NamedTuple):
    """One of "detach at L", "no_grad L", "frozen argument N", "OP at L has no floating-point result", "OP at L passes
    no gradient", "unused output", "unused input"; with its line."""

    text: str
    loc: Loc | None = None


UNUSED = Cause("unused output")
UNUSED_INPUT = Cause("unused input")


def differentiable(t: Any) -> bool:
    return isinstance(t, TensorType) and t.dtype.is_float


def barrier(graph: Graph, node: Node) -> Cause | None:
    """Why no cotangent ever passes this node."""
    if "detach" in node.op.traits:
        return Cause(f"detach at {node.loc}", node.loc)
    if node.no_grad:
        return Cause(f"no_grad {node.loc}", node.loc)
    if not any(differentiable(graph.types[r]) for r in node.results):
        return Cause(f"{node.op.short} at {node.loc} has no floating-point result", node.loc)
    return None


class Cuts:
    """`active[v]`: a path leads from an input that requires grad to `v`; `reached` holds the values that got a
    cotangent. Both are of the graph's first `n` nodes, the forward ones."""

    def __init__(self, graph: Graph, n: int, active: Sequence[bool], reached: set[int]) -> None:
        self.graph, self.n, self.active, self.reached = graph, n, active, reached
        self.above = self._above()
        self.below = self._below()

    def _above(self) -> dict[int, Cause]:
        """For each value that is not active what cut it off from the inputs; constants have no cause."""
        graph, out = self.graph, {}
        for i, v in enumerate(graph.inputs):
            attrs = graph.input_attrs[i]
            if not attrs.get("requires_grad") and differentiable(graph.types[v]):
                out[v] = Cause(f"frozen argument {graph.names.get(v, f'input {i}')}")
        active = self.active
        for node in graph.nodes[: self.n]:
            for r in node.results:
                if not active[r]:
                    break
            else:
                continue
            if not node.operands:
                continue
            found = next((out[o] for o in node.operands if o in out), None)
            if found is None and not any([active[o] for o in node.operands]):
                continue
            if found is None or node.no_grad or "detach" in node.op.traits:
                found = barrier(graph, node) or found
            if found is not None:
                out.update({r: found for r in node.results if not active[r]})
        return out

    def _below(self) -> dict[int, Cause]:
        """For each active value that got no cotangent what cut it off from the outputs, where anything reads it."""
        graph, active, reached = self.graph, self.active, self.reached
        out: dict[int, Cause] = {}
        for node in reversed(graph.nodes[: self.n]):
            wanted = [o for o in node.operands if active[o] and o not in reached]
            if not wanted:
                continue
            cause = barrier(graph, node)
            if cause is None and any(r in reached for r in node.results):
                cause = Cause(f"{node.op.short} at {node.loc} passes no gradient", node.loc)
            if cause is None:
                cause = next((out[r] for r in node.results if r in out), UNUSED)
            for o in wanted:
                if cause is not UNUSED or o not in out:
                    out[o] = cause
        return out

    def of_input(self, v: int) -> Cause:
        """Why an input that requires grad got none."""
        return self.below.get(v, UNUSED_INPUT)

    def remarks(self) -> list[Remark]:
        """One remark per op, line and cause for adjoint rules not applied, one per op and line for forward nodes that
        nothing needs."""
        self.costs = Costs(self.graph)
        groups: dict[tuple[str, str, str, Loc | None], list[int]] = {}
        for node in self.graph.nodes[: self.n]:
            for i, cause in self._missing(node):
                subject = f"adjoint of {node.op.short} in {self._spelt(node, i)}"
                self._add(groups, ("cut", subject, cause.text, node.loc), self.costs.adjoint(node, i))
        for k, needed in enumerate(self.graph.needed()):
            node = self.graph.nodes[k]
            if not needed and node.operands:
                which = ("deleted", node.op.short, UNUSED.text, node.loc)
                if k >= self.n:
                    which = ("deleted", f"adjoint {node.op.short}", "no gradient needs it", node.loc)
                self._add(groups, which, self.costs.forward(node))
        return [
            Remark(kind, subject, reason, loc, {"ops": ops, "bytes": size, "flops": flops})
            for (kind, subject, reason, loc), (ops, size, flops) in groups.items()
        ]

    def _spelt(self, node: Node, i: int) -> str:
        """An operand by the user's name for its value, else by the record's."""
        return self.graph.names.get(node.operands[i]) or node.op.operand_name(i)

    @staticmethod
    def _add(groups: Any, key: tuple[str, str, str, Loc | None], cost: Cost) -> None:
        found = groups.setdefault(key, [0, 0, 0])
        found[0] += 1
        found[1] += cost.bytes
        found[2] += cost.flops

    def _missing(self, node: Node) -> list[tuple[int, Cause]]:
        """The operands whose rule was not applied, each with its cause."""
        op = node.op
        if not op.adjoint or "detach" in op.traits:
            return []
        applied = not node.no_grad and not self.reached.isdisjoint(node.results)
        out = []
        for i, o in enumerate(node.operands):
            if applied if self.active[o] else o not in self.above:
                continue
            if op.operand_name(i) not in op.adjoint or not differentiable(self.graph.types[o]):
                continue
            cause = barrier(self.graph, node) if self.active[o] else self.above[o]
            if cause is None:
                cause = next((self.below[r] for r in node.results if r in self.below), UNUSED)
            out.append((i, cause))
        return out
