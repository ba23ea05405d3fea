"""The backward pass: nodes in dependency order, later ones first, without recursion."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gradc.ir.errors import GradRuntimeError, GradTypeError
from gradc.ir.graph import NO_ATTRS
from gradc.ir.ops import REGISTRY

from ..eager import apply
from .accumulate import AccumulateGrad
from .grad_mode import MODES
from .node import Edge, Node

if TYPE_CHECKING:
    from ..tensor import Tensor

_ADD = REGISTRY["grad.add"]


def run(
    roots: Sequence[tuple[Node, int]],
    grads: Sequence[Tensor],
    *,
    keep_graph: bool,
    create_graph: bool,
    captures: Sequence[Edge] | None = None,
    accumulate: bool = False,
) -> list[Tensor | None]:
    """Send `grads` down from `roots`. With `captures`, only what leads to those edges runs, and the gradients arriving
    there are returned, or with `accumulate` added to `.grad`."""
    before = MODES.grad
    MODES.grad = create_graph
    try:
        return _run(roots, grads, keep_graph, captures, accumulate)
    finally:
        MODES.grad = before


def _run(
    roots: Sequence[tuple[Node, int]],
    grads: Sequence[Tensor],
    keep_graph: bool,
    captures: Sequence[Edge] | None,
    accumulate: bool,
) -> list[Tensor | None]:
    dependencies, order = _explore([node for node, _ in roots])
    needed: set[Node] | None = None
    stops: dict[Node, list[tuple[int, int]]] = {}
    if captures is not None:
        for k, edge in enumerate(captures):
            if edge is not None:
                stops.setdefault(edge[0], []).append((edge[1], k))
        needed = _leading_to(order, stops)
    found: list[Tensor | None] = [None] * len(captures or ())
    buffers: dict[Node, list[Tensor | None]] = {}
    ready: list[tuple[int, int, Node]] = []
    pushed = 0
    for (node, nr), grad in zip(roots, grads, strict=True):
        fresh = node not in buffers
        _add(buffers, node, nr, grad)
        if fresh and dependencies.get(node, 0) == 0:
            heapq.heappush(ready, (-node.sequence, pushed, node))
            pushed += 1
    while ready:
        node = heapq.heappop(ready)[2]
        cts = buffers.pop(node, None) or [None] * len(node.out_types)
        stop = stops.get(node)
        if stop is not None:
            _tensor_hooks(node, cts)
            _retain(node, cts)
            for nr, k in stop:
                found[k] = cts[nr]
        if needed is not None and node not in needed and not (accumulate and stop):
            outs: Sequence[Tensor | None] = [None] * len(node.edges)
        else:
            wanted = [e is not None and (needed is None or e[0] in needed or e[0] in stops) for e in node.edges]
            outs = _call(node, cts, wanted, hooked=stop is not None)
            if not keep_graph:
                node.release()
        for edge, grad_in in zip(node.edges, outs, strict=True):
            if edge is None:
                continue
            target, nr = edge
            if grad_in is not None:
                _add(buffers, target, nr, grad_in)
            dependencies[target] -= 1
            if dependencies[target] == 0:
                heapq.heappush(ready, (-target.sequence, pushed, target))
                pushed += 1
    return found


def _explore(roots: Sequence[Node]) -> tuple[dict[Node, int], list[Node]]:
    """How many edges lead to each node that can be reached, and those nodes, each after a node that leads to it."""
    count: dict[Node, int] = {}
    seen = set(roots)
    order: list[Node] = []
    stack = list(dict.fromkeys(roots))
    while stack:
        node = stack.pop()
        order.append(node)
        for edge in node.edges:
            if edge is not None:
                target = edge[0]
                count[target] = count.get(target, 0) + 1
                if target not in seen:
                    seen.add(target)
                    stack.append(target)
    return count, order


def _leading_to(nodes: Sequence[Node], stops: dict[Node, Any]) -> set[Node]:
    """The nodes that must run: those with an edge into a stop, or into another that must run."""
    above: dict[Node, list[Node]] = {}
    for node in nodes:
        for edge in node.edges:
            if edge is not None:
                above.setdefault(edge[0], []).append(node)
    needed: set[Node] = set()
    stack = list(stops)
    while stack:
        for node in above.get(stack.pop(), ()):
            if node not in needed:
                needed.add(node)
                stack.append(node)
    return needed


def _add(buffers: dict[Node, list[Tensor | None]], node: Node, nr: int, grad: Tensor) -> None:
    """Put a gradient into a node's inputs, adding where one is there. Never in place: the first may be shared."""
    buffer = buffers.get(node)
    if buffer is None:
        buffer = buffers[node] = [None] * len(node.out_types)
    there = buffer[nr]
    buffer[nr] = grad if there is None else apply(_ADD, (there, grad), NO_ATTRS)


