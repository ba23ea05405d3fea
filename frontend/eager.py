"""Ops run at once: the record's NumPy meaning on the arrays of tensors, and a tape node where a gradient is wanted."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextvars import copy_context
from functools import cache, lru_cache
from typing import Any

import numpy as np

from gradc.ir.build import Builder, Number, NumpyBuilder, Var, coerce
from gradc.ir.errors import GradTypeError
from gradc.ir.graph import NO_ATTRS
from gradc.ir.op import ELEMENTWISE, VIEW, Op
from gradc.ir.promote import operand_dtypes
from gradc.ir.pullback import saves
from gradc.ir.types import DTYPES, DType, TensorType, i1, i64, promote_dtypes, tensor

from .autograd.accumulate import edge_of
from .autograd.grad_mode import MODES
from .autograd.node import Edge, OpNode, node_class
from .autograd.saved import Saved, SavedResult
from .autograd.view import as_view
from .defaults import DEFAULTS
from .storage import Array
from .tensor import Tensor

_saves = lru_cache(maxsize=None)(saves)


@cache
def _ruled(op: Op, n: int) -> tuple[bool, ...]:
    """Which of `n` operands the op has an adjoint rule for."""
    return tuple(op.operand_name(i) in op.adjoint for i in range(n))


_KINDS = {"bool": 0, "int": 1, "float": 2}


def apply(op: Op, operands: Sequence[Any], attrs: dict[str, Any], grad_fn: str | None = None) -> Any:
    """Run one op. Composite ops with no rule of their own are recorded by what they are made of."""
    tensors: Sequence[Any] = operands
    for x in operands:
        if not isinstance(x, Tensor):
            tensors = lift(op, operands)
            break
    types, arrays, recorded = [], [], False
    for t in tensors:
        types.append(t._type)
        arrays.append(t._array)
        if t._requires_grad or (t._view is not None and t._view.base._requires_grad):
            recorded = True
    recorded = recorded and MODES.grad and not MODES.inference
    if attrs:
        attrs = {k: a if type(a) in _PLAIN else plain(a) for k, a in attrs.items() if a is not None}
        out_types = op.infer(*types, **attrs)
    else:
        out_types = _infer(op, *types)
    if recorded and op.decompose is not None and not op.adjoint:
        out = op.decompose(BUILDER, *[Var(BUILDER, t) for t in tensors], **attrs)
        return tuple(o.v for o in out) if isinstance(out, tuple) else out.v
    if isinstance(out_types, tuple):
        results = execute(op, arrays, types, attrs, out_types)
        wrapped = [wrap(op, a, t, tensors, attrs, grad_fn) for a, t in zip(results, out_types, strict=True)]
        if recorded and op.adjoint:
            record(op, tensors, types, attrs, wrapped, grad_fn)
        return tuple(wrapped)
    made = wrap(op, execute(op, arrays, types, attrs, (out_types,))[0], out_types, tensors, attrs, grad_fn)
    if recorded and op.adjoint:
        record(op, tensors, types, attrs, [made], grad_fn)
    return made


@lru_cache(maxsize=65536)
def _infer(op: Op, *types: TensorType) -> Any:
    """The type rule of an op without attributes; the same few types come again and again."""
    return op.infer(*types)


_PLAIN = {int, float, bool, str, DType}


def plain(value: Any) -> Any:
    """An attribute as the IR holds it: tuples are plain tuples, NumPy's and our scalars are Python's."""
    if isinstance(value, (tuple, list)):
        return tuple(plain(v) for v in value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Tensor):
        return value.item()
    return value


def lift(op: Op, operands: Sequence[Any]) -> list[Tensor]:
    """Python numbers become zero-dimensional constants: of the tensors' dtype, or of the default dtype of their own
    kind where that ranks higher (an integer tensor and 0.5 make floats)."""
    like: DType | None = None
    for x in operands:
        if isinstance(x, Tensor):
            d = x._type.dtype
            like = d if like is None or d is like else promote_dtypes(like, d)
    out = []
    like = opmath(op, like, operands)
    for i, x in enumerate(operands):
        if isinstance(x, Tensor):
            out.append(x)
        elif isinstance(x, (bool, int, float, np.generic)) and like is not None:
            out.append(number(x.item() if isinstance(x, np.generic) else x, like))
        else:
            name = op.operand_name(i)
            raise GradTypeError(
                f"{op.short}(): argument '{'input' if name == 'self' else name}' (position {i + 1}) must be Tensor, "
                f"not {type(x).__name__}"
            )
    return out


def opmath(op: Op, like: DType | None, operands: Sequence[Any]) -> DType | None:
    """The element type of numbers beside tensors of element type `like`: where torch keeps a number in float32 beside
    half tensors, so does this; having no dimensions, it does not promote them."""
    if like is not None and like.is_half and "opmath" in op.traits and any(getattr(x, "ndim", 0) for x in operands):
        return like.compute
    return like


def dtype_beside(value: Number, like: DType | None) -> DType:
    """The element type of a Python number beside tensors of element type `like`."""
    kind = "bool" if isinstance(value, bool) else "int" if isinstance(value, int) else "float"
    if like is None or _KINDS[kind] > _KINDS[like.kind]:
        like = DEFAULTS.dtype if kind == "float" else i64 if kind == "int" else i1
    return like


def number(value: Number, like: DType | None) -> Tensor:
    like = dtype_beside(value, like)
    out = Tensor._of(_QUIET.run(_scalar, coerce(value, like), like.numpy), tensor((), like))
    out._number = value
    return out


def _scalar(value: Number, kind: Any) -> Array:
    """A number as an element; one that does not fit wraps around, as in C."""
    try:
        return np.array(value, kind)
    except OverflowError:
        return np.array(value).astype(kind)


def requires_grad(t: Tensor) -> bool:
    return t._requires_grad or (t._view is not None and t._view.base._requires_grad)


def execute(
    op: Op, arrays: list[Array], types: list[TensorType], attrs: dict[str, Any], out_types: tuple[TensorType, ...]
) -> list[Array]:
    """The result arrays. Half types compute in float32 and are rounded once; operands of an elementwise op are first
    brought to their common dtype."""
    if op.numpy is None:
        assert op.decompose is not None
        b = NumpyBuilder()
        made = op.decompose(b, *[Var(b, a) for a in arrays], **attrs)
        return [m.v for m in made] if isinstance(made, tuple) else [made.v]
    if op.kind == VIEW:
        return [op.numpy(*arrays, **attrs)]
    return _QUIET.run(_compute, op, arrays, types, attrs, out_types)


_DIRECT = {d: d.is_float and not d.is_half for d in DTYPES}
"""The element types that NumPy computes in as they are."""


class _Quiet(threading.local):
    """A context in which NumPy's floating-point warnings are off: entering it costs a tenth of `np.errstate`."""

    def __init__(self) -> None:
        context = copy_context()
        context.run(np.seterr, all="ignore")
        self.run = context.run


