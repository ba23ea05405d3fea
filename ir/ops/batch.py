"""Batch norm, by the statistics of the batch or by given ones, and instance norm, which is batch norm of a view."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradc.ir.dim import product
from gradc.ir.errors import GradRuntimeError, GradValueError
from gradc.ir.op import COMPOSITE, Op, Torch, define
from gradc.ir.types import TensorType, tensor

from .axis import narrow, require_float, wide
from .norm import affine, centre_and_scale, given, input_ct, np_normalised, scale_and_shift


def channel(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that puts a vector over channels beside a tensor of this shape."""
    return tuple(d if i == 1 else 1 for i, d in enumerate(shape))


def others(x: Any) -> tuple[int, ...]:
    """All axes but the channel's."""
    return (0, *range(2, x.ndim))


def _check_channels(x: TensorType, vectors: tuple[TensorType, ...], names: str) -> None:
    if x.ndim < 2:
        raise GradRuntimeError(f"batch_norm: expected an input with at least 2 dimensions, got {x}")
    for v in vectors:
        if v.shape != (x.shape[1],):
            raise GradRuntimeError(f"{names} should contain {x.shape[1]} elements not {product(v.shape)}")


def _batch_type(x: TensorType, *params: TensorType, eps: float, bias: bool = False) -> tuple[TensorType, ...]:
    require_float("batch_norm", x)
    _check_channels(x, params, "weight")
    stat = tensor((x.shape[1],), x.dtype.compute)
    return x, stat, stat


def _batch(b: Any, self: Any, *params: Any, eps: Any, bias: Any = False) -> Any:
    y, mean, rstd = centre_and_scale(b, wide(b, self), others(self), eps)
    y = scale_and_shift(b, y, params, bias, lambda p: b.reshape(p, shape=channel(self.shape)))
    vector = (self.shape[1],)
    return narrow(b, y, self.dtype), b.reshape(mean, shape=vector), b.reshape(rstd, shape=vector)


def _np_batch(x: Any, *params: Any, eps: Any, bias: Any = False) -> Any:
    y, mean, rstd = np_normalised(x, others(x), eps)
    y = scale_and_shift(None, y, params, bias, lambda p: p.reshape(channel(x.shape)))
    return y, mean.reshape(-1), rstd.reshape(-1)


def over_channels(b: Any, v: Any, shape: tuple[int, ...]) -> Any:
    return None if v is None else b.reshape(v, shape=channel(shape))


def _batch_ct(
    b: Any, ct: Any, ct_mean: Any, ct_rstd: Any, self: Any, params: Any, mean: Any, rstd: Any, bias: Any
) -> Any:
    s = self.shape
    weight = over_channels(b, affine(params, bias)[0], s)
    g = ct if ct is None else wide(b, ct) if weight is None else wide(b, ct) * weight
    return input_ct(
        b,
        g,
        over_channels(b, ct_mean, s),
        over_channels(b, ct_rstd, s),
        wide(b, self),
        over_channels(b, mean, s),
        over_channels(b, rstd, s),
        others(self),
    )


def sum_channels(b: Any, x: Any) -> Any:
    return b.sum(x, dims=others(x), keepdim=False)


def _batch_param_ct(b: Any, ct: Any, self: Any, mean: Any, rstd: Any, params_t: Any, index: Any, bias: Any) -> Any:
    if ct is None:
        return None
    g = wide(b, ct)
    if bias and index == len(params_t) - 1:
        return sum_channels(b, g)
    s = self.shape
    return sum_channels(b, g * ((wide(b, self) - over_channels(b, mean, s)) * over_channels(b, rstd, s)))


def _sample_batch(rng: Any) -> list[tuple[list[Any], dict[str, Any]]]:
    x = rng.standard_normal((4, 3, 5)).astype(np.float32)
    w, c = (rng.standard_normal(3).astype(np.float32) for _ in range(2))
    return [([x, w, c], {"eps": 1e-5, "bias": True}), ([x[:, :, 0]], {"eps": 1e-5, "bias": False})]


BATCH_NORM = define(
    Op(
        name="grad.batch_norm",
        kind=COMPOSITE,
        operands=("self", "params*"),
        results=("result", "mean", "rstd"),
        attrs={"eps": "float", "bias": "bool"},
        infer=_batch_type,
        numpy=_np_batch,
        decompose=_batch,
        adjoint={"self": _batch_ct, "params": _batch_param_ct},
        grad_fn="NativeBatchNormBackward0",
        saved={"input": "self", "eps": "eps", "result1": "mean", "result2": "rstd"},
        sample=_sample_batch,
        doc="Over all axes but the second, by this batch's own statistics.",
    )
)


def _fixed_type(
    x: TensorType, mean: TensorType, var: TensorType, *params: TensorType, eps: float, bias: bool = False
) -> TensorType:
    require_float("batch_norm", x)
    _check_channels(x, (mean, var), "running_mean")
    _check_channels(x, params, "weight")
    return x


