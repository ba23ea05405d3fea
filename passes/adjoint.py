"""Reverse-mode differentiation of a graph by the op records' own rules.

`differentiate` appends the adjoint of some values to the graph that holds them; `adjoint` is the pass: the traced
function, copied, with its value outputs followed by one gradient output per input that requires one. Only active nodes
get adjoint ops: a frozen input, a `detach`, an op under no_grad and an integer result end a path, and each such cut is
remarked with its line (`cuts.py`). Adjoint ops carry the location of the op they differentiate.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gradc.ir.build import GraphBuilder, Var
from gradc.ir.errors import GradcError, GradValueError, ShapeError
from gradc.ir.graph import Graph, Module, Node
from gradc.ir.pullback import pullback
from gradc.ir.rewrite import Rewriter
from gradc.ir.types import TensorType

from .cuts import Cuts
from .cuts import differentiable as _differentiable
from .inline import inline_call
from .remarks import Remark


def active_values(graph: Graph, wrt: Sequence[int]) -> list[bool]:
    """For each value whether a cotangent passes from it to some value of `wrt`."""
    active = [False] * len(graph.types)
    for v in wrt:
        active[v] = _differentiable(graph.types[v])
    for node in graph.nodes:
        if node.no_grad or "detach" in node.op.traits:
            continue
        for o in node.operands:
            if active[o]:
                for r in node.results:
                    active[r] = active[r] or _differentiable(graph.types[r])
                break
    return active


def differentiate(
    b: GraphBuilder,
    outputs: Sequence[int],
    cotangents: Sequence[Var],
    wrt: Sequence[int],
    reached: set[int] | None = None,
    active: Sequence[bool] | None = None,
) -> list[Var | None]:
    """The cotangents of `wrt` given those of `outputs`, as new nodes of `b`'s graph; None where no path leads. Values
    that got a cotangent are added to `reached`. With `active`, the answer of `active_values`, calls are expanded
    already.

    Every op's rules are those of its record, so the result can be differentiated again. Linear in nodes and edges.
    """
    graph = b.graph
    if active is None:
        _expand_calls(b, wrt)
        active = active_values(graph, wrt)
    ct: dict[int, Any] = {}
    for o, c in zip(outputs, cotangents, strict=True):
        if c.shape != graph.types[o].shape:  # type: ignore[union-attr]
            raise ShapeError(f"cotangent of shape {list(c.shape)} for an output of type {graph.types[o]}")
        if active[o]:
            ct[o] = ct[o] + c if o in ct else c
            if reached is not None:
                reached.add(o)
    keep_loc, keep_mark = b.loc, b.no_grad
    b.no_grad = False
    targets = set(wrt)
    types: Any = graph.types
    for node in reversed(graph.nodes[: len(graph.nodes)]):
        for r in node.results:
            if r in ct:
                break
        else:
            continue
        if node.no_grad or "detach" in node.op.traits:
            continue
        wanted = [i for i, o in enumerate(node.operands) if active[o]]
        if not wanted:
            continue
        if not targets.isdisjoint(node.results):
            cts = [ct.get(r) for r in node.results]
        else:
            cts = [ct.pop(r, None) for r in node.results]
        b.loc = node.loc
        operands = [Var(b, o) for o in node.operands]
        results = [Var(b, r) for r in node.results]
        operand_types = [types[o] for o in node.operands]
        for i in wanted:
            try:
                found = pullback(b, node.op, i, cts, operands, operand_types, results, node.attrs)
            except GradcError as e:
                raise e.at(node.loc) from None
            if found is None:
                continue
            o = node.operands[i]
            ct[o] = ct[o] + found if o in ct else found
            if reached is not None:
                reached.add(o)
    b.loc, b.no_grad = keep_loc, keep_mark
    return [ct.get(v) for v in wrt]


def _expand_calls(b: GraphBuilder, wrt: Sequence[int]) -> None:
    """Put the bodies of active calls into the graph, in place of the calls, so that their nodes can be
    differentiated."""
    graph = b.graph
    if not any(n.regions for n in graph.nodes):
        return
    active = active_values(graph, wrt)
    nodes, graph.nodes = graph.nodes, []
    for node in nodes:
        if node.regions and any(active[o] for o in node.operands) and not node.no_grad:
            inline_call(b, node, node.operands, results=node.results)
        else:
            graph.nodes.append(node)
        if any(n.regions for n in graph.nodes[-1:]) and graph.nodes[-1] is not node:
            active.extend([False] * (len(graph.types) - len(active)))


def adjoint(
    module: Module, remarks: list[Remark], *, cotangents: str | None = None, wrt: Sequence[str] | None = None
) -> Module:
    """traced -> joint. The first `attrs["forward_nodes"]` nodes of the result are the forward.

    `cotangents` are "ones" (scalar values) or "inputs" (one input per value), `wrt` the names of the inputs to
    differentiate in; without them the module's attribute "cotangents" and its inputs' "requires_grad" say so."""
    module = _configured(module, cotangents, wrt)
    return _joint(module, remarks)


def _configured(module: Module, cotangents: str | None, wrt: Sequence[str] | None) -> Module:
    """The module with what the options say in its attributes."""
    if cotangents is not None:
        module = Module(module.state, module.graphs, module.entry, {**module.attrs, "cotangents": cotangents})
    if wrt is None:
        return module
    r = Rewriter(module.main)
    for node in module.main.nodes:
        r.copy(node)
    graph = r.finish()
    known = [str(a.get("name")) for a in graph.input_attrs]
    unknown = [name for name in wrt if name not in known]
    if unknown:
        raise GradValueError(f"adjoint: no input is named {unknown[0]!r}", hint=f"the inputs are {', '.join(known)}")
    for attrs, name in zip(graph.input_attrs, known, strict=True):
        attrs.pop("requires_grad", None)
        if name in wrt:
            attrs["requires_grad"] = True
    return module.with_main(graph)


def _unmarked(node: Node) -> Node:
    return Node(node.op, node.operands, node.attrs, node.results, node.loc, False, node.regions)


def _joint(module: Module, remarks: list[Remark]) -> Module:
    source = module.main
    r = Rewriter(source)
    for node in source.nodes:
        r.copy(node)
    r.finish()
    graph = r.graph
    b = r.b
    wrt = [v for v, a in zip(graph.inputs, graph.input_attrs, strict=True) if a.get("requires_grad")]
    outputs = zip(graph.outputs, graph.output_attrs, strict=True)
    values = [(o, a) for o, a in outputs if a.get("role", "value") == "value" and _differentiable(graph.types[o])]
    cotangents = []
    for i, (o, _) in enumerate(values):
        t = graph.types[o]
        assert isinstance(t, TensorType)
        if module.attrs.get("cotangents", "ones") == "ones":
            cotangents.append(
                b.scalar(1.0, t.dtype) if t.shape == () else b.full(shape=t.shape, value=1.0, dtype=t.dtype)
            )
        else:
            name = "cotangent" if len(values) == 1 else f"cotangent{i}"
            cotangents.append(Var(b, graph.add_input(t, name, role="cotangent")))
    _expand_calls(b, wrt)
    n_forward = len(graph.nodes)
    reached: set[int] = set()
    active = active_values(graph, wrt)
    grads = differentiate(b, [o for o, _ in values], cotangents, wrt, reached, active)
    without: list[tuple[str, int]] = []
    given = set(graph.inputs)
    for v, g in zip(wrt, grads, strict=True):
        name = graph.names.get(v, f"input {graph.inputs.index(v)}")
        if g is None:
            without.append((name, v))
        else:
            if g.v not in given:
                graph.names.setdefault(g.v, f"grad_{name}")
            graph.add_output(g.v, role="grad", of=graph.inputs.index(v))
    if wrt:
        cuts = Cuts(graph, n_forward, active, reached)
        causes = [(name, cuts.of_input(v)) for name, v in without]
        remarks.extend([Remark("no-gradient", name, cause.text, cause.loc) for name, cause in causes])
        remarks.extend(cuts.remarks())
    graph.nodes = [_unmarked(node) if node.no_grad else node for node in graph.nodes]
    graph.attrs["forward_nodes"] = n_forward
    return module.with_main(graph, "joint")
