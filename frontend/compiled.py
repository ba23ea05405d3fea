"""`gc.compile`: a function is traced once per signature and static afterwards.

A signature is the structure of the arguments, the type, layout, 16-byte alignment and requires_grad of every tensor
among them, which of them share memory, the values of all other arguments, grad mode and the default dtype. Within one
signature the guards (guards.py) choose among the traces.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np

from gradc.ir.errors import GradTypeError, UnsupportedError
from gradc.ir.graph import Graph, Module
from gradc.ir.op import REGISTRY
from gradc.ir.types import TensorType

from .autograd.grad_mode import MODES
from .checks import PLAIN, Reader
from .defaults import DEFAULTS
from .dispatch import current_trace
from .effects import Effects
from .executors import check_executor
from .function import GraphFunction
from .guards import Guards
from .interop import GRADC, NUMPY, TORCH, give, is_array, kind_of, to_tensor
from .pytree import Structure, flatten, unflatten
from .record import name_of, parameter_names, trace_function
from .storage import address
from .tensor import Tensor
from .tracing import LIMIT, Trace

KEPT = 64
"""Traces kept per compiled function; older ones give way."""


class Traced(NamedTuple):
    """One trace of a function: its graph, how to find what it captured, and the shape of its result."""

    graph: Graph
    structure: Structure
    captured: tuple[tuple[Reader, TensorType, bool], ...]
    guards: Guards | None
    effects: Effects


class Entry(NamedTuple):
    """A trace and the function that runs it."""

    traced: Traced
    function: GraphFunction

    def captures(self) -> list[Tensor] | None:
        """The tensors the function would capture now; None if this trace does not fit them."""
        out = []
        for read, type_, grad in self.traced.captured:
            t = read()
            if not isinstance(t, Tensor) or t._type != type_ or t.requires_grad != grad:
                return None
            out.append(t)
        return out


class Compiled:
    """A function that runs compiled. Made by `gc.compile`."""

    def __init__(self, fn: Callable[..., Any], executor: str | None = None, max_nodes: int = LIMIT) -> None:
        if not callable(fn):
            raise GradTypeError(f"compile: expected a function, got {type(fn).__name__}")
        if executor is not None:
            check_executor(executor)
        self.fn, self.executor, self.max_nodes = fn, executor, max_nodes
        self.traces = 0
        self._entries: dict[Hashable, list[Entry]] = {}
        self._warned = False
        functools.update_wrapper(self, fn, updated=())

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        leaves, structure = flatten((args, kwargs))
        trace = current_trace()
        if trace is not None:
            return self._nested(trace, leaves, structure, args, kwargs)
        kind, recorded = kind_of(leaves), MODES.grad
        made: list[Structure] = []

        def run(given: list[Any]) -> list[Tensor]:
            own = [to_tensor(x) if is_array(x) else x for x in given]
            key = (structure, _signature(own), MODES.grad, MODES.inference, DEFAULTS.dtype.name)
            entry, captured = self._find(key, own, structure, args, kwargs)
            made.append(entry.traced.structure)
            if kind == TORCH and recorded and any(t.requires_grad for t in captured):
                raise UnsupportedError(
                    f"{name_of(self.fn)} takes torch tensors and captures gradc tensors that require grad: torch's "
                    "autograd would not reach them",
                    hint="pass them as arguments (torch tensors), or call it under gradc.no_grad()",
                )
            inputs, effects = [*(x for x in own if isinstance(x, Tensor)), *captured], entry.traced.effects
            if not effects:
                return entry.function(inputs)
            if bridged:
                raise UnsupportedError(
                    f"{name_of(self.fn)} writes to tensors, and is called with torch tensors that require grad",
                    hint="call it under torch.no_grad(), or with gradc's tensors",
                )
            sources = [x for x, t in zip(given, own, strict=True) if isinstance(t, Tensor)]
            effects.check(inputs, sources)
            results = entry.function(inputs)
            effects.apply(inputs, sources, results)
            return results[: effects.first]

        bridged = False
        if kind == TORCH:
            from . import torch_bridge

            bridged = torch_bridge.wanted(leaves)
            if bridged:
                results = torch_bridge.call(run, leaves)
                return unflatten(made[0], iter(results))
        # What depends on a captured tensor that requires grad stays on the tape, though the arguments are NumPy's.
        results = [give(r, GRADC if r.requires_grad and kind == NUMPY else kind) for r in run(leaves)]
        return unflatten(made[0], iter(results))

    def _find(
        self, key: Hashable, leaves: list[Any], structure: Structure, args: Any, kwargs: Any
    ) -> tuple[Entry, list[Tensor]]:
        broken = None
        for entry in self._entries.get(key, ()):
            guards = entry.traced.guards
            broken = guards.broken() if guards is not None else None
            if broken is None:
                captured = entry.captures()
                if captured is not None:
                    return entry, captured
        entry = self._trace(leaves, structure, args, kwargs)
        there = self._entries.setdefault(key, [])
        there.insert(0, entry)
        if len(there) > KEPT or len(self._entries) > KEPT:
            self._forget(there, broken)
        captured = entry.captures()
        assert captured is not None
        return entry, captured

    def _forget(self, there: list[Entry], broken: str | None) -> None:
        if len(there) > KEPT:
            there.pop()
        else:
            del self._entries[next(iter(self._entries))]
        if not self._warned:
            self._warned = True
            what = f"{broken!r} changes" if broken else "its arguments change"
            warnings.warn(
                f"{name_of(self.fn)} was traced more than {KEPT} times because {what} from call to call; "
                "pass what changes as a tensor",
                stacklevel=4,
            )

    def _trace(self, leaves: list[Any], structure: Structure, args: Any, kwargs: Any) -> Entry:
        name = name_of(self.fn)
        guards = Guards(self.fn, name)
        names = parameter_names(self.fn, args, kwargs)
        for label, leaf in zip(names, leaves, strict=True):
            if not isinstance(leaf, (Tensor, *PLAIN)):
                guards.follow(label, leaf)
        trace, _, out, effects = trace_function(
            self.fn, leaves, structure, names, name=name, limit=self.max_nodes, guards=guards
        )
        self.traces += 1
        captured = []
        for t, _, fresh in trace.captured:
            captured.append((fresh or guards.reader(t), t._type, bool(t.requires_grad)))
        trace.end()
        module = Module("traced", {name: trace.graph}, name)
        traced = Traced(trace.graph, out, tuple(captured), guards, effects)
        return Entry(traced, GraphFunction(module, self.executor))

    def _nested(self, outer: Trace, leaves: list[Any], structure: Structure, args: Any, kwargs: Any) -> Any:
        """Inside another trace: a call op whose region is this function's graph."""
        leaves = [outer.constant(np.asarray(x)) if isinstance(x, np.ndarray | np.generic) else x for x in leaves]
        place = outer.mark()
        name = name_of(self.fn)
        names = parameter_names(self.fn, args, kwargs)
        trace, _, out, effects = trace_function(
            self.fn, leaves, structure, names, name=name, outer=outer, limit=self.max_nodes
        )
        inputs = [*(x for x in leaves if isinstance(x, Tensor)), *(c.tensor for c in trace.captured)]
        operands = [outer.value(x) for x in inputs]
        trace.end()
        trace.graph.kind = "region"
        outer.mark()
        graph = trace.graph
        ids = outer.b.emit(
            REGISTRY["grad.call"], tuple(operands), {"callee": name}, [graph.types[v] for v in graph.outputs], (graph,)
        )
        if not outer.b.no_grad:
            on = [v for v, a in zip(ids, graph.output_attrs, strict=True) if a.get("requires_grad")]
            outer.active.update(on)
        if place is not None:
            outer.graph.names.update(zip(ids, place.names, strict=False))
        effects.carry(outer, inputs, ids)
        return unflatten(out, iter([outer.tensor(v) for v in ids]))


def _signature(leaves: Sequence[Any]) -> Hashable:
    """Everything about the leaves that the compiled code may rely on."""
    roots: dict[int, int] = {}
    out: list[Hashable] = []
    for x in leaves:
        if isinstance(x, Tensor):
            array = x._array
            layout = True if array.flags.c_contiguous else array.strides
            start = address(array)
            root = start if x._storage.root is array else x._storage.pointer
            shared = roots.setdefault(root, len(roots))
            out.append((x._type, layout, start % 16 == 0, shared, x.requires_grad, x._grad is None))
        elif isinstance(x, PLAIN):
            out.append((type(x), repr(x)))
        else:
            out.append((type(x), id(x)))
    return tuple(out)


def compile(
    fn: Callable[..., Any] | None = None, *, executor: str | None = None, max_nodes: int = LIMIT
) -> Any:
    """Compile a function of tensors: `@gc.compile`, or `@gc.compile(executor="tiled")`.

    Every result has memory of its own, also one that is an argument, a view of one, or returned twice: writing to it
    afterwards changes nothing else.
    """
    if fn is None:
        return lambda f: Compiled(f, executor, max_nodes)
    return Compiled(fn, executor, max_nodes)
