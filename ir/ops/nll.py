"""Negative log likelihood of classes, and cross entropy on top of it. The class is compared with a coordinate and the
row summed, so that it fuses with the softmax before it."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradc.ir.dim import product
from gradc.ir.errors import GradIndexError, GradRuntimeError, GradValueError
from gradc.ir.op import COMPOSITE, Op, Torch, define, lookup
from gradc.ir.types import TensorType, i32, i64, tensor, u8

from .axis import SCALAR_NAMES, narrow, position, require_float, select, wide
from .composed import check_reduction


def class_axis(x: Any) -> int:
    return 0 if x.ndim == 1 else 1


def _type(x: TensorType, target: TensorType, *weight: TensorType, reduction: str, ignore_index: int = -100) -> Any:
    if not x.ndim:
        raise GradValueError("Expected 1 or more dimensions (got 0)")
    require_float("nll_loss_out_frame", x)
    if target.dtype not in (i64, u8):
        raise GradRuntimeError(f"expected target dtype to be Long or Byte, but got {SCALAR_NAMES[target.dtype.name]}")
    c = class_axis(x)
    want = (*x.shape[:c], *x.shape[c + 1 :])
    if want and target.shape[:1] != want[:1]:
        got = target.shape[0] if target.ndim else 1
        raise GradValueError(f"Expected input batch_size ({want[0]}) to match target batch_size ({got}).")
    if target.shape != want:
        raise GradRuntimeError(f"Expected target size {list(want)}, got {list(target.shape)}")
    if weight and weight[0].shape != (x.shape[c],):
        raise GradRuntimeError(
            f"weight tensor should be defined either for all {x.shape[c]} classes or no classes but got weight tensor "
            f"of shape: {list(weight[0].shape)}"
        )
    return tensor(target.shape if reduction == "none" else (), x.dtype), tensor((), x.dtype)


def _numpy(x: Any, target: Any, *weight: Any, reduction: Any, ignore_index: Any = -100) -> Any:
    c = class_axis(x)
    t = target.astype(np.int64)
    valid = t != ignore_index
    outside = valid & ((t < 0) | (t >= x.shape[c]))
    if outside.any():
        raise GradIndexError(f"Target {t[outside].ravel()[0]} is out of bounds.")
    at = np.where(valid, t, 0)
    picked = np.take_along_axis(x, np.expand_dims(at, c), c).squeeze(c) if x.size else np.zeros(t.shape, x.dtype)
    w = np.where(valid, weight[0][at] if weight else x.dtype.type(1), x.dtype.type(0))
    each = np.where(valid, -picked * w, x.dtype.type(0))
    total = np.sum(w)
    if reduction == "none":
        return each, total
    return (np.sum(each) / total if reduction == "mean" else np.sum(each)), total


def _chosen(b: Any, x_t: Any, target: Any, ignore_index: int) -> tuple[Any, Any, Any]:
    """Where the class is, over the shape of the scores; which rows count; and which rows name no class at all.

    Classes are compared as 32-bit integers, which costs a kernel half the registers."""
    c = class_axis(x_t)
    t = target if target.dtype is i64 else b.convert(target, dtype=i64)
    inside = (t >= 0) & (t < x_t.shape[c])
    counts = t.ne(ignore_index)
    key = b.convert(b.where(inside & counts, t, b.scalar(-1, i64)), dtype=i32)
    row = (*x_t.shape[:c], 1, *x_t.shape[c + 1 :])
    return position(b, x_t.shape, c, i32).eq(b.reshape(key, shape=row)), counts, ~inside & counts


def _per_class(b: Any, weight: Any, x_t: Any) -> Any:
    c = class_axis(x_t)
    return b.reshape(weight, shape=tuple(d if i == c else 1 for i, d in enumerate(x_t.shape)))


def _decompose(b: Any, self: Any, target: Any, *weight: Any, reduction: Any, ignore_index: Any = -100) -> Any:
    x, c = wide(b, self), class_axis(self)
    hit, counts, nowhere = _chosen(b, self.type, target, ignore_index)
    picked = b.sum(select(b, hit, x, 0), dims=(c,), keepdim=False)
    if weight:
        scale = _per_class(b, wide(b, weight[0]), self.type)
        each_weight = b.sum(select(b, hit, b.broadcast(scale, shape=self.shape), 0), dims=(c,), keepdim=False)
        each = select(b, counts, -picked * each_weight, 0)
    else:
        each_weight = b.convert(counts, dtype=x.dtype)
        each = select(b, counts, -picked, 0)
    each = select(b, nowhere, b.scalar(float("nan"), x.dtype), each)
    every = tuple(range(each.ndim))
    total = b.sum(each_weight, dims=every, keepdim=False)
    if reduction == "none":
        return narrow(b, each, self.dtype), narrow(b, total, self.dtype)
    result = b.sum(each, dims=every, keepdim=False)
    result = result / total if reduction == "mean" else result
    return narrow(b, result, self.dtype), narrow(b, total, self.dtype)


def _self_ct(
    b: Any, ct: Any, self_t: Any, target: Any, weight: Any, total_weight: Any, reduction: Any, ignore_index: Any
) -> Any:
    if ct is None:
        return None
    hit, _, _ = _chosen(b, self_t, target, -100 if ignore_index is None else ignore_index)
    g = -wide(b, ct)
    if reduction == "mean":
        g = g / wide(b, total_weight)
    if reduction == "none":
        c = class_axis(self_t)
        g = b.reshape(g, shape=(*self_t.shape[:c], 1, *self_t.shape[c + 1 :]))
    if weight:
        g = g * _per_class(b, wide(b, weight[0]), self_t)
    return select(b, hit, g, 0)


def _nll(op: Any, input: Any, target: Any, weight: Any, ignore: int, reduction: str) -> Any:
    """The loss and the weight of all rows that count."""
    return op(
        input,
        target,
        *(() if weight is None else (weight,)),
        reduction=reduction,
        ignore_index=ignore,
        grad_fn="NllLossBackward0" if input.ndim < 3 else "NllLoss2DBackward0",
    )


def _nll_call(
    op: Any,
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: Any = None,
    ignore_index: int = -100,
    reduce: Any = None,
    reduction: str = "mean",
) -> Any:
    return _nll(op, input, target, weight, ignore_index, check_reduction(reduction, size_average, reduce))[0]


def _probabilities(op: Any, log: Any, target: Any, weight: Any, reduction: str, smoothing: float, c: int) -> Any:
    """torch's cross entropy with a distribution as target: composed, and divided by the batch for the mean."""
    if smoothing > 0:
        target = target * (1 - smoothing) + smoothing / log.shape[c]
    each = log * target
    if weight is not None:
        each = each * _beside_classes(weight, log, c)
    if reduction == "none":
        return -each.sum(c)
    total = -each.sum()
    rows = product((*log.shape[:c], *log.shape[c + 1 :]))
    return total if reduction == "sum" else op(total, rows, record=lookup("grad.div"), grad_fn="DivBackward1")


