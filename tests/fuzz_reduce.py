"""The reduction of a program that is compiled wrongly: outputs dropped, nodes turned into inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fuzz_oracle import WrongError, differ

from gradc.ir.graph import Graph, Module
from gradc.ir.interpret import run_graph
from gradc.ir.rewrite import Rewriter
from gradc.passes.dce import dce


def with_outputs(m: Module, keep: Sequence[int]) -> Module:
    g = m.main
    new = Graph(g.name, g.kind)
    new.nodes, new.types, new.inputs, new.input_attrs = g.nodes, g.types, g.inputs, g.input_attrs
    new.names, new.attrs = g.names, {k: v for k, v in g.attrs.items() if k != "forward_nodes"}
    new.outputs = [g.outputs[k] for k in keep]
    new.output_attrs = [g.output_attrs[k] for k in keep]
    return m.with_main(dce(m.with_main(new), []).main)


def ending_at(m: Module, v: int) -> Module:
    """The program up to one value, which becomes its only output."""
    g = m.main
    new = Graph(g.name, g.kind)
    new.nodes, new.types, new.inputs, new.input_attrs, new.names = g.nodes, g.types, g.inputs, g.input_attrs, g.names
    new.add_output(v, role="value")
    return m.with_main(dce(m.with_main(new), []).main)


def without_unused(m: Module, arrays: Sequence[Any]) -> tuple[Module, list[Any]]:
    g = m.main
    read = {o for n in g.nodes for o in n.operands} | set(g.outputs)
    keep = [i for i, v in enumerate(g.inputs) if v in read]
    new = Graph(g.name, g.kind)
    new.nodes, new.types, new.names, new.attrs = g.nodes, g.types, g.names, g.attrs
    new.inputs = [g.inputs[i] for i in keep]
    new.input_attrs = [g.input_attrs[i] for i in keep]
    new.outputs, new.output_attrs = g.outputs, g.output_attrs
    return m.with_main(new), [arrays[i] for i in keep]


def as_input(m: Module, arrays: Sequence[Any], at: int) -> tuple[Module, list[Any]]:
    """The value of one node becomes an input."""
    g = m.main
    node = g.nodes[at]
    probe = Graph(g.name)
    probe.nodes, probe.types, probe.inputs, probe.input_attrs = g.nodes[: at + 1], g.types, g.inputs, g.input_attrs
    probe.outputs = list(node.results)
    values = run_graph(probe, list(arrays))
    r = Rewriter(g)
    fresh = {}
    for v in node.results:
        fresh[v] = r.graph.add_input(g.types[v], f"n{at}_{v}")
    for n in g.nodes:
        if n is node:
            r.replace(n, [fresh[v] for v in n.results])
        else:
            r.copy(n)
    out = m.with_main(r.finish())
    return without_unused(m.with_main(dce(out, []).main), [*arrays, *values])


def reduce_program(
    m: Module, arrays: Sequence[Any], fails: Callable[[Module, list[Any]], bool], budget: int = 400
) -> tuple[Module, list[Any]]:
    """Drop outputs and turn nodes into inputs while the program still fails."""
    arrays = list(arrays)
    tries = 0

    def works(trial: tuple[Module, list[Any]]) -> bool:
        nonlocal tries
        tries += 1
        return tries <= budget and fails(*trial)

    def cut() -> bool:
        """End the program at its earliest node that still fails."""
        nonlocal m, arrays
        for node in m.main.nodes[:-1]:
            trial = without_unused(ending_at(m, node.results[0]), arrays)
            if works(trial):
                m, arrays = trial
                return True
        return False

    progress = True
    while progress and tries <= budget:
        progress = False
        for k in range(len(m.main.outputs) - 1, -1, -1):
            if len(m.main.outputs) > 1 and k < len(m.main.outputs):
                trial = without_unused(with_outputs(m, [j for j in range(len(m.main.outputs)) if j != k]), arrays)
                if works(trial):
                    (m, arrays), progress = trial, True
        at = len(m.main.nodes) - 1
        while at >= 0:
            if at < len(m.main.nodes):
                try:
                    trial = as_input(m, arrays, at)
                except Exception:  # noqa: BLE001
                    at -= 1
                    continue
                if works(trial):
                    (m, arrays), progress = trial, True
            at -= 1
        progress = cut() or progress
    return m, arrays


def same_failure(stage: str, seed: int, executors: Sequence[str] = ("tiled",)) -> Callable[[Module, list[Any]], bool]:
    def fails(m: Module, arrays: list[Any]) -> bool:
        try:
            differ(m, arrays, seed, executors)
        except WrongError as e:
            return e.stage == stage
        except Exception:  # noqa: BLE001
            return False
        return False

    return fails
