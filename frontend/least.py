"""The least bytes a program must move: inputs that its results depend on, and its results, once each. The flags of
checks that depend on values are no results."""

from __future__ import annotations

from typing import Any

from gradc.ir.graph import Graph, Module
from gradc.passes.pipeline import run_pipeline


def bytes_min(joint: Module) -> int:
    """Distinct bytes of the inputs that the results of a joint program depend on, plus every result once. An input
    that is only read through slices counts what the slices hold."""
    graph = run_pipeline(joint, "decompose,simplify,dce").module.main
    types: Any = graph.types
    pairs = zip(graph.outputs, graph.output_attrs, strict=True)
    results: int = sum(types[v].nbytes for v in dict.fromkeys([v for v, a in pairs if a.get("role") != "check"]))
    return results + sum(_used(graph, v) for v in graph.inputs)


def _used(graph: Graph, v: int) -> int:
    types: Any = graph.types
    whole: int = types[v].nbytes
    slices: dict[Any, int] = {}
    for node in graph.nodes:
        if v in node.operands:
            if node.op.name not in ("grad.slice",):
                return whole
            slices[tuple(sorted((k, str(a)) for k, a in node.attrs.items()))] = types[node.results[0]].nbytes
    if not slices and v in graph.outputs:
        return whole
    return min(whole, sum(slices.values()))
