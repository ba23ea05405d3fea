"""Drops nodes that no output needs."""

from __future__ import annotations

from gradc.ir.graph import Loc, Module
from gradc.ir.rewrite import compact

from .cost import Costs
from .remarks import Remark


def dce(module: Module, remarks: list[Remark]) -> Module:
    """Keeps the ancestors of the outputs, in order, and numbers values in order. Inputs stay, used or not. State
    unchanged.

    What it drops from a traced module is the user's, and remarked, one remark per op and line; `adjoint` remarks what
    is dead in a joint one (`cuts.py`), and later it is only what rewrites left behind.
    """
    graph = module.main
    keep = graph.needed()
    if module.state == "traced":
        remarks.extend(_dropped(module, keep))
    return module.with_main(compact(graph, keep))


def _dropped(module: Module, keep: bytearray) -> list[Remark]:
    costs = Costs(module.main)
    groups: dict[tuple[str, Loc | None], list[int]] = {}
    for i, node in enumerate(module.main.nodes):
        if not keep[i] and node.operands:
            cost = costs.forward(node)
            found = groups.setdefault((node.op.short, node.loc), [0, 0, 0])
            for k, n in enumerate((1, cost.bytes, cost.flops)):
                found[k] += n
    return [
        Remark("deleted", op, "unused output", loc, {"ops": ops, "bytes": size, "flops": flops})
        for (op, loc), (ops, size, flops) in groups.items()
    ]
