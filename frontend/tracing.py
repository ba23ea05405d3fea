"""Tracing: while a `Trace` is active, ops on tensors are recorded as nodes of a graph instead of being run.

The dispatcher hands every op to `Trace.apply`, in-place writes to `Trace.write`, and whatever needs data to
`Trace.refuse`. Tensors that come from outside (captured by closures, globals, modules) become hidden inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, NoReturn

import numpy as np

from gradc.ir.build import GraphBuilder, Var
from gradc.ir.errors import GradcError, TraceError
from gradc.ir.graph import Graph, Loc
from gradc.ir.op import REGISTRY, VIEW, Op
from gradc.ir.types import DType, TensorType, i64, tensor

from . import constants, refusals
from .autograd.grad_mode import is_grad_enabled
from .dispatch import tracing
from .eager import plain
from .functionalize import Writes
from .guards import Guards
from .leaf_grads import LeafGrads
from .locate import Locator, Place
from .outside import Outside
from .tensor import Tensor

LIMIT = 1_000_000
PLAIN = frozenset({int, float, bool, str, DType})
WRITE = REGISTRY["grad.where"]


class Captured(NamedTuple):
    """A tensor from outside and the graph input that stands for it; `read` makes the tensor anew for each call."""

    tensor: Any
    value: int
    read: Callable[[], Any] | None = None


class Trace:
    """One function being recorded. `outer` is the trace in which this one runs, for nested compiled functions."""

    def __init__(
        self, name: str, *, outer: Trace | None = None, limit: int = LIMIT, guards: Guards | None = None
    ) -> None:
        self.name, self.outer, self.limit = name, outer, limit
        self.guards: Guards | None = outer.guards if outer is not None else guards
        self.graph = Graph(name)
        self.b = GraphBuilder(self.graph)
        self.locator: Locator = outer.locator if outer is not None else Locator()
        self.captured: list[Captured] = []
        self.active: set[int] = set()
        self.arguments: set[int] = set()
        self.inputs: set[int] = set()
        self.leaves: list[Tensor] = []
        """Values of this trace that require grad and were not computed: what backward() reaches."""
        self.leaf_ids: set[int] = set()
        """The ids of inputs and of the leaves made here: what may not be written to where it requires grad."""
        self.given: list[Tensor] = []
        """The arguments, in order."""
        self.freed: set[int] = set()
        """Values that a gradient arrived at in a backward pass that does not retain the graph."""
        self.outside: Outside = outer.outside if outer is not None else Outside()
        self.ended = False
        self.writes = Writes(self)
        self.grads = LeafGrads(self)
        self._captures: dict[int, int] = {}

    # -- values ---------------------------------------------------------------------------------------------------

    def tensor(self, value: int) -> Tensor:
        """A tensor that stands for this value."""
        t = Tensor._traced_value(self.graph.types[value], self, value)  # type: ignore[arg-type]
        if value in self.active:
            t._requires_grad = True
        return t

    def argument(
        self, type_: TensorType, name: str, requires_grad: bool = False, strides: tuple[int, ...] | None = None
    ) -> Tensor:
        """A new graph input; `strides` (in elements) where its memory is not row-major."""
        attrs = {"requires_grad": True} if requires_grad else {}
        v = self.graph.add_input(type_, name, **attrs)
        self.arguments.add(v)
        self.leaf_ids.add(v)
        if requires_grad:
            self.active.add(v)
        if strides is not None:
            self.writes.lay_out(v, strides)
        t = self.tensor(v)
        self.given.append(t)
        if requires_grad:
            self.leaves.append(t)
        return t

    def strides(self, t: Tensor) -> tuple[int, ...]:
        """The strides, in elements, that the tensor would have if it were run."""
        return self.writes.strides(self.origin(t))

    def value(self, t: Tensor) -> int:
        """The value id that holds what `t` holds now; a tensor from outside becomes a hidden input."""
        v = self.origin(t)
        return self.writes.resolve(v) if self.writes.current else v

    def origin(self, t: Tensor) -> int:
        """The value id under which `t` came to be, whatever was written to it since."""
        traced = t._traced
        if traced is None or traced[0] is not self:
            return self._outside(t)
        v: int = traced[1]
        return v

    def _outside(self, t: Tensor) -> int:
        if self.outer is not None:
            key = self.outer.value(t)
            type_, grad = self.outer.graph.types[key], key in self.outer.active
        else:
            if t._traced is not None:
                t._traced[0].refuse_leak()
            key = id(t)
            type_, grad = type_of_tensor(t), bool(t.requires_grad)
        if self.outside.changes(t):
            raise TraceError(
                "a count that an optimiser's step changes is read after the step, in the same compiled function",
                loc=self.loc(),
            )
        v = self._captures.get(key)
        return self._hide(t, key, type_, grad) if v is None else v

    def _hide(self, t: Tensor, key: int, type_: Any, grad: bool, read: Callable[[], Any] | None = None) -> int:
        attrs = {"requires_grad": True} if grad else {}
        v = self._captures[key] = self.graph.add_input(type_, None, captured=True, **attrs)
        self.captured.append(Captured(t, v, read))
        self.inputs.add(v)
        self.leaf_ids.add(v)
        if t._traced is None and not t._array.flags.c_contiguous:
            self.writes.lay_out(v, t.stride())
        if grad:
            self.active.add(v)
        return v

    def random(self, kind: str, shape: tuple[int, ...], d: DType, **params: Any) -> Tensor:
        """An op on a seed, which is a hidden input drawn for each call. Single numbers, permutations and wide ranges
        are drawn as hidden inputs themselves."""
        op = constants.drawing(kind, shape, params)
        if op is not None:
            seed = self.random("integer", (), i64, low=0, high=2**63 - 1)
            offset = self.constant(np.zeros((), np.int64))
            made: Tensor = self.apply(op, (seed, offset), {"shape": shape, "dtype": d, **params})
            return made
        def read() -> Tensor:
            return constants.drawn(kind, shape, d, params)

        return self.fresh(Tensor._of(np.zeros(shape, d.numpy), tensor(shape, d)), read)

    def fresh(self, like: Tensor, read: Callable[[], Tensor]) -> Tensor:
        """A hidden input that `read` makes anew for each call, of the type of `like`."""
        if self.outer is not None:
            return self.tensor(self.value(self.outer.fresh(like, read)))
        return self.tensor(self._hide(like, id(like), like._type, False, read))

    def name_input(self, v: int, name: str) -> None:
        """Give a hidden input the name under which the user's code reads it."""
        if v not in self.graph.names:
            self.graph.names[v] = name
            self.graph.input_attrs[self.graph.inputs.index(v)]["name"] = name

    # -- recording ------------------------------------------------------------------------------------------------

    def loc(self) -> Loc | None:
        place = self.locator.here()
        return place.loc if place is not None else None

    def mark(self) -> Place | None:
        """Give the builder the user's line and the grad mode for the nodes that follow."""
        place = self.locator.here()
        self.b.loc = place.loc if place is not None else None
        self.b.no_grad = not is_grad_enabled()
        return place

    def apply(self, op: Op, operands: Sequence[Any], attrs: dict[str, Any], grad_fn: str | None = None) -> Any:
        """Record one op; returns a tensor, or a tuple of them for several results."""
        if self.ended:
            self.refuse_leak()
        graph = self.graph
        place = self.mark()
        if len(graph.nodes) >= self.limit:
            raise TraceError(
                f"tracing {self.name!r} recorded more than {self.limit:,} operations",
                loc=self.b.loc,
                hint="a loop whose end depends on tensors never ends while tracing; max_nodes= raises the bound",
            )
        ids = []
        active = False
        for x in operands:
            if isinstance(x, Tensor):
                v = self.value(x)
                ids.append(v)
                if x._requires_grad:
                    active = True
                    if v not in self.active:
                        self.active.add(v)
                        self.leaf_ids.add(v)
                        self.leaves.append(x)
            else:
                ids.append(constants.number(self.b, x, operands, op))
        if attrs:
            attrs = {k: a if type(a) in PLAIN else plain(a) for k, a in attrs.items() if a is not None}
        out = self.b.run(op, tuple(ids), attrs)
        results: tuple[int, ...] = (out,) if isinstance(out, int) else out
        if (active or not self.active.isdisjoint(ids)) and not self.b.no_grad and "detach" not in op.traits:
            self.active.update([r for r in results if graph.types[r].dtype.is_float])
        if place is not None and place.names:
            for r, name in zip(results, place.names, strict=False):
                graph.names[r] = name
        if (op.kind == VIEW and "copies" not in op.traits) or "detach" in op.traits:
            source = operands[0]
            if isinstance(source, Tensor):
                self.writes.view(results[0], self.origin(source), op, attrs)
        if isinstance(out, int):
            return self.tensor(out)
        return tuple(self.tensor(r) for r in results)

    def constant(self, array: np.ndarray[Any, Any]) -> Tensor:
        """A tensor made while tracing."""
        self.mark()
        return self.tensor(constants.constant(self.b, array))

    def write(self, target: Tensor, value: Tensor | bool | int | float) -> None:
        """`target` takes the value of `value`, in place: later reads of it and of its views see the new one."""
        self.mark()
        v = self.value(value) if isinstance(value, Tensor) else constants.number(self.b, value, (target,), WRITE)
        if self.writes.write(self.origin(target), v) and target._traced is not None:
            target._requires_grad = True

    def freeze(self, t: Tensor, what: str) -> None:
        """The data of a captured tensor are read while tracing: what follows is true of these data only."""
        if self._captures.get(id(t)) in self.writes.current:
            self.refuse(f"{what} of a tensor that the function has written to" if what.isidentifier() else what)
        if self.guards is not None:
            self.guards.freeze(t, what if not what.isidentifier() else f"{what}()")

    def refuse(self, what: str) -> NoReturn:
        """Raise for a request that needs data."""
        if self.ended:
            self.refuse_leak()
        refusals.needs_data(what, self.loc())

    def refuse_leak(self) -> NoReturn:
        """Raise for a use of this trace's values after its end, or in another trace."""
        refusals.leaked(self.name, self.ended, self.loc())

    # -- the whole ------------------------------------------------------------------------------------------------

    def run(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call `fn` with this trace active."""
        with tracing(self):
            try:
                return fn(*args, **kwargs)
            except BaseException as e:
                self.outside.failed()
                if not isinstance(e, GradcError):
                    raise
                if e.loc is not None:
                    raise
                place = self.locator.of_traceback(e.__traceback__)
                raise e.at(place).with_traceback(e.__traceback__) from None

    def end(self) -> None:
        self.ended = True


def type_of_tensor(t: Tensor) -> TensorType:
    type_: TensorType = t._type
    return type_


__all__ = ["LIMIT", "Captured", "Trace", "Var", "type_of_tensor"]
