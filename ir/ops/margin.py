"""torch's multi_margin_loss, spelled with Tensor methods. The spelling hangs on the record of `mean`, which ends it."""

from __future__ import annotations

from typing import Any

from gradc.ir.errors import DTypeError, GradRuntimeError, GradValueError
from gradc.ir.op import Torch
from gradc.ir.types import i64

from .axis import SCALAR_NAMES
from .composed import check_reduction, finish


def _multi_margin_loss(
    op: Any,
    input: Any,
    target: Any,
    p: int = 1,
    margin: float = 1.0,
    weight: Any = None,
    size_average: Any = None,
    reduce: Any = None,
    reduction: Any = "mean",
) -> Any:
    reduction = check_reduction(reduction, size_average, reduce)
    if p not in (1, 2):
        raise GradValueError("only p == 1 and p == 2 supported")
    if weight is not None and weight.ndim != 1:
        raise GradValueError("weight must be one-dimensional")
    shape = tuple(input.shape)
    if input.ndim > 2 or 0 in shape[1:] or shape == (0,):
        raise GradRuntimeError(
            f"Expected non-empty vector or matrix with optional 0-dim batch size, but got: {list(shape)}"
        )
    rows = input.reshape(1, -1) if input.ndim < 2 else input
    n, classes = rows.shape
    if target.dtype is not i64:
        raise DTypeError(f"expected scalar type Long but found {SCALAR_NAMES[target.dtype.name]}")
    if target.ndim > 1 or target.numel() != n:
        raise GradRuntimeError(
            "multi_margin_loss: target tensor should be 1-D with size equal to the number of input samples (batch "
            f"size). Expected target size [{n}], but got {list(target.shape)}. Input has shape {list(shape)}."
        )
    if weight is not None and weight.shape[0] != classes:
        raise GradRuntimeError(f"inconsistent weight size, expected {classes} but got {list(weight.shape)}")
    at = target.reshape(n, 1)
    gap = margin - rows.gather(1, at) + rows
    # where, not clamp: at a gap of 0 torch's gradient is 0
    hinge = gap.where(gap > 0, 0.0)
    hinge = (hinge if p == 1 else hinge * hinge).scatter(1, at, 0.0)
    if weight is not None:
        hinge = hinge * weight.gather(0, at.reshape(n)).reshape(n, 1)
    each = hinge.sum(1) / classes
    return finish(each.reshape(()) if not target.ndim else each, reduction)


MARGIN_SPELLINGS = (Torch(_multi_margin_loss, ("nn.functional.multi_margin_loss",)),)
