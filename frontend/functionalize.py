"""In-place writes while tracing, made functional.

A value that no view op made is a root. A write through a view computes the root's new value by pulling the written
values back through the chain of views; afterwards every tensor of that root is read by taking its views again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gradc.ir.build import Var
from gradc.ir.dim import row_major
from gradc.ir.errors import GradRuntimeError
from gradc.ir.interpret import evaluate
from gradc.ir.op import Op
from gradc.ir.pullback import pullback
from gradc.ir.types import TensorType, i1, tensor

from .constants import full
from .storage import overlapping

if TYPE_CHECKING:
    from .tracing import Trace


class Writes:
    """Who views whom in one trace, and the newest value of every root that was written to."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.current: dict[int, int] = {}
        self.windows: set[int] = set()
        """Values that `.data` gave: a write through one is not counted."""
        self.counted: set[int] = set()
        """The roots whose version grows."""
        self._views: dict[int, tuple[int, Op, dict[str, Any]]] = {}
        self._version: dict[int, int] = {}
        self._taken: dict[int, tuple[int, int]] = {}
        self._strides: dict[int, tuple[int, ...]] = {}

    def view(self, value: int, source: int, op: Op, attrs: dict[str, Any]) -> None:
        """Note that `value` is a view of `source`."""
        self._views[value] = (source, op, attrs)

    def lay_out(self, value: int, strides: tuple[int, ...]) -> None:
        """Say how an argument lies in memory."""
        self._strides[value] = strides

    def strides(self, value: int) -> tuple[int, ...]:
        """Strides in elements: a root's are row-major unless it is an argument, a view's follow from its op."""
        chain = []
        while value not in self._strides and value in self._views:
            chain.append(value)
            value = self._views[value][0]
        types: Any = self.trace.graph.types
        strides = self._strides.get(value)
        if strides is None:
            strides = self._strides[value] = row_major(types[value].shape)
        for v in reversed(chain):
            source, op, attrs = self._views[v]
            # Views only move strides, so one byte of memory stands for the whole tensor.
            whole = np.lib.stride_tricks.as_strided(np.empty(1, np.int8), types[source].shape, strides, writeable=False)
            strides = self._strides[v] = evaluate(op, (whole,), attrs)[0].strides
        return strides

    def root(self, value: int) -> int:
        while value in self._views:
            value = self._views[value][0]
        return value

    def resolve(self, value: int) -> int:
        """The id that holds now what `value` held when it was made."""
        chain = self._chain(value)
        v = self._views[chain[-1]][0] if chain else value
        if v not in self.current:
            return value
        version, now = self._version[v], self.current[v]
        for v in reversed(chain):
            taken = self._taken.get(v)
            if taken is None or taken[0] != version:
                _, op, attrs = self._views[v]
                taken = self._taken[v] = (version, self._again(op, now, attrs))
            now = taken[1]
        return now

    def _again(self, op: Op, source: int, attrs: dict[str, Any]) -> int:
        trace = self.trace
        v: int = trace.b.run(op, (source,), attrs)
        if source in trace.active and "detach" not in op.traits:
            trace.active.add(v)
        return v

    def write(self, target: int, value: int, check: bool = True, counted: bool = True) -> bool:
        """Let the storage of `target` hold `value` there; returns whether the target now requires grad. A write under
        no_grad or through a detached view changes data only: the history of the storage stays what it was. Without
        `check`, a leaf that requires grad may be written to: a nested function has checked its own writes."""
        trace, b, types = self.trace, self.trace.b, self.trace.graph.types
        root = self.root(target)
        before = self.resolve(root)
        was_active, unrecorded = before in trace.active, b.no_grad or self._detached(target)
        if check and not unrecorded:
            self._check(target, root)
        if target != root and overlapping(types[target].shape, self.strides(target)):  # type: ignore[union-attr]
            raise GradRuntimeError(
                "unsupported operation: more than one element of the written-to tensor refers to a single memory "
                "location. Please clone() the tensor before performing the operation.",
                loc=b.loc,
            )
        mark, b.no_grad = b.no_grad, unrecorded
        if counted and self.windows.isdisjoint(self._chain(target)):
            self.counted.add(root)
        new = self._fit(Var(b, value), types[target])  # type: ignore[arg-type]
        v = target
        while v in self._views:
            source, op, attrs = self._views[v]
            new = self._into(source, op, attrs, new)
            v = source
        b.no_grad = mark and not was_active
        if unrecorded and was_active:
            new = b.overwrite(Var(b, before), new)
            trace.active.add(new.v)
        b.no_grad = mark
        self.set(root, new.v)
        if unrecorded:
            return False
        active = (value in trace.active or (was_active and target != root)) and new.dtype.is_float
        if active:
            trace.active.add(new.v)
        return active

    def set(self, root: int, value: int) -> None:
        """The storage of a root holds `value` as a whole."""
        self.current[root] = value
        self._version[root] = self._version.get(root, 0) + 1

    def changed(self) -> list[tuple[int, int]]:
        """The inputs that were written to, and what they hold at the end."""
        trace = self.trace
        return [(v, now) for v, now in self.current.items() if v in trace.arguments or v in trace.inputs]

    def _chain(self, value: int) -> list[int]:
        """The value and all that it is a view of, but the root."""
        out = []
        while value in self._views:
            out.append(value)
            value = self._views[value][0]
        return out

    def _detached(self, value: int) -> bool:
        return any("detach" in self._views[v][1].traits for v in self._chain(value))

    def _check(self, target: int, root: int) -> None:
        trace = self.trace
        if root in trace.leaf_ids and root in trace.active:
            raise GradRuntimeError(
                f"a {'' if target == root else 'view of a '}leaf Variable that requires grad is being used in an "
                "in-place operation.",
                loc=trace.b.loc,
            )

    def _fit(self, new: Var, want: TensorType) -> Var:
        b = self.trace.b
        if new.dtype is not want.dtype:
            order = ("bool", "int", "float")
            if order.index(new.dtype.kind) > order.index(want.dtype.kind):
                raise GradRuntimeError(
                    f"an in-place operation cannot put {new.type} into {want}: its kind would be lost", loc=b.loc
                )
            new = b.convert(new, dtype=want.dtype)
        if new.shape != want.shape:
            if len(new.shape) > len(want.shape):
                raise GradRuntimeError(
                    f"output with shape {list(want.shape)} doesn't match the broadcast shape {list(new.shape)}",
                    loc=b.loc,
                )
            new = b.broadcast(new, shape=want.shape)
        return new

    def _into(self, source: int, op: Op, attrs: dict[str, Any], new: Var) -> Var:
        """The new value of `source` when its view by `op` becomes `new`."""
        b = self.trace.b
        want: Any = self.trace.graph.types[source]
        if "detach" in op.traits:
            return new
        spread = self._pull(op, attrs, new, want)
        if want.numel == new.type.numel:
            return spread
        mask = self._pull(op, attrs, Var(b, full(b, new.shape, True, i1)), want)
        merged: Var = b.where(mask, spread, Var(b, self.resolve(source)))
        return merged

    def _pull(self, op: Op, attrs: dict[str, Any], ct: Var, want: TensorType) -> Var:
        like = tensor(want.shape, ct.dtype)
        out = pullback(self.trace.b, op, 0, [ct], [None], [like], [None], attrs)
        assert out is not None
        return out
