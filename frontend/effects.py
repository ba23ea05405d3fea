"""What a compiled function leaves behind beside its results: new contents of arguments and of captured tensors, and
their `.grad`. The trace has them as outputs; after the run they are put where they belong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from gradc.ir.errors import GradRuntimeError, UnsupportedError

from .autograd.grad_mode import MODES
from .function import CompiledBackward
from .inplace import add_into, check_target, rebase, store
from .interop import TORCH, give, is_torch
from .storage import Array, address
from .tensor import Tensor
from .tracing import Trace

WORK: Any = 100_000
"""Candidates that NumPy may try before two strided arrays count as sharing memory."""


class Write(NamedTuple):
    """Result `result` becomes the contents of input `of`; `recorded`: with its history; `counted`: its version grows,
    as it does unless all was written through `.data`."""

    of: int
    result: int
    recorded: bool
    counted: bool


class Grad(NamedTuple):
    """Result `result` (None: nothing) becomes the `.grad` of input `of`, or (`added`) is added to it."""

    of: int
    result: int | None
    added: bool


class Effects(NamedTuple):
    """All that one trace leaves behind. `first` is the number of results before those of effects; `actions` are done
    after all else."""

    writes: tuple[Write, ...]
    grads: tuple[Grad, ...]
    first: int
    actions: tuple[Callable[[], None], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.writes or self.grads or self.actions)

    def check(self, inputs: Sequence[Tensor], given: Sequence[Any]) -> None:
        """Refuse, before anything runs, writes to memory that other inputs share or that is not there to be written.
        `given` are the caller's own arguments, which the first of the inputs were made of."""
        for g in self.grads:
            if g.result is not None:
                _check_leaf(inputs[g.of])
        if not self.writes:
            return
        _check_shared([t._array for t in inputs], [w.of for w in self.writes])
        for w in self.writes:
            target = inputs[w.of]
            source = given[w.of] if w.of < len(given) else target
            if isinstance(source, Tensor):
                if w.recorded:
                    check_target(target)
                    if target._view is not None:
                        raise UnsupportedError(
                            "a compiled function writes to a view that it is given, and the write is recorded",
                            hint="pass the tensor that it is a view of, or write under gradc.no_grad()",
                        )
                elif target._inference and not MODES.inference:
                    check_target(target)
            elif not isinstance(source, np.ndarray | np.generic) and not is_torch(source):
                raise UnsupportedError(
                    f"a compiled function writes to an argument of type {type(source).__name__}",
                    hint="pass a tensor or a NumPy array",
                )
            elif isinstance(source, np.ndarray) and not source.flags.writeable:
                raise GradRuntimeError("the array behind this tensor is read-only and cannot be written to")

    def carry(self, outer: Trace, inputs: Sequence[Tensor], ids: Sequence[int]) -> None:
        """The same inside another trace: `ids` are the values of all results there."""
        roots = [outer.writes.root(outer.origin(t)) for t in inputs]
        for w in self.writes:
            if roots.count(roots[w.of]) > 1:
                raise UnsupportedError(
                    "a nested compiled function writes to a tensor that it is given twice, or given and captures",
                    loc=outer.loc(),
                    hint="pass it once",
                )
            outer.writes.write(outer.origin(inputs[w.of]), ids[w.result], check=False, counted=w.counted)
        for g in self.grads:
            grad = None if g.result is None else outer.tensor(ids[g.result])
            if grad is not None:
                _check_leaf(inputs[g.of])
            if g.added and grad is not None:
                outer.grads.add(inputs[g.of], grad, recorded=True)
            else:
                outer.grads.set(inputs[g.of], grad)

    def apply(self, inputs: Sequence[Tensor], given: Sequence[Any], results: Sequence[Tensor]) -> None:
        """Put the results of a run where they belong."""
        for w in self.writes:
            new, source = results[w.result], given[w.of] if w.of < len(given) else inputs[w.of]
            if isinstance(source, Tensor):
                node = new._node if w.recorded else None
                if isinstance(node, CompiledBackward):
                    node.keep(w.of)
                store(source, new._array, w.counted)
                if node is not None:
                    rebase(source, node, new._output_nr)
            elif isinstance(source, np.ndarray):
                np.copyto(source, new._array)
            elif is_torch(source):
                import torch

                with torch.no_grad():
                    source.copy_(give(new, TORCH))
        for g in self.grads:
            target = given[g.of] if g.of < len(given) else inputs[g.of]
            grad = None if g.result is None else results[g.result]
            if not isinstance(target, Tensor):
                continue
            if g.added and grad is not None and target._grad is not None:
                add_into(target._grad, grad)
            else:
                target._grad = grad
        for action in self.actions:
            action()


