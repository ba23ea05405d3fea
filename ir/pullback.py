"""One op's pullback through any builder: which rules run, what they are given, and the shape their answers get."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from .build import Builder, Var
from .errors import NotDifferentiableError
from .op import Op, rule_parameters
from .types import TensorType

FROM_CT, FROM_OPERAND, FROM_TYPE, FROM_RESULT, FROM_ATTR, FROM_INDEX, FROM_VARIADIC, FROM_VARIADIC_TYPE = range(8)


@cache
def plan(op: Op, operand: str) -> tuple[tuple[str, int, Any], ...]:
    """For each parameter of the rule after `b`: its name, where it comes from, and the index or name there."""
    out: list[tuple[str, int, Any]] = []
    names = [o.rstrip("*") for o in op.operands]
    for p in rule_parameters(op.adjoint[operand])[1:]:
        if p == "ct":
            out.append((p, FROM_CT, 0))
        elif p.startswith("ct_") and p[3:] in op.results:
            out.append((p, FROM_CT, op.results.index(p[3:])))
        elif p == "index" and p not in op.attrs and p not in names:
            out.append((p, FROM_INDEX, None))
        elif p in names:
            i = names.index(p)
            out.append((p, FROM_VARIADIC if op.operands[i].endswith("*") else FROM_OPERAND, i))
        elif p.endswith("_t") and p[:-2] in names:
            i = names.index(p[:-2])
            out.append((p, FROM_VARIADIC_TYPE if op.operands[i].endswith("*") else FROM_TYPE, i))
        elif p in op.results:
            out.append((p, FROM_RESULT, op.results.index(p)))
        else:
            out.append((p, FROM_ATTR, p))
    return tuple(out)


def saves(op: Op, active: Sequence[int], n_operands: int) -> tuple[frozenset[int], frozenset[int]]:
    """The operand and result indices whose values the rules of the active operands need."""
    operands: set[int] = set()
    results: set[int] = set()
    for i in active:
        name = op.operand_name(i)
        if name not in op.adjoint:
            continue
        for _, source, where in plan(op, name):
            if source == FROM_OPERAND:
                operands.add(where)
            elif source == FROM_VARIADIC:
                operands.update(range(where, n_operands))
            elif source == FROM_RESULT:
                results.add(where)
    return frozenset(operands), frozenset(results)


def pullback(
    b: Builder,
    op: Op,
    index: int,
    cts: Sequence[Var | None],
    operands: Sequence[Any],
    types: Sequence[TensorType],
    results: Sequence[Any],
    attrs: dict[str, Any],
) -> Var | None:
    """The cotangent of operand `index`, of that operand's shape and dtype; None for a structural zero.

    `operands` and `results` hold Vars; entries that no consulted rule saves may be anything (None in eager tape
    nodes). `types` are the operands' types. Raises NotDifferentiableError if the op has no rule for the operand.
    """
    name = op.operand_name(index)
    rule = op.adjoint.get(name)
    if rule is None:
        raise NotDifferentiableError(f"{op.short}: the derivative with respect to {name!r} is not implemented")
    args: dict[str, Any] = {}
    for p, source, where in plan(op, name):
        if source == FROM_CT:
            args[p] = cts[where]
        elif source == FROM_OPERAND:
            args[p] = operands[where]
        elif source == FROM_TYPE:
            args[p] = types[where]
        elif source == FROM_RESULT:
            args[p] = results[where]
        elif source == FROM_ATTR:
            args[p] = attrs.get(where)
        elif source == FROM_INDEX:
            args[p] = index - (len(op.operands) - 1)
        elif source == FROM_VARIADIC:
            args[p] = tuple(operands[where:])
        else:
            args[p] = tuple(types[where:])
    if not any([c is not None for c in cts]):
        return None
    if args.get("ct", cts[0]) is None and len(op.results) == 1:
        return None
    ct = rule(b, **args)
    return None if ct is None else match(b, ct, types[index])


def match(b: Builder, ct: Var, want: TensorType) -> Var:
    """`ct` summed over what broadcasting added and converted to what promotion changed."""
    got = ct.type
    if got is want or got == want:
        return ct
    if got.shape != want.shape:
        lead = len(got.shape) - len(want.shape)
        dims = tuple(range(lead)) + tuple(
            i + lead for i, d in enumerate(want.shape) if i + lead >= 0 and d == 1 and got.shape[i + lead] != 1
        )
        if dims:
            ct = b.sum(ct, dims=dims, keepdim=False)
            kept = tuple(1 if i + lead in dims else got.shape[i + lead] for i in range(max(0, -lead), len(want.shape)))
            if ct.shape != kept:
                ct = b.reshape(ct, shape=kept)
        if ct.shape != want.shape:
            ct = b.broadcast(ct, shape=want.shape)
    if ct.dtype is not want.dtype:
        ct = b.convert(ct, dtype=want.dtype)
    return ct