_QUIET = _Quiet()


def _compute(
    op: Op, arrays: list[Array], types: list[TensorType], attrs: dict[str, Any], out_types: tuple[TensorType, ...]
) -> list[Array]:
    assert op.numpy is not None
    raw = op.numpy(*_prepare(op, arrays, types, out_types[0].dtype), **attrs)
    if isinstance(raw, tuple):
        return [_as(r, t.dtype) for r, t in zip(raw, out_types, strict=True)]
    return [_as(raw, out_types[0].dtype)]


def _as(array: Any, dtype: DType) -> Array:
    a = array if isinstance(array, np.ndarray) else np.asarray(array)
    return a if a.dtype is dtype.numpy or a.dtype == dtype.numpy else a.astype(dtype.numpy)


def _prepare(op: Op, arrays: list[Array], types: list[TensorType], result: DType) -> list[Array]:
    for t in types:
        if t.dtype is not result or not _DIRECT[result]:
            break
    else:
        return arrays
    if op.kind == ELEMENTWISE:
        want = operand_dtypes(op, types, result)
        return [a if a.dtype == d.numpy else a.astype(d.numpy) for a, d in zip(arrays, want, strict=True)]
    return [a.astype(np.float32) if t.dtype.is_half else a for a, t in zip(arrays, types, strict=True)]


def wrap(
    op: Op, array: Array, type_: TensorType, tensors: Sequence[Any], attrs: dict[str, Any], grad_fn: str | None
) -> Tensor:
    """A result array as a tensor: views share their operand's memory, everything else owns its own."""
    made: Tensor
    if op.kind == VIEW and "copies" not in op.traits:
        made = as_view(op, array, type_, tensors[0], attrs, grad_fn)
        if made._storage is tensors[0]._storage:
            return made
    else:
        # A record may hand back an operand's memory.
        borrowed = array.base is not None
        for x in tensors:
            borrowed = borrowed or array is x._array
        if borrowed and any(np.may_share_memory(array, x._array) for x in tensors):
            array = array.copy()
        made = Tensor._of(array, type_)
    if MODES.inference:
        made._inference = True
    return made


def record(
    op: Op,
    tensors: Sequence[Any],
    types: list[TensorType],
    attrs: dict[str, Any],
    results: list[Tensor],
    grad_fn: str | None,
) -> None:
    """Put a node behind the float results."""
    edges: list[Edge] = []
    active: list[int] = []
    for t, has_rule in zip(tensors, _ruled(op, len(tensors)), strict=True):
        edge = edge_of(t) if has_rule and requires_grad(t) else None
        if edge is not None:
            active.append(len(edges))
        edges.append(edge)
    if not active:
        return
    node = node_class(grad_fn or op.grad_fn or f"{op.short}Backward0")(tuple(edges), tuple([r._type for r in results]))
    node.op, node.attrs, node.types = op, attrs or NO_ATTRS, types
    in_, out_ = _saves(op, tuple(active), len(types))
    node.operands = [Saved(t) if i in in_ else None for i, t in enumerate(tensors)]
    node.results = [SavedResult(r._array, r._storage, r._type, i) if i in out_ else None for i, r in enumerate(results)]
    for i, r in enumerate(results):
        if r._type.dtype.is_float:
            r._node, r._output_nr, r._requires_grad = node, i, True


class TensorBuilder(Builder):
    """Runs rules and decompositions on tensors, at once; recorded where gradients are enabled. The taping builder."""

    def type_of(self, v: Any) -> Any:
        return v._type

    def run(self, op: Op, operands: tuple[Any, ...], attrs: dict[str, Any]) -> Any:
        return apply(op, operands, attrs)

    def scalar(self, value: Number, like: DType) -> Var:
        return Var(self, Tensor._of(_QUIET.run(np.array, coerce(value, like), like.numpy), tensor((), like)))


BUILDER = OpNode.builder = TensorBuilder()
