"""Binary cross entropy of probabilities and of logits, and the soft margin loss."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradc.ir.dim import product
from gradc.ir.errors import DTypeError, GradRuntimeError, GradValueError
from gradc.ir.op import COMPOSITE, Op, Torch, define
from gradc.ir.types import TensorType, broadcast_types, promote, tensor

from .axis import SCALAR_NAMES, narrow, require_float, wide
from .composed import check_reduction
from .loss import loss_type, np_reduced, per_element, reduced


def _weighted(x: Any, weight: Any) -> Any:
    return x * weight[0] if weight else x


def _bce_type(x: TensorType, t: TensorType, *weight: TensorType, reduction: str) -> TensorType:
    require_float("binary_cross_entropy", x)
    if t.dtype is not x.dtype:
        raise DTypeError(f"Found dtype {SCALAR_NAMES[t.dtype.name]} but expected {SCALAR_NAMES[x.dtype.name]}")
    return tensor(broadcast_types(x, t, *weight) if reduction == "none" else (), x.dtype)


def _np_bce(x: Any, t: Any, *weight: Any, reduction: Any) -> Any:
    if not np.all((x >= 0) & (x <= 1)):
        raise GradRuntimeError("all elements of input should be between 0 and 1")
    floor = x.dtype.type(-100)
    each = (t - 1) * np.maximum(np.log1p(-x), floor) - t * np.maximum(np.log(x), floor)
    return np_reduced(_weighted(each, weight), reduction)


def _bce(b: Any, self: Any, target: Any, *weight: Any, reduction: Any) -> Any:
    x, t = wide(b, self), wide(b, target)
    each = (t - 1.0) * b.maximum(b.log1p(-x), -100.0) - t * b.maximum(b.log(x), -100.0)
    return narrow(b, reduced(b, _weighted(each, weight), reduction), self.dtype)


def _bce_ct(b: Any, ct: Any, self: Any, target: Any, weight: Any, reduction: Any) -> Any:
    x, t = wide(b, self), wide(b, target)
    g = _weighted(per_element(b, ct, reduction, product(x.shape)), weight)
    return g * (x - t) / b.maximum((1.0 - x) * x, 1e-12)


def _bce_target_ct(b: Any, ct: Any, self: Any, weight: Any, reduction: Any) -> Any:
    x = wide(b, self)
    g = _weighted(per_element(b, ct, reduction, product(x.shape)), weight)
    return g * (b.log1p(-x) - b.log(x))


def _bce_call(
    op: Any,
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: Any = None,
    reduce: Any = None,
    reduction: Any = "mean",
) -> Any:
    reduction = check_reduction(reduction, size_average, reduce)
    if tuple(input.shape) != tuple(target.shape):
        raise GradValueError(
            f"Using a target size (torch.Size({list(target.shape)})) that is different to the input size "
            f"(torch.Size({list(input.shape)})) is deprecated. Please ensure they have the same size."
        )
    return op(input, target, *(() if weight is None else (weight,)), reduction=reduction)


def _sample_bce(rng: Any) -> list[tuple[list[Any], dict[str, Any]]]:
    x, t, w = (rng.uniform(0.05, 0.95, (3, 4)).astype(np.float32) for _ in range(3))
    return [([x, t], {"reduction": "mean"}), ([x, t, w], {"reduction": "sum"}), ([x, t, w], {"reduction": "none"})]


def _bce_check(b: Any, self: Any, target: Any, *weight: Any, reduction: Any) -> Any:
    inside = (self >= 0) & (self <= 1)
    return ((~inside, "runtime", "all elements of input should be between 0 and 1"),)


BINARY_CROSS_ENTROPY = define(
    Op(
        check=_bce_check,
        name="grad.binary_cross_entropy",
        kind=COMPOSITE,
        operands=("self", "target", "weight*"),
        results=("result",),
        attrs={"reduction": "str"},
        infer=_bce_type,
        numpy=_np_bce,
        decompose=_bce,
        adjoint={"self": _bce_ct, "target": _bce_target_ct},
        grad_fn="BinaryCrossEntropyBackward0",
        saved={"self": "self", "target": "target", "reduction": "reduction"},
        torch=(Torch(_bce_call, ("nn.functional.binary_cross_entropy",)),),
        sample=_sample_bce,
        doc="Logarithms are clamped at -100 and the denominator of the input's gradient at 1e-12, as in torch; "
        "an input outside [0, 1] raises in the reference and gives NaN in a kernel.",
    )
)


def _log_sigmoid(b: Any, x: Any) -> Any:
    return b.minimum(x, 0.0) - b.log1p(b.exp(-b.abs(x)))


def _np_log_sigmoid(x: Any) -> Any:
    return np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x)))


def _parts(weights: Any, positive: bool | None) -> tuple[Any, Any]:
    """The optional operands: weight in front, pos_weight last where `positive` is set."""
    return (weights[:-1], weights[-1]) if positive else (weights, None)


def _logits_type(*types: TensorType, reduction: str, positive: bool = False) -> TensorType:
    d = promote(*types)
    require_float("binary_cross_entropy_with_logits", tensor((), d))
    return tensor(broadcast_types(*types) if reduction == "none" else (), d)


def _np_logits(x: Any, t: Any, *weights: Any, reduction: Any, positive: Any = False) -> Any:
    weight, pos = _parts(weights, positive)
    log_weight = 1 if pos is None else 1 + (pos - 1) * t
    return np_reduced(_weighted((1 - t) * x - log_weight * _np_log_sigmoid(x), weight), reduction)


def _logits(b: Any, self: Any, target: Any, *weights: Any, reduction: Any, positive: Any = False) -> Any:
    weight, pos = _parts(weights, positive)
    x, t = wide(b, self), wide(b, target)
    log = _log_sigmoid(b, x)
    each = (1.0 - t) * x - (log if pos is None else ((pos - 1.0) * t + 1.0) * log)
    out = promote(self.type, target.type, *[w.type for w in weights])
    return narrow(b, reduced(b, _weighted(each, weight), reduction), out)


def _logits_ct(b: Any, ct: Any, self: Any, target: Any, weights: Any, reduction: Any, positive: Any) -> Any:
    weight, pos = _parts(weights, positive)
    x, t = wide(b, self), wide(b, target)
    s = b.sigmoid(x)
    slope = s - t if pos is None else (pos * t + 1.0 - t) * s - pos * t
    return slope * _weighted(per_element(b, ct, reduction, product(slope.shape)), weight)


def _logits_target_ct(
    b: Any, ct: Any, self: Any, self_t: Any, target_t: Any, weights: Any, weights_t: Any, reduction: Any, positive: Any
) -> Any:
    weight, pos = _parts(weights, positive)
    x = wide(b, self)
    slope = -x if pos is None else _log_sigmoid(b, -x) - pos * _log_sigmoid(b, x)
    count = product(broadcast_types(self_t, target_t, *weights_t))
    return slope * _weighted(per_element(b, ct, reduction, count), weight)


def _logits_call(
    op: Any,
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: Any = None,
    reduce: Any = None,
    reduction: Any = "mean",
    pos_weight: Any = None,
) -> Any:
    reduction = check_reduction(reduction, size_average, reduce)
    if tuple(input.shape) != tuple(target.shape):
        raise GradValueError(
            f"Target size (torch.Size({list(target.shape)})) must be the same as input size "
            f"(torch.Size({list(input.shape)}))"
        )
    weights = tuple(w for w in (weight, pos_weight) if w is not None)
    return op(input, target, *weights, reduction=reduction, positive=pos_weight is not None)


def _sample_logits(rng: Any) -> list[tuple[list[Any], dict[str, Any]]]:
    x = rng.standard_normal((3, 4)).astype(np.float32)
    t, w = (rng.uniform(0.1, 0.9, (3, 4)).astype(np.float32) for _ in range(2))
    return [
        ([x, t], {"reduction": "mean", "positive": False}),
        ([x, t, w], {"reduction": "none", "positive": False}),
        ([x, t, w[:, :1], w[0]], {"reduction": "sum", "positive": True}),
    ]


BINARY_CROSS_ENTROPY_WITH_LOGITS = define(
    Op(
        name="grad.binary_cross_entropy_with_logits",
        kind=COMPOSITE,
        operands=("self", "target", "weights*"),
        results=("result",),
        attrs={"reduction": "str", "positive": "bool"},
        infer=_logits_type,
        numpy=_np_logits,
        decompose=_logits,
        adjoint={"self": _logits_ct, "target": _logits_target_ct},
        grad_fn="BinaryCrossEntropyWithLogitsBackward0",
        saved={"self": "self", "target": "target", "reduction": "reduction"},
        torch=(Torch(_logits_call, ("nn.functional.binary_cross_entropy_with_logits",)),),
        sample=_sample_logits,
    )
)


def _soft_margin(b: Any, self: Any, target: Any, reduction: Any) -> Any:
    each = -_log_sigmoid(b, wide(b, self) * wide(b, target))
    return narrow(b, reduced(b, each, reduction), promote(self.type, target.type))


def _soft_margin_ct(b: Any, ct: Any, self: Any, target: Any, reduction: Any) -> Any:
    x, t = wide(b, self), wide(b, target)
    slope = -t * b.sigmoid(-(x * t))
    return slope * per_element(b, ct, reduction, product(slope.shape))


def _soft_margin_call(
    op: Any, input: Any, target: Any, size_average: Any = None, reduce: Any = None, reduction: Any = "mean"
) -> Any:
    return op(input, target, reduction=check_reduction(reduction, size_average, reduce))


def _sample_soft_margin(rng: Any) -> list[tuple[list[Any], dict[str, Any]]]:
    x = rng.standard_normal((3, 4)).astype(np.float32)
    t = np.where(rng.standard_normal((3, 4)) > 0, 1, -1).astype(np.float32)
    return [([x, t], {"reduction": r}) for r in ("mean", "sum", "none")]


SOFT_MARGIN_LOSS = define(
    Op(
        name="grad.soft_margin_loss",
        kind=COMPOSITE,
        operands=("self", "target"),
        results=("result",),
        attrs={"reduction": "str"},
        infer=loss_type("soft_margin_loss"),
        numpy=lambda x, t, reduction: np_reduced(-_np_log_sigmoid(x * t), reduction),
        decompose=_soft_margin,
        adjoint={"self": _soft_margin_ct},
        grad_fn="SoftMarginLossBackward0",
        saved={"self": "self", "target": "target", "reduction": "reduction"},
        torch=(Torch(_soft_margin_call, ("nn.functional.soft_margin_loss",)),),
        sample=_sample_soft_margin,
    )
)
