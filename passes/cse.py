"""One node per (op, operands, attributes, no_grad mark)."""

from __future__ import annotations

from typing import Any

from gradc.ir.graph import Attr, Module
from gradc.ir.rewrite import Rewriter

from .remarks import Remark


def frozen(attr: Attr) -> Any:
    """A hashable key of an attribute that tells 1, 1.0, True and -0.0 apart."""
    kind = type(attr)
    if kind is float:
        return ("float", attr if attr and attr == attr else attr.hex())
    if kind is int or kind is bool:
        return (kind.__name__, attr)
    if kind is tuple:
        return tuple([frozen(a) for a in attr])
    if kind is dict:
        return tuple([(k, frozen(attr[k])) for k in sorted(attr)])
    return attr


def cse(module: Module, remarks: list[Remark]) -> Module:
    """Merges equal pure nodes; the first one stays, with its location and name. State unchanged."""
    r = Rewriter(module.main)
    seen: dict[Any, tuple[int, ...]] = {}
    for node in module.main.nodes:
        if node.regions:
            r.copy(node)
            continue
        operands = r.operands(node)
        if "commutative" in node.op.traits:
            operands = tuple(sorted(operands))
        attrs = node.attrs
        found = seen.setdefault((node.op, operands, frozen(attrs) if attrs else None, node.no_grad), node.results)
        if found is node.results:
            r.copy(node)
        else:
            r.replace(node, found)
    return module.with_main(r.finish())