def _beside_classes(weight: Any, x: Any, c: int) -> Any:
    return weight.reshape(tuple(-1 if i == c else 1 for i in range(x.ndim)))


def _smoothed(
    op: Any, log: Any, target: Any, weight: Any, ignore: int, reduction: str, smoothing: float, c: int
) -> Any:
    """torch's label smoothing: the class's own loss and the mean over all classes, mixed."""
    own, total = _nll(op, log, target, weight, ignore, reduction)
    spread = log if weight is None else log * _beside_classes(weight, log, c)
    each = (-spread.sum(c)).masked_fill(target == ignore, 0.0)
    if reduction != "none":
        each = each.sum() if reduction == "sum" else each.sum() / total.detach()
    return own * (1 - smoothing) + each * (smoothing / log.shape[c])


def _cross_entropy(
    op: Any,
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: Any = None,
    ignore_index: Any = -100,
    reduce: Any = None,
    reduction: Any = "mean",
    label_smoothing: Any = 0.0,
) -> Any:
    reduction = check_reduction(reduction, size_average, reduce)
    if not 0.0 <= label_smoothing <= 1.0:
        raise GradRuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing:g}")
    if not input.ndim:
        raise GradValueError("Expected 1 or more dimensions (got 0)")
    c = class_axis(input)
    log = input.log_softmax(c)
    if tuple(input.shape) == tuple(target.shape):
        if not target.dtype.is_float:
            raise GradRuntimeError(
                "Expected floating point type for target with class probabilities, got "
                f"{SCALAR_NAMES[target.dtype.name]}"
            )
        if ignore_index >= 0:
            raise GradRuntimeError("ignore_index is not supported for floating point target")
        return _probabilities(op, log, target, weight, reduction, label_smoothing, c)
    if label_smoothing > 0:
        return _smoothed(op, log, target, weight, ignore_index, reduction, label_smoothing, c)
    return _nll(op, log, target, weight, ignore_index, reduction)[0]


def _sample(rng: Any) -> list[tuple[list[Any], dict[str, Any]]]:
    x = rng.standard_normal((4, 5)).astype(np.float32)
    deep = rng.standard_normal((2, 5, 3)).astype(np.float32)
    t = np.asarray([1, 0, 4, -100])
    w = rng.uniform(0.5, 1.5, 5).astype(np.float32)
    return [
        ([x, t], {"reduction": "mean", "ignore_index": -100}),
        ([x, t, w], {"reduction": "mean", "ignore_index": -100}),
        ([deep, rng.integers(0, 5, (2, 3)), w], {"reduction": "none", "ignore_index": 2}),
        ([x[0], np.asarray(3)], {"reduction": "sum", "ignore_index": -100}),
    ]


def _check(b: Any, self: Any, target: Any, *weight: Any, reduction: Any, ignore_index: Any = -100) -> Any:
    """A target that is neither a class nor ignored."""
    t = target if target.dtype is i64 else b.convert(target, dtype=i64)
    outside = (t < 0) | (t >= self.shape[class_axis(self)])
    return ((outside & t.ne(ignore_index), "index", "Target is out of bounds."),)


NLL_LOSS = define(
    Op(
        check=_check,
        name="grad.nll_loss",
        kind=COMPOSITE,
        operands=("self", "target", "weight*"),
        results=("result", "total_weight"),
        attrs={"reduction": "str", "ignore_index": "int"},
        infer=_type,
        numpy=_numpy,
        decompose=_decompose,
        adjoint={"self": _self_ct},
        grad_fn="NllLossBackward0",
        saved={
            "self": "self",
            "target": "target",
            "total_weight": "total_weight",
            "reduction": "reduction",
            "ignore_index": "ignore_index",
        },
        torch=(Torch(_nll_call, ("nn.functional.nll_loss",)), Torch(_cross_entropy, ("nn.functional.cross_entropy",))),
        sample=_sample,
        doc="A target outside the classes raises in the reference and gives NaN in a kernel; ignored rows count 0.",
    )
)
