"""Optimisers inside a compiled function: what they hold is read anew at each call, and numbers that differ from step to
step (learning rates, bias corrections, counts) are computed outside, before the call and after it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from gradc.ir.errors import UnsupportedError
from gradc.ir.types import f64

from ..dispatch import tracing
from ..tensor import Tensor
from .steps import Number, Steps

if TYPE_CHECKING:
    from .optimizer import Optimizer

READ = ("params", "lr")
"""Entries of a group that are not compared: parameters are read anew, and so is the learning rate."""


class TracedSteps(Steps):
    """The steps of one optimiser in one trace."""

    def __init__(self, trace: Any, optimizer: Optimizer) -> None:
        self.trace, self.optimizer, self.name = trace, optimizer, type(optimizer).__name__
        self._numbers: dict[Any, Any] = {}
        self._first: dict[int, dict[str, Any]] = {}
        self._taken: dict[int, int] = trace.outside.memo.setdefault(("steps", id(optimizer)), {})
        for i, group in enumerate(optimizer.param_groups):
            path, params = f"{self.name}.param_groups[{i}]", group["params"]
            self._expect(path, lambda i=i: id(optimizer.param_groups[i]))
            self._expect(path, lambda g=group: {k: v for k, v in g.items() if k not in READ})
            self._expect(f"{path}['params']", lambda g=group: [id(p) for p in g["params"]])
            for j, p in enumerate(params):
                if p._traced is not None:
                    raise UnsupportedError(f"{self.name}: a step on values of a trace", loc=trace.loc())
                self._known(f"{path}['params'][{j}]", p, lambda ps=params, j=j: ps[j])

    def _expect(self, path: str, read: Callable[..., Any]) -> None:
        if self.trace.guards is not None:
            self.trace.guards.expect(path, read)

    def _known(self, path: str, t: Tensor, read: Callable[..., Any]) -> None:
        if self.trace.guards is not None:
            self.trace.guards.readers.setdefault(id(t), (path, read, t))

    def begin(self, p: Any, state: dict[str, Any], make: Callable[[], dict[str, Any]]) -> bool:
        had = {k for k, v in state.items() if v is not None}
        with tracing(None):
            for key, value in make().items():
                if key not in had:
                    state[key] = value
                    self.trace.outside.undo.append(lambda key=key: state.pop(key))
        optimizer = self.optimizer
        self._expect(f"{self.name}.state", lambda: id(optimizer.state.get(p)))
        for key, value in state.items():
            if isinstance(value, Tensor):
                self._known(f"{self.name}.state[...][{key!r}]", value, lambda key=key: state[key])
        started = had.issuperset(state)
        if not started and "step" not in state:
            # The first step is another computation than those that follow: the trace serves this call only.
            self.trace.guards.once(f"{self.name}.state")
        return started

    def next(self, p: Any, state: dict[str, Any], group: dict[str, Any]) -> Number:
        n = self._taken[id(state)] = self._taken.get(id(state), 0) + 1
        first, behind = self._first.setdefault(id(group), state), 0.0
        if "step" in state:
            self.trace.outside.afterwards(state["step"], lambda: state["step"].add_(1))
            behind = _ahead(state, first)
            if first is not state:
                self._expect("the steps of an optimiser's parameters", lambda: _ahead(state, first))
        kind = np.dtype(np.float64 if p.dtype is f64 else np.float32)

        def number(key: str, compute: Callable[[float, float], float]) -> Any:
            """Parameters that are at the same step share it."""

            def read() -> Tensor:
                step = float(first["step"]._array) + behind + n if "step" in first else 0.0
                return Tensor._of(np.array(compute(_rate(group), step), kind))

            at = (key, id(group), behind, n, kind)
            if at not in self._numbers:
                self._numbers[at] = self.trace.fresh(read(), read)
            return self._numbers[at]

        return number

    def add(self, p: Any, x: Any, number: Any) -> None:
        p.add_(x * number)

    def add_quotient(self, p: Any, x: Any, y: Any, number: Any) -> None:
        p.add_(x * number / y)


def _ahead(state: dict[str, Any], first: dict[str, Any]) -> float:
    return float(state["step"]._array) - float(first["step"]._array)


def _rate(group: dict[str, Any]) -> float:
    lr = group["lr"]
    return float(lr._array.reshape(())) if isinstance(lr, Tensor) else float(lr)


def traced_steps(trace: Any, optimizer: Optimizer) -> TracedSteps:
    """The record of an optimiser's steps in a trace."""
    memo, key = trace.outside.memo, (id(trace), id(optimizer))
    found = memo.get(key)
    if found is None:
        found = memo[key] = TracedSteps(trace, optimizer)
    return found  # type: ignore[no-any-return]