def _fixed(b: Any, self: Any, running_mean: Any, running_var: Any, *params: Any, eps: Any, bias: Any = False) -> Any:
    s = self.shape
    rstd = b.rsqrt(wide(b, running_var) + eps)
    y = (wide(b, self) - over_channels(b, running_mean, s)) * over_channels(b, rstd, s)
    return narrow(b, scale_and_shift(b, y, params, bias, lambda p: b.reshape(p, shape=channel(s))), self.dtype)


def _np_fixed(x: Any, mean: Any, var: Any, *params: Any, eps: Any, bias: Any = False) -> Any:
    s = channel(x.shape)
    y = (x - mean.reshape(s)) / np.sqrt(var.reshape(s) + var.dtype.type(eps))
    return scale_and_shift(None, y, params, bias, lambda p: p.reshape(s))


def _fixed_ct(b: Any, ct: Any, self_t: Any, running_var: Any, params: Any, eps: Any, bias: Any) -> Any:
    weight, _ = affine(params, bias)
    rstd = b.rsqrt(wide(b, running_var) + eps)
    return wide(b, ct) * over_channels(b, rstd if weight is None else rstd * weight, self_t.shape)


def _fixed_param_ct(
    b: Any, ct: Any, self: Any, running_mean: Any, running_var: Any, params_t: Any, index: Any, eps: Any, bias: Any
) -> Any:
    g, s = wide(b, ct), self.shape
    if bias and index == len(params_t) - 1:
        return sum_channels(b, g)
    rstd = over_channels(b, b.rsqrt(wide(b, running_var) + eps), s)
    return sum_channels(b, g * ((wide(b, self) - over_channels(b, running_mean, s)) * rstd))


def _sample_fixed(rng: Any) -> list[tuple[list[Any], dict[str, Any]]]:
    mean, var = rng.standard_normal(3).astype(np.float32), rng.uniform(0.5, 2, 3).astype(np.float32)
    return [([a[0], mean, var, *a[1:]], attrs) for a, attrs in _sample_batch(rng)]


def _batch_call(
    op: Any,
    input: Any,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    training: Any = False,
    momentum: Any = 0.1,
    eps: Any = 1e-05,
) -> Any:
    extra = {"eps": float(eps), "bias": bias is not None}
    if not training:
        if running_mean is None or running_var is None:
            raise GradRuntimeError(
                f"running_{'mean' if running_mean is None else 'var'} must be defined in evaluation mode"
            )
        return op(input, running_mean, running_var, *given(weight, bias), **extra)
    dims = others(input)
    count = product(input.shape[d] for d in dims)
    if count == 1:
        raise GradValueError(
            f"Expected more than 1 value per channel when training, got input size torch.Size({list(input.shape)})"
        )
    out, mean, _ = op(input, *given(weight, bias), record=BATCH_NORM, **extra)
    if running_mean is not None:
        running_mean.mul_(1 - momentum).add_(mean.detach().to(running_mean.dtype) * momentum)
    if running_var is not None:
        running_var.mul_(1 - momentum).add_(input.detach().var(dims).to(running_var.dtype) * momentum)
    return out


def _instance_call(
    op: Any,
    input: Any,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    use_input_stats: Any = True,
    momentum: Any = 0.1,
    eps: Any = 1e-05,
) -> Any:
    shape = tuple(input.shape)
    if use_input_stats and product(shape[2:]) == 1:
        raise GradValueError(
            f"Expected more than 1 spatial element when training, got input size torch.Size({list(shape)})"
        )
    if not use_input_stats or running_mean is not None:
        raise GradRuntimeError("instance_norm: running statistics are not supported")
    n, c = shape[:2]
    extra = {"eps": float(eps), "bias": bias is not None}
    params = [p.repeat(n) for p in given(weight, bias)]
    out = op(input.reshape((1, n * c, *shape[2:])), *params, record=BATCH_NORM, **extra)[0]
    return out.view(shape)


BATCH_NORM_EVAL = define(
    Op(
        name="grad.batch_norm_eval",
        kind=COMPOSITE,
        operands=("self", "running_mean", "running_var", "params*"),
        results=("result",),
        attrs={"eps": "float", "bias": "bool"},
        infer=_fixed_type,
        numpy=_np_fixed,
        decompose=_fixed,
        adjoint={"self": _fixed_ct, "params": _fixed_param_ct},
        grad_fn="NativeBatchNormBackward0",
        saved={"input": "self", "eps": "eps", "running_mean": "running_mean", "running_var": "running_var"},
        torch=(
            Torch(_batch_call, ("nn.functional.batch_norm", "batch_norm")),
            Torch(_instance_call, ("nn.functional.instance_norm", "instance_norm")),
        ),
        sample=_sample_fixed,
        doc="By given statistics, which get no gradient.",
    )
)
