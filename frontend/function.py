"""A traced graph as a function on tensors, recorded on the tape as one node.

Where a gradient is wanted, the graph is differentiated and cut: the forward half runs now and hands its residuals to
the node, the backward half runs with the cotangents. Under `create_graph` the backward half is not run; the gradient is
another graph function (inputs and cotangents to gradients), recorded the same way, so any order of derivative works.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from gradc.ir.errors import GradRuntimeError
from gradc.ir.graph import Graph, Module
from gradc.passes.adjoint import adjoint
from gradc.passes.dce import dce
from gradc.passes.inline import inline
from gradc.passes.remarks import Remark
from gradc.passes.split import split

from .autograd.accumulate import edge_of
from .autograd.grad_mode import MODES
from .autograd.node import Edge, Node
from .autograd.saved import FREED, Saved
from .eager import requires_grad
from .executors import Array, Runner, runner
from .interop import own
from .tensor import Tensor

Mask = tuple[bool, ...]


class Halves(NamedTuple):
    """A differentiated graph, cut. `handed` are inputs that backward reads again, `of` the input of each gradient."""

    forward: Runner
    backward: Runner
    handed: tuple[int, ...]
    of: tuple[int, ...]


class Pull(NamedTuple):
    """The gradients of a graph as a function. `reads` are those of its inputs and cotangents that it needs, `of` the
    inputs that its results belong to (an input that no path leads to has none)."""

    function: GraphFunction
    reads: list[int]
    of: list[int]


class GraphFunction:
    """`module` at state "traced", whose main graph takes and gives arrays."""

    def __init__(self, module: Module, executor: str | None = None) -> None:
        self.module, self.executor = module, executor
        self._run: Runner | None = None
        self._halves: dict[Mask, Halves] = {}
        self._pulls: dict[tuple[Mask, Mask], Pull] = {}

    @property
    def graph(self) -> Graph:
        return self.module.main

    def __call__(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        graph = self.graph
        arrays = [t._array for t in inputs]
        active = [gives_cotangent(a) for a in graph.output_attrs]
        wanted = tuple([requires_grad(t) for t in inputs]) if MODES.grad else ()
        if not any(wanted) or not any(active):
            if self._run is None:
                self._run = runner(self.module, self.executor)
            results = self._tensors(self._run(arrays), arrays)
            if any(wanted):
                self._mark_freed(results)
            return results
        halves = self.halves(wanted)
        n = len(graph.outputs)
        out = halves.forward(arrays)
        results = self._tensors(out[:n], arrays)
        edges = tuple(edge_of(t) if on else None for t, on in zip(inputs, wanted, strict=True))
        # An output that is a residual too has been copied: what the caller does to it must not reach the residual.
        kept = own(out[n:], [r._array for r in results])
        node = CompiledBackward(edges, tuple(r._type for r in results), self, inputs, wanted, kept)
        for i, (r, on) in enumerate(zip(results, active, strict=True)):
            if on:
                r._node, r._output_nr, r._requires_grad = node, i, True
        self._mark_freed(results)
        return results

    def _mark_freed(self, results: Sequence[Tensor]) -> None:
        """Results that a backward pass inside the function has gone through require grad, and have nothing saved."""
        on = [i for i, a in enumerate(self.graph.output_attrs) if a.get("requires_grad") and "freed" in a]
        if on:
            node = FreedBackward((), tuple(r._type for r in results))
            for i in on:
                results[i]._node, results[i]._output_nr, results[i]._requires_grad = node, i, True

    @staticmethod
    def _tensors(arrays: Sequence[Array], inputs: Sequence[Array]) -> list[Tensor]:
        results = [Tensor._of(a) for a in own(arrays, inputs)]
        if MODES.inference:
            for r in results:
                r._inference = True
        return results

    def halves(self, wanted: Mask) -> Halves:
        """Forward with residuals and backward, for the gradients of the wanted inputs."""
        found = self._halves.get(wanted)
        if found is None:
            given = tuple([gives_cotangent(a) for a in self.graph.output_attrs])
            joint = _joint(self.module, wanted, given)
            of = tuple(a["of"] for a in joint.main.output_attrs if a.get("role") == "grad")
            forward, backward = split(joint, [])
            found = self._halves[wanted] = Halves(
                runner(forward, self.executor),
                runner(backward, self.executor),
                tuple(backward.main.attrs["handed"]),
                of,
            )
        return found

    def pull(self, wanted: Mask, given: Mask) -> Pull:
        """The function from inputs and the given cotangents to the gradients of the wanted inputs."""
        key = (wanted, given)
        found = self._pulls.get(key)
        if found is None:
            found = self._pulls[key] = self._differentiated(wanted, given)
        return found

    def _differentiated(self, wanted: Mask, given: Mask) -> Pull:
        graph = _joint(self.module, wanted, given).main
        of: list[int] = []
        kept = list(zip(graph.outputs, graph.output_attrs, strict=True))
        graph.outputs, graph.output_attrs = [], []
        for v, attrs in kept:
            if attrs.get("role") == "grad":
                graph.add_output(v, role="value", requires_grad=True)
                of.append(attrs["of"])
        for attrs in graph.input_attrs:
            if attrs.pop("role", None) == "cotangent":
                attrs["requires_grad"] = True
        graph.attrs = {}
        module = dce(Module("traced", {graph.name: graph}, graph.name), [])
        graph = module.main
        needed = {*graph.outputs, *(o for n in graph.nodes for o in n.operands)}
        reads = [i for i, v in enumerate(graph.inputs) if v in needed]
        graph.inputs = [graph.inputs[i] for i in reads]
        graph.input_attrs = [graph.input_attrs[i] for i in reads]
        return Pull(GraphFunction(module, self.executor), reads, of)


def _joint(module: Module, wanted: Mask, given: Mask) -> Module:
    """The adjoint of a graph whose wanted inputs require grad and whose results are those with a given cotangent."""
    graph = inline(module, []).main
    out = Graph(f"{graph.name}_vjp", graph.kind)
    out.nodes, out.types, out.names, out.attrs = graph.nodes, graph.types, graph.names, graph.attrs
    out.inputs = list(graph.inputs)
    for on, attrs in zip(wanted, graph.input_attrs, strict=True):
        rest = {k: a for k, a in attrs.items() if k != "requires_grad"}
        out.input_attrs.append({**rest, "requires_grad": True} if on else rest)
    for v, on in zip(graph.outputs, given, strict=True):
        out.add_output(v, role="value" if on else "other")
    remarks: list[Remark] = []
    return adjoint(Module("traced", {out.name: out}, out.name, {"cotangents": "inputs"}), remarks)


def gives_cotangent(attrs: Mapping[str, Any]) -> bool:
    """Whether a cotangent can come in for this output."""
    return bool(attrs.get("requires_grad") and "freed" not in attrs)


class FreedBackward(Node):
    """The tape node of results whose graph a backward pass inside the compiled function has used up."""

    __slots__ = ()

    def apply(self, cts: list[Tensor | None], wanted: Sequence[bool]) -> Sequence[Tensor | None]:
        raise GradRuntimeError(FREED)


class CompiledBackward(Node):
    """The tape node of one call of a compiled function."""

    __slots__ = ("function", "residuals", "saved", "wanted")

    def __init__(
        self,
        edges: tuple[Edge, ...],
        out_types: tuple[Any, ...],
        function: GraphFunction,
        inputs: Sequence[Tensor],
        wanted: Mask,
        residuals: list[Array],
    ) -> None:
        super().__init__(edges, out_types)
        self.function, self.wanted = function, wanted
        self.residuals: list[Array] | None = residuals
        self.saved = [Saved(t) for t in inputs]

    def keep(self, i: int) -> None:
        """Input `i` is about to be overwritten by a result of this very call: keep what it was."""
        old = self.saved[i].unpack(self)
        self.saved[i] = Saved(Tensor._of(old._array.copy(), old._type))

    def apply(self, cts: list[Tensor | None], wanted: Sequence[bool]) -> Sequence[Tensor | None]:
        if self.residuals is None:
            raise GradRuntimeError(FREED)
        if MODES.grad:
            return self._recorded(cts, wanted)
        halves = self.function.halves(self.wanted)
        given = [
            np.zeros(t.shape, t.dtype.numpy) if c is None else c._array
            for c, t, a in zip(cts, self.out_types, self.function.graph.output_attrs, strict=True)
            if t.dtype.is_float and gives_cotangent(a)
        ]
        handed = [self.saved[i].unpack(self)._array for i in halves.handed]
        arrays = [*given, *handed, *self.residuals]
        out: list[Tensor | None] = [None] * len(self.edges)
        for i, a in zip(halves.of, own(halves.backward(arrays), arrays), strict=True):
            if wanted[i]:
                out[i] = Tensor._of(a)
        return out

    def _recorded(self, cts: list[Tensor | None], wanted: Sequence[bool]) -> Sequence[Tensor | None]:
        """The same through the tape, from the inputs, for create_graph."""
        floats = [t.dtype.is_float for t in self.out_types]
        given = [c is not None and on for c, on in zip(cts, floats, strict=True)]
        pull = self.function.pull(tuple(wanted), tuple(given))
        coming, n = [c for c, on in zip(cts, given, strict=True) if c is not None and on], len(self.saved)
        inputs = [self.saved[i].unpack(self) if i < n else coming[i - n] for i in pull.reads]
        out: list[Tensor | None] = [None] * len(self.edges)
        for i, grad in zip(pull.of, pull.function(inputs), strict=True):
            out[i] = grad
        return out

    def release(self) -> None:
        self.residuals = None
        for s in self.saved:
            s.release()
