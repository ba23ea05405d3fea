"""Local algebra: each rule looks at one node and the nodes that define its operands, and answers with an equal value.

Every rule keeps the value exactly, for every input including NaN, infinities and signed zeros, with two stated
exceptions that only make it more exact: a float32 value rounded to a half type and back keeps its float32 value, and a
sum of n equal terms is n times the term.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from gradc.ir.build import GraphBuilder, Var
from gradc.ir.dim import product
from gradc.ir.graph import Graph, Module, Node
from gradc.ir.interpret import evaluate
from gradc.ir.op import ELEMENTWISE
from gradc.ir.rewrite import Rewriter
from gradc.ir.types import TensorType

from .remarks import Remark


class Context:
    """What a rule may ask: the new graph's types and the definitions of its values."""

    def __init__(self, b: GraphBuilder, graph: Graph) -> None:
        self.b = b
        self.compared = compared_values(graph)
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
        """The Python number behind a constant, None for anything else."""
        node = self.definition(v)
        return node.attrs["value"] if node is not None and node.op.name == "grad.constant" else None

    def type(self, v: int) -> TensorType:
        t = self.b.graph.types[v]
        assert isinstance(t, TensorType)
        return t


Rule: TypeAlias = Callable[[Context, Node, tuple[int, ...], TensorType], "Var | int | None"]


def _neutral(position: int, value: float) -> Rule:
    """x op value == x where `value` stands at operand `position`."""

    def rule(c: Context, node: Node, operands: tuple[int, ...], out: TensorType) -> int | None:
        k = c.constant(operands[position])
        other = operands[1 - position]
        if k is None or k != value or c.type(other) != out:
            return None
        return other

    return rule


def _double(c: Context, node: Node, operands: tuple[int, ...], out: TensorType) -> int | None:
    """-(-x) == x"""
    inner = c.defined_by(operands[0], node.op.name)
    return None if inner is None else inner.operands[0]


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


def _convert(c: Context, node: Node, operands: tuple[int, ...], out: TensorType) -> Var | int | None:
    """Casts that change nothing, and pairs of casts whose first loses nothing (or only half-type rounding)."""
    (x,) = operands
    if c.type(x) == out:
        return x
    inner = c.defined_by(x, "grad.convert")
    if inner is None:
        return None
    source, middle, to = c.type(inner.operands[0]).dtype, c.type(x).dtype, out.dtype
    widening = source.is_float and middle.is_float and middle.bits > source.bits
    spared = node.results[0] not in c.compared
    rounding = spared and middle.is_half and source.name == "f32" and to.name == "f32"
    if widening or rounding:
        if source is to:
            return inner.operands[0]
        return c.b.convert(Var(c.b, inner.operands[0]), dtype=to)  # type: ignore[no-any-return]
    return None


def _same_shape(c: Context, node: Node, operands: tuple[int, ...], out: TensorType) -> int | None:
    """A view that changes nothing."""
    return operands[0] if c.type(operands[0]) == out else None


def _through_view(c: Context, node: Node, operands: tuple[int, ...], out: TensorType) -> Var | None:
    """reshape(reshape(x)), broadcast(broadcast(x)): the outer one suffices."""
    inner = c.defined_by(operands[0], node.op.name)
    if inner is None:
        return None
    return c.b.apply(node.op, (Var(c.b, inner.operands[0]),), dict(node.attrs))  # type: ignore[no-any-return]


def _uniform(c: Context, node: Node, operands: tuple[int, ...], out: TensorType) -> Var | None:
    """Any view of a scalar spread out is the scalar spread out to the view's shape."""
    inner = c.defined_by(operands[0], "grad.broadcast")
    if inner is None or c.type(inner.operands[0]).numel != 1:
        return None
    scalar = Var(c.b, inner.operands[0])
    if scalar.shape:
        scalar = c.b.reshape(scalar, shape=())
    return c.b.broadcast(scalar, shape=out.shape) if out.shape else scalar


def _permutes(c: Context, node: Node, operands: tuple[int, ...], out: TensorType) -> Var | int | None:
    """The identity permutation, and two permutations in one."""
    dims = node.attrs["dims"]
    if dims == tuple(range(len(dims))):
        return operands[0]
    inner = c.defined_by(operands[0], "grad.permute")
    if inner is None:
        return None
    first = inner.attrs["dims"]
    both = tuple(first[d] for d in dims)
    x = Var(c.b, inner.operands[0])
    merged: Var = x if both == tuple(range(len(both))) else c.b.permute(x, dims=both)
    return merged


def _full(c: Context, node: Node, operands: tuple[int, ...], out: TensorType) -> Var:
    """One value everywhere is a scalar spread out, which elementwise ops read as the scalar."""
    scalar = c.b.scalar(node.attrs["value"], out.dtype)
    return c.b.broadcast(scalar, shape=out.shape) if out.shape else scalar


