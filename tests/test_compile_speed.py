"""How much work compiling is, counted in calls, which no busy machine changes; and the benchmark of its seconds."""

from __future__ import annotations

import cProfile
import importlib.util
import pstats
from collections.abc import Callable
from typing import Any

import pytest
import tree

import gradc as gc
from gradc.ir.graph import Module
from gradc.passes.pipeline import run_pipeline
from gradc.pytree import flatten
from gradc.record import trace_function

PASSES = "inline,adjoint,decompose,simplify,cse,dce"
BENCHMARK = tree.ROOT / "benchmarks" / "compile_speed.py"
CHAINS: dict[str, tuple[Callable[[Any, int], Any], int]] = {
    "x*c+d": (lambda x, i: x * (1 + 1e-7 * i) + 1e-7 * i if i % 2 else x, 300),
    "tanh": (lambda x, i: x.tanh(), 300),
    "sin": (lambda x, i: x.sin(), 230),
}
"""One op each step, and the calls that it may cost from tracing to the graph that is fused."""


def calls(step: Callable[[Any, int], Any], ops: int) -> float:
    """Calls of Python and C functions per forward op."""
    leaves, structure = flatten(((gc.spec("f32[1000]", requires_grad=True),), {}))

    def chain(x: Any) -> Any:
        for i in range(ops):
            x = step(x, i)
        return x.sum()

    profile = cProfile.Profile()
    profile.enable()
    with gc.enable_grad():
        trace = trace_function(chain, leaves, structure, ["x"], name="chain")[0]
    trace.end()
    run_pipeline(Module("traced", {"chain": trace.graph}, "chain", {"cotangents": "ones"}), PASSES)
    profile.disable()
    return float(pstats.Stats(profile).total_calls) / ops  # type: ignore[attr-defined]



@pytest.mark.parametrize("name", CHAINS)
def test_calls_per_op_are_few_and_do_not_grow(name: str) -> None:
    step, most = CHAINS[name]
    calls(step, 10)
    few, many = calls(step, 300), calls(step, 3000)
    print(f"{name}: {many:.0f} calls per forward op")
    assert many <= most
    assert many <= 1.02 * few


@pytest.mark.skipif(not BENCHMARK.exists(), reason="the benchmarks are not part of the wheel")
def test_the_benchmark_measures() -> None:
    spec = importlib.util.spec_from_file_location("compile_speed", BENCHMARK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    row = module.measure("tanh", 20)
    assert row["launches"] >= 1
    assert list(row["by_phase"]) == list(module.PHASES)
    assert "tanh" in module.table([row])
