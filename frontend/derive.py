"""Derivatives inside a trace: the adjoint of the nodes recorded so far, appended to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gradc.ir.build import Var
from gradc.ir.errors import GradRuntimeError
from gradc.ir.op import REGISTRY
from gradc.ir.pullback import saves
from gradc.passes.adjoint import differentiate as run

from .autograd.grad_mode import is_grad_enabled, set_grad_enabled
from .constants import full
from .tensor import Tensor
from .tracing import Trace


def identity(trace: Trace, t: Tensor) -> Tensor:
    """The same value under an id of its own, so that derivatives with respect to it see only its own uses."""
    trace.mark()
    v = trace.value(t)
    d = trace.graph.types[v].dtype
    new: int = trace.b.run(REGISTRY["grad.convert"], (v,), {"dtype": d})
    trace.active.add(new)
    if v in trace.graph.names:
        trace.graph.names[new] = trace.graph.names[v]
    return trace.tensor(new)


def filled(trace: Trace, like: Tensor, value: float) -> Tensor:
    """A constant of the type of `like`."""
    trace.mark()
    return trace.tensor(full(trace.b, like._type.shape, value, like.dtype))


def ones(trace: Trace, like: Tensor) -> Tensor:
    return filled(trace, like, 1.0)


def zeros(trace: Trace, like: Tensor) -> Tensor:
    return filled(trace, like, 0.0)


def differentiate(
    trace: Trace,
    outputs: Sequence[Tensor],
    cotangents: Sequence[Tensor],
    wrt: Sequence[Tensor],
    freed: set[int] | None = None,
) -> list[Tensor | None]:
    """The gradients of `outputs` with respect to `wrt`; None where no path leads. Values that got a cotangent are
    added to `freed`."""
    outs = [trace.value(o) for o in outputs]
    cts = [Var(trace.b, trace.value(c)) for c in cotangents]
    at = [_place(trace, w) for w in wrt]
    trace.mark()
    before = len(trace.graph.types)
    found = run(trace.b, outs, cts, at, freed)
    if is_grad_enabled():
        types = trace.graph.types
        trace.active.update(v for v in range(before, len(types)) if types[v].dtype.is_float)
    return [None if g is None else trace.tensor(g.v) for g in found]


def used_up(trace: Trace) -> set[int]:
    """The values whose history no further backward pass can go through: behind them is an operation that a backward
    pass which does not retain the graph went through, and that had saved something."""
    out: set[int] = set()
    if not trace.freed:
        return out
    for node in trace.graph.nodes:
        on = [i for i, o in enumerate(node.operands) if o in trace.active]
        if not on or node.no_grad or "detach" in node.op.traits:
            continue
        freed = not trace.freed.isdisjoint(node.results) and any(saves(node.op, on, len(node.operands)))
        if freed or any(node.operands[i] in out for i in on):
            out.update(node.results)
    return out


def _place(trace: Trace, t: Tensor) -> int:
    """Where a gradient with respect to `t` is taken: a leaf that was written to under no_grad is the leaf still."""
    v = trace.origin(t)
    return v if v in trace.leaf_ids and v in trace.active else trace.value(t)


def _cotangents(trace: Trace, outputs: Sequence[Tensor], given: Any) -> list[Tensor]:
    cts = [None] * len(outputs) if given is None else [given] if isinstance(given, Tensor) else list(given)
    if len(cts) != len(outputs):
        raise GradRuntimeError(f"got {len(outputs)} tensors and {len(cts)} gradients", loc=trace.loc())
    out = []
    for i, (t, c) in enumerate(zip(outputs, cts, strict=True)):
        if c is None:
            if t.numel() != 1:
                raise GradRuntimeError("grad can be implicitly created only for scalar outputs", loc=trace.loc())
            c = ones(trace, t)
        elif c._type.shape != t._type.shape:
            raise GradRuntimeError(
                f"Mismatch in shape: grad_output[{i}] has a shape of {c.shape} and output[{i}] has a shape of "
                f"{t.shape}.",
                loc=trace.loc(),
            )
        out.append(c)
    return out


def grad(
    trace: Trace,
    outputs: Sequence[Tensor],
    inputs: Sequence[Tensor],
    grad_outputs: Any,
    create_graph: bool,
    allow_unused: bool,
    fill: bool,
    retain: bool,
) -> tuple[Tensor | None, ...]:
    """`autograd.grad` while tracing. With `fill`, an input without a path has zeros."""
    for t in inputs:
        trace.grads.check_hooks(t, "autograd.grad()")
        if trace.value(t) not in trace.active and not t._requires_grad:
            raise GradRuntimeError("One of the differentiated Tensors does not require grad", loc=trace.loc())
    freed = None if retain else trace.freed
    found = differentiate(trace, outputs, _cotangents(trace, outputs, grad_outputs), inputs, freed)
    if not create_graph:
        found = [None if g is None else _constant(trace, g) for g in found]
    if fill:
        return tuple(zeros(trace, t) if g is None else g for t, g in zip(inputs, found, strict=True))
    for i, g in enumerate(found):
        if g is None and not allow_unused:
            raise GradRuntimeError(
                f"The differentiated Tensor at index {i} appears to not have been used in the graph. Set "
                "allow_unused=True if this is the desired behavior.",
                loc=trace.loc(),
            )
    return tuple(found)


def _constant(trace: Trace, t: Tensor) -> Tensor:
    """Without create_graph a gradient is not part of what is differentiated later."""
    out: Tensor = trace.apply(REGISTRY["grad.detach"], (t,), {})
    return out


def backward(trace: Trace, output: Tensor, gradient: Any, create_graph: bool, retain: bool) -> None:
    """`backward()` while tracing: adds to `.grad` of the arguments, of the leaves made here and of captured tensors
    (`leaf_grads.py`)."""
    hidden = [c.tensor for c in trace.captured if c.value in trace.active]
    leaves = list({trace.origin(t): t for t in (*trace.leaves, *hidden)}.values())
    if not leaves or trace.value(output) not in trace.active:
        raise GradRuntimeError(
            "element 0 of tensors does not require grad and does not have a grad_fn", loc=trace.loc()
        )
    cts = _cotangents(trace, [output], None if gradient is None else [gradient])
    found = differentiate(trace, [output], cts, leaves, None if retain else trace.freed)
    for t, g in zip(leaves, found, strict=True):
        if g is not None:
            with set_grad_enabled(create_graph):
                trace.grads.add(t, g if create_graph else _constant(trace, g), create_graph)
