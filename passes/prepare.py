"""The last rewriting before fusion: copies where memory really has to be rearranged, and every output computed.

A reshape that no strides express gets a copy below it; an output that is an input, a constant or a rearrangement of
another value gets a copy of its own, which fusion then stores straight from the kernel that has the value. Products of
a matrix with a vector become multiply and sum, which fuse with their surroundings.
"""

from __future__ import annotations

from typing import Any

from gradc.ir.build import GraphBuilder, Var
from gradc.ir.dim import product
from gradc.ir.graph import Graph, Node
from gradc.ir.op import REGISTRY
from gradc.ir.rewrite import Rewriter
from gradc.ir.types import TensorType

from .views import STRIDED, View, identity


def copy_of(b: GraphBuilder, v: int) -> int:
    """The same value in memory of its own: a cast to its own dtype, which nothing simplifies any more."""
    t = b.graph.types[v]
    assert isinstance(t, TensorType)
    out: int = b.run(REGISTRY["grad.convert"], (v,), {"dtype": t.dtype})
    return out


def vector_product(b: GraphBuilder, node: Node, operands: tuple[int, ...]) -> Var | None:
    """A contraction with at most one free element on one side, or one term per sum, as multiply and sum; None for a
    matrix product."""
    a = node.attrs
    lhs, rhs = Var(b, operands[0]), Var(b, operands[1])
    lb, rb, lc, rc = (tuple(a[k]) for k in ("lhs_batch", "rhs_batch", "lhs_contract", "rhs_contract"))
    lf = tuple(d for d in range(lhs.ndim) if d not in lb + lc)
    rf = tuple(d for d in range(rhs.ndim) if d not in rb + rc)
    m, n = product(lhs.shape[d] for d in lf), product(rhs.shape[d] for d in rf)
    if m > 1 and n > 1 and product(lhs.shape[d] for d in lc) > 1:
        return None
    batch = tuple(lhs.shape[d] for d in lb)
    depth = tuple(lhs.shape[d] for d in lc)
    left = b.permute(lhs, dims=lb + lf + lc)
    right = b.permute(rhs, dims=rb + rf + rc)
    left = b.reshape(left, shape=batch + tuple(lhs.shape[d] for d in lf) + (1,) * len(rf) + depth)
    right = b.reshape(right, shape=batch + (1,) * len(lf) + tuple(rhs.shape[d] for d in rf) + depth)
    out: TensorType = node.op.infer(lhs.type, rhs.type, **a)
    compute = out.dtype.compute
    if out.dtype is not compute:
        left, right = b.convert(left, dtype=compute), b.convert(right, dtype=compute)
    dims = tuple(range(left.ndim - len(depth), left.ndim))
    total = b.sum(left * right, dims=dims, keepdim=False)
    return total if out.dtype is compute else b.convert(total, dtype=out.dtype)  # type: ignore[no-any-return]


def prepare(graph: Graph) -> tuple[Graph, list[int]]:
    """The graph that fusion sees, and for each of its nodes the position of the one it stems from (-1: copies that
    outputs need)."""
    r = Rewriter(graph)
    origin: list[int] = []
    views: dict[int, View] = {}

    def view_of(v: int) -> View:
        t = r.graph.types[v]
        assert isinstance(t, TensorType)
        return views.get(v) or identity(v, t.shape)

    for i, node in enumerate(graph.nodes):
        origin.extend([i - 1] * (len(r.graph.nodes) - len(origin)))
        operands = r.operands(node)
        if node.op.name in STRIDED:
            found = STRIDED[node.op.name](view_of(operands[0]), node)
            if found is None:
                b = r.at(node)
                fixed = copy_of(b, operands[0])
                out = b.run(node.op, (fixed,), node.attrs)
                found = STRIDED[node.op.name](view_of(fixed), node)
                assert found is not None
                r.replace(node, (out,))
                views[out] = found
            else:
                (out,) = r.copy(node)
                views[out] = found
            continue
        if node.op.name == "grad.contract":
            product_ = vector_product(r.at(node), node, operands)
            if product_ is not None:
                r.replace(node, (product_,))
                _note_views(r.graph, views)
                continue
        r.copy(node)
    origin.extend([len(graph.nodes) - 1] * (len(r.graph.nodes) - len(origin)))
    computed = {
        v: n for n in r.graph.nodes for v in n.results if n.op.name not in STRIDED and n.op.name not in _SOURCES
    }
    m: dict[int, int] = {}
    for v in graph.outputs:
        new = r.map[v]
        if new not in computed and new not in m:
            r.b.loc = None
            m[new] = copy_of(r.b, new)
    out_graph = r.finish()
    out_graph.outputs = [m.get(v, v) for v in out_graph.outputs]
    return out_graph, origin + [-1] * (len(out_graph.nodes) - len(origin))


def _note_views(graph: Graph, views: dict[int, View]) -> None:
    """Record views among nodes that a rewrite appended."""
    for node in graph.nodes[-12:]:
        if node.op.name in STRIDED and node.results[0] not in views:
            t: Any = graph.types[node.operands[0]]
            base = views.get(node.operands[0]) or identity(node.operands[0], t.shape)
            found = STRIDED[node.op.name](base, node)
            if found is not None:
                views[node.results[0]] = found


_SOURCES = ("grad.constant", "grad.dense")

__all__ = ["copy_of", "prepare"]
