"""What must hold of a compiled program, whatever it computes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradc.ir import parse, verify
from gradc.ir.errors import NotDifferentiableError
from gradc.ir.graph import Graph, Module
from gradc.ir.interpret import run_graph, run_module
from gradc.ir.rewrite import Rewriter
from gradc.ir.traffic import traffic
from gradc.passes.pipeline import Result, run_pipeline
from gradc.runtime.executors import EXECUTORS, Plan, _view
from gradc.runtime.tiled import tiled_kernel

EPS = {2: 2e-2, 4: 2e-5, 8: 1e-11}
HUGE = 1e4
SMALL = 0.1
"""Outputs below this part of a program's largest value are compared as if they were that large: what cancels leaves the
rounding of its terms."""


class WrongError(AssertionError):
    """`stage` is the first state or executor that is wrong."""

    def __init__(self, stage: str, what: str) -> None:
        super().__init__(f"{stage}: {what}")
        self.stage = stage


class Untame(Exception):  # noqa: N818
    """A program whose gradients leave the range in which executors can be compared."""


@dataclass
class Bound:
    """What the outputs must be: float64 values and how far each may be off."""

    wide: list[Any]
    slack: list[float]
    plain: list[Any]

    def check(self, stage: str, outputs: Sequence[Any]) -> None:
        for k, (got, w, p, slack) in enumerate(zip(outputs, self.wide, self.plain, self.slack, strict=False)):
            if got.shape != p.shape or got.dtype != p.dtype:
                raise WrongError(stage, f"output {k} is {got.dtype}{got.shape}, expected {p.dtype}{p.shape}")
            if p.dtype.kind in "biu":
                if not np.array_equal(got, p):
                    raise WrongError(stage, f"output {k} differs in {int((got != p).sum())} of {p.size} integers")
                continue
            off = np.abs(got.astype(np.float64) - w)
            if off.size and not off.max() <= slack:
                bad = int((~(off <= slack)).sum())
                raise WrongError(
                    stage, f"output {k} is off by {off.max():.3g} (allowed {slack:.3g}) in {bad} of {off.size}"
                )


def bound(module: Module, arrays: Sequence[Any], rng: np.random.Generator) -> Bound:
    """By the reference meaning in float64, its own error in the program's types, and the effect of rounded inputs."""
    plain = run_module(module, list(arrays))
    wide = run_module(module, list(arrays), wide=True)
    least = min((t.dtype.itemsize for t in module.main.types if t.dtype.is_float), default=8)
    noise = {2: 2.0**-8, 4: 2.0**-23, 8: 2.0**-52}[least]
    moved = []
    for _ in range(2):
        shaken = [a * (1 + noise * rng.uniform(-1, 1, a.shape)) if a.dtype.kind not in "biu" else a for a in arrays]
        shaken = [
            np.asarray(s, np.float64) if a.dtype.kind not in "biu" else a for s, a in zip(shaken, arrays, strict=True)
        ]
        moved.append(run_module(module, shaken, wide=True))
    largest = max(1.0, largest_value(module, arrays))
    slack = []
    for k, (p, w) in enumerate(zip(plain, wide, strict=True)):
        if p.dtype.kind in "biu" or p.size == 0:
            slack.append(0.0)
            continue
        if not np.isfinite(w).all() or np.abs(w).max() > HUGE or not np.isfinite(p.astype(np.float64)).all():
            raise Untame
        own = np.abs(p.astype(np.float64) - w).max()
        shake = max(np.abs(m[k] - w).max() for m in moved)
        top = np.abs(w).max()
        if own > 0.05 * top + 1e-3:
            raise Untame
        slack.append(
            (20 if least == 2 else 8) * max(own, shake) + EPS[min(least, p.dtype.itemsize)] * max(top, SMALL * largest)
        )
    return Bound(wide, slack, plain)


def largest_value(module: Module, arrays: Sequence[Any]) -> float:
    """The largest magnitude that any value of the program takes."""
    g = module.main
    probe = Graph(g.name)
    probe.nodes, probe.types, probe.inputs, probe.input_attrs = g.nodes, g.types, g.inputs, g.input_attrs
    probe.outputs = [v for n in g.nodes for v in n.results if g.types[v].dtype.is_float]
    values = run_graph(probe, list(arrays), wide=True)
    return max((float(np.abs(v).max()) for v in values if v.size and np.isfinite(v).all()), default=1.0)


