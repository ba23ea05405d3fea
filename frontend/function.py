"""A traced graph as a function on tensors, recorded on the tape as one node.

Where a gradient is wanted, the graph is differentiated and cut: the forward half runs now and hands its residuals to
the node, the backward half runs with the cotangents. Under `create_graph` the backward half is not run; the gradient is
another graph function (inputs and cotangents to gradients), recorded the same way, so any order of derivative works.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from gradc.ir.graph import Graph, Module
from gradc.passes.adjoint import adjoint
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


class GraphFunction:
    """`module` at state "traced", whose main graph takes and gives arrays."""

    def __init__(self, module: Module, executor: str | None = None) -> None:
        self.module, self.executor = module, executor
        self._run: Runner | None = None
        self._halves: dict[Mask, Halves] = {}
        self._pulls: dict[tuple[Mask, Mask], tuple[GraphFunction, list[int]]] = {}

    @property
    def graph(self) -> Graph:
        return self.module.main

    def __call__(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        graph = self.graph
        arrays = [t._array for t in inputs]
        active = [bool(a.get("requires_grad")) for a in graph.output_attrs]
        wanted = tuple([requires_grad(t) for t in inputs]) if MODES.grad and any(active) else ()
        if not any(wanted):
            if self._run is None:
                self._run = runner(self.module, self.executor)
            return self._tensors(self._run(arrays), arrays)
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
        return results

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
            every = (True,) * len(self.graph.outputs)
            joint = _joint(self.module, wanted, every)
            of = tuple(a["of"] for a in joint.main.output_attrs if a.get("role") == "grad")
            forward, backward = split(joint, [])
            found = self._halves[wanted] = Halves(
                runner(forward, self.executor),
                runner(backward, self.executor),
                tuple(backward.main.attrs["handed"]),
                of,
            )
        return found

    def pull(self, wanted: Mask, given: Mask) -> tuple[GraphFunction, list[int]]:
        """The function from inputs and the given cotangents to the gradients of the wanted inputs, and which inputs
        its results belong to (an input that no path leads to has none)."""
        key = (wanted, given)
        found = self._pulls.get(key)
        if found is None:
            found = self._pulls[key] = self._differentiated(wanted, given)
        return found

    def _differentiated(self, wanted: Mask, given: Mask) -> tuple[GraphFunction, list[int]]:
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
        return GraphFunction(Module("traced", {graph.name: graph}, graph.name), self.executor), of


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
        if on:
            out.add_output(v, role="value")
    remarks: list[Remark] = []
    return adjoint(Module("traced", {out.name: out}, out.name, {"cotangents": "inputs"}), remarks)


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
        self.saved = tuple(Saved(t) for t in inputs)

    def apply(self, cts: list[Tensor | None], wanted: Sequence[bool]) -> Sequence[Tensor | None]:
        from gradc.ir.errors import GradRuntimeError

        if self.residuals is None:
            raise GradRuntimeError(FREED)
        if MODES.grad:
            return self._recorded(cts, wanted)
        halves = self.function.halves(self.wanted)
        given = [
            np.zeros(t.shape, t.dtype.numpy) if c is None else c._array
            for c, t in zip(cts, self.out_types, strict=True)
            if t.dtype.is_float
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
        function, of = self.function.pull(tuple(wanted), tuple(given))
        inputs = [s.unpack(self) for s in self.saved]
        out: list[Tensor | None] = [None] * len(self.edges)
        for i, grad in zip(of, function([*inputs, *(c for c in cts if c is not None)]), strict=True):
            out[i] = grad
        return out

    def release(self) -> None:
        self.residuals = None
        for s in self.saved:
            s.release()
