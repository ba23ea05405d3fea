"""Joining and padding: what writes several operands, or one operand several times, into one result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gradc.ir.dim import normalize_axis
from gradc.ir.errors import GradRuntimeError, GradTypeError, GradValueError, ShapeError, UnsupportedError
from gradc.ir.op import COMPOSITE, Op, Torch, define
from gradc.ir.types import TensorType, i1, i64, promote_dtypes, tensor

from .shape import normal
from .slices import box


def tensors_of(name: str, tensors: Any) -> list[Any]:
    """The list of operands of cat and stack, checked as torch checks it."""
    if hasattr(tensors, "ndim"):
        raise GradTypeError(f"{name}(): argument 'tensors' (position 1) must be tuple of Tensors, not Tensor")
    out = list(tensors)
    for i, t in enumerate(out):
        if not hasattr(t, "ndim"):
            raise GradTypeError(f"expected Tensor as element {i} in argument 0, but got {type(t).__name__}")
    return out


def _cat_type(*types: TensorType, dim: int) -> TensorType:
    if not types:
        raise GradValueError("torch.cat(): expected a non-empty list of Tensors")
    first, total, d = types[0], 0, types[0].dtype
    for i, t in enumerate(types):
        if t.ndim == 0:
            raise ShapeError(f"zero-dimensional tensor (at position {i}) cannot be concatenated")
        if t.ndim != first.ndim:
            raise ShapeError(f"Tensors must have same number of dimensions: got {first.ndim} and {t.ndim}")
        for k, (want, got) in enumerate(zip(first.shape, t.shape, strict=True)):
            if k != dim and want != got:
                raise ShapeError(
                    f"Sizes of tensors must match except in dimension {dim}. Expected size {want} but got size {got} "
                    f"for tensor number {i} in the list."
                )
        total += t.shape[dim]
        d = promote_dtypes(d, t.dtype)
    return tensor((*first.shape[:dim], total, *first.shape[dim + 1 :]), d)


def _cat_parts(b: Any, *tensors: Any, dim: int) -> Any:
    result = _cat_type(*(t.type for t in tensors), dim=dim)
    place = b.iota(shape=result.shape, dim=dim, dtype=i64)
    out, end = None, result.shape[dim]
    for t in reversed(tensors):
        start = end - t.shape[dim]
        x = t if t.dtype is result.dtype else b.convert(t, dtype=result.dtype)
        whole = b.unslice(x, shape=result.shape, **box(result.shape, dim, start, end))
        out = whole if out is None else b.where(place < end, whole, out)
        end = start
    return out


def _cat_adjoint(b: Any, ct: Any, tensors_t: Sequence[TensorType], index: int, dim: int) -> Any:
    start = sum(t.shape[dim] for t in tensors_t[:index])
    return b.slice_axis(ct, dim=dim, start=start, end=start + tensors_t[index].shape[dim], step=1)


def _cat_call(op: Any, tensors: Any, dim: int = 0) -> Any:
    every = tensors_of("cat", tensors)
    # torch lets empty vectors stand among tensors of any rank
    kept = [t for t in every if tuple(t.shape) != (0,)] or every[:1]
    return op(*kept, dim=normalize_axis(dim, kept[0].ndim) if kept else dim)


def _hstack_call(op: Any, tensors: Any) -> Any:
    every = [t.reshape(1) if t.ndim == 0 else t for t in tensors_of("hstack", tensors)]
    return _cat_call(op, every, 0 if every and every[0].ndim == 1 else 1)


def _vstack_call(op: Any, tensors: Any) -> Any:
    return _cat_call(op, [_row(t) for t in tensors_of("vstack", tensors)], 0)


def _row(t: Any) -> Any:
    return t.reshape(1, 1) if t.ndim == 0 else t.unsqueeze(0) if t.ndim == 1 else t


CAT = define(
    Op(
        name="grad.cat",
        kind=COMPOSITE,
        operands=("tensors*",),
        results=("result",),
        attrs={"dim": "int"},
        infer=_cat_type,
        numpy=lambda *tensors, dim: np.concatenate(tensors, dim),
        decompose=_cat_parts,
        adjoint={"tensors": _cat_adjoint},
        grad_fn="CatBackward0",
        saved={"dim": "dim"},
        flops=0,
        torch=(
            Torch(_cat_call, ("cat", "concat", "concatenate")),
            Torch(_hstack_call, ("hstack",)),
            Torch(_vstack_call, ("vstack",)),
        ),
        sample=lambda rng: [
            ((normal(rng, 2, 3), normal(rng, 2, 1), normal(rng, 2, 4)), {"dim": 1}),
            ((normal(rng, 2), normal(rng, 0)), {"dim": 0}),
            ((normal(rng, 2).astype(np.float64), normal(rng, 3)), {"dim": 0}),
        ],
        doc="The operands one after another along `dim`.",
    )
)


def _stack_type(*types: TensorType, dim: int) -> TensorType:
    if not types:
        raise GradRuntimeError("stack expects a non-empty TensorList")
    first, d = types[0], types[0].dtype
    for i, t in enumerate(types):
        if t.shape != first.shape:
            raise ShapeError(
                f"stack expects each tensor to be equal size, but got {list(first.shape)} at entry 0 and "
                f"{list(t.shape)} at entry {i}"
            )
        d = promote_dtypes(d, t.dtype)
    return tensor((*first.shape[:dim], len(types), *first.shape[dim:]), d)


def _stack_call(op: Any, tensors: Any, dim: int = 0) -> Any:
    every = tensors_of("stack", tensors)
    return op(*every, dim=normalize_axis(dim, every[0].ndim + 1) if every else dim)


STACK = define(
    Op(
        name="grad.stack",
        kind=COMPOSITE,
        operands=("tensors*",),
        results=("result",),
        attrs={"dim": "int"},
        infer=_stack_type,
        numpy=lambda *tensors, dim: np.stack(tensors, dim),
        decompose=lambda b, *tensors, dim: b.cat(*(b.unsqueeze(t, dim=dim) for t in tensors), dim=dim),
        adjoint={"tensors": lambda b, ct, index, dim: b.select(ct, dim=dim, index=index)},
        grad_fn="StackBackward0",
        saved={"dim": "dim"},
        flops=0,
        torch=(Torch(_stack_call, ("stack",)),),
        sample=lambda rng: [
            ((normal(rng, 2, 3), normal(rng, 2, 3)), {"dim": 1}),
            ((normal(rng), normal(rng), normal(rng)), {"dim": 0}),
        ],
        doc="The operands along a new dimension.",
    )
)


def _pad_ends(rank: int, pad: Sequence[int]) -> list[tuple[int, int]]:
    """(before, after) per dimension from torch's list, which runs from the last dimension."""
    ends = [(0, 0)] * rank
    for i in range(len(pad) // 2):
        ends[rank - 1 - i] = (pad[2 * i], pad[2 * i + 1])
    return ends


def _pad_type(x: TensorType, *, pad: tuple[int, ...], value: Any = 0.0) -> TensorType:
    if len(pad) % 2:
        raise GradRuntimeError("Padding length must be divisible by 2")
    if len(pad) > 2 * x.ndim:
        raise GradRuntimeError(
            "Padding length should be less than or equal to two times the input dimension but got padding length "
            f"{len(pad)} and input of dimension {x.ndim}"
        )
    shape = tuple(d + before + after for d, (before, after) in zip(x.shape, _pad_ends(x.ndim, pad), strict=True))
    if any(d < 0 for d in shape):
        raise GradRuntimeError(f"pad: {list(pad)} takes more than there is of {x}")
    return tensor(shape, x.dtype)


def _pad_boxes(shape: tuple[int, ...], pad: tuple[int, ...]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The slice of the operand that is kept, and the place in the result where it goes."""
    ends = _pad_ends(len(shape), pad)
    start = tuple(min(max(-before, 0), d) for d, (before, _) in zip(shape, ends, strict=True))
    limit = tuple(max(d - max(-after, 0), s) for d, s, (_, after) in zip(shape, start, ends, strict=True))
    to = tuple(max(before, 0) for before, _ in ends)
    step = (1,) * len(shape)
    end = tuple(t + e - s for t, s, e in zip(to, start, limit, strict=True))
    return {"start": start, "limit": limit, "step": step}, {"start": to, "limit": end, "step": step}


def _pad_numpy(x: Any, pad: tuple[int, ...], value: Any = 0.0) -> Any:
    source, target = _pad_boxes(x.shape, pad)
    out = np.full(tuple(d + p + q for d, (p, q) in zip(x.shape, _pad_ends(x.ndim, pad), strict=True)), value, x.dtype)
    kept = x[tuple(slice(s, e) for s, e in zip(source["start"], source["limit"], strict=True))]
    out[tuple(slice(s, e) for s, e in zip(target["start"], target["limit"], strict=True))] = kept
    return out


def _pad_parts(b: Any, self: Any, pad: tuple[int, ...], value: Any = 0.0) -> Any:
    source, target = _pad_boxes(self.shape, pad)
    shape = _pad_type(self.type, pad=pad).shape
    kept = b.slice(self, **source)
    placed = b.unslice(kept, shape=shape, **target)
    if value == 0:
        return placed
    inside = b.unslice(b.full(shape=kept.shape, value=True, dtype=i1), shape=shape, **target)
    return b.where(inside, placed, b.scalar(value, self.dtype))


def _pad_call(op: Any, input: Any, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Any:
    if mode != "constant":
        raise UnsupportedError(f"pad: mode {mode!r} is not covered", hint="mode 'constant' is")
    return op(input, pad=tuple(int(p) for p in pad), value=0.0 if value is None else value)


PAD = define(
    Op(
        name="grad.pad",
        kind=COMPOSITE,
        operands=("self",),
        results=("result",),
        attrs={"pad": "ints", "value": "number"},
        infer=_pad_type,
        numpy=_pad_numpy,
        decompose=_pad_parts,
        adjoint={"self": lambda b, ct, pad: b.pad(ct, pad=tuple(-p for p in pad), value=0.0)},
        grad_fn="ConstantPadNdBackward0",
        saved={"pad": "pad"},
        flops=0,
        torch=(Torch(_pad_call, ("nn.functional.pad",)),),
        sample=lambda rng: [
            ((normal(rng, 2, 3),), {"pad": (1, 2, 0, 1), "value": 0.0}),
            ((normal(rng, 4, 4),), {"pad": (-1, 2), "value": 1.5}),
            ((normal(rng, 3),), {"pad": (-3, 1), "value": 0.0}),
        ],
        doc="A constant around the operand; negative amounts cut.",
    )
)
