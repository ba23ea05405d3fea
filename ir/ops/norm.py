"""Normalisation layers: two passes over the normalised axes forward, and torch's closed form backward, one row pass.

Mean and reciprocal deviation are results of their own, in the compute dtype, so that backward reads instead of
recomputing them. `params*` holds weight and bias where given; `bias` says that the last one is the bias."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gradc.ir.errors import DTypeError, GradRuntimeError
from gradc.ir.op import COMPOSITE, Op, Torch, define
from gradc.ir.types import TensorType, tensor

from .axis import extent, narrow, require_float, wide
from .family import reduced_shape


def affine(params: Any, bias: bool | None) -> tuple[Any, Any]:
    """Weight and bias, None where absent."""
    if bias:
        return (params[0] if len(params) == 2 else None), params[-1]
    return (params[0] if params else None), None


def centre_and_scale(b: Any, x: Any, dims: tuple[int, ...], eps: float) -> tuple[Any, Any, Any]:
    """The normalised value, mean and reciprocal deviation; `x` in its compute dtype."""
    n = float(extent(x.shape, dims))
    mean = b.sum(x, dims=dims, keepdim=True) / n
    centred = x - mean
    rstd = b.rsqrt(b.sum(centred * centred, dims=dims, keepdim=True) / n + eps)
    return centred * rstd, mean, rstd


def scale_and_shift(b: Any, y: Any, params: Any, bias: bool | None, shape: Callable[[Any], Any]) -> Any:
    weight, shift = affine(params, bias)
    if weight is not None:
        y = y * shape(weight)
    return y if shift is None else y + shape(shift)


def np_normalised(x: Any, dims: tuple[int, ...], eps: float) -> tuple[Any, Any, Any]:
    n = x.dtype.type(extent(x.shape, dims))
    mean = np.sum(x, axis=dims, keepdims=True) / n
    centred = x - mean
    rstd = 1 / np.sqrt(np.sum(centred * centred, axis=dims, keepdims=True) / n + x.dtype.type(eps))
    return centred * rstd, mean, rstd


def input_ct(b: Any, g: Any, ct_mean: Any, ct_rstd: Any, x: Any, mean: Any, rstd: Any, dims: tuple[int, ...]) -> Any:
    """The cotangent of the input from that of the normalised value `g`, and from those of the statistics."""
    n = float(extent(x.shape, dims))
    hat = (x - mean) * rstd
    out = None
    if g is not None:
        along = b.sum(g * hat, dims=dims, keepdim=True) / n
        out = (g - (hat * along + b.sum(g, dims=dims, keepdim=True) / n)) * rstd
    if ct_mean is not None:
        mean_part = b.broadcast(ct_mean / n, shape=x.shape)
        out = mean_part if out is None else out + ct_mean / n
    if ct_rstd is not None:
        steep = hat * (rstd * rstd * ct_rstd) / -n
        out = steep if out is None else out + steep
    return out


def trailing(x: Any, normalized_shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(range(x.ndim - len(normalized_shape), x.ndim))


def _check_shape(x: TensorType, normalized_shape: tuple[int, ...], params: tuple[TensorType, ...], star: str) -> None:
    k = len(normalized_shape)
    if not k or x.shape[x.ndim - k :] != normalized_shape or x.ndim < k:
        want = ", ".join(map(str, normalized_shape))
        raise GradRuntimeError(
            f"Given normalized_shape={list(normalized_shape)}, expected input with shape [*{star}{want}], "
            f"but got input of size{list(x.shape)}"
        )
    for p in params:
        if p.shape != normalized_shape:
            raise GradRuntimeError(
                f"Expected weight to be of same shape as normalized_shape, but got weight of shape {list(p.shape)} and "
                f"normalized_shape = {list(normalized_shape)}"
            )


def _layer_type(
    x: TensorType, *params: TensorType, normalized_shape: tuple[int, ...], eps: float = 1e-5, bias: bool = False
) -> tuple[TensorType, ...]:
    require_float("LayerNormKernelImpl", x)
    _check_shape(x, normalized_shape, params, ", ")
    stat = tensor(reduced_shape(x.shape, trailing(x, normalized_shape), True), x.dtype.compute)
    return x, stat, stat


def _layer(b: Any, self: Any, *params: Any, normalized_shape: Any, eps: Any = 1e-05, bias: Any = False) -> Any:
    y, mean, rstd = centre_and_scale(b, wide(b, self), trailing(self, normalized_shape), eps)
    return narrow(b, scale_and_shift(b, y, params, bias, lambda p: p), self.dtype), mean, rstd


def _np_layer(x: Any, *params: Any, normalized_shape: Any, eps: Any = 1e-05, bias: Any = False) -> Any:
    y, mean, rstd = np_normalised(x, trailing(x, normalized_shape), eps)
    return scale_and_shift(None, y, params, bias, lambda p: p), mean, rstd


def _layer_ct(
    b: Any,
    ct: Any,
    ct_mean: Any,
    ct_rstd: Any,
    self: Any,
    params: Any,
    mean: Any,
    rstd: Any,
    normalized_shape: Any,
    bias: Any,
) -> Any:
    weight, _ = affine(params, bias)
    g = ct if ct is None else wide(b, ct) if weight is None else wide(b, ct) * weight
    return input_ct(b, g, ct_mean, ct_rstd, wide(b, self), mean, rstd, trailing(self, normalized_shape))


def _is_bias(params_t: Any, index: int, bias: bool | None) -> bool:
    return bool(bias) and index == len(params_t) - 1


def _layer_param_ct(b: Any, ct: Any, self: Any, mean: Any, rstd: Any, params_t: Any, index: Any, bias: Any) -> Any:
    if ct is None or _is_bias(params_t, index, bias):
        return ct
    return wide(b, ct) * ((wide(b, self) - mean) * rstd)


def given(*params: Any) -> tuple[Any, ...]:
    return tuple(p for p in params if p is not None)


def _layer_call(
    op: Any, input: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: Any = 1e-05
) -> Any:
    return op(
        input,
        *given(weight, bias),
        normalized_shape=tuple(int(d) for d in normalized_shape),
        eps=float(eps),
        bias=bias is not None,
    )[0]


def _sample_layer(rng: Any) -> list[tuple[list[Any], dict[str, Any]]]:
    x = rng.standard_normal((3, 4, 5)).astype(np.float32)
    w, c = (rng.standard_normal(5).astype(np.float32) for _ in range(2))
    return [
        ([x, w, c], {"normalized_shape": (5,), "eps": 1e-5, "bias": True}),
        ([x], {"normalized_shape": (4, 5), "eps": 1e-5, "bias": False}),
        ([x, c], {"normalized_shape": (5,), "eps": 1e-3, "bias": True}),
    ]


LAYER_NORM = define(
    Op(
        name="grad.layer_norm",
        kind=COMPOSITE,
        operands=("self", "params*"),
        results=("result", "mean", "rstd"),
        attrs={"normalized_shape": "ints", "eps": "float", "bias": "bool"},
        infer=_layer_type,
        numpy=_np_layer,
        decompose=_layer,
        adjoint={"self": _layer_ct, "params": _layer_param_ct},
        grad_fn="NativeLayerNormBackward0",
        saved={"input": "self", "normalized_shape": "normalized_shape", "result1": "mean", "result2": "rstd"},
        torch=(Torch(_layer_call, ("nn.functional.layer_norm", "layer_norm")),),
        sample=_sample_layer,
    )
)


def _rms_type(
    x: TensorType, *params: TensorType, normalized_shape: tuple[int, ...], eps: float
) -> tuple[TensorType, ...]:
    if not x.dtype.is_float:
        raise DTypeError(f"rms_norm: expected a floating-point operand, got {x}")
    _check_shape(x, normalized_shape, params, "")
    return x, tensor(reduced_shape(x.shape, trailing(x, normalized_shape), True), x.dtype.compute)


def _rms(b: Any, self: Any, *params: Any, normalized_shape: Any, eps: Any) -> Any:
    x, dims = wide(b, self), trailing(self, normalized_shape)
    rstd = b.rsqrt(b.sum(x * x, dims=dims, keepdim=True) / float(extent(x.shape, dims)) + eps)
    return narrow(b, scale_and_shift(b, x * rstd, params, False, lambda p: p), self.dtype), rstd


def _np_rms(x: Any, *params: Any, normalized_shape: Any, eps: Any) -> Any:
    dims = trailing(x, normalized_shape)
    mean = np.sum(x * x, axis=dims, keepdims=True) / x.dtype.type(extent(x.shape, dims))
    rstd = 1 / np.sqrt(mean + x.dtype.type(eps))
    return scale_and_shift(None, x * rstd, params, False, lambda p: p), rstd


def _rms_ct(b: Any, ct: Any, ct_rstd: Any, self: Any, params: Any, rstd: Any, normalized_shape: Any) -> Any:
    x, dims = wide(b, self), trailing(self, normalized_shape)
    n, hat = float(extent(x.shape, dims)), x * rstd
    out = None
    if ct is not None:
        g = wide(b, ct) * params[0] if params else wide(b, ct)
        out = (g - hat * (b.sum(g * hat, dims=dims, keepdim=True) / n)) * rstd
    if ct_rstd is not None:
        steep = hat * (rstd * rstd * ct_rstd) / -n
        out = steep if out is None else out + steep
    return out


def _rms_call(op: Any, input: Any, normalized_shape: Any, weight: Any = None, eps: Any = None) -> Any:
    shape = tuple(int(d) for d in normalized_shape)
    if eps is None:
        eps = float(np.finfo(input.dtype.compute.numpy).eps)
    return op(input, *given(weight), normalized_shape=shape, eps=float(eps))[0]


def _sample_rms(rng: Any) -> list[tuple[list[Any], dict[str, Any]]]:
    return [
        (a[: 1 + (len(a) == 3)], {k: v for k, v in attrs.items() if k != "bias"}) for a, attrs in _sample_layer(rng)
    ]


RMS_NORM = define(
    Op(
        name="grad.rms_norm",
        kind=COMPOSITE,
        operands=("self", "params*"),
        results=("result", "rstd"),
        attrs={"normalized_shape": "ints", "eps": "float"},
        infer=_rms_type,
        numpy=_np_rms,
        decompose=_rms,
        adjoint={
            "self": _rms_ct,
            "params": lambda b, ct, self, rstd: None if ct is None else wide(b, ct) * (wide(b, self) * rstd),
        },
        grad_fn="MulBackward0",
        torch=(Torch(_rms_call, ("nn.functional.rms_norm", "rms_norm")),),
        sample=_sample_rms,
        doc="torch composes it and ends in a MulBackward0; here it is one node with a closed form.",
    )
)
