"""Makes a failing module small: fewer operations, outputs and inputs, and shorter axes, while it still fails.

Delta debugging over the nodes of the entry function (Zeller's ddmin): a subset of the nodes is a program of its own, in
which values of dropped nodes become inputs and values that nothing reads any more become outputs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from gradc.ir.build import GraphBuilder
from gradc.ir.graph import Graph, Module
from gradc.ir.rewrite import Rewriter
from gradc.ir.types import TensorType

from .cse import frozen
from .reduce_shapes import smaller_shapes

Fails = Callable[[Module], bool]


def reduce_module(module: Module, fails: Fails, seconds: float = 60.0) -> Module:
    """The smallest module found within the time that still fails; `module` itself must. Deterministic but for time."""
    deadline = time.monotonic() + seconds
    best = module

    def attempt(candidate: Module) -> bool:
        nonlocal best
        if time.monotonic() < deadline and fails(candidate):
            best = candidate
            return True
        return False

    kept = list(range(len(module.main.nodes)))
    parts = 2
    while len(kept) > 1 and time.monotonic() < deadline:
        size = -(-len(kept) // parts)
        chunks = [kept[i : i + size] for i in range(0, len(kept), size)]
        for chunk in [*chunks, *([c for c in kept if c not in set(chunk)] for chunk in chunks if len(chunks) > 2)]:
            if len(chunk) < len(kept) and attempt(subset(module, chunk)):
                parts = 2 if len(chunk) <= size else max(parts - 1, 2)
                kept = chunk
                break
        else:
            if size == 1:
                break
            parts = min(2 * parts, len(kept))
    _fewer_outputs(best, attempt)
    smaller_shapes(best, attempt)
    return best


def _fewer_outputs(module: Module, attempt: Fails) -> None:
    """Try single outputs, then without the inputs that this leaves unread."""
    for k in range(len(module.main.outputs) if len(module.main.outputs) > 1 else 0):
        if attempt(with_outputs(module, [k])):
            module = with_outputs(module, [k])
            break
    attempt(without_unread(module))


def subset(module: Module, kept: Sequence[int]) -> Module:
    """The program of these nodes alone, in order."""
    source = module.main
    graph = Graph(source.name, source.kind)
    map_: dict[int, int] = {}
    nodes = [source.nodes[i] for i in kept]
    made = {r for n in nodes for r in n.results}
    read = {o for n in nodes for o in n.operands}
    attrs = dict(zip(source.inputs, source.input_attrs, strict=True))
    wanted = _paths(source) if any(a.get("requires_grad") for a in source.input_attrs) else set()
    for v, t in enumerate(source.types):
        if v in read and v not in made:
            own = {k: a for k, a in attrs.get(v, {}).items() if k != "name"}
            if v in wanted and isinstance(t, TensorType) and t.dtype.is_float:
                own["requires_grad"] = True
            map_[v] = graph.add_input(t, source.names.get(v), **own)
    b = GraphBuilder(graph)
    for node in nodes:
        b.loc, b.no_grad = node.loc, node.no_grad
        types = [source.types[r] for r in node.results]
        ids = b.emit(node.op, tuple(map_[o] for o in node.operands), node.attrs, types, node.regions)
        map_.update(zip(node.results, ids, strict=True))
        for r in node.results:
            if r in source.names:
                graph.names[map_[r]] = source.names[r]
    outside = {o for i, n in enumerate(source.nodes) if i not in set(kept) for o in n.operands} | set(source.outputs)
    for n in nodes:
        for r in n.results:
            if r not in read or r in outside:
                graph.add_output(map_[r], role="value")
    return _module(module, graph)


CONE = 6
"""Nodes of a part of a program, at most."""


def cones(module: Module) -> Iterator[Module]:
    """Every node, alone and with a few of those it computes from, as a program of its own; equal ones once."""
    graph = module.main
    producer = graph.producers()
    seen = set()
    for i, node in enumerate(graph.nodes):
        if not node.operands:
            continue
        cone = [i]
        for k in cone:
            for o in graph.nodes[k].operands:
                if producer[o] >= 0 and producer[o] not in cone and len(cone) < CONE:
                    cone.append(producer[o])
        for part in (cone[:1], cone):
            key = tuple([_shape_of(graph, k) for k in part])
            if key not in seen:
                seen.add(key)
                yield subset(module, sorted(part))


def _shape_of(graph: Graph, i: int) -> Any:
    """What a node does and to which types, without its place; where in the cone it reads follows from the types but
    for rare cases, in which a part is skipped."""
    node = graph.nodes[i]
    return node.op.name, frozen(node.attrs), tuple([graph.types[o] for o in node.operands])


def _paths(graph: Graph) -> set[int]:
    """Values that a gradient is wanted for, or that one passes on its way to an input that wants it."""
    out = {v for v, a in zip(graph.inputs, graph.input_attrs, strict=True) if a.get("requires_grad")}
    for node in graph.nodes:
        if not out.isdisjoint(node.operands) and not node.no_grad and "detach" not in node.op.traits:
            out.update(node.results)
    return out


def with_outputs(module: Module, which: Sequence[int]) -> Module:
    """The module with some of its outputs, and only the nodes that they need."""
    source = module.main
    live = {source.outputs[k] for k in which}
    keep = []
    for node in reversed(source.nodes):
        if not live.isdisjoint(node.results):
            live.update(node.operands)
            keep.append(node)
    r = Rewriter(source)
    for node in reversed(keep):
        r.copy(node)
    for k in which:
        r.graph.add_output(r.map[source.outputs[k]], role="value")
    return _module(module, r.graph)


def without_unread(module: Module) -> Module:
    """The module without inputs that nothing reads."""
    source = module.main
    read = {o for n in source.nodes for o in n.operands} | set(source.outputs)
    r = Rewriter(source)
    for node in source.nodes:
        r.copy(node)
    graph = r.finish()
    pairs = zip(source.inputs, graph.inputs, graph.input_attrs, strict=True)
    kept = [(new, attrs) for old, new, attrs in pairs if old in read]
    graph.inputs = [v for v, _ in kept]
    graph.input_attrs = [a for _, a in kept]
    graph.output_attrs = [{"role": "value"} for _ in graph.outputs]
    return _module(module, graph)


def _module(module: Module, graph: Graph) -> Module:
    """The module around another entry, with only the kernels that it launches. Values may be no scalars any more, so
    an adjoint takes their cotangents as inputs."""
    launched = {n.attrs["kernel"] for n in graph.nodes if "kernel" in n.attrs}
    graphs = {module.entry: graph, **{k: g for k, g in module.graphs.items() if k in launched}}
    attrs = dict(module.attrs)
    if any(a.get("requires_grad") for a in graph.input_attrs):
        attrs["cotangents"] = "inputs"
    return Module(module.state, graphs, module.entry, attrs)
