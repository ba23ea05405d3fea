"""`backward` and `grad`: the arguments as torch takes them, turned into one run of the engine."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gradc.ir.errors import GradRuntimeError, GradTypeError

from ..dispatch import current_trace
from . import engine
from .accumulate import edge_of
from .node import Edge, Node

if TYPE_CHECKING:
    from ..tensor import Tensor

_ONLY_INPUTS = (
    "only_inputs argument is deprecated and is ignored now (defaults to True). To accumulate gradient for other "
    "parts of the graph, please use torch.autograd.backward."
)


def backward(
    tensors: Any,
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    grad_variables: Any = None,
    inputs: Any = None,
) -> None:
    """Add the gradients of `tensors` to the `.grad` of the leaves they were made from (or of `inputs` only)."""
    outputs = _tuple(tensors)
    if inputs is not None and len(_tuple(inputs)) == 0:
        raise GradRuntimeError("`inputs` argument to `backward()` cannot be empty.")
    roots, grads = _roots(outputs, grad_variables if grad_tensors is None else grad_tensors)
    keep = create_graph if retain_graph is None else bool(retain_graph)
    if inputs is None:
        engine.run(roots, grads, keep_graph=keep, create_graph=create_graph)
        return
    edges: list[Edge] = []
    for t in _tuple(inputs):
        t.retain_grad()
        edges.append(edge_of(t))
    engine.run(roots, grads, keep_graph=keep, create_graph=create_graph, captures=edges, accumulate=True)


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Tensor | None, ...]:
    """The gradients of the sum of `outputs` with respect to `inputs`; no `.grad` changes."""
    if materialize_grads and allow_unused is False:
        raise _value_error(
            "Expected allow_unused to be True or not passed when materialize_grads=True, but got: allow_unused=False."
        )
    if is_grads_batched:
        from gradc.ir.errors import UnsupportedError

        raise UnsupportedError("autograd.grad: is_grads_batched=True is not covered; call grad once per row")
    if not only_inputs:
        warnings.warn(_ONLY_INPUTS, FutureWarning, stacklevel=2)
    outs, ins = _tuple(outputs), _tuple(inputs)
    if not ins:
        raise GradRuntimeError("`inputs` argument to `grad()` cannot be empty.")
    trace = current_trace()
    if trace is not None:
        from ..derive import grad as traced

        keep = create_graph if retain_graph is None else bool(retain_graph)
        return traced(trace, outs, ins, grad_outputs, create_graph, bool(allow_unused), materialize_grads, keep)
    roots, grads = _roots(outs, grad_outputs)
    edges: list[Edge] = []
    for t in ins:
        if not t.requires_grad:
            raise GradRuntimeError("One of the differentiated Tensors does not require grad")
        edges.append(edge_of(t))
    keep = create_graph if retain_graph is None else bool(retain_graph)
    found = engine.run(roots, grads, keep_graph=keep, create_graph=create_graph, captures=edges)
    if materialize_grads:
        from ..creation import zeros_like

        return tuple(zeros_like(t) if g is None else g for t, g in zip(ins, found, strict=True))
    for i, g in enumerate(found):
        if g is None and not allow_unused:
            raise GradRuntimeError(
                f"The differentiated Tensor at index {i} appears to not have been used in the graph. Set "
                "allow_unused=True if this is the desired behavior."
            )
    return tuple(found)


def _value_error(message: str) -> Exception:
    from gradc.ir.errors import GradValueError

    return GradValueError(message)


def _tuple(tensors: Any) -> tuple[Any, ...]:
    from ..tensor import Tensor

    if isinstance(tensors, Tensor):
        return (tensors,)
    if not hasattr(tensors, "__iter__"):
        raise GradTypeError(f"'{type(tensors).__name__}' object is not iterable")
    return tuple(tensors)


def _roots(outputs: Sequence[Tensor], grads: Any) -> tuple[list[tuple[Node, int]], list[Tensor]]:
    given: Sequence[Any] = (None,) * len(outputs) if grads is None else _tuple(grads)
    made = [_seed(i, t, g) for i, (t, g) in enumerate(zip(outputs, given, strict=False))]
    if len(given) != len(outputs):
        raise GradRuntimeError(f"got {len(outputs)} tensors and {len(given)} gradients")
    roots = []
    for i, t in enumerate(outputs):
        edge = edge_of(t) if t.requires_grad else None
        if edge is None:
            raise GradRuntimeError(f"element {i} of tensors does not require grad and does not have a grad_fn")
        roots.append(edge)
    return roots, made


def _seed(i: int, t: Tensor, g: Any) -> Any:
    from ..creation import ones_like
    from ..tensor import Tensor

    if isinstance(g, Tensor):
        if g._type.shape != t._type.shape:
            raise GradRuntimeError(
                f"Mismatch in shape: grad_output[{i}] has a shape of {g.shape} and output[{i}] has a shape of "
                f"{t.shape}."
            )
        return g if g._type.dtype is t._type.dtype else g.to(t._type.dtype)
    if g is not None:
        raise GradTypeError(f"gradients can be either Tensors or None, but got {type(g).__name__}")
    if not t.requires_grad:
        return None
    if t.numel() != 1:
        raise GradRuntimeError("grad can be implicitly created only for scalar outputs")
    return ones_like(t)
