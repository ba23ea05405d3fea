"""Puts the bodies of `grad.call` in place of the calls."""

from __future__ import annotations

from collections.abc import Sequence

from gradc.ir.build import GraphBuilder
from gradc.ir.graph import Graph, Module, Node
from gradc.ir.rewrite import Rewriter

from .remarks import Remark


def inline(module: Module, remarks: list[Remark]) -> Module:
    """traced -> traced, without calls. Calls inside bodies are inlined too; a call under no_grad marks its whole
    body."""
    if not any(n.regions for n in module.main.nodes):
        return module
    r = Rewriter(module.main)
    for node in module.main.nodes:
        if node.regions:
            r.b.no_grad = node.no_grad
            r.replace(node, inline_call(r.b, node, r.operands(node)))
        else:
            r.copy(node)
    return module.with_main(r.finish())


def inline_call(
    b: GraphBuilder, call: Node, operands: Sequence[int], results: Sequence[int] | None = None
) -> tuple[int, ...]:
    """Append the body of `call` over these operands; returns the values of its results. With `results`, the nodes
    that define the body's outputs define those existing value ids instead (the body's last definitions are renamed)."""
    graph = b.graph
    out: list[int] = []
    rename: dict[tuple[int, int], int] = {}
    root = call.regions[0]
    if results is not None and len(set(root.outputs)) == len(root.outputs):
        defined = {v for n in root.nodes for v in n.results if not n.regions}
        rename = {(id(root), v): r for v, r in zip(root.outputs, results, strict=True) if v in defined}
    stack: list[tuple[Graph, int, dict[int, int], Node | None]] = [
        (root, 0, dict(zip(root.inputs, operands, strict=True)), None)
    ]
    while stack:
        body, i, env, pending = stack.pop()
        if pending is not None:
            env.update(zip(pending.results, out, strict=True))
        while i < len(body.nodes):
            node = body.nodes[i]
            i += 1
            if node.regions:
                inner = node.regions[0]
                stack.append((body, i, env, node))
                stack.append((inner, 0, {p: env[o] for p, o in zip(inner.inputs, node.operands, strict=True)}, None))
                break
            ids = []
            for v in node.results:
                target = rename.get((id(body), v))
                if target is None:
                    target = len(graph.types)
                    graph.types.append(body.types[v])
                ids.append(target)
                env[v] = target
                if v in body.names and target not in graph.names:
                    graph.names[target] = body.names[v]
            graph.nodes.append(
                Node(
                    node.op,
                    tuple(env[o] for o in node.operands),
                    node.attrs,
                    tuple(ids),
                    node.loc,
                    node.no_grad or call.no_grad,
                )
            )
        else:
            out = [env[o] for o in body.outputs]
    if results is not None:
        from gradc.ir.op import REGISTRY

        for got, want in zip(out, results, strict=True):
            if got != want:
                t = graph.types[want]
                shape = t.shape  # type: ignore[union-attr]
                graph.nodes.append(
                    Node(REGISTRY["grad.broadcast"], (got,), {"shape": shape}, (want,), call.loc, call.no_grad)
                )
    return tuple(out)
