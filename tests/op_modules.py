"""A module of one op of the table: what tests of every op alone run through the pipeline."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradc.ir.build import GraphBuilder, type_of_array
from gradc.ir.graph import Graph, Module
from gradc.ir.ops import REGISTRY


def single_op_module(name: str, arrays: Any, attrs: dict[str, Any], gradients: bool) -> Module:
    op = REGISTRY[name]
    graph = Graph(op.short)
    b = GraphBuilder(graph)
    ids = []
    for k, a in enumerate(arrays):
        t = type_of_array(np.asarray(a))
        active = gradients and t.dtype.is_float and op.operand_name(k) in op.adjoint
        extra = {"requires_grad": True} if active else {}
        ids.append(graph.add_input(t, f"a{k}", **extra))
    out = b.run(op, tuple(ids), {k: v for k, v in attrs.items() if v is not None})
    for v in out if isinstance(out, tuple) else (out,):
        graph.add_output(v, role="value")
    return Module("traced", {op.short: graph}, op.short, {"cotangents": "inputs"})