def effects_of(trace: Trace, results: int) -> Effects:
    """Add outputs for all that the trace leaves behind, after its `results` results."""
    graph = trace.graph
    position = {v: i for i, v in enumerate(graph.inputs)}
    writes, grads = write_outputs(trace), []
    for i, t in enumerate(trace.given):
        if t._grad is not None:
            grads.append(Grad(i, _leaf_grad(trace, t._grad, i), id(t) in trace.grads.unread))
    for t, now in trace.grads.changed():
        of = position.get(trace.origin(t), -1)
        if of < 0:
            of = graph.inputs.index(trace.origin(t))
        grads.append(Grad(of, None if now is None else _leaf_grad(trace, now, of), False))
    return Effects(tuple(writes), tuple(grads), results, tuple(trace.outside.actions) if trace.outer is None else ())


def write_outputs(trace: Trace) -> list[Write]:
    """An output for every input that was written to."""
    graph, out = trace.graph, []
    for root, now in trace.writes.changed():
        i = graph.inputs.index(root)
        recorded = now in trace.active and root not in trace.active
        # In a nested function the history goes on outside of it.
        attrs = {"requires_grad": True} if recorded or (trace.outer is not None and now in trace.active) else {}
        out.append(Write(i, len(graph.outputs), recorded, root in trace.writes.counted))
        graph.add_output(now, role="write", of=i, **attrs)
    return out


def _leaf_grad(trace: Trace, grad: Tensor, of: int) -> int:
    v = trace.value(grad)
    attrs = {"requires_grad": True} if v in trace.active else {}
    trace.graph.add_output(v, role="leaf_grad", of=of, **attrs)
    return len(trace.graph.outputs) - 1


def _check_leaf(t: Tensor) -> None:
    if not t.is_leaf:
        raise UnsupportedError(
            "a compiled function gives a .grad to a tensor that is not a leaf: what it was computed from gets none",
            hint="detach the tensor, or call backward() on the result of the compiled function",
        )


def _check_shared(arrays: Sequence[Array], written: Sequence[int]) -> None:
    """No input that is written to shares memory with another one."""
    targets = set(written)
    spans = []
    for i, a in enumerate(arrays):
        if a.size:
            low, high = _bounds(a)
            spans.append((low, high, i))
    spans.sort()
    alive: list[tuple[int, int]] = []
    for low, high, i in spans:
        alive = [(end, j) for end, j in alive if end > low]
        for _, j in alive:
            if (i in targets or j in targets) and _share(arrays[i], arrays[j]):
                raise UnsupportedError(
                    "a compiled function writes to a tensor (or takes over one that is donated) that shares memory "
                    "with another tensor that it is given or captures",
                    hint="pass or capture one of them, and make the other from it inside",
                )
        alive.append((high, i))


def check_apart(given: Sequence[Array], kept: Sequence[Array]) -> None:
    """No donated array shares memory with another argument."""
    if given:
        _check_shared([*given, *kept], range(len(given)))


def _bounds(a: Array) -> tuple[int, int]:
    first = address(a)
    if a.flags.c_contiguous:
        return first, first + a.nbytes
    reach = [s * (d - 1) for s, d in zip(a.strides, a.shape, strict=True)]
    return first + sum(r for r in reach if r < 0), first + sum(r for r in reach if r > 0) + a.itemsize


def _share(a: Array, b: Array) -> bool:
    try:
        return np.shares_memory(a, b, max_work=WORK)
    except np.exceptions.TooHardError:
        return True
