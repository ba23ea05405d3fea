"""Numbers for how values are computed: equal for equal computations, whatever their names, order and locations.

One `Structure` numbers several modules; two values have the same number exactly if they are the same expression of the
inputs of their functions (hash-consing: no digests, no collisions).
"""

from __future__ import annotations

from typing import Any

from gradc.ir.graph import Graph, Module, Node
from gradc.ir.op import REGISTRY, TILE, Op
from gradc.ir.tile import parts

from .cse import frozen

LAUNCH = "tile.launch"


def commutes(op: Op) -> bool:
    """Whether the order of operands is no part of the meaning; a tile operation's is as its namesake's."""
    if op.kind == TILE:
        op = REGISTRY.get(f"grad.{op.short}", op)
    return "commutative" in op.traits


class Structure:
    """The table of expressions met so far."""

    def __init__(self) -> None:
        self._ids: dict[Any, int] = {}

    def number(self, key: Any) -> int:
        return self._ids.setdefault(key, len(self._ids))

    def values(self, graph: Graph, module: Module | None = None) -> list[int]:
        """A number per value of a function."""
        out = [-1] * len(graph.types)
        for i, v in enumerate(graph.inputs):
            out[v] = self.number(("input", i, str(graph.types[v])))
        self._nodes(graph, module, out)
        return out

    def _nodes(self, graph: Graph, module: Module | None, out: list[int]) -> None:
        for node in graph.nodes:
            if node.op.name == LAUNCH and module is not None:
                kernel = module.graphs[node.attrs["kernel"]]
                for r, number in zip(node.results, self._launch(kernel, [out[o] for o in node.operands]), strict=True):
                    out[r] = number
                continue
            if "detach" in node.op.traits and module is not None and module.state == "joint":
                out[node.results[0]] = out[node.operands[0]]  # the adjoint is there: it cuts nothing any more
                continue
            key = self._key(graph, node, out)
            for k, r in enumerate(node.results):
                out[r] = self.number((key, k))

    def _key(self, graph: Graph, node: Node, values: list[int]) -> Any:
        operands = [values[o] for o in node.operands]
        if commutes(node.op):
            operands.sort()
        inner = tuple(self.region(r) for r in node.regions)
        types = tuple(str(graph.types[r]) for r in node.results)
        return (node.op.name, tuple(operands), frozen(node.attrs), node.no_grad, inner, types)

    def _launch(self, kernel: Graph, operands: list[int]) -> list[int]:
        """A number per result: what the kernel stores there, from what it is given. The order of buffers is no part."""
        n = len(operands)
        out = [-1] * len(kernel.types)
        for i, v in enumerate(kernel.inputs):
            out[v] = self.number(("read", operands[i]) if i < n else ("written", str(kernel.types[v])))
        for part in parts(kernel):
            inner, given = part.regions[0], [out[o] for o in part.operands]
            reads = sum(a["mode"] == "in" for a in inner.input_attrs)
            for o, number in zip(part.operands[reads:], self._launch(inner, given[:reads]), strict=True):
                out[o] = number
        if parts(kernel):
            return [out[v] for v in kernel.inputs[n:]]
        self._nodes(kernel, None, out)
        stored: dict[int, list[int]] = {v: [] for v in kernel.inputs[n:]}
        for node in kernel.nodes:
            if not node.results:
                key = self.number(self._key(kernel, node, out))
                for o in node.operands:
                    if o in stored:
                        stored[o].append(key)
        groups = frozen(kernel.attrs)
        return [self.number((groups, tuple(sorted(keys)))) for keys in stored.values()]

    def kernel(self, kernel: Graph) -> int:
        """What a kernel does to whatever it is given."""
        modes = [a.get("mode") for a in kernel.input_attrs]
        types = [str(kernel.types[v]) for v in kernel.inputs]
        reads = [self.number(("buffer", i, t)) for i, t in enumerate(types) if modes[i] == "in"]
        return self.number(tuple(sorted(self._launch(kernel, reads))))

    def region(self, graph: Graph) -> int:
        values = self.values(graph)
        return self.number(("region", len(graph.inputs), tuple(values[o] for o in graph.outputs)))
