"""Makes the tensors of a failing module small: extents toward 1, equal ones together, while it still fails.

Any choice of extents is tried: what the ops' type rules refuse is no program, and what does not fail is not kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from gradc.ir.build import GraphBuilder
from gradc.ir.errors import GradcError
from gradc.ir.graph import Graph, Module
from gradc.ir.types import TensorType, tensor

REFUSED = (GradcError, ArithmeticError, AssertionError, LookupError, TypeError, ValueError)
"""What type rules raise at shapes and attributes that do not fit each other."""


def smaller_shapes(module: Module, attempt: Callable[[Module], bool]) -> Module:
    """The module with the smallest extents found that `attempt` accepts; itself where none is."""
    todo: Iterator[Mapping[int, int]] = _candidates(module)
    while (sizes := next(todo, None)) is not None:
        small = resized(module, sizes)
        if small is not None and attempt(small):
            module, todo = small, _candidates(small)
    return module


def _candidates(module: Module) -> Iterator[Mapping[int, int]]:
    """All extents at once, then each alone, the largest first."""
    graph = module.main
    free = [*graph.inputs, *(r for n in graph.nodes if not n.operands for r in n.results)]
    extents = sorted({d for v in free for d in getattr(graph.types[v], "shape", ()) if d > 1}, reverse=True)
    if len(extents) > 1:
        for target in (1, 2):
            yield dict.fromkeys((n for n in extents if n > target), target)
    for n in extents:
        for target in sorted({1, 2, 3, n // 2, n - 1}):
            if 0 < target < n:
                yield {n: target}


def resized(module: Module, sizes: Mapping[int, int]) -> Module | None:
    """The module with inputs, and attributes that speak of extents, of other sizes; every type is inferred anew. None
    where a type rule refuses that, or an op has none."""
    source = module.main
    graph = Graph(source.name, source.kind)
    graph.attrs = dict(source.attrs)
    b = GraphBuilder(graph)
    map_: dict[int, int] = {}
    for v, attrs in zip(source.inputs, source.input_attrs, strict=True):
        t = source.types[v]
        if not isinstance(t, TensorType):
            return None
        own = {k: a for k, a in attrs.items() if k != "name"}
        small = tensor(tuple([sizes.get(d, d) for d in t.shape]), t.dtype)
        map_[v] = graph.add_input(small, source.names.get(v), **own)
    for node in source.nodes:
        if node.op.infer is None or node.regions:
            return None
        shapes = [getattr(source.types[v], "shape", ()) for v in (*node.results, *node.operands)]
        attrs = {k: _fitted(a, shapes, sizes) for k, a in node.attrs.items()}
        b.loc, b.no_grad = node.loc, node.no_grad
        try:
            ids = b.run(node.op, tuple([map_[o] for o in node.operands]), attrs)
        except REFUSED:
            return None
        for old, new in zip(node.results, ids if isinstance(ids, tuple) else (ids,), strict=True):
            map_[old] = new
            if old in source.names:
                graph.names[new] = source.names[old]
    for v, attrs in zip(source.outputs, source.output_attrs, strict=True):
        graph.add_output(map_[v], **attrs)
    return module.with_main(graph)


def _fitted(attr: Any, shapes: list[tuple[int, ...]], sizes: Mapping[int, int]) -> Any:
    """An attribute with those entries resized that are an extent of the operand or result it has an entry per axis
    of: a shape, the limits of a slice."""
    if type(attr) is not tuple or not all(type(n) is int for n in attr):
        return attr
    like = [s for s in shapes if len(s) == len(attr)]
    return tuple([sizes.get(n, n) if any(s[i] == n for s in like) else n for i, n in enumerate(attr)])
