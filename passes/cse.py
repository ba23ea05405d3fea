"""One node per (op, operands, attributes, no_grad mark)."""

from __future__ import annotations

from typing import Any

from gradc.ir.graph import Attr, Module
from gradc.ir.rewrite import Rewriter

from .remarks import Remark


def frozen(attr: Attr) -> Any:
    """A hashable key of an attribute that tells 1, 1.0, True and -0.0 apart."""
    if isinstance(attr, tuple) and type(attr) is tuple:
        return tuple([frozen(a) for a in attr])
    if isinstance(attr, dict):
        return tuple([(k, frozen(v)) for k, v in sorted(attr.items())])
    if isinstance(attr, (bool, int)):
        return (type(attr).__name__, attr)
    if isinstance(attr, float):
        return ("float", attr.hex())
    return attr


def cse(module: Module, remarks: list[Remark]) -> Module:
    """Merges equal pure nodes; the first one stays, with its location and name. State unchanged."""
    r = Rewriter(module.main)
    seen: dict[Any, tuple[int, ...]] = {}
    m = r.map
    for node in module.main.nodes:
        operands = tuple([m[o] for o in node.operands])
        if node.regions:
            r.copy(node)
            continue
        key_operands = tuple(sorted(operands)) if "commutative" in node.op.traits else operands
        attrs = node.attrs
        key = (node.op.name, key_operands, frozen(attrs) if attrs else None, node.no_grad)
        found = seen.get(key)
        if found is None:
            seen[key] = r.copy(node)
        else:
            r.replace(node, found)
    return module.with_main(r.finish())
