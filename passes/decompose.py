"""Composite ops become primitives; implicit promotion becomes explicit casts; half types compute in float32.

Afterwards every elementwise op has operands of one dtype (broadcasting stays implicit), every reduction accumulates in
its result's compute dtype, and `detach` is gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gradc.ir.build import GraphBuilder, Number, Var
from gradc.ir.graph import Graph, Loc, Module, Node
from gradc.ir.op import ELEMENTWISE, REDUCTION, REGISTRY, SOURCE, Op
from gradc.ir.promote import operand_dtypes
from gradc.ir.rewrite import Rewriter
from gradc.ir.types import DType, TensorType

from .remarks import Remark


class PrimitiveBuilder(GraphBuilder):
    """A graph builder whose `run` leaves only legal primitives: what a composite's decomposition makes is decomposed
    and cast in turn (the nesting of composites is shallow, so this may recurse). `pending` are the ops met whose
    data must satisfy something."""

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph)
        self.pending: list[tuple[Op, tuple[Any, ...], dict[str, Any], Loc | None]] = []
        self._numbers: dict[int, Number] = {}
        self._read = 0

    def number(self, x: Var) -> Number | None:
        nodes = self.graph.nodes
        for i in range(self._read, len(nodes)):
            node = nodes[i]
            if node.op.kind == SOURCE and isinstance(node.attrs.get("value"), bool | int | float):
                self._numbers[node.results[0]] = node.attrs["value"]
        self._read = len(nodes)
        return self._numbers.get(x.v)

    def run(self, op: Op, operands: tuple[Any, ...], attrs: dict[str, Any]) -> Any:
        if op.check is not None:
            self.pending.append((op, operands, attrs, self.loc))
        if op.decompose is not None:
            out = op.decompose(self, *[Var(self, o) for o in operands], **attrs)
            return tuple(o.v for o in out) if isinstance(out, tuple) else out.v
        if op.kind == ELEMENTWISE and "promotes" in op.traits:
            return self._elementwise(op, operands, attrs)
        if op.kind == REDUCTION:
            return self._reduction(op, operands, attrs)
        if "detach" in op.traits:
            return operands[0]
        return super().run(op, operands, attrs)

    def checks(self) -> list[tuple[int, str, str]]:
        """The flags of all ops met so far, each reduced to one i1: (value, error, message). Made last, so that they
        join the kernels that read the same data."""
        out = []
        for op, operands, attrs, loc in self.pending:
            assert op.check is not None
            self.loc = loc
            for bad, error, message in op.check(self, *[Var(self, o) for o in operands], **attrs):
                flag = self.any(bad, dims=tuple(range(bad.ndim)), keepdim=False) if bad.ndim else bad
                out.append((flag.v, error, message))
        return out

    def _cast(self, v: int, to: DType) -> int:
        t = self.graph.types[v]
        assert isinstance(t, TensorType)
        if t.dtype is to:
            return v
        out: int = super().run(REGISTRY["grad.convert"], (v,), {"dtype": to})
        return out

    def _elementwise(self, op: Op, operands: tuple[int, ...], attrs: dict[str, Any]) -> int:
        types: list[Any] = [self.graph.types[o] for o in operands]
        result: TensorType = op.infer(*types, **attrs)
        wanted = operand_dtypes(op, types, result.dtype)
        cast = [self._cast(o, d) for o, d in zip(operands, wanted, strict=True)]
        out: int = super().run(op, tuple(cast), attrs)
        return self._cast(out, result.dtype)

    def _reduction(self, op: Op, operands: tuple[int, ...], attrs: dict[str, Any]) -> int:
        types: list[Any] = [self.graph.types[o] for o in operands]
        result: TensorType = op.infer(*types, **attrs)
        out: int = super().run(op, (self._cast(operands[0], result.dtype.compute),), attrs)
        return self._cast(out, result.dtype)


def _alike(types: Sequence[Any], node: Node) -> bool:
    """Whether the operands have the result's dtype, and it is one that is computed in."""
    result = types[node.results[0]].dtype
    for o in node.operands:
        if types[o].dtype is not result:
            return False
    return not result.is_half


def decompose(module: Module, remarks: list[Remark]) -> Module:
    """joint -> decomposed. Flags of checks become outputs with role "check"."""
    r = Rewriter(module.main)
    graph: Graph = module.main
    r.b = b = PrimitiveBuilder(r.graph)
    types: Any = graph.types
    for node in graph.nodes:
        op = node.op
        primitive = op.decompose is None and op.check is None and "detach" not in op.traits
        if primitive and (not (op.kind == ELEMENTWISE or op.kind == REDUCTION) or _alike(types, node)):
            r.copy(node)
            continue
        r.at(node)
        out = b.run(op, r.operands(node), node.attrs)
        r.replace(node, out if isinstance(out, tuple) else (out,))
    checks = b.checks()
    done = r.finish()
    for flag, error, message in checks:
        done.add_output(flag, role="check", error=error, message=message)
    return module.with_main(done, "decomposed")