def _sum(c: Context, node: Node, operands: tuple[int, ...], out: TensorType) -> Var | int | None:
    """Sums over no axis or axes of extent 1, and sums of what a broadcast repeated."""
    (x,) = operands
    t = c.type(x)
    dims, keep = node.attrs["dims"], node.attrs.get("keepdim", False)
    if t.dtype is out.dtype and all(t.shape[d] == 1 for d in dims):
        return x if t == out else c.b.reshape(Var(c.b, x), shape=out.shape)
    inner = c.defined_by(x, "grad.broadcast")
    if inner is None or not t.dtype.is_float or t.numel == 0:
        return None
    source = c.type(inner.operands[0])
    lead = t.ndim - source.ndim
    repeated = [d for d in dims if d < lead or (source.shape[d - lead] == 1 and t.shape[d] != 1)]
    if not repeated:
        return None
    count = product(t.shape[d] for d in repeated)
    aligned = (
        c.b.reshape(Var(c.b, inner.operands[0]), shape=(1,) * lead + source.shape)
        if lead
        else Var(c.b, inner.operands[0])
    )
    rest = tuple(d for d in dims if d not in repeated)
    partial = c.b.sum(aligned, dims=rest, keepdim=True) if rest else aligned
    scaled = partial * float(count)
    small = tuple(1 if d in dims else (scaled.shape[d]) for d in range(t.ndim))
    scaled = scaled if scaled.shape == small else c.b.reshape(scaled, shape=small)
    shape = small if keep else tuple(n for d, n in enumerate(small) if d not in dims)
    scaled = c.b.reshape(scaled, shape=shape) if scaled.shape != shape else scaled
    full: Var = c.b.broadcast(scaled, shape=out.shape) if scaled.shape != out.shape else scaled
    return full


ARITHMETIC: dict[str, tuple[Rule, ...]] = {
    "grad.mul": (_neutral(0, 1), _neutral(1, 1)),
    "grad.div": (_neutral(1, 1),),
    "grad.sub": (_neutral(1, 0),),
    "grad.neg": (_double,),
}
"""Rules of elementwise ops, beside those that all have: folding of constants, dropping of broadcasts."""

NOTICED = frozenset({"grad.constant", "grad.broadcast", "grad.reshape", "grad.neg"})
"""What one operand at least must be defined by for one of these rules to apply."""

RULES: dict[str, tuple[Rule, ...]] = {
    "grad.convert": (_convert,),
    "grad.reshape": (_same_shape, _uniform, _through_view),
    "grad.broadcast": (_same_shape, _through_view),
    "grad.permute": (_uniform, _permutes),
    "grad.slice": (_same_shape, _uniform),
    "grad.flip": (_uniform,),
    "grad.full": (_full,),
    "grad.sum": (_sum,),
}


def _fold(c: Context, node: Node, operands: tuple[int, ...], out: TensorType) -> Var | None:
    """An elementwise op of constants is a constant."""
    if out.shape or not operands:
        return None
    values = [c.constant(o) for o in operands]
    if any(v is None for v in values):
        return None
    arrays = [np.asarray(v).astype(c.type(o).dtype.numpy) for v, o in zip(values, operands, strict=True)]
    (a,) = evaluate(node.op, arrays, node.attrs, types=(out,))
    return c.b.scalar(a.astype(np.float64).item() if out.dtype.is_float else a.item(), out.dtype)


def _unbroadcast(c: Context, node: Node, operands: tuple[int, ...], out: TensorType) -> tuple[int, ...]:
    """Elementwise ops broadcast by themselves: drop broadcasts (and reshapes of scalars) that another operand's shape
    implies."""
    result = list(operands)
    for i, o in enumerate(operands):
        inner = c.definition(o)
        if inner is None or inner.op.name not in ("grad.broadcast", "grad.reshape"):
            continue
        if inner.op.name == "grad.reshape" and c.type(inner.operands[0]).shape:
            continue
        source = inner.operands[0]
        others = [c.type(x).shape for j, x in enumerate(result) if j != i]
        if others and np.broadcast_shapes(c.type(source).shape, *others) == out.shape:
            result[i] = source
    return tuple(result)


def simplify(module: Module, remarks: list[Remark]) -> Module:
    """decomposed -> simplified, by one walk in program order (operands are simple before their users are looked at)."""
    graph = module.main
    r = Rewriter(graph)
    c = Context(r.b, graph)
    for node in graph.nodes:
        elementwise = node.op.kind == ELEMENTWISE
        rules = RULES.get(node.op.name)
        operands = r.operands(node)
        c.catch_up()
        if rules is None:
            if not elementwise or not c.noticed(operands):
                r.copy(node)
                continue
            rules = ARITHMETIC.get(node.op.name, ())
        out: Any = graph.types[node.results[0]]
        r.at(node)
        if elementwise:
            operands = _unbroadcast(c, node, operands, out)
        found: Var | int | None = None
        for rule in (_fold, *rules) if elementwise else rules:
            found = rule(c, node, operands, out)
            if found is not None:
                break
        if found is None and operands != r.operands(node):
            found = r.b.run(node.op, operands, node.attrs)
        if found is None:
            r.copy(node)
        else:
            r.replace(node, (found,))
    return module.with_main(r.finish(), "simplified")


__all__ = ["simplify"]
