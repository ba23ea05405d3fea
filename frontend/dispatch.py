"""The one door through which every op on tensors goes: into the active trace, or run at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from gradc.ir.op import Op

from .eager import apply as run

_TRACE: ContextVar[Any] = ContextVar("gradc_trace", default=None)

current_trace = _TRACE.get
"""The trace that ops are recorded into, or None outside of tracing."""


@contextmanager
def tracing(trace: Any) -> Iterator[Any]:
    """Send the ops applied inside to `trace`; None runs them at once."""
    token = _TRACE.set(trace)
    try:
        yield trace
    finally:
        _TRACE.reset(token)


def apply(op: Op, operands: Sequence[Any], attrs: dict[str, Any], grad_fn: str | None = None) -> Any:
    """The result of `op` (a Tensor, or a tuple of them) on tensors and Python numbers. `grad_fn` names the tape
    node."""
    trace = _TRACE.get()
    if trace is not None:
        return trace.apply(op, operands, attrs, grad_fn)
    return run(op, operands, attrs, grad_fn)