def joint_of(module: Module) -> Module:
    return run_pipeline(module, "inline,adjoint").module


def cotangents(joint: Module, n: int, rng: np.random.Generator) -> list[Any]:
    out = []
    for v in joint.main.inputs[n:]:
        t: Any = joint.main.types[v]
        out.append(np.asarray(rng.standard_normal(t.shape)).astype(t.dtype.numpy))
    return out


def round_trip(m: Module, stage: str) -> None:
    text = m.to_text()
    if parse(text).to_text() != text:
        raise WrongError(stage, "does not print as it was parsed")


def count_bytes(module: Module, inputs: Sequence[Any]) -> list[tuple[str, int, int]]:
    """(kernel, bytes that the tiled kernel touched, bytes that traffic() says) where the two differ."""
    plan = Plan(module)
    buffers = plan.buffers(inputs)
    out = []
    for step in plan.steps:
        kernel = tiled_kernel(step.kernel)
        views = [
            _view(buffers[p.buffer], p.offset, t.numel, t.dtype.numpy)
            for p, t in zip(step.pointers, kernel.buffers, strict=True)
        ]
        memory: Any = kernel.run(views, count=True)
        counted = sum(memory.reads().values()) + sum(memory.writes().values())
        said = traffic(step.kernel).moved
        if counted != said:
            out.append((step.kernel.name, counted, said))
    return out


def compile_checked(module: Module, passes: str | None = None, texts: bool = True) -> Result:
    """Compile; verify every state, and with `texts` also print and parse them and compile a second time."""

    def after(row: Any, before: Module, done: Module) -> None:
        try:
            verify(done)
        except Exception as e:
            raise WrongError(f"verify after {row.name}", str(e)[:300]) from e

    try:
        result = run_pipeline(module, passes, after=after)
    except (WrongError, NotDifferentiableError):
        raise
    except Exception as e:
        raise WrongError("crash", f"{type(e).__name__}: {e}") from e
    if texts:
        for name, m in result.stages.items():
            round_trip(m, f"text of {name}")
        if result.module.to_text() != run_pipeline(module, passes).module.to_text():
            raise WrongError("compile", "two runs differ")
    return result


def differ(
    module: Module, arrays: Sequence[Any], seed: int, executors: Sequence[str] = ("tiled",), texts: bool = True
) -> Result:
    """Raise WrongError where any state or executor disagrees; Untame where nothing can be said."""
    rng = np.random.default_rng(seed)
    traced = module.state == "traced"
    joint = joint_of(module) if traced else module
    inputs = [*arrays, *cotangents(joint, len(arrays), rng)]
    limits = bound(joint, inputs, rng)
    result = compile_checked(module, passes=None if traced else "fuse,plan-memory", texts=texts)
    for name, m in result.stages.items():
        if name in ("traced", "joint") or m is module:
            continue
        try:
            limits.check(name, run_module(m, inputs))
        except WrongError:
            raise
        except Exception as e:
            raise WrongError(f"crash at {name}", f"{type(e).__name__}: {e}") from e
    for name in executors:
        try:
            got = EXECUTORS[name](result.module)(inputs)
        except Exception as e:
            raise WrongError(f"crash in {name}", f"{type(e).__name__}: {str(e)[-600:]}") from e
        limits.check(name, got)
    return result


def second_order(joint: Module, rng: np.random.Generator) -> Module | None:
    """A traced module whose values are the gradients of a joint one."""
    r = Rewriter(joint.main)
    for node in joint.main.nodes:
        r.copy(node)
    graph = r.finish()
    for i, a in enumerate(graph.input_attrs):
        if a.pop("role", None) is not None:
            a["name"] = f"ct{i}"
            graph.names[graph.inputs[i]] = f"ct{i}"
            a["requires_grad"] = bool(rng.random() < 0.5)
    pairs = [(o, a) for o, a in zip(graph.outputs, graph.output_attrs, strict=True) if a["role"] == "grad"]
    if not pairs:
        return None
    graph.outputs = list(dict.fromkeys(o for o, _ in pairs))
    graph.output_attrs = [{"role": "value"} for _ in graph.outputs]
    graph.attrs.pop("forward_nodes", None)
    return Module("traced", {joint.entry: graph}, joint.entry, {"cotangents": "inputs"})
