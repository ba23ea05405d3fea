"""Local algebra: each rule looks at one node and the nodes that define its operands, and answers with an equal value.

Every rule keeps the value exactly, for every input including NaN, infinities and signed zeros, with two stated
exceptions that only make it more exact: a float32 value rounded to a half type and back keeps its float32 value, and a
sum of n equal terms is n times the term.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gradc.ir.build import Var
from gradc.ir.graph import Module, Node
from gradc.ir.interpret import evaluate
from gradc.ir.op import ELEMENTWISE
from gradc.ir.rewrite import Rewriter
from gradc.ir.types import TensorType, tensor

from .remarks import Remark
from .simplify_context import Context, Rule
from .simplify_slices import slices, widen, widen_sum
from .simplify_views import full, permutes, same_shape, sums, through_view, uniform


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


def _negated(c: Context, node: Node, operands: tuple[int, ...], out: TensorType) -> Var | None:
    """x + -y == x - y, and the other way round"""
    for x, y in (operands, operands[::-1]):
        inner = c.defined_by(y, "grad.neg")
        if inner is not None:
            return Var(c.b, x) - Var(c.b, inner.operands[0])  # type: ignore[no-any-return]
    return None


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


ARITHMETIC: dict[str, tuple[Rule, ...]] = {
    "grad.mul": (_neutral(0, 1), _neutral(1, 1)),
    "grad.div": (_neutral(1, 1),),
    "grad.add": (_negated,),
    "grad.sub": (_neutral(1, 0),),
    "grad.neg": (_double,),
}
"""Rules of elementwise ops, beside those that all have: folding of constants, dropping of broadcasts."""

RULES: dict[str, tuple[Rule, ...]] = {
    "grad.convert": (_convert,),
    "grad.reshape": (same_shape, uniform, through_view),
    "grad.broadcast": (same_shape, through_view),
    "grad.permute": (uniform, permutes),
    "grad.slice": (same_shape, uniform, slices),
    "grad.unslice": (same_shape, widen),
    "grad.flip": (uniform,),
    "grad.full": (full,),
    "grad.sum": (sums, widen_sum),
}


def _fold(c: Context, node: Node, operands: tuple[int, ...], out: TensorType) -> Var | None:
    """An elementwise op of constants is a constant, spread out if they are."""
    values: list[Any] = []
    for o in operands:
        values.append(c.constant(o))
        if values[-1] is None:
            return None
    if not values:
        return None
    arrays = [np.asarray(v).astype(c.type(o).dtype.numpy) for v, o in zip(values, operands, strict=True)]
    (a,) = evaluate(node.op, arrays, node.attrs, types=(tensor((), out.dtype),))
    scalar = c.b.scalar(a.astype(np.float64).item() if out.dtype.is_float else a.item(), out.dtype)
    return c.b.broadcast(scalar, shape=out.shape) if out.shape else scalar


def _unbroadcast(c: Context, node: Node, operands: tuple[int, ...], out: TensorType) -> tuple[int, ...]:
    """Elementwise ops broadcast by themselves: drop broadcasts (and reshapes of scalars) that another operand's shape
    implies."""
    result = list(operands)
    for i in range(len(result)):
        others = [c.type(x).shape for j, x in enumerate(result) if j != i]
        while others:
            inner = c.definition(result[i])
            if inner is None or inner.op.name not in ("grad.broadcast", "grad.reshape"):
                break
            source = inner.operands[0]
            shape = c.type(source).shape
            if inner.op.name == "grad.reshape" and shape:
                break
            if np.broadcast_shapes(shape, *others) != out.shape:
                break
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
