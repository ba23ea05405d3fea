"""`.grad` of tensors from outside, as the function that is being traced sees it and leaves it.

A traced value in the `.grad` of a tensor that lives on would leak out of its trace. So while tracing, `.grad` of such a
tensor is kept here; what it is at the end becomes an output, and each call assigns it (`effects.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gradc.ir.errors import TraceError

from .tensor import Tensor

if TYPE_CHECKING:
    from .tracing import Trace


class LeafGrads:
    """What one trace knows of the `.grad` of each tensor from outside it."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self._now: dict[int, tuple[Tensor, Any]] = {}
        self._before: dict[int, Any] = {}
        self.unread: set[int] = set()
        """Arguments that come with a gradient, which this trace has not replaced."""

    def owned(self, t: Tensor) -> bool:
        """Whether the tensor is a value of this trace, and may hold its gradient itself."""
        return t._traced is not None and t._traced[0] is self.trace

    def get(self, t: Tensor) -> Any:
        """The gradient as it is now."""
        if self.owned(t):
            if id(t) in self.unread:
                raise TraceError(
                    "the .grad of an argument that has one already cannot be read while tracing",
                    loc=self.trace.loc(),
                    hint="set it to None before the call, or pass the gradient as an argument",
                )
            return t._grad
        if id(t) not in self._now:
            before = self._before[id(t)] = self._outside(t)
            self._now[id(t)] = (t, before)
        return self._now[id(t)][1]

    def _outside(self, t: Tensor) -> Any:
        trace = self.trace
        if trace.outer is not None:
            return trace.outer.grads.get(t)
        if trace.guards is not None:
            trace.guards.follow_grad(t)
        return t._grad

    def set(self, t: Tensor, value: Any) -> None:
        """From here on `.grad` is `value`, a value of this trace or None."""
        if self.owned(t):
            self.unread.discard(id(t))
            t._grad = value
            return
        self.get(t)
        self._now[id(t)] = (t, value)

    def add(self, t: Tensor, grad: Tensor, recorded: bool) -> None:
        """Add to `.grad`: to the memory of the one that is there, as torch does where the sum is not recorded."""
        self.check_hooks(t, "backward()")
        old = t._grad if self.owned(t) else self.get(t)
        if old is None:
            if self.owned(t):
                t._grad = grad
            else:
                self.set(t, grad)
        elif recorded or self.owned(t) or old._traced is not None:
            self.set(t, old + grad)
        else:
            self.trace.write(old, old + grad)

    def check_hooks(self, t: Tensor, what: str) -> None:
        """Refuse a gradient for a tensor with hooks."""
        if t._leaf_hooks is not None:
            raise TraceError(
                f"{what} while tracing reaches a tensor with hooks, which would run while tracing only",
                loc=self.trace.loc(),
                hint="differentiate the result of the compiled function",
            )

    def changed(self) -> list[tuple[Tensor, Any]]:
        """The tensors from outside whose `.grad` is not what it was, and what it is now."""
        return [(t, now) for key, (t, now) in self._now.items() if now is not self._before[key]]
