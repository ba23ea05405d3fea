"""Gradients against differences of the value in float64, along one random direction per input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from gradc.ir.errors import GradcError
from gradc.ir.graph import Graph, Module
from gradc.ir.interpret import run_module, run_node

from .inline import inline

STEPS = (1e-5, 1e-6)
TOLERANCE = 1e-4


class Wrong(NamedTuple):
    """The input whose gradient is wrong, and how."""

    name: str
    message: str


def wrong_gradient(before: Module, after: Module, inputs: Sequence[Any], seed: int) -> Wrong | None:
    """The first gradient of the joint module `after` that is not the slope of `before`. Where two steps disagree about
    the slope there is a kink, and nothing to compare."""
    graph = inline(before, []).main
    n = len(graph.inputs)
    given = [a.astype(np.float64) if a.dtype.kind not in "biu" else a for a in inputs[:n]]
    values = [k for k, v in enumerate(graph.outputs) if graph.types[v].dtype.is_float]
    weights = [c.astype(np.float64) for c in inputs[n:]] or [np.ones(()) for _ in values]
    rng = np.random.default_rng(seed)
    try:
        results = run_module(after, list(inputs), wide=True)
        held: dict[int, Any] = {}
        _forward(graph, given, held, hold=True)

        def total(of: int, at: Any) -> float:
            out = _forward(graph, [*given[:of], at, *given[of + 1 :]], held)
            return float(sum((out[k] * w).sum() for k, w in zip(values, weights, strict=True)))

        for k, attrs in enumerate(after.main.output_attrs):
            if attrs.get("role") != "grad":
                continue
            of = attrs["of"]
            direction = rng.standard_normal(given[of].shape)
            ends = [[total(of, given[of] + sign * h * direction) for sign in (1, -1)] for h in STEPS]
            slopes = [(a - b) / (2 * h) for (a, b), h in zip(ends, STEPS, strict=True)]
            claimed = float((results[k] * direction).sum())
            size = abs(slopes[0]) + abs(claimed) + 1e-3
            if not np.isfinite(slopes).all() or abs(slopes[0] - slopes[1]) > TOLERANCE * size:
                continue
            if not abs(slopes[0] - claimed) <= 4 * TOLERANCE * size:
                name = str(after.main.input_attrs[of].get("name", of))
                return Wrong(name, f"slope {slopes[0]:.6g} by differences, {claimed:.6g} by the gradient")
    except (GradcError, ArithmeticError, IndexError, ValueError):
        return None
    return None


def _forward(graph: Graph, inputs: Sequence[Any], held: dict[int, Any], hold: bool = False) -> list[Any]:
    """The outputs in float64. What no cotangent passes (`detach`, no_grad) stays as it is `held`; with `hold` it is
    put there."""
    env = dict(zip(graph.inputs, inputs, strict=True))
    for node in graph.nodes:
        cut = node.no_grad or "detach" in node.op.traits
        if cut and not hold:
            env.update({r: held[r] for r in node.results})
            continue
        env.update(zip(node.results, run_node(graph, node, [env[o] for o in node.operands], wide=True), strict=True))
        if cut:
            held.update({r: env[r] for r in node.results})
    return [env[o] for o in graph.outputs]