def _tensor_hooks(node: Node, cts: list[Tensor | None]) -> None:
    tables = {} if node.hooks is None else node.hooks.tensor
    if isinstance(node, AccumulateGrad) and node.variable._leaf_hooks is not None:
        tables = {0: node.variable._leaf_hooks.pre}
    for nr, table in tables.items():
        for hook in list(table.values()):
            ct = cts[nr]
            out = hook(ct)
            if out is not None:
                cts[nr] = _checked(getattr(hook, "__name__", "hook"), out, ct)


def _checked(name: str, new: Any, old: Tensor | None) -> Tensor:
    from ..tensor import Tensor

    if not isinstance(new, Tensor):
        raise GradTypeError(f"expected Variable, but hook returned '{type(new).__name__}'")
    if old is not None and new._type.dtype is not old._type.dtype:
        raise GradRuntimeError(f"hook '{name}' has changed the type of value (was {old.type()} got {new.type()})")
    if old is not None and new._type.shape != old._type.shape:
        raise GradRuntimeError(
            f"hook '{name}' has changed the size of value", hint=f"was {list(old.shape)}, got {list(new.shape)}"
        )
    return new


def _call(node: Node, cts: list[Tensor | None], wanted: Sequence[bool], hooked: bool) -> Sequence[Tensor | None]:
    if not hooked:
        _tensor_hooks(node, cts)
    hooks = node.hooks
    if hooks is None:
        return node.apply(cts, wanted) if not MODES.anomaly else _without_nan(node, node.apply(cts, wanted))
    if not hooked:
        _retain(node, cts)
    for hook in list(hooks.pre.values()):
        out = hook(tuple(cts))
        if out is not None:
            cts = _replaced(hook, out, cts)
    outs = node.apply(cts, wanted)
    if MODES.anomaly:
        _without_nan(node, outs)
    for hook in list(hooks.post.values()):
        out = hook(tuple(outs), tuple(cts))
        if out is not None:
            outs = _replaced(hook, out, outs)
    return outs


def _replaced(hook: Any, new: Any, old: Sequence[Tensor | None]) -> list[Tensor | None]:
    """What a node's hook gave in place of the node's gradients."""
    if not isinstance(new, tuple):
        raise GradTypeError(f"expected tuple, but hook returned '{type(new).__name__}'")
    name = getattr(hook, "__name__", "hook")
    if len(new) != len(old):
        raise GradRuntimeError(
            f"hook '{name}' has returned an incorrect number of values (got {len(new)}, but expected {len(old)})"
        )
    return [None if n is None else _checked(name, n, o) for n, o in zip(new, old, strict=True)]


def _without_nan(node: Node, outs: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
    for i, out in enumerate(outs):
        if out is not None and bool((out._array != out._array).any()):
            raise GradRuntimeError(f"Function '{node.name()}' returned nan values in its {i}th output.")
    return outs


def _retain(node: Node, cts: list[Tensor | None]) -> None:
    if node.hooks is None:
        return
    for nr, ref in node.hooks.retain.items():
        tensor, ct = ref(), cts[nr]
        if tensor is not None and ct is not None:
            tensor._grad = ct.clone() if tensor._grad is None else tensor._grad + ct
